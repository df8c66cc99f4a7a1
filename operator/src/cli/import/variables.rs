//! `${name}`: variables of the section `dynamic-param`, by pool, where they are a whole value.

use regex::Regex;

use super::{
    Error, Import,
    read::{Map, Node, Text},
};

const SECTION: &str = "dynamic-param";
const PLACE: &str = "idc"; // of groups only, and not in the section

/// Puts the values in their places.
pub(super) fn put(tree: &mut Map, import: &Import) -> Result<(), Error> {
    let variables = tree.get(SECTION).cloned();
    let none = Map {
        file: tree.file.clone(),
        entries: Vec::new(),
    };
    let variables = match &variables {
        Some(Node::Map(variables)) => variables,
        _ => &none,
    };
    let pool = import.pool.as_deref().unwrap_or_default();
    for (section, node) in &mut tree.entries {
        if section != SECTION {
            replace(node, variables, pool, section)?;
        }
    }
    Ok(())
}

fn replace(node: &mut Node, variables: &Map, pool: &str, at: &str) -> Result<(), Error> {
    match node {
        Node::Map(map) => {
            for (key, node) in &mut map.entries {
                replace(node, variables, pool, &format!("{at}.{key}"))?;
            }
        }
        Node::Text(text) => {
            let name = text
                .value
                .strip_prefix("${")
                .and_then(|rest| rest.strip_suffix('}'))
                .filter(|name| *name != PLACE);
            if let Some(name) = name {
                let file = text.file.to_string();
                *node = value(name, variables, pool).map_err(|what| Error::Key {
                    file,
                    key: at.to_owned(),
                    what,
                })?;
            }
        }
        Node::Null | Node::List(_) => {}
    }
    Ok(())
}

/// A variable's value: its own, or that of the pool, of the first expression that finds the pool, or the default.
fn value(name: &str, variables: &Map, pool: &str) -> Result<Node, String> {
    let by_pool = match variables.get(name) {
        Some(Node::Map(by_pool)) => by_pool,
        Some(plain) => return Ok(plain.clone()),
        None => return Err(format!("${{{name}}} is not in {SECTION}: add it there")),
    };
    if let Some(exact) = by_pool.get(pool) {
        return Ok(exact.clone());
    }
    for (key, node) in &by_pool.entries {
        let Some(expression) = key.strip_prefix("regexp:") else {
            continue;
        };
        let expression = Regex::new(expression)
            .map_err(|error| format!("{SECTION}.{name}: {key:?} is no expression: correct it ({error})"))?;
        if expression.is_match(pool) {
            return Ok(node.clone());
        }
    }
    by_pool.get("default").cloned().ok_or_else(|| {
        format!("${{{name}}} has no value for the pool {pool:?}: add one, or default, or pass --pool")
    })
}

/// A text where `${idc}` stands for the place that was given.
pub(super) fn placed(text: &Text, key: &str, import: &Import) -> Result<String, Error> {
    if !text.value.contains("${idc}") {
        return Ok(text.value.clone());
    }
    match &import.idc {
        Some(idc) => Ok(text.value.replace("${idc}", idc)),
        None => Err(Error::Key {
            file: text.file.to_string(),
            key: key.to_owned(),
            what: "${idc} stands for a place: pass --idc with its name".to_owned(),
        }),
    }
}
