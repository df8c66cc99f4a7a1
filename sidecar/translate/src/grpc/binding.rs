//! Which requests are which method: the rules of `google.api.http`, or the path that gRPC itself has.

use plan::template::Template;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, Value,
};

use super::InvalidDescriptors;

const ANNOTATION: &str = "google.api.http";

/// How a request becomes the message of a method.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) method: MethodDescriptor,
    pub(super) body: Body,
    /// The field that each variable of the path is, through the messages that hold it.
    pub(super) variables: Vec<Vec<FieldDescriptor>>,
    /// The field of the answer that is shown instead of all.
    pub(super) shown: Option<FieldDescriptor>,
}

/// What the body of a request is.
#[derive(Debug, PartialEq)]
pub(super) enum Body {
    /// Nothing: what the path does not have is in the query.
    None,
    /// The message.
    All,
    /// This field of it.
    Field(FieldDescriptor),
}

type Bound = (String, Template, Binding);

/// The bindings of all methods.
pub(super) fn all(pool: &DescriptorPool) -> Result<Vec<Bound>, InvalidDescriptors> {
    let annotation = pool.get_extension_by_name(ANNOTATION);
    let mut bound = Vec::new();
    for method in pool
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
    {
        let options = method.options();
        let rule = annotation
            .as_ref()
            .filter(|annotation| options.has_extension(annotation));
        let rule = rule.map(|annotation| options.get_extension(annotation));
        let result = match rule.as_deref().and_then(Value::as_message) {
            Some(rule) => of_rule(&method, rule, &mut bound),
            None => of_path(&method, &mut bound),
        };
        result.map_err(|why| InvalidDescriptors::Rule {
            method: method.full_name().to_owned(),
            why,
        })?;
    }
    Ok(bound)
}

fn of_path(method: &MethodDescriptor, bound: &mut Vec<Bound>) -> Result<(), String> {
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let template = Template::new(path).map_err(|error| error.to_string())?;
    let binding = Binding {
        method: method.clone(),
        body: Body::All,
        variables: Vec::new(),
        shown: None,
    };
    bound.push(("POST".to_owned(), template, binding));
    Ok(())
}

fn of_rule(method: &MethodDescriptor, rule: &DynamicMessage, bound: &mut Vec<Bound>) -> Result<(), String> {
    bound.push(one(method, rule)?);
    let more = rule.get_field_by_name("additional_bindings");
    for rule in more.as_deref().and_then(Value::as_list).unwrap_or_default() {
        let rule = rule
            .as_message()
            .ok_or("additional_bindings holds something else than rules")?;
        bound.push(one(method, rule)?);
    }
    Ok(())
}

fn one(method: &MethodDescriptor, rule: &DynamicMessage) -> Result<Bound, String> {
    let (http, path) = pattern(rule)?;
    let template = Template::new(path).map_err(|error| error.to_string())?;
    let input = method.input();
    let variables = template.variables().iter().map(|variable| {
        let fields = resolve(&input, &variable.name)?;
        match fields.last() {
            Some(last) if is_single(last) => Ok(fields),
            _ => Err(format!(
                "variable {}: a path holds texts and numbers, no lists and messages",
                variable.name
            )),
        }
    });
    let variables = variables.collect::<Result<_, String>>()?;
    let body = match text(rule, "body").as_str() {
        "" => Body::None,
        "*" => Body::All,
        name => Body::Field(field(&input, name).map_err(|error| format!("body: {error}"))?),
    };
    let shown = match text(rule, "response_body").as_str() {
        "" => None,
        name => Some(field(&method.output(), name).map_err(|error| format!("response_body: {error}"))?),
    };
    let binding = Binding {
        method: method.clone(),
        body,
        variables,
        shown,
    };
    Ok((http, template, binding))
}

/// HTTP method and path.
fn pattern(rule: &DynamicMessage) -> Result<(String, String), String> {
    for word in ["get", "put", "post", "delete", "patch"] {
        let path = text(rule, word);
        if !path.is_empty() {
            return Ok((word.to_ascii_uppercase(), path));
        }
    }
    let custom = rule.get_field_by_name("custom");
    let Some(custom) = custom
        .as_deref()
        .and_then(Value::as_message)
        .filter(|_| rule.has_field_by_name("custom"))
    else {
        return Err("it has no path: write get, put, post, delete, patch or custom".to_owned());
    };
    let kind = text(custom, "kind");
    if kind.is_empty() || !kind.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(format!("custom.kind {kind:?}: write an HTTP method in capitals"));
    }
    Ok((kind, text(custom, "path")))
}

fn text(message: &DynamicMessage, name: &str) -> String {
    let value = message.get_field_by_name(name);
    value
        .as_deref()
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// The fields that a dotted name leads through.
pub(super) fn resolve(message: &MessageDescriptor, name: &str) -> Result<Vec<FieldDescriptor>, String> {
    let mut message = message.clone();
    let mut fields = Vec::new();
    let mut parts = name.split('.').peekable();
    while let Some(part) = parts.next() {
        let field = field(&message, part)?;
        if parts.peek().is_some() {
            message = match field.kind() {
                Kind::Message(inner) if !field.is_list() && !field.is_map() => inner,
                _ => return Err(format!("field {part} of {} holds no fields", message.full_name())),
            };
        }
        fields.push(field);
    }
    Ok(fields)
}

/// A field by its name in the .proto file, or in JSON.
fn field(message: &MessageDescriptor, name: &str) -> Result<FieldDescriptor, String> {
    let field = message
        .get_field_by_name(name)
        .or_else(|| message.get_field_by_json_name(name));
    field.ok_or_else(|| format!("message {} has no field {name}", message.full_name()))
}

/// Whether a field is one text or number, or a message that JSON writes as one.
fn is_single(field: &FieldDescriptor) -> bool {
    let is_leaf = match field.kind() {
        Kind::Message(message) => is_text(&message),
        _ => true,
    };
    is_leaf && !field.is_list() && !field.is_map()
}

/// Whether JSON writes such a message as a text or a number.
pub(super) fn is_text(message: &MessageDescriptor) -> bool {
    let name = message.full_name();
    name.strip_prefix("google.protobuf.").is_some_and(|name| {
        matches!(name, "Timestamp" | "Duration" | "FieldMask")
            || name.ends_with("Value") && name != "Value" && name != "ListValue"
    })
}
