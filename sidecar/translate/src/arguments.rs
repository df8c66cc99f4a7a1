//! From a request to the arguments of a call.

use std::borrow::Cow;

use form_urlencoded::parse as parse_query;
use http::header::{CONTENT_TYPE, HeaderMap};
use plan::rest::{Absent, Argument, BodyForm, Place};
use plan::scalar::{Scalar, ScalarKind};
use serde_json::Value as Json;
use wire::value::Value;

use crate::Asked;
use crate::answer::{self, Answer, JSON};
use crate::json;

/// An argument, owning what it was made of.
#[derive(Debug)]
pub(crate) enum Ready<'a> {
    Scalar(Scalar),
    Null,
    Json(Json),
    Borrowed(Value<'a>),
}

/// Texts of a request that arguments are made of.
pub(crate) struct Texts<'a> {
    asked: Asked<'a>,
    query: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// The most parameters of a query that are looked at.
pub(crate) const MAX_QUERY: usize = 1024;

impl<'a> Texts<'a> {
    pub(crate) fn of(asked: Asked<'a>) -> Self {
        let query = asked.query.unwrap_or_default().as_bytes();
        Self {
            query: parse_query(query).take(MAX_QUERY).collect(),
            asked,
        }
    }

    /// The argument; `captured` finds a variable of the path.
    pub(crate) fn argument(
        &self,
        argument: &Argument,
        captured: impl Fn(&str) -> Option<String>,
    ) -> Result<Ready<'a>, Answer> {
        match argument {
            Argument::Body(form) => self.body(*form),
            Argument::Text { place, kind, absent } => {
                let found = self.find(place, captured)?;
                self.scalar(place, *kind, absent, found.as_deref())
            }
        }
    }

    fn find(
        &self,
        place: &Place,
        captured: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<String>, Answer> {
        match place {
            Place::Path(name) => Ok(captured(name)),
            Place::Query(name) => {
                let pair = self.query.iter().find(|(key, _)| **key == **name);
                Ok(pair.map(|(_, value)| value.clone().into_owned()))
            }
            Place::Header(name) => match self.asked.headers.get(&**name) {
                None => Ok(None),
                Some(value) => match std::str::from_utf8(value.as_bytes()) {
                    Ok(text) => Ok(Some(text.to_owned())),
                    Err(_) => {
                        let argument = place.to_string();
                        let detail = format!("{argument}: it is not UTF-8: send text");
                        Err(answer::bad_argument(&argument, &detail, self.asked.path))
                    }
                },
            },
        }
    }

    fn scalar(
        &self,
        place: &Place,
        kind: ScalarKind,
        absent: &Absent,
        found: Option<&str>,
    ) -> Result<Ready<'a>, Answer> {
        let argument = || place.to_string();
        let refuse = |detail: &str| Err(answer::bad_argument(&argument(), detail, self.asked.path));
        match (found, absent) {
            (Some(text), _) => match kind.read(text) {
                Ok(scalar) => Ok(Ready::Scalar(scalar)),
                Err(error) => refuse(&format!("{place}: {error}")),
            },
            (None, Absent::Refuse) => refuse(&format!("{place} is missing: send {}", kind.expected())),
            (None, Absent::Null) => Ok(Ready::Null),
            (None, Absent::Default(_)) => Ok(absent.value(kind).map_or(Ready::Null, Ready::Scalar)),
        }
    }

    fn body(&self, form: BodyForm) -> Result<Ready<'a>, Answer> {
        let Asked {
            headers, body, path, ..
        } = self.asked;
        let refuse =
            |why: &dyn std::fmt::Display| answer::bad_argument("body", &format!("body: {why}"), path);
        match form {
            BodyForm::Json => {
                check_json(headers, path)?;
                let json = json::parse(body).map_err(|error| refuse(&error))?;
                json::to_value(&json).map_err(|error| refuse(&error))?;
                Ok(Ready::Json(json))
            }
            BodyForm::Text => match std::str::from_utf8(body) {
                Ok(text) => Ok(Ready::Borrowed(Value::String(text.as_bytes()))),
                Err(error) => Err(refuse(&error)),
            },
            BodyForm::Bytes => Ok(Ready::Borrowed(Value::Bytes(body))),
        }
    }
}

impl Ready<'_> {
    pub(crate) fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Json(json) => json::to_value(json).unwrap_or(Value::Null), // checked when it was read
            Self::Borrowed(value) => value.clone(),
            Self::Scalar(scalar) => match scalar {
                Scalar::String(text) => Value::String(text.as_bytes()),
                Scalar::Int64(value) => Value::Int64(*value),
                Scalar::Int32(value) => Value::Int32(*value),
                Scalar::Bool(value) => Value::Bool(*value),
                Scalar::Float64(value) => Value::Float64(*value),
                Scalar::Float32(value) => Value::Float32(*value),
                Scalar::Bytes(bytes) => Value::Bytes(bytes),
            },
        }
    }
}

/// A body that says what it is must say that it is JSON.
pub(crate) fn check_json(headers: &HeaderMap, path: &str) -> Result<(), Answer> {
    let Some(said) = headers.get(CONTENT_TYPE) else {
        return Ok(());
    };
    let said = said.to_str().unwrap_or_default();
    let media = said
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    if media == JSON || (media.starts_with("application/") && media.ends_with("+json")) {
        return Ok(());
    }
    Err(answer::unsupported_type(said, JSON, path))
}
