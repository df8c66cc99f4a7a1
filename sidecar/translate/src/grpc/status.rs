//! A gRPC status as an HTTP answer.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::StatusCode;
use percent_encoding::percent_decode_str;
use plan::scalar::base64;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use prost_types::Any;
use serde_json::{Map, Value as Json, json};

use super::to_json;
use crate::answer::{self, Answer};

/// The longest message of a status that is told, in characters.
const MAX_WORDS: usize = 4096;

/// How a program says that it did not do what was asked.
#[derive(Debug, Clone, Copy)]
pub struct Status<'a> {
    /// `grpc-status`.
    pub code: u32,
    /// `grpc-message`, as it came.
    pub message: &'a str,
    /// `grpc-status-details-bin`, as it came.
    pub details: Option<&'a str>,
}

/// `google.rpc.Status`, as far as it is read.
#[derive(Clone, PartialEq, Message)]
struct Details {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// Names and HTTP statuses of the codes from 0, as google.rpc.Code has them.
const CODES: [(&str, u16); 17] = [
    ("OK", 200),
    ("CANCELLED", 499),
    ("UNKNOWN", 500),
    ("INVALID_ARGUMENT", 400),
    ("DEADLINE_EXCEEDED", 504),
    ("NOT_FOUND", 404),
    ("ALREADY_EXISTS", 409),
    ("PERMISSION_DENIED", 403),
    ("RESOURCE_EXHAUSTED", 429),
    ("FAILED_PRECONDITION", 400),
    ("ABORTED", 409),
    ("OUT_OF_RANGE", 400),
    ("UNIMPLEMENTED", 501),
    ("INTERNAL", 500),
    ("UNAVAILABLE", 503),
    ("DATA_LOSS", 500),
    ("UNAUTHENTICATED", 401),
];

impl Status<'_> {
    pub(super) fn answer(&self, pool: &DescriptorPool, instance: &str) -> Answer {
        let unknown = ("UNKNOWN", 500);
        let (name, status) = usize::try_from(self.code)
            .ok()
            .and_then(|code| CODES.get(code).copied())
            .unwrap_or(unknown);
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let words = percent_decode_str(self.message).decode_utf8_lossy();
        let words: String = words.chars().take(MAX_WORDS).collect();
        let mut more = Map::new();
        more.insert("code".to_owned(), json!(self.code));
        more.insert("reason".to_owned(), json!(name));
        if let Some(details) = self.details(pool) {
            more.insert("details".to_owned(), details);
        }
        answer::of(
            status,
            "grpc-status",
            "The program refused",
            &words,
            instance,
            more,
        )
    }

    /// Each with its type; what the descriptors don't know stays as it is, in base64.
    fn details(&self, pool: &DescriptorPool) -> Option<Json> {
        let Details { details } = Details::decode(&*base64(self.details?)?).ok()?;
        let details: Vec<Json> = details.iter().map(|detail| one(pool, detail)).collect();
        (!details.is_empty()).then(|| details.into())
    }
}

fn one(pool: &DescriptorPool, detail: &Any) -> Json {
    let name = detail.type_url.rsplit('/').next().unwrap_or_default();
    let known = pool.get_message_by_name(name);
    let message = known.and_then(|known| DynamicMessage::decode(known, &*detail.value).ok());
    let mut shown = match message.map(|message| to_json(&message)) {
        Some(Ok(Json::Object(fields))) => fields,
        Some(Ok(other)) => Map::from_iter([("value".to_owned(), other)]),
        _ => Map::from_iter([("value".to_owned(), BASE64_STANDARD.encode(&detail.value).into())]),
    };
    shown.insert("@type".to_owned(), detail.type_url.as_str().into());
    Json::Object(shown)
}
