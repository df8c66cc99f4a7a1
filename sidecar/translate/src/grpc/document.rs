//! What a gRPC program offers in JSON, as OpenAPI 3.1.

use std::collections::BTreeMap;

use plan::template::Template;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::binding::{Binding, Body, is_text};
use crate::About;
use crate::answer::JSON;
use crate::openapi::{self, failure, path_of, unnamed};
use crate::paths::Table;

/// The document of these bindings.
pub(super) fn of(table: &Table<Binding>, about: About<'_>) -> Vec<u8> {
    let mut schemas = Schemas::default();
    let mut operations = Vec::new();
    for (http, path, binding) in table.iter() {
        let operation = operation(http, path, binding, &mut schemas);
        operations.push((path_of(path), http.to_ascii_lowercase(), operation));
    }
    let schemas = schemas
        .done
        .into_iter()
        .map(|(name, schema)| (name, schema.unwrap_or_default()));
    openapi::document(about, operations.into_iter(), schemas.collect())
}

fn operation(http: &str, path: &Template, binding: &Binding, schemas: &mut Schemas) -> Value {
    let Binding {
        method,
        body,
        variables,
        shown,
    } = binding;
    let mut parameters = unnamed(path);
    for (variable, fields) in path.variables().iter().zip(variables) {
        let schema = fields
            .last()
            .map_or_else(|| json!({}), |field| schemas.of_one(field));
        parameters.push(json!({"name": &*variable.name, "in": "path", "required": true, "schema": schema}));
    }
    if *body != Body::All {
        for field in method.input().fields() {
            let is_elsewhere = matches!(body, Body::Field(taken) if *taken == field)
                || variables.iter().any(|fields| fields.first() == Some(&field));
            let is_plain =
                !field.is_map() && !matches!(field.kind(), Kind::Message(message) if !is_text(&message));
            if !is_elsewhere && is_plain {
                let schema = schemas.of(&field);
                parameters.push(json!({"name": field.json_name(), "in": "query", "schema": schema}));
            }
        }
    }
    let result = match shown {
        Some(field) => schemas.of(field),
        None => schemas.message(&method.output()),
    };
    let media = if method.is_server_streaming() {
        super::LINES
    } else {
        JSON
    };
    let words = path_of(path).replace(|character: char| !character.is_ascii_alphanumeric(), "_");
    let mut operation = json!({
        "operationId": format!("{}_{}{words}", method.full_name().replace('.', "_"), http.to_ascii_lowercase()),
        "summary": format!("Calls {}", method.full_name()),
        "responses": {
            "200": {"description": "The result", "content": {media: {"schema": result}}},
            "default": failure("It could not be done"),
        },
    });
    let content = match body {
        Body::None => None,
        Body::All => Some(schemas.message(&method.input())),
        Body::Field(field) => Some(schemas.of(field)),
    };
    if let Value::Object(operation) = &mut operation {
        if !parameters.is_empty() {
            operation.insert("parameters".to_owned(), parameters.into());
        }
        if let Some(schema) = content {
            let body = json!({"required": true, "content": {JSON: {"schema": schema}}});
            operation.insert("requestBody".to_owned(), body);
        }
    }
    operation
}

/// The schemas of messages, by their full names; none while one is being made.
#[derive(Default)]
struct Schemas {
    done: BTreeMap<String, Option<Value>>,
}

impl Schemas {
    /// A field, with what it is a list or map of.
    fn of(&mut self, field: &FieldDescriptor) -> Value {
        if field.is_map() {
            let value = match field.kind() {
                Kind::Message(entry) => entry.get_field_by_name("value"),
                _ => None,
            };
            let value = value.map_or_else(|| json!({}), |value| self.of_one(&value));
            return json!({"type": "object", "additionalProperties": value});
        }
        let one = self.of_one(field);
        if field.is_list() {
            return json!({"type": "array", "items": one});
        }
        one
    }

    fn of_one(&mut self, field: &FieldDescriptor) -> Value {
        match field.kind() {
            Kind::Double => json!({"type": "number", "format": "double"}),
            Kind::Float => json!({"type": "number", "format": "float"}),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({"type": "integer", "format": "int32"}),
            Kind::Uint32 | Kind::Fixed32 => json!({"type": "integer", "format": "uint32"}),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => json!({"type": "string", "format": "int64"}),
            Kind::Uint64 | Kind::Fixed64 => json!({"type": "string", "format": "uint64"}),
            Kind::Bool => json!({"type": "boolean"}),
            Kind::String => json!({"type": "string"}),
            Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
            Kind::Enum(names) => {
                let names: Vec<String> = names.values().map(|value| value.name().to_owned()).collect();
                json!({"type": "string", "enum": names})
            }
            Kind::Message(message) => self.message(&message),
        }
    }

    /// A reference to a message; those of google.protobuf are written as what they mean.
    fn message(&mut self, message: &MessageDescriptor) -> Value {
        let name = message.full_name();
        match name.strip_prefix("google.protobuf.") {
            Some("Empty" | "Struct") => return json!({"type": "object"}),
            Some("Timestamp") => return json!({"type": "string", "format": "date-time"}),
            Some("Value" | "ListValue" | "Any") => return json!({}),
            Some(_) if is_text(message) => return json!({"type": ["string", "number", "boolean", "null"]}),
            _ => {}
        }
        if !self.done.contains_key(name) {
            self.done.insert(name.to_owned(), None);
            let mut properties = Map::new();
            for field in message.fields() {
                properties.insert(field.json_name().to_owned(), self.of(&field));
            }
            let schema = json!({"type": "object", "properties": properties});
            self.done.insert(name.to_owned(), Some(schema));
        }
        json!({"$ref": format!("#/components/schemas/{name}")})
    }
}
