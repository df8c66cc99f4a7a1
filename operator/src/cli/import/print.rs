//! Objects as YAML, each under what people should know of it.

use std::fmt::Write;

use crds::{MeshDependency, MeshService};

use super::{Error, map::Objects};

/// An object and what is said of it.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) comments: Vec<String>,
    pub(super) object: Object,
}

/// What can be written.
#[derive(Debug)]
pub(super) enum Object {
    /// Who provides.
    Service(Box<MeshService>),
    /// Who calls.
    Dependency(Box<MeshDependency>),
}

/// All of it, as YAML documents.
pub(super) fn text(objects: &Objects) -> Result<String, Error> {
    let Objects { head, parts } = objects;
    let mut text = String::from(
        "# From a configuration of motan-go. Comments name each key that has no counterpart, or differs.\n",
    );
    comments(&mut text, head);
    for Part {
        comments: said,
        object,
    } in parts
    {
        let document = match object {
            Object::Service(service) => serde_yaml::to_string(service)?,
            Object::Dependency(dependency) => serde_yaml::to_string(dependency)?,
        };
        text.push_str("---\n");
        comments(&mut text, said);
        text.push_str(&document);
    }
    Ok(text)
}

fn comments(text: &mut String, lines: &[String]) {
    for line in lines {
        // Writing to a String can't fail.
        let _ = writeln!(text, "# {line}");
    }
}
