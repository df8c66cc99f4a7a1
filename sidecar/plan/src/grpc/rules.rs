//! Whether the `google.api.http` annotations of a descriptor set can be followed. Sidecars read them again, by reflection,
//! when they translate; here whoever declares them is told before.

use std::collections::HashMap;

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};

use super::DescriptorSet;
use crate::template::Template;

/// What is read of a descriptor set beside what `prost_types` knows: the annotation is an extension.
#[derive(Clone, PartialEq, Message)]
struct Set {
    #[prost(message, repeated, tag = "1")]
    file: Vec<File>,
}

#[derive(Clone, PartialEq, Message)]
struct File {
    #[prost(string, tag = "2")]
    package: String,
    #[prost(message, repeated, tag = "6")]
    service: Vec<Service>,
}

#[derive(Clone, PartialEq, Message)]
struct Service {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    method: Vec<Method>,
}

#[derive(Clone, PartialEq, Message)]
struct Method {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    input: String,
    #[prost(string, tag = "3")]
    output: String,
    #[prost(message, optional, tag = "4")]
    options: Option<Options>,
}

#[derive(Clone, PartialEq, Message)]
struct Options {
    #[prost(message, optional, tag = "72295728")] // google/api/annotations.proto
    http: Option<Rule>,
}

/// `google.api.HttpRule`.
#[derive(Clone, PartialEq, Message)]
struct Rule {
    #[prost(string, tag = "2")]
    get: String,
    #[prost(string, tag = "3")]
    put: String,
    #[prost(string, tag = "4")]
    post: String,
    #[prost(string, tag = "5")]
    delete: String,
    #[prost(string, tag = "6")]
    patch: String,
    #[prost(string, tag = "7")]
    body: String,
    #[prost(message, optional, tag = "8")]
    custom: Option<Custom>,
    #[prost(message, repeated, tag = "11")]
    additional_bindings: Vec<Rule>,
    #[prost(string, tag = "12")]
    response_body: String,
}

#[derive(Clone, PartialEq, Message)]
struct Custom {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "2")]
    path: String,
}

/// Messages by their full names.
type Messages<'a> = HashMap<String, &'a DescriptorProto>;

/// A method that requests lead to: its name, the HTTP method, the path.
type Bound = (String, String, Template);

/// Checks every rule, and that no two are for the same requests.
pub(super) fn check(set: &DescriptorSet) -> Result<(), String> {
    let read = |_| "it is no FileDescriptorSet".to_owned();
    let known = FileDescriptorSet::decode(set.as_bytes()).map_err(read)?;
    let Set { file } = Set::decode(set.as_bytes()).map_err(read)?;
    let follows = known.file.iter().any(defines_annotation);
    let messages = messages(&known);
    let mut bound = Vec::new();
    for File { package, service } in &file {
        for Service { name, method } in service {
            let service = qualified(package, name);
            for method in method {
                let full = format!("{service}.{}", method.name);
                let rule = method.options.as_ref().and_then(|options| options.http.as_ref());
                let checked = match rule.filter(|_| follows) {
                    Some(rule) => of_rule(method, rule, &full, &messages, &mut bound),
                    None => of_path(&service, method, &full, &mut bound),
                };
                checked.map_err(|why| format!("method {full}: google.api.http: {why}"))?;
            }
        }
    }
    conflict(&bound)
}

fn defines_annotation(file: &FileDescriptorProto) -> bool {
    file.package() == "google.api" && file.extension.iter().any(|extension| extension.name() == "http")
}

fn of_path(service: &str, method: &Method, full: &str, bound: &mut Vec<Bound>) -> Result<(), String> {
    let path = format!("/{service}/{}", method.name);
    let template = Template::new(path).map_err(|error| error.to_string())?;
    bound.push((full.to_owned(), "POST".to_owned(), template));
    Ok(())
}

fn of_rule(
    method: &Method,
    rule: &Rule,
    full: &str,
    messages: &Messages<'_>,
    bound: &mut Vec<Bound>,
) -> Result<(), String> {
    for rule in std::iter::once(rule).chain(&rule.additional_bindings) {
        let (http, path) = pattern(rule)?;
        let template = Template::new(path).map_err(|error| error.to_string())?;
        for variable in template.variables() {
            single(messages, &method.input, &variable.name)?;
        }
        if !matches!(rule.body.as_str(), "" | "*") {
            field(messages, &method.input, &rule.body).map_err(|why| format!("body: {why}"))?;
        }
        if !rule.response_body.is_empty() {
            field(messages, &method.output, &rule.response_body)
                .map_err(|why| format!("response_body: {why}"))?;
        }
        bound.push((full.to_owned(), http, template));
    }
    Ok(())
}

/// HTTP method and path.
fn pattern(rule: &Rule) -> Result<(String, String), String> {
    let fixed = [
        ("GET", &rule.get),
        ("PUT", &rule.put),
        ("POST", &rule.post),
        ("DELETE", &rule.delete),
        ("PATCH", &rule.patch),
    ];
    if let Some((method, path)) = fixed.into_iter().find(|(_, path)| !path.is_empty()) {
        return Ok((method.to_owned(), path.clone()));
    }
    let Some(Custom { kind, path }) = &rule.custom else {
        return Err("it has no path: write get, put, post, delete, patch or custom".to_owned());
    };
    if kind.is_empty() || !kind.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(format!("custom.kind {kind:?}: write an HTTP method in capitals"));
    }
    Ok((kind.clone(), path.clone()))
}

/// A variable of a path is one text or number, perhaps in a message in the request.
fn single(messages: &Messages<'_>, input: &str, name: &str) -> Result<(), String> {
    let mut message = input.to_owned();
    let mut parts = name.split('.').peekable();
    while let Some(part) = parts.next() {
        let field = field(messages, &message, part)?;
        let is_message = field.r#type() == Type::Message || field.r#type() == Type::Group;
        let is_list = field.label() == Label::Repeated;
        if parts.peek().is_some() {
            if !is_message || is_list {
                return Err(format!("field {part} of {} holds no fields", bare(&message)));
            }
            message = field.type_name().to_owned();
        } else if is_list || is_message && !is_text(bare(field.type_name())) {
            return Err(format!(
                "variable {name}: a path holds texts and numbers, no lists and messages"
            ));
        }
    }
    Ok(())
}

/// A field by its name in the .proto file, or in JSON.
fn field<'a>(messages: &Messages<'a>, message: &str, name: &str) -> Result<&'a FieldDescriptorProto, String> {
    let message = bare(message);
    let found = messages
        .get(message)
        .ok_or_else(|| format!("message {message} is not there"))?;
    let mut fields = found.field.iter();
    let field = fields.find(|field| field.name() == name || field.json_name() == name);
    field.ok_or_else(|| format!("message {message} has no field {name}"))
}

/// Whether JSON writes such a message as a text or a number.
fn is_text(name: &str) -> bool {
    name.strip_prefix("google.protobuf.").is_some_and(|name| {
        matches!(name, "Timestamp" | "Duration" | "FieldMask")
            || name.ends_with("Value") && name != "Value" && name != "ListValue"
    })
}

fn conflict(bound: &[Bound]) -> Result<(), String> {
    let mut taken = HashMap::new();
    for (method, http, template) in bound {
        if let Some((first, path)) = taken.insert((http, template.shape()), (method, template)) {
            return Err(format!(
                "google.api.http: {http} {} and {http} {} are for the same requests: change {first} or {method}",
                path.as_str(),
                template.as_str()
            ));
        }
    }
    Ok(())
}

fn messages(set: &FileDescriptorSet) -> Messages<'_> {
    let mut found = HashMap::new();
    for file in &set.file {
        for message in &file.message_type {
            add(file.package(), message, &mut found);
        }
    }
    found
}

/// A set is sound: this ends where the compiler's limit of depth does.
fn add<'a>(within: &str, message: &'a DescriptorProto, found: &mut Messages<'a>) {
    let name = qualified(within, message.name());
    for inner in &message.nested_type {
        add(&name, inner, found);
    }
    found.insert(name, message);
}

fn qualified(within: &str, name: &str) -> String {
    if within.is_empty() {
        name.to_owned()
    } else {
        format!("{within}.{name}")
    }
}

fn bare(name: &str) -> &str {
    name.strip_prefix('.').unwrap_or(name)
}
