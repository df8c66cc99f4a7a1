//! JSON in front of a program that speaks gRPC: by the `google.api.http` annotations of its methods, and where a method
//! has none by `POST /<package.Service>/<Method>`. Messages follow the JSON mapping of protobuf.

mod binding;
mod document;
mod request;
mod status;

use http::{Method, StatusCode};
use plan::grpc::DescriptorSet;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, MethodDescriptor, SerializeOptions};
use serde_json::Value as Json;

use crate::answer::{self, Answer};
use crate::paths::{Conflict, Found, Table};
use crate::rest;
use crate::{About, Asked, DOCUMENT};
use binding::Binding;
pub use status::Status;

/// Bytes before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;
/// The media type of several JSON values, one a line.
const LINES: &str = "application/x-ndjson";

/// The methods of one program, ready to be asked.
#[derive(Debug)]
pub struct Transcoder {
    pool: DescriptorPool,
    table: Table<Binding>,
    document: Vec<u8>,
}

/// Why a descriptor set can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDescriptors {
    /// Types that are not there, or twice, or are not what they are used for.
    #[error("the descriptor set does not hold together: {0}")]
    Incoherent(String),
    /// A rule that can't be followed.
    #[error("method {method}: google.api.http: {why}")]
    Rule {
        /// The full name of the method.
        method: String,
        /// What is wrong, and the mend.
        why: String,
    },
    /// Two methods for the same requests.
    #[error("google.api.http: {0}")]
    Conflict(#[from] Conflict),
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Step {
    /// It is this call.
    Call(Call),
    /// It is answered without one.
    Answer(Answer),
}

/// A call of the program.
#[derive(Debug)]
pub struct Call {
    pool: DescriptorPool,
    method: MethodDescriptor,
    /// The field of the answer that is shown instead of all.
    shown: Option<FieldDescriptor>,
    instance: String,
    /// Its path: `/<package.Service>/<Method>`.
    pub path: String,
    /// Its body: one message with its prefix.
    pub body: Vec<u8>,
}

impl Transcoder {
    /// Reads descriptors.
    ///
    /// # Errors
    /// What does not hold together, or the first rule that can't be followed.
    pub fn new(descriptors: &DescriptorSet, about: About<'_>) -> Result<Self, InvalidDescriptors> {
        let pool = DescriptorPool::decode(descriptors.as_bytes())
            .map_err(|error| InvalidDescriptors::Incoherent(error.to_string()))?;
        let table = Table::new(binding::all(&pool)?)?;
        Ok(Self {
            document: document::of(&table, about),
            table,
            pool,
        })
    }

    /// What becomes of a request.
    #[must_use]
    pub fn ask(&self, asked: Asked<'_>) -> Step {
        match self.call(asked) {
            Ok(call) => Step::Call(call),
            Err(answer) => Step::Answer(answer),
        }
    }

    fn call(&self, asked: Asked<'_>) -> Result<Call, Answer> {
        let Asked { method, path, .. } = asked;
        if path == DOCUMENT {
            return Err(rest::document(&self.document, method));
        }
        let (binding, captures) = match self.table.find(method.as_str(), path) {
            Found::Route(binding, captures) => (binding, captures),
            Found::Other(allow) if method == Method::OPTIONS => return Err(answer::options(allow)),
            Found::Other(allow) => return Err(answer::wrong_method(method.as_str(), path, allow)),
            Found::Nothing => return Err(answer::no_route(path)),
        };
        let Binding { method, shown, .. } = binding;
        if method.is_client_streaming() {
            let detail = format!(
                "{} takes a stream of messages: call it by gRPC",
                method.full_name()
            );
            let (status, title) = (StatusCode::NOT_IMPLEMENTED, "Not to be called in JSON");
            return Err(answer::problem(status, "unsupported", title, &detail, path));
        }
        let message = request::message(binding, &captures, asked)?;
        let mut body = vec![0; PREFIX];
        message.encode(&mut body).unwrap_or_default(); // a vector grows
        let Ok(length) = u32::try_from(body.len() - PREFIX) else {
            return Err(answer::bad_argument("body", "body: it has over 4 GiB", path));
        };
        body[1..PREFIX].copy_from_slice(&length.to_be_bytes());
        Ok(Call {
            pool: self.pool.clone(),
            path: format!("/{}/{}", method.parent_service().full_name(), method.name()),
            method: method.clone(),
            shown: shown.clone(),
            instance: path.to_owned(),
            body,
        })
    }
}

impl Call {
    /// The answer to who asked, where the status was 0; `body` is all messages with their prefixes.
    #[must_use]
    pub fn answer(&self, body: &[u8]) -> Answer {
        match self.read(body) {
            Ok(answer) => answer,
            Err(why) => answer::unreadable(&why, &self.instance),
        }
    }

    /// The answer to who asked, where the status was another one.
    #[must_use]
    pub fn failed(&self, status: &Status<'_>) -> Answer {
        status.answer(&self.pool, &self.instance)
    }

    fn read(&self, body: &[u8]) -> Result<Answer, String> {
        let messages = messages(body)?;
        if self.method.is_server_streaming() {
            let mut lines = Vec::new();
            for message in messages {
                lines.extend_from_slice(self.json(message)?.to_string().as_bytes());
                lines.push(b'\n');
            }
            return Ok(Answer {
                content_type: Some(LINES),
                body: lines,
                ..answer::json_of(&Json::Null)
            });
        }
        match messages[..] {
            [message] => Ok(answer::json_of(&self.json(message)?)),
            _ => Err(format!("it has {} messages, and not one", messages.len())),
        }
    }

    fn json(&self, message: &[u8]) -> Result<Json, String> {
        let message =
            DynamicMessage::decode(self.method.output(), message).map_err(|error| error.to_string())?;
        let mut json = to_json(&message)?;
        let Some(shown) = &self.shown else {
            return Ok(json);
        };
        let taken = json.get_mut(shown.json_name()).map(Json::take);
        Ok(taken.unwrap_or_else(|| match shown {
            field if field.is_map() => Json::Object(serde_json::Map::new()),
            field if field.is_list() => Json::Array(Vec::new()),
            _ => Json::Null,
        }))
    }
}

fn to_json(message: &DynamicMessage) -> Result<Json, String> {
    let options = SerializeOptions::new();
    let json = message.serialize_with_options(serde_json::value::Serializer, &options);
    json.map_err(|error| error.to_string())
}

/// The messages of a body.
fn messages(mut body: &[u8]) -> Result<Vec<&[u8]>, String> {
    let mut messages = Vec::new();
    while let Some((prefix, rest)) = body.split_first_chunk::<PREFIX>() {
        let [compressed, length @ ..] = *prefix;
        if compressed != 0 {
            return Err("it is compressed, which was not asked for".to_owned());
        }
        let length = u32::from_be_bytes(length) as usize;
        let (message, rest) = rest.split_at_checked(length).ok_or("it is cut short")?;
        messages.push(message);
        body = rest;
    }
    if body.is_empty() {
        Ok(messages)
    } else {
        Err("it is cut short".to_owned())
    }
}

#[cfg(test)]
mod tests;
