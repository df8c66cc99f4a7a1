//! JSON as the peers read and print it, and `simple` values.

use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};
use wire::value::{Value, Values, write};

/// Longer texts are printed by length and hash, in bytes.
const LONGEST: usize = 1_024;

/// The body of a request with these arguments.
pub(crate) fn body(args: &Json) -> Vec<u8> {
    let mut out = Vec::new();
    for arg in args.as_array().into_iter().flatten() {
        match (arg["$times"].as_u64(), arg["$bytes"].as_u64()) {
            (Some(times), _) => {
                let text = arg["$text"].as_str().unwrap().repeat(times.try_into().unwrap());
                write(&mut out, &Value::String(text.as_bytes()));
            }
            (None, Some(length)) => write(&mut out, &Value::Bytes(&pattern(length))),
            (None, None) => write(&mut out, &value(arg)),
        }
    }
    out
}

/// What a result of so many bytes of the pattern is printed as.
pub(crate) fn printed_bytes(length: u64) -> Json {
    json!({"$bytes": summary(&pattern(length))})
}

/// What a long text is printed as.
pub(crate) fn printed_text(text: &str) -> Json {
    json!({"$text": summary(text.as_bytes())})
}

/// The bytes 0, 1, … 250, 0, 1, …
pub(crate) fn pattern(length: u64) -> Vec<u8> {
    (0..=250).cycle().take(length.try_into().unwrap()).collect()
}

fn value(json: &Json) -> Value<'_> {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => number
            .as_i64()
            .map_or_else(|| Value::Float64(number.as_f64().unwrap()), Value::Int64),
        Json::String(text) => Value::String(text.as_bytes()),
        Json::Array(items) => Value::Array(items.iter().map(value).collect()),
        Json::Object(pairs) => {
            let pairs = pairs
                .iter()
                .map(|(key, item)| (Value::String(key.as_bytes()), value(item)));
            Value::Map(pairs.collect())
        }
    }
}

/// The value of a response, as JSON can say it.
pub(crate) fn result(body: &[u8]) -> Json {
    Values::new(body)
        .next()
        .unwrap()
        .map_or(Json::Null, |value| json(&value))
}

fn json(value: &Value<'_>) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::String(text) if text.len() > LONGEST => json!({"$text": summary(text)}),
        Value::String(text) => text_of(text).into(),
        Value::Bytes(bytes) => json!({"$bytes": summary(bytes)}),
        Value::Bool(value) => (*value).into(),
        Value::Byte(number) => (*number).into(),
        Value::Int16(number) => (*number).into(),
        Value::Int32(number) => (*number).into(),
        Value::Int64(number) => (*number).into(),
        Value::Float32(number) => (*number).into(),
        Value::Float64(number) => (*number).into(),
        Value::StringArray(items) => items.iter().map(|item| text_of(item)).collect(),
        Value::Array(items) => items.iter().map(json).collect(),
        Value::StringMap(pairs) => {
            let pairs = pairs
                .iter()
                .map(|(key, item)| (text_of(key), text_of(item).into()));
            Json::Object(pairs.collect())
        }
        Value::Map(pairs) => {
            let pairs = pairs
                .iter()
                .map(|(key, item)| (text_of(key.bytes().unwrap()), json(item)));
            Json::Object(pairs.collect::<Map<_, _>>())
        }
    }
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn summary(bytes: &[u8]) -> Json {
    let hash: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    json!({"length": bytes.len(), "sha256": hash})
}
