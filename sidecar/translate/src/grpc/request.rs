//! From a request to the message of a method: its parts are put into one JSON object, which is read as the message.

use form_urlencoded::parse as parse_query;
use plan::scalar::base64;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value as Json};

use super::binding::{Binding, Body, is_text, resolve};
use crate::Asked;
use crate::answer::{self, Answer};
use crate::arguments::{MAX_QUERY, check_json};
use crate::json;

pub(super) fn message(
    binding: &Binding,
    captures: &[String],
    asked: Asked<'_>,
) -> Result<DynamicMessage, Answer> {
    let input = binding.method.input();
    let refuse =
        |argument: &str, why: &str| answer::bad_argument(argument, &format!("{argument}: {why}"), asked.path);
    let mut tree = body(binding, asked)?;
    for (fields, text) in binding.variables.iter().zip(captures) {
        let argument = || format!("path {}", dotted(fields));
        let value = leaf(fields, text).map_err(|why| refuse(&argument(), &why))?;
        put(&mut tree, fields, value, false).map_err(|why| refuse(&argument(), &why))?;
    }
    let query = asked.query.unwrap_or_default().as_bytes();
    for (name, text) in parse_query(query).take(MAX_QUERY) {
        let argument = format!("query {name}");
        let fields = query_field(binding, &input, &name).map_err(|why| refuse(&argument, &why))?;
        let value = leaf(&fields, &text).map_err(|why| refuse(&argument, &why))?;
        let is_list = fields.last().is_some_and(FieldDescriptor::is_list);
        put(&mut tree, &fields, value, is_list).map_err(|why| refuse(&argument, &why))?;
    }
    let tree = Json::Object(tree);
    DynamicMessage::deserialize(input, tree).map_err(|error| refuse("body", &error.to_string()))
}

/// The object that the body begins.
fn body(binding: &Binding, asked: Asked<'_>) -> Result<Map<String, Json>, Answer> {
    if binding.body == Body::None {
        return Ok(Map::new());
    }
    check_json(asked.headers, asked.path)?;
    let refuse = |why: &str| answer::bad_argument("body", &format!("body: {why}"), asked.path);
    let json = json::parse(asked.body).map_err(|error| refuse(&error.to_string()))?;
    match (&binding.body, json) {
        (Body::Field(field), json) => Ok(Map::from_iter([(field.json_name().to_owned(), json)])),
        (_, Json::Object(fields)) => Ok(fields),
        _ => Err(refuse(
            "it must be a JSON object: the fields of the message by their names",
        )),
    }
}

/// The field that a parameter of the query is.
fn query_field(
    binding: &Binding,
    input: &MessageDescriptor,
    name: &str,
) -> Result<Vec<FieldDescriptor>, String> {
    if binding.body == Body::All {
        return Err("all fields are in the body: send it there".to_owned());
    }
    let fields = resolve(input, name)?;
    if matches!((&binding.body, fields.first()), (Body::Field(body), Some(first)) if body == first) {
        return Err("it is in the body: send it there".to_owned());
    }
    if binding.variables.contains(&fields) {
        return Err("it is in the path: remove it here".to_owned());
    }
    Ok(fields)
}

fn dotted(fields: &[FieldDescriptor]) -> String {
    fields
        .iter()
        .map(FieldDescriptor::name)
        .collect::<Vec<_>>()
        .join(".")
}

/// Puts a value into the object, through the messages that hold it.
fn put(
    tree: &mut Map<String, Json>,
    fields: &[FieldDescriptor],
    value: Json,
    is_list: bool,
) -> Result<(), String> {
    let Some((first, rest)) = fields.split_first() else {
        return Ok(());
    };
    // A body may use either name; both at once would be one field twice.
    let key = match tree.contains_key(first.name()) {
        true => first.name(),
        false => first.json_name(),
    };
    if rest.is_empty() {
        let slot = tree.entry(key).or_insert_with(|| Json::Array(Vec::new()));
        match slot {
            Json::Array(items) if is_list => items.push(value),
            _ => *slot = value,
        }
        return Ok(());
    }
    match tree.entry(key).or_insert_with(|| Json::Object(Map::new())) {
        Json::Object(inner) => put(inner, rest, value, is_list),
        _ => Err(format!("field {} is no object in the body", first.name())),
    }
}

/// A text as the JSON value of its field.
fn leaf(fields: &[FieldDescriptor], text: &str) -> Result<Json, String> {
    let Some(field) = fields.last().filter(|field| !field.is_map()) else {
        return Err("a map can't be sent here: send it in a body".to_owned());
    };
    let kind = match field.kind() {
        // What wraps one value is written as that value.
        Kind::Message(message) if message.full_name().ends_with("Value") && is_text(&message) => message
            .get_field_by_name("value")
            .map_or(Kind::String, |field| field.kind()),
        Kind::Message(message) if is_text(&message) => Kind::String,
        Kind::Message(_) => return Err("it is a message: name one of its fields".to_owned()),
        other => other,
    };
    let read = match &kind {
        Kind::String => Some(text.into()),
        Kind::Bool => text.parse().ok().map(Json::Bool),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => text.parse::<i32>().ok().map(Json::from),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => text.parse::<i64>().ok().map(Json::from),
        Kind::Uint32 | Kind::Fixed32 => text.parse::<u32>().ok().map(Json::from),
        Kind::Uint64 | Kind::Fixed64 => text.parse::<u64>().ok().map(Json::from),
        Kind::Float | Kind::Double => match text {
            "NaN" | "Infinity" | "-Infinity" => Some(text.into()),
            text => text
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite())
                .map(Json::from),
        },
        Kind::Bytes => base64(text).map(|_| text.into()),
        Kind::Enum(names) => match text.parse::<i32>() {
            Ok(number) => Some(number.into()),
            Err(_) => names.get_value_by_name(text).map(|_| text.into()),
        },
        Kind::Message(_) => None,
    };
    read.ok_or_else(|| {
        let shown: String = text.chars().take(64).collect();
        format!("{shown:?} is not {}", expected(&kind))
    })
}

fn expected(kind: &Kind) -> String {
    match kind {
        Kind::Bool => "true or false".to_owned(),
        Kind::Float | Kind::Double => "a number".to_owned(),
        Kind::Bytes => "base64".to_owned(),
        Kind::Enum(names) => {
            let names: Vec<String> = names
                .values()
                .take(16)
                .map(|value| value.name().to_owned())
                .collect();
            format!("one of {}", names.join(", "))
        }
        other => format!("a whole number ({other:?})"),
    }
}
