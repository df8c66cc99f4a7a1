//! The sections that an import reads, entries with what they take from their basic ones.

use std::rc::Rc;

use super::{
    Error,
    entry::Entry,
    read::{Map, Node, Text},
};

/// The parts of a configuration.
#[derive(Debug)]
pub(super) struct Sections {
    pub(super) agent: Entry,
    pub(super) registries: Vec<Entry>,
    pub(super) services: Vec<Entry>,
    pub(super) refers: Vec<Entry>,
    pub(super) clients: Vec<Entry>,
    /// Locations of each domain, in the order written.
    pub(super) locations: Vec<(String, Vec<Map>)>,
    /// Sections that say nothing about services and calls.
    pub(super) others: Vec<String>,
}

/// Sections that are read elsewhere, or that are nothing but a name for others.
const SILENT: [&str; 5] = [
    "dynamic-param",
    "import-refer",
    "import-http-location",
    "motan-basicRefer",
    "motan-basicService",
];

impl Sections {
    /// Takes a tree apart.
    pub(super) fn of(tree: Map) -> Result<Self, Error> {
        let file = Rc::clone(&tree.file);
        let mut sections = Self {
            agent: Entry::empty("motan-agent", &file),
            registries: Vec::new(),
            services: Vec::new(),
            refers: Vec::new(),
            clients: Vec::new(),
            locations: Vec::new(),
            others: Vec::new(),
        };
        let basic_refers = basics(&tree, "motan-basicRefer")?;
        let basic_services = basics(&tree, "motan-basicService")?;
        for (name, node) in tree.entries {
            match name.as_str() {
                // One process is one of these; a library's client and server name the application as an agent does.
                "motan-agent" | "motan-client" | "motan-server" => {
                    for (key, value) in map(&node, &name, &file)?.map_or(&[][..], |map| &map.entries) {
                        if let Node::Text(value) = value {
                            sections.agent.put(key, value.clone());
                        }
                    }
                }
                "motan-registry" => sections.registries = entries(&node, "motan-registry", &file, None)?,
                "motan-service" => {
                    let basics = Some(("basicService", &basic_services[..]));
                    sections.services = entries(&node, "motan-service", &file, basics)?;
                }
                "motan-refer" => {
                    let basics = Some(("basicRefer", &basic_refers[..]));
                    sections.refers = entries(&node, "motan-refer", &file, basics)?;
                }
                "http-client" => {
                    let basics = Some(("basicRefer", &basic_refers[..]));
                    sections.clients = entries(&node, "http-client", &file, basics)?;
                }
                "http-locations" => sections.locations = locations(&node, &file)?,
                silent if SILENT.contains(&silent) => {}
                _ => sections.others.push(name),
            }
        }
        Ok(sections)
    }
}

/// What must be a map, where something is said.
fn map<'n>(node: &'n Node, at: &str, file: &Rc<str>) -> Result<Option<&'n Map>, Error> {
    match node {
        Node::Map(map) => Ok(Some(map)),
        Node::Null => Ok(None),
        Node::Text(Text { file, .. }) => Err(not_a_map(at, file)),
        Node::List(_) => Err(not_a_map(at, file)),
    }
}

fn not_a_map(at: &str, file: &Rc<str>) -> Error {
    Error::Key {
        file: file.to_string(),
        key: at.to_owned(),
        what: "write keys below it, each with its value".to_owned(),
    }
}

fn basics(tree: &Map, section: &'static str) -> Result<Vec<Entry>, Error> {
    let node = tree.get(section).unwrap_or(&Node::Null);
    entries(node, section, &tree.file, None)
}

/// The entries of a section; where they name a basic one, over what that one says.
fn entries(
    node: &Node,
    section: &'static str,
    file: &Rc<str>,
    basics: Option<(&str, &[Entry])>,
) -> Result<Vec<Entry>, Error> {
    let mut all = Vec::new();
    let Some(listed) = map(node, section, file)? else {
        return Ok(all);
    };
    for (id, node) in &listed.entries {
        let at = format!("{section}.{id}");
        let mut entry = Entry::empty(section, &listed.file).named(id);
        let Some(written) = map(node, &at, &listed.file)? else {
            all.push(entry);
            continue;
        };
        if let Some((key, basics)) = basics
            && let Some(Node::Text(wanted)) = written.get(key)
        {
            let basic = basics.iter().find(|basic| basic.id == wanted.value);
            let basic = basic.ok_or_else(|| Error::Key {
                file: wanted.file.to_string(),
                key: format!("{at}.{key}"),
                what: format!("there is no {:?}: {}", wanted.value, listed_ids(basics)),
            })?;
            entry.take_over(basic);
        }
        for (key, value) in &written.entries {
            match value {
                Node::Null => {}
                // It named the basic entry, whose keys are here now.
                Node::Text(_) if basics.is_some_and(|(basic, _)| basic == key) => {}
                Node::Text(text) => entry.put(key, text.clone()),
                Node::List(_) | Node::Map(_) => {
                    return Err(Error::Key {
                        file: written.file.to_string(),
                        key: format!("{at}.{key}"),
                        what: "write one value: a list, too, is one text with commas".to_owned(),
                    });
                }
            }
        }
        all.push(entry);
    }
    Ok(all)
}

fn listed_ids(entries: &[Entry]) -> String {
    let ids: Vec<_> = entries.iter().map(|entry| entry.id.as_str()).collect();
    match ids.as_slice() {
        [] => "nothing is listed there".to_owned(),
        ids => format!("write one of {}", ids.join(", ")),
    }
}

fn locations(node: &Node, file: &Rc<str>) -> Result<Vec<(String, Vec<Map>)>, Error> {
    let mut all = Vec::new();
    let Some(domains) = map(node, "http-locations", file)? else {
        return Ok(all);
    };
    for (domain, node) in &domains.entries {
        let at = format!("http-locations.{domain}");
        let listed = match node {
            Node::Null => &[][..],
            Node::List(listed) => listed,
            Node::Text(_) | Node::Map(_) => {
                return Err(Error::Key {
                    file: domains.file.to_string(),
                    key: at,
                    what: "write a list, an entry for each location".to_owned(),
                });
            }
        };
        let mut entries = Vec::new();
        for (number, node) in listed.iter().enumerate() {
            let at = format!("{at}[{number}]");
            entries.push(
                map(node, &at, &domains.file)?
                    .cloned()
                    .ok_or_else(|| not_a_map(&at, &domains.file))?,
            );
        }
        all.push((domain.clone(), entries));
    }
    Ok(all)
}
