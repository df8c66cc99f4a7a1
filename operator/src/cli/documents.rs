//! Files of Kubernetes objects: many documents, lists unfolded, each as JSON so that no field is lost.

use std::{fs, io::Read, path::Path};

use crds::{MeshDependency, MeshService};
use serde::Deserialize;
use serde_json::Value;

use super::Error;
use crate::world::World;

/// The objects of a file, in order; `-` is standard input. Empty documents are skipped, lists unfolded.
pub(super) fn read(path: &Path) -> Result<Vec<Value>, Error> {
    let shown = path.display().to_string();
    let text = if shown == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(path)
    };
    let text = text.map_err(|source| Error::Read {
        path: shown.clone(),
        source,
    })?;
    let mut objects = Vec::new();
    for (number, document) in (1..).zip(serde_yaml::Deserializer::from_str(&text)) {
        let object = Value::deserialize(document).map_err(|source| Error::Yaml {
            path: shown.clone(),
            number,
            source,
        })?;
        unfold(object, &mut objects);
    }
    Ok(objects)
}

fn unfold(mut object: Value, objects: &mut Vec<Value>) {
    if object.is_null() {
        return;
    }
    match object.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => items.into_iter().for_each(|item| unfold(item, objects)),
        _ => objects.push(object),
    }
}

/// The MeshServices and MeshDependencies among these objects.
pub(super) fn declared(path: &Path, objects: &[Value]) -> Result<World, Error> {
    let mut world = World::default();
    for object in objects {
        match text(object, "/kind") {
            "MeshService" => {
                world.apply_service(&typed::<MeshService>(path, object)?);
            }
            "MeshDependency" => {
                world.apply_dependency(&typed::<MeshDependency>(path, object)?);
            }
            _ => {}
        }
    }
    Ok(world)
}

/// A field of an object as text, or nothing.
pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Reads an object as what it says it is.
pub(super) fn typed<'a, T: Deserialize<'a>>(path: &Path, object: &'a Value) -> Result<T, Error> {
    T::deserialize(object).map_err(|source| Error::Object {
        path: path.display().to_string(),
        kind: text(object, "/kind").to_owned(),
        name: text(object, "/metadata/name").to_owned(),
        source,
    })
}
