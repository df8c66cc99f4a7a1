//! Whether a descriptor set is sound. Compilers make only such; those who read it rely on it.

use std::collections::HashSet;

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    ServiceDescriptorProto,
};

/// How deep messages may be declared in messages.
const MAX_DEPTH: usize = 16;

pub(super) fn set(bytes: &[u8]) -> Result<(), String> {
    let set = FileDescriptorSet::decode(bytes)
        .map_err(|error| format!("it is no FileDescriptorSet (protoc --descriptor_set_out): {error}"))?;
    let mut names = HashSet::new();
    for file in &set.file {
        if file.name().is_empty() || !names.insert(file.name()) {
            return Err(format!("file {:?} has no name, or is there twice", file.name()));
        }
    }
    for file in &set.file {
        let import = file
            .dependency
            .iter()
            .find(|import| !names.contains(import.as_str()));
        if let Some(import) = import {
            return Err(format!(
                "{}: {import} is missing: write it with protoc --include_imports",
                file.name()
            ));
        }
        self::file(file).map_err(|why| format!("{}: {why}", file.name()))?;
    }
    if set.file.iter().all(|file| file.service.is_empty()) {
        return Err("it has no service: name the .proto file that has one".to_owned());
    }
    Ok(())
}

fn file(file: &FileDescriptorProto) -> Result<(), String> {
    match file.syntax() {
        "" | "proto2" | "proto3" => {}
        other => return Err(format!("syntax {other:?} is not read: write it in proto3")),
    }
    if !file.package().is_empty() && !file.package().split('.').all(is_identifier) {
        return Err(format!("package {:?} is no name", file.package()));
    }
    let imports = file.dependency.len();
    let is_import = |index: &i32| usize::try_from(*index).is_ok_and(|index| index < imports);
    if !file
        .public_dependency
        .iter()
        .chain(&file.weak_dependency)
        .all(is_import)
    {
        return Err("it names imports that it has not".to_owned());
    }
    file.message_type
        .iter()
        .try_for_each(|message| self::message(message, 0))?;
    file.enum_type.iter().try_for_each(enumeration)?;
    file.extension
        .iter()
        .try_for_each(|extension| field(extension, 0))?;
    file.service.iter().try_for_each(service)
}

fn message(message: &DescriptorProto, depth: usize) -> Result<(), String> {
    let name = identifier("message", message.name())?;
    if depth > MAX_DEPTH {
        return Err(format!(
            "message {name} is declared over {MAX_DEPTH} messages deep"
        ));
    }
    let inside = |why: String| format!("message {name}: {why}");
    for one in &message.oneof_decl {
        identifier("oneof", one.name()).map_err(inside)?;
    }
    let oneofs = message.oneof_decl.len();
    message
        .field
        .iter()
        .try_for_each(|one| field(one, oneofs))
        .map_err(inside)?;
    message
        .extension
        .iter()
        .try_for_each(|one| field(one, 0))
        .map_err(inside)?;
    message
        .enum_type
        .iter()
        .try_for_each(enumeration)
        .map_err(inside)?;
    message
        .nested_type
        .iter()
        .try_for_each(|one| self::message(one, depth + 1))
        .map_err(inside)
}

fn field(field: &FieldDescriptorProto, oneofs: usize) -> Result<(), String> {
    let name = identifier("field", field.name())?;
    if !field.type_name().is_empty() && !is_type(field.type_name()) {
        return Err(format!("field {name}: {:?} is no type", field.type_name()));
    }
    let is_known = field.r#type.is_none_or(|kind| Type::try_from(kind).is_ok())
        && field.label.is_none_or(|label| Label::try_from(label).is_ok());
    if !is_known || (field.r#type.is_none() && field.type_name().is_empty()) {
        return Err(format!("field {name} has no type that is known"));
    }
    let in_oneof = |index: i32| usize::try_from(index).is_ok_and(|index| index < oneofs);
    if !field.oneof_index.is_none_or(in_oneof) {
        return Err(format!("field {name} is in a oneof that is not there"));
    }
    Ok(())
}

fn enumeration(enumeration: &EnumDescriptorProto) -> Result<(), String> {
    let name = identifier("enum", enumeration.name())?;
    if enumeration.value.is_empty() {
        return Err(format!("enum {name} has no value"));
    }
    enumeration
        .value
        .iter()
        .try_for_each(|value| identifier("enum value", value.name()).map(drop))
}

fn service(service: &ServiceDescriptorProto) -> Result<(), String> {
    let name = identifier("service", service.name())?;
    for method in &service.method {
        identifier("method", method.name())?;
        if !is_type(method.input_type()) || !is_type(method.output_type()) {
            return Err(format!("method {name}.{} has no input or output", method.name()));
        }
    }
    Ok(())
}

fn identifier<'n>(what: &str, name: &'n str) -> Result<&'n str, String> {
    if is_identifier(name) {
        Ok(name)
    } else {
        Err(format!("{what} {name:?} is no name"))
    }
}

fn is_type(name: &str) -> bool {
    name.strip_prefix('.')
        .unwrap_or(name)
        .split('.')
        .all(is_identifier)
}

fn is_identifier(name: &str) -> bool {
    !name.is_empty()
        && !name.as_bytes()[0].is_ascii_digit()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
