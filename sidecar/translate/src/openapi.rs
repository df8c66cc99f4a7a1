//! What a service offers, as OpenAPI 3.1.

use plan::rest::{Absent, Argument, BodyForm, Place, Route, Routes};
use plan::scalar::{Scalar, ScalarKind};
use plan::template::{Segment, Template};
use serde_json::{Map, Value, json};

use crate::About;
use crate::answer::{JSON, PROBLEM};
use crate::rest::texts;

/// The document of a service in front of which these routes are.
pub(crate) fn of_routes(routes: &Routes, about: About<'_>) -> Vec<u8> {
    let operations = routes.as_slice().iter().map(|route| {
        let method = route.matching.method.as_str().to_ascii_lowercase();
        (path_of(&route.matching.path), method, operation(route))
    });
    document(about, operations, Map::new())
}

/// The document of these operations.
pub(crate) fn document(
    about: About<'_>,
    operations: impl Iterator<Item = (String, String, Value)>,
    mut schemas: Map<String, Value>,
) -> Vec<u8> {
    let mut paths = Map::new();
    for (path, method, operation) in operations {
        let item = paths.entry(path).or_insert_with(|| json!({}));
        if let Value::Object(item) = item {
            item.insert(method, operation);
        }
    }
    schemas.insert("Problem".to_owned(), problem());
    let document = json!({
        "openapi": "3.1.0",
        "info": {"title": about.name, "version": about.version.unwrap_or("0")},
        "paths": paths,
        "components": {"schemas": schemas},
    });
    serde_json::to_vec_pretty(&document).unwrap_or_default() // a tree of JSON values has no way to fail
}

/// A template in the syntax of OpenAPI, which has names only. What has none gets one by its place.
pub(crate) fn path_of(template: &Template) -> String {
    let mut path = String::new();
    let mut at = 0;
    while at < template.segments().len() {
        let variable = template
            .variables()
            .iter()
            .find(|variable| variable.from == at && variable.to > at);
        let (text, next) = match (variable, &template.segments()[at]) {
            (Some(variable), _) => (format!("{{{}}}", variable.name), variable.to),
            (None, Segment::Literal(text)) => (text.to_string(), at + 1),
            (None, Segment::One | Segment::Rest) => (format!("{{segment{at}}}"), at + 1),
        };
        path.push('/');
        path.push_str(&text);
        at = next;
    }
    if path.is_empty() {
        path.push('/');
    }
    if let Some(verb) = template.verb() {
        path.push(':');
        path.push_str(verb);
    }
    path
}

/// Parameters for the segments of a template that have no name.
pub(crate) fn unnamed(template: &Template) -> Vec<Value> {
    let is_covered = |at: usize| {
        template
            .variables()
            .iter()
            .any(|variable| (variable.from..variable.to).contains(&at))
    };
    let segments = template.segments().iter().enumerate();
    let unnamed =
        segments.filter(|(at, segment)| !matches!(segment, Segment::Literal(_)) && !is_covered(*at));
    unnamed
        .map(|(at, _)| {
            json!({"name": format!("segment{at}"), "in": "path", "required": true, "schema": {"type": "string"}})
        })
        .collect()
}

fn operation(route: &Route) -> Value {
    let mut parameters: Vec<Value> = texts(route)
        .map(|(place, argument)| parameter(place, argument))
        .collect();
    parameters.extend(unnamed(&route.matching.path));
    let mut operation = json!({
        "operationId": operation_id(route),
        "summary": format!("Calls {}", route.call),
        "responses": responses(route),
    });
    if let Value::Object(operation) = &mut operation {
        if !parameters.is_empty() {
            operation.insert("parameters".to_owned(), parameters.into());
        }
        if let Some(body) = body(route) {
            operation.insert("requestBody".to_owned(), body);
        }
    }
    operation
}

/// Method and path make it one of its kind: one method of the program may have several routes.
fn operation_id(route: &Route) -> String {
    let path = path_of(&route.matching.path);
    let words = path
        .split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    let mut id = format!(
        "{}_{}",
        route.call,
        route.matching.method.as_str().to_ascii_lowercase()
    );
    for word in words {
        id.push('_');
        id.push_str(word);
    }
    id
}

fn parameter(place: &Place, argument: &Argument) -> Value {
    let Argument::Text { kind, absent, .. } = argument else {
        return json!({});
    };
    let mut schema = schema(*kind);
    if let (Value::Object(schema), Some(fallback)) = (&mut schema, absent.value(*kind)) {
        schema.insert("default".to_owned(), literal(&fallback));
    }
    json!({
        "name": place.name(),
        "in": place.word(),
        "required": *absent == Absent::Refuse,
        "schema": schema,
    })
}

fn schema(kind: ScalarKind) -> Value {
    match kind {
        ScalarKind::String => json!({"type": "string"}),
        ScalarKind::Int64 => json!({"type": "integer", "format": "int64"}),
        ScalarKind::Int32 => json!({"type": "integer", "format": "int32"}),
        ScalarKind::Bool => json!({"type": "boolean"}),
        ScalarKind::Float64 => json!({"type": "number", "format": "double"}),
        ScalarKind::Float32 => json!({"type": "number", "format": "float"}),
        ScalarKind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
    }
}

fn literal(scalar: &Scalar) -> Value {
    match scalar {
        Scalar::String(text) => json!(text),
        Scalar::Int64(value) => json!(value),
        Scalar::Int32(value) => json!(value),
        Scalar::Bool(value) => json!(value),
        Scalar::Float64(value) => json!(value),
        Scalar::Float32(value) => json!(value),
        Scalar::Bytes(_) => Value::Null,
    }
}

fn body(route: &Route) -> Option<Value> {
    let form = route.arguments.iter().find_map(|argument| match argument {
        Argument::Body(form) => Some(form),
        Argument::Text { .. } => None,
    })?;
    let (media, schema) = match form {
        BodyForm::Json => (JSON, json!({})),
        BodyForm::Text => ("text/plain", json!({"type": "string"})),
        BodyForm::Bytes => ("application/octet-stream", json!({})),
    };
    Some(json!({"required": true, "content": {media: {"schema": schema}}}))
}

fn responses(route: &Route) -> Value {
    let mut responses = Map::new();
    responses.insert(
        "200".to_owned(),
        json!({"description": "The result", "content": {JSON: {"schema": {}}}}),
    );
    for error in &route.errors {
        let (status, more) = (
            error.status.to_string(),
            format!("Exception {} of the program", error.code),
        );
        match responses
            .get_mut(&status)
            .and_then(|response| response.get_mut("description"))
        {
            Some(Value::String(description)) => *description = format!("{description}; {more}"),
            _ => drop(responses.insert(status, failure(&more))),
        }
    }
    responses.insert("default".to_owned(), failure("It could not be done"));
    Value::Object(responses)
}

/// A response that is a problem.
pub(crate) fn failure(description: &str) -> Value {
    json!({
        "description": description,
        "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    })
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "RFC 9457",
        "required": ["type", "title", "status"],
        "properties": {
            "type": {"type": "string", "format": "uri"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "instance": {"type": "string"},
        },
    })
}
