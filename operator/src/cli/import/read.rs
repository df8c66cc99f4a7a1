//! motan-go's YAML: one tree, each value with the file it comes from.

use std::{fs, io::Read, path::Path, rc::Rc};

use serde_yaml::Value;

use super::Error;

/// A value of the configuration.
#[derive(Debug, Clone)]
pub(super) enum Node {
    /// Nothing is said.
    Null,
    /// Text, a number or a flag.
    Text(Text),
    /// A list.
    List(Vec<Node>),
    /// Keys in the order written.
    Map(Map),
}

/// Keys and values, in the order written.
#[derive(Debug, Clone)]
pub(super) struct Map {
    pub(super) file: Rc<str>,
    pub(super) entries: Vec<(String, Node)>,
}

/// A value that is not made of others, as text.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) value: String,
    pub(super) file: Rc<str>,
}

/// The tree of one file; `-` is standard input.
pub(super) fn file(path: &Path) -> Result<Map, Error> {
    let shown = path.display().to_string();
    let text = if shown == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(path)
    };
    let text = text.map_err(|source| Error::Read {
        file: shown.clone(),
        source,
    })?;
    tree(&text, &shown)
}

fn tree(text: &str, shown: &str) -> Result<Map, Error> {
    let unreadable = |source| Error::Yaml {
        file: shown.to_owned(),
        source,
    };
    let mut value: Value = serde_yaml::from_str(text).map_err(unreadable)?;
    value.apply_merge().map_err(unreadable)?;
    let file: Rc<str> = shown.into();
    match node(value, &file, "the file")? {
        Node::Map(map) => Ok(map),
        Node::Null => Ok(Map {
            file,
            entries: Vec::new(),
        }),
        Node::Text(_) | Node::List(_) => Err(Error::Key {
            file: shown.to_owned(),
            key: "the file".to_owned(),
            what: "it must hold sections such as motan-agent: and motan-refer:".to_owned(),
        }),
    }
}

fn node(value: Value, file: &Rc<str>, at: &str) -> Result<Node, Error> {
    let text = |value: String| {
        Node::Text(Text {
            value,
            file: Rc::clone(file),
        })
    };
    Ok(match value {
        Value::Null => Node::Null,
        Value::Bool(flag) => text(flag.to_string()),
        Value::Number(number) => text(number.to_string()),
        Value::String(string) => text(string),
        Value::Sequence(list) => Node::List(
            list.into_iter()
                .map(|value| node(value, file, at))
                .collect::<Result<_, _>>()?,
        ),
        Value::Mapping(mapping) => {
            let mut entries = Vec::with_capacity(mapping.len());
            for (key, value) in mapping {
                let Node::Text(Text { value: key, .. }) = node(key, file, at)? else {
                    return Err(Error::Key {
                        file: file.to_string(),
                        key: at.to_owned(),
                        what: "a key must be text: write it as one word".to_owned(),
                    });
                };
                let value = node(value, file, &key)?;
                entries.push((key, value));
            }
            Node::Map(Map {
                file: Rc::clone(file),
                entries,
            })
        }
        Value::Tagged(tagged) => node(tagged.value, file, at)?,
    })
}

impl Map {
    /// What is written below a key.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entries
            .iter()
            .find_map(|(known, node)| (known == key).then_some(node))
    }

    /// Lays another tree over this one: maps key by key, lists one after the other; nothing never stands over something.
    pub(super) fn merge(&mut self, over: Self) {
        for (key, new) in over.entries {
            match self.entries.iter_mut().find(|(known, _)| *known == key) {
                None => self.entries.push((key, new)),
                Some((_, old)) => old.merge(new),
            }
        }
    }
}

impl Node {
    fn merge(&mut self, over: Self) {
        match (self, over) {
            (_, Self::Null) => {}
            (Self::Map(old), Self::Map(new)) => old.merge(new),
            (Self::List(old), Self::List(new)) => old.extend(new),
            (old, new) => *old = new,
        }
    }
}
