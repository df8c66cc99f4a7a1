//! Fields that nobody knows: what is written is compared with what was read of it.

use serde_json::Value;

/// The fields of `written` that are not in `known`, as paths: misspelt ones, which `kubectl` would refuse.
pub(crate) fn unknown(written: &Value, known: &Value, path: &str) -> Vec<String> {
    match (written, known) {
        (Value::Object(written), Value::Object(known)) => written
            .iter()
            .flat_map(|(key, value)| {
                let path = format!("{path}.{key}");
                match known.get(key) {
                    Some(known) => unknown(value, known, &path),
                    None if is_empty(value) => Vec::new(),
                    None => vec![path],
                }
            })
            .collect(),
        (Value::Array(written), Value::Array(known)) => (0..)
            .zip(written.iter().zip(known))
            .flat_map(|(at, (written, known))| unknown(written, known, &format!("{path}[{at}]")))
            .collect(),
        _ => Vec::new(),
    }
}

/// What is written and left out again, as it says nothing.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
