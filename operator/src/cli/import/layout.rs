//! Which files make a configuration: those named, or those that motan-go picks from a directory for an application and
//! a pool.

use std::{collections::BTreeSet, path::Path};

use super::{
    Error, Import,
    read::{self, Map, Node},
};

/// One tree of all files.
pub(super) fn read(import: &Import) -> Result<Map, Error> {
    let mut tree: Option<Map> = None;
    for path in &import.motan_yaml {
        let over = if path.is_dir() {
            directory(path, import)?
        } else {
            read::file(path)?
        };
        match &mut tree {
            None => tree = Some(over),
            Some(tree) => tree.merge(over),
        }
    }
    tree.ok_or_else(|| Error::Flag {
        flag: "--motan-yaml",
        what: "name at least one file".to_owned(),
    })
}

/// What motan-go reads of a directory: each of these over those before it, where it is there.
fn directory(folder: &Path, import: &Import) -> Result<Map, Error> {
    let pool = import.pool.as_deref().unwrap_or_default();
    let first = pool.split('-').next().unwrap_or_default();
    let application = import.application.as_deref().unwrap_or(first);
    let shown = folder.display().to_string();
    if application.is_empty() {
        return Err(Error::Layout {
            folder: shown,
            what: "a directory has the files of many applications: add --application or --pool".to_owned(),
        });
    }
    let mut files = vec![
        "basic.yaml".to_owned(),
        format!("http/service/{application}.yaml"),
        format!("http/pools/{pool}.yaml"),
        format!("applications/{application}.yaml"),
    ];
    let ends = pool.match_indices('-').map(|(at, _)| at).chain([pool.len()]);
    files.extend(
        ends.filter_map(|end| pool.get(..end))
            .map(|part| format!("pools/{part}.yaml")),
    );
    let mut whole: Option<Map> = None;
    let mut locations = BTreeSet::new();
    for file in files {
        let Some(over) = present(&folder.join(&file))? else {
            continue;
        };
        for imported in imports(folder, &over, &mut locations)? {
            lay(&mut whole, imported);
        }
        lay(&mut whole, over);
    }
    whole.ok_or_else(|| Error::Layout {
        folder: shown,
        what: format!(
            "nothing of application {application:?} and pool {pool:?} is there, not even basic.yaml: correct them, or name a \
             file"
        ),
    })
}

fn lay(whole: &mut Option<Map>, over: Map) {
    match whole {
        None => *whole = Some(over),
        Some(whole) => whole.merge(over),
    }
}

fn present(path: &Path) -> Result<Option<Map>, Error> {
    path.is_file().then(|| read::file(path)).transpose()
}

/// The files that a file asks for, those that they ask for first; locations come once.
fn imports(folder: &Path, map: &Map, locations: &mut BTreeSet<String>) -> Result<Vec<Map>, Error> {
    let mut all = Vec::new();
    for (section, below) in [
        ("import-refer", "services"),
        ("import-http-location", "http/location"),
    ] {
        let Some(Node::List(names)) = map.get(section) else {
            continue;
        };
        for name in names {
            let Node::Text(name) = name else {
                return Err(Error::Key {
                    file: map.file.to_string(),
                    key: section.to_owned(),
                    what: "write a list of names".to_owned(),
                });
            };
            if section == "import-http-location" && !locations.insert(name.value.clone()) {
                continue;
            }
            let file = format!("{below}/{}.yaml", name.value);
            let imported = present(&folder.join(&file))?.ok_or_else(|| Error::Key {
                file: name.file.to_string(),
                key: format!("{section}: {}", name.value),
                what: format!("{file} is not there: add it, or remove the name"),
            })?;
            // Files below `services` may ask for locations, and no file for itself.
            if section == "import-refer" {
                let only_locations = Map {
                    entries: imported
                        .entries
                        .iter()
                        .filter(|(key, _)| key == "import-http-location")
                        .cloned()
                        .collect(),
                    file: imported.file.clone(),
                };
                all.extend(imports(folder, &only_locations, locations)?);
            }
            all.push(imported);
        }
    }
    Ok(all)
}
