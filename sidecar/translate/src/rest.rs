//! Routes in front of a program that speaks Motan: a request becomes the parameters of a call, and what the program
//! answers becomes JSON (motan-wire 5).

use std::sync::Arc;

use http::{Method, StatusCode};
use plan::rest::{Argument, Place, Route, Routes, Serialization};
use serde_json::{Map, Value as Json, json};
use wire::breeze;
use wire::error::{ErrorType, Exception};
use wire::hessian;
use wire::motan2::SIMPLE;
use wire::value::{self, Values};

use crate::answer::{self, Answer};
use crate::arguments::Texts;
use crate::paths::{Found, Table};
use crate::{About, Asked, DOCUMENT, json, openapi};

/// The routes of one service, ready to be asked.
#[derive(Debug)]
pub struct Rest {
    table: Table<Arc<Route>>,
    document: Vec<u8>,
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
    route: Arc<Route>,
    instance: String,
    /// The parameters, written.
    pub parameters: Vec<u8>,
}

/// What the program has answered.
#[derive(Debug, Clone, Copy)]
pub enum Reply<'a> {
    /// A result.
    Result {
        /// The number of its serialization.
        serialization: u8,
        /// Its bytes, inflated.
        body: &'a [u8],
    },
    /// An exception.
    Exception(&'a Exception),
}

/// Exception codes of Java's framework (motan-wire 4.1).
const REJECTED: i64 = 10_002;
const TIMED_OUT: i64 = 10_003;
const NOT_FOUND: i64 = 10_101;

impl Rest {
    /// Sorts routes; what can't be was refused when they were parsed.
    #[must_use]
    pub fn new(routes: &Routes, about: About<'_>) -> Self {
        let document = openapi::of_routes(routes, about);
        let routes = routes.as_slice().iter().map(|route| {
            let method = route.matching.method.as_str().to_owned();
            (method, route.matching.path.clone(), Arc::new(route.clone()))
        });
        Self {
            // The plan refuses two routes of one shape, so there is no conflict to lose.
            table: Table::new(routes).unwrap_or_default(),
            document,
        }
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
            return Err(document(&self.document, method));
        }
        let (route, captures) = match self.table.find(method.as_str(), path) {
            Found::Route(route, captures) => (route, captures),
            Found::Other(allow) if method == Method::OPTIONS => return Err(answer::options(allow)),
            Found::Other(allow) => return Err(answer::wrong_method(method.as_str(), path, allow)),
            Found::Nothing => return Err(answer::no_route(path)),
        };
        let captured = |name: &str| {
            let variables = route.matching.path.variables().iter();
            let mut named = variables
                .zip(&captures)
                .filter(|(variable, _)| &*variable.name == name);
            named.next().map(|(_, text)| text.clone())
        };
        let texts = Texts::of(asked);
        let mut parameters = Vec::new();
        for argument in &route.arguments {
            let ready = texts.argument(argument, captured)?;
            write(&mut parameters, route.serialization, &ready.value());
        }
        Ok(Call {
            route: Arc::clone(route),
            instance: path.to_owned(),
            parameters,
        })
    }
}

/// The document of a service, as it is asked for.
pub(crate) fn document(document: &[u8], method: &Method) -> Answer {
    if method != Method::GET && method != Method::HEAD {
        return answer::wrong_method(method.as_str(), DOCUMENT, "GET, HEAD".to_owned());
    }
    Answer {
        status: StatusCode::OK,
        content_type: Some(answer::JSON),
        allow: None,
        body: document.to_vec(),
    }
}

fn write(out: &mut Vec<u8>, serialization: Serialization, value: &value::Value<'_>) {
    match serialization {
        Serialization::Simple => value::write(out, value),
        Serialization::Hessian2 => hessian::write(out, value),
        Serialization::Breeze => breeze::write_value(out, value),
    }
}

impl Call {
    /// The method of the program.
    #[must_use]
    pub fn method(&self) -> &str {
        self.route.call.as_str()
    }

    /// The types of its parameters, where they were declared.
    #[must_use]
    pub fn descriptor(&self) -> Option<&str> {
        self.route.descriptor.as_deref()
    }

    /// The number of the serialization that the parameters are in.
    #[must_use]
    pub fn serialization(&self) -> u8 {
        match self.route.serialization {
            Serialization::Simple => SIMPLE,
            Serialization::Hessian2 => hessian::NUMBER,
            Serialization::Breeze => breeze::NUMBER,
        }
    }

    /// The answer to who asked.
    #[must_use]
    pub fn answer(&self, reply: Reply<'_>) -> Answer {
        match reply {
            Reply::Exception(exception) => self.exception(exception),
            Reply::Result { serialization, body } => match result(serialization, body) {
                Ok(json) => answer::json_of(&json),
                Err(why) => answer::unreadable(&why, &self.instance),
            },
        }
    }

    fn exception(&self, exception: &Exception) -> Answer {
        let Exception { code, kind, words } = exception;
        let declared = self.route.errors.iter().find(|error| error.code == *code);
        let declared = declared.and_then(|error| StatusCode::from_u16(error.status).ok());
        let (status, word, title) = match (declared, kind, *code) {
            (Some(status), ..) => (status, "exception", "The program refused"),
            (None, ErrorType::Biz, _) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "exception",
                "Exception of the program",
            ),
            (None, _, TIMED_OUT) => (
                StatusCode::GATEWAY_TIMEOUT,
                "timeout",
                "The program took too long",
            ),
            (None, _, REJECTED | 503) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "The program takes no more",
            ),
            (None, _, NOT_FOUND | 404) => (
                StatusCode::BAD_GATEWAY,
                "no-method",
                "The program has no such method",
            ),
            _ => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "exception",
                "Exception of the program",
            ),
        };
        let mut more = Map::new();
        more.insert("errcode".to_owned(), json!(code));
        more.insert("errmsg".to_owned(), json!(words));
        answer::of(status, word, title, words, &self.instance, more)
    }
}

/// A result as JSON; no bytes are none, whatever their kind.
fn result(serialization: u8, body: &[u8]) -> Result<Json, String> {
    match serialization {
        _ if body.is_empty() => Ok(Json::Null),
        SIMPLE => {
            let mut values = Values::new(body);
            let value = values.next().map_err(|error| error.to_string())?;
            Ok(value.as_ref().map_or(Json::Null, json::of_value))
        }
        hessian::NUMBER => {
            let value = hessian::read(body).map_err(|error| error.to_string())?;
            Ok(json::of_hessian(&value))
        }
        breeze::NUMBER => {
            let value = breeze::read_value(body).map_err(|error| error.to_string())?;
            Ok(json::of_value(&value))
        }
        other => Err(format!(
            "its serialization is number {other}: let it answer in simple, hessian2 or breeze"
        )),
    }
}

/// The texts that a route takes, for the document.
pub(crate) fn texts(route: &Route) -> impl Iterator<Item = (&Place, &Argument)> {
    route.arguments.iter().filter_map(|argument| match argument {
        Argument::Text { place, .. } => Some((place, argument)),
        Argument::Body(_) => None,
    })
}

#[cfg(test)]
mod tests;
