//! JSON and the values of Motan.

use std::cell::Cell;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value as Json};
use wire::hessian;
use wire::value::Value;

/// How many values a body may hold, as many as a program may answer with: each takes some 70 bytes in memory, and in
/// JSON only two.
pub(crate) const MAX_VALUES: u32 = 65_536;
/// How deep they may nest: what is written must be read again by programs that have such a limit.
const MAX_DEPTH: u32 = 30;

/// Why a body is not a JSON value that can be passed on.
#[derive(Debug, thiserror::Error)]
pub enum NotJson {
    /// Nothing is there.
    #[error("it is empty: send a JSON value")]
    Empty,
    /// Not JSON, or too many values.
    #[error("{0}")]
    Malformed(#[from] serde_json::Error),
    /// A whole number that no program can take.
    #[error("{0} does not fit into 64 bits with a sign: send it as a string")]
    Large(u64),
    /// Values in values.
    #[error("values nest deeper than {MAX_DEPTH}")]
    Deep,
}

/// Reads a body that is one JSON value.
pub(crate) fn parse(body: &[u8]) -> Result<Json, NotJson> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(NotJson::Empty);
    }
    let room = Cell::new(MAX_VALUES);
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = Counted(&room).deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// Reads a tree, and stops where it has too many values.
#[derive(Clone, Copy)]
struct Counted<'r>(&'r Cell<u32>);

impl<'de> DeserializeSeed<'de> for Counted<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        let Some(room) = self.0.get().checked_sub(1) else {
            let words = format!("it holds more than {MAX_VALUES} values");
            return Err(serde::de::Error::custom(words));
        };
        self.0.set(room);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Counted<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            all.push(item);
        }
        Ok(Json::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Json, A::Error> {
        let mut all = Map::new();
        while let Some(key) = pairs.next_key()? {
            all.insert(key, pairs.next_value_seed(self)?);
        }
        Ok(Json::Object(all))
    }
}

/// The value that a program gets for a JSON value. Objects and arrays of strings alone are what Java makes of such
/// (motan-wire 5.2), whole numbers have 64 bits.
pub(crate) fn to_value(json: &Json) -> Result<Value<'_>, NotJson> {
    value_at(json, 0)
}

fn value_at(json: &Json, depth: u32) -> Result<Value<'_>, NotJson> {
    if depth > MAX_DEPTH {
        return Err(NotJson::Deep);
    }
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => self::number(number)?,
        Json::String(text) => Value::String(text.as_bytes()),
        Json::Array(items) => match items.iter().map(Json::as_str).collect::<Option<Vec<_>>>() {
            Some(strings) if !strings.is_empty() => {
                Value::StringArray(strings.into_iter().map(str::as_bytes).collect())
            }
            _ => {
                let items = items.iter().map(|item| value_at(item, depth + 1));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
        },
        Json::Object(pairs) => {
            let strings = pairs
                .iter()
                .map(|(key, value)| Some((key.as_bytes(), value.as_str()?.as_bytes())));
            match strings.collect::<Option<Vec<_>>>() {
                Some(strings) if !strings.is_empty() => Value::StringMap(strings),
                _ => {
                    let pair = |(key, value): (_, _)| {
                        let key: &String = key;
                        Ok((Value::String(key.as_bytes()), value_at(value, depth + 1)?))
                    };
                    Value::Map(pairs.iter().map(pair).collect::<Result<_, NotJson>>()?)
                }
            }
        }
    })
}

fn number(number: &Number) -> Result<Value<'static>, NotJson> {
    if let Some(whole) = number.as_i64() {
        return Ok(Value::Int64(whole));
    }
    if let Some(large) = number.as_u64() {
        return Err(NotJson::Large(large));
    }
    Ok(number.as_f64().map_or(Value::Null, Value::Float64))
}

/// A value of a program as JSON: bytes in base64, keys of maps as text, numbers as they are.
pub(crate) fn of_value(value: &Value<'_>) -> Json {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match value {
        Value::Null => Json::Null,
        Value::String(bytes) => Json::String(text(bytes)),
        Value::Bytes(bytes) => Json::String(BASE64_STANDARD.encode(bytes)),
        Value::Bool(value) => Json::Bool(*value),
        Value::Byte(value) => (*value).into(),
        Value::Int16(value) => (*value).into(),
        Value::Int32(value) => (*value).into(),
        Value::Int64(value) => (*value).into(),
        Value::Float32(value) => single(*value),
        Value::Float64(value) => double(*value),
        Value::StringArray(items) => items.iter().map(|item| text(item)).collect(),
        Value::Array(items) => items.iter().map(of_value).collect(),
        Value::StringMap(pairs) => {
            let pairs = pairs
                .iter()
                .map(|(key, value)| (text(key), Json::String(text(value))));
            Json::Object(pairs.collect())
        }
        Value::Map(pairs) => {
            let pairs = pairs
                .iter()
                .map(|(name, value)| (key(of_value(name)), of_value(value)));
            Json::Object(pairs.collect())
        }
    }
}

/// The same for Hessian 2: objects by the names of their fields, dates in milliseconds since 1970.
pub(crate) fn of_hessian(value: &hessian::Value<'_>) -> Json {
    match value {
        hessian::Value::Null => Json::Null,
        hessian::Value::Bool(value) => Json::Bool(*value),
        hessian::Value::Int(value) => (*value).into(),
        hessian::Value::Long(value) | hessian::Value::Date(value) => (*value).into(),
        hessian::Value::Double(value) => double(*value),
        hessian::Value::String(text) => Json::String(text.clone().into_owned()),
        hessian::Value::Bytes(bytes) => Json::String(BASE64_STANDARD.encode(bytes)),
        hessian::Value::List(items) => items.iter().map(of_hessian).collect(),
        hessian::Value::Map(pairs) => {
            let pairs = pairs
                .iter()
                .map(|(name, value)| (key(of_hessian(name)), of_hessian(value)));
            Json::Object(pairs.collect())
        }
        hessian::Value::Object(class, values) => {
            let fields = class.fields.iter().cloned();
            Json::Object(fields.zip(values.iter().map(of_hessian)).collect())
        }
    }
}

fn key(json: Json) -> String {
    match json {
        Json::String(text) => text,
        other => other.to_string(),
    }
}

/// JSON has no word for what is not a number; these are those of protobuf.
fn double(value: f64) -> Json {
    match Number::from_f64(value) {
        Some(number) => Json::Number(number),
        None if value.is_nan() => "NaN".into(),
        None if value > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

/// The shortest digits that are this number of single precision, not those of the double that it would be.
fn single(value: f32) -> Json {
    match value.to_string().parse() {
        Ok(shortest) if value.is_finite() => double(shortest),
        _ => double(f64::from(value)),
    }
}

#[cfg(test)]
mod tests;
