//! HTTP routes in front of a program that speaks Motan: which request is which call.

mod written;

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::name::{InvalidName, MethodName};
use crate::scalar::{NotA, Scalar, ScalarKind};
use crate::template::{InvalidTemplate, Template};
pub use written::RawArgument;
use written::RawRoute;

/// The most routes of one service: more than people write by hand, few enough to be compared one after the other.
pub const MAX_ROUTES: usize = 128;
/// The most arguments of one call.
pub const MAX_ARGUMENTS: usize = 32;
/// The longest method descriptor, in bytes.
const MAX_DESCRIPTOR: usize = 1024;
/// Paths below this are the sidecar's own.
pub const RESERVED: &str = ".mesh";

/// The routes of one service: at most [`MAX_ROUTES`], no two for the same requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Route>", into = "Vec<Route>")]
pub struct Routes(Vec<Route>);

/// Which request is which call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawRoute", into = "RawRoute")]
pub struct Route {
    /// Which requests.
    pub matching: Match,
    /// The method of the program (`M_m`).
    pub call: MethodName,
    /// The types of its parameters (`M_md`), where the program finds its method by them.
    pub descriptor: Option<String>,
    /// How arguments are written; the answer says itself how it is to be read.
    pub serialization: Serialization,
    /// Its arguments, in their order.
    pub arguments: Vec<Argument>,
    /// Statuses for exceptions of the program, by their code.
    pub errors: Vec<ErrorStatus>,
}

/// Which requests a route is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Match {
    /// The HTTP method.
    pub method: HttpMethod,
    /// The path.
    pub path: Template,
}

/// The methods that a route can be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// GET, and HEAD with it.
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
}

/// How a value is written for a program (motan-wire.md 5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Serialization {
    /// Every Motan program reads it.
    #[default]
    Simple,
    /// Of Java programs: objects by the names of their fields.
    Hessian2,
    /// Of Java and Go programs.
    Breeze,
}

/// One argument of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawArgument", into = "RawArgument")]
pub enum Argument {
    /// A text of the request.
    Text {
        /// Where it is.
        place: Place,
        /// What it is read as.
        kind: ScalarKind,
        /// What the argument is where the request has no such text.
        absent: Absent,
    },
    /// The body.
    Body(BodyForm),
}

/// Where a text of a request is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A variable of the path.
    Path(Box<str>),
    /// A parameter of the query; of several the first.
    Query(Box<str>),
    /// A header, by its name in lower case; of several the first.
    Header(Box<str>),
}

/// What an argument is where a request does not have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absent {
    /// The request is refused.
    Refuse,
    /// Null.
    Null,
    /// What this text, which can be read, is read as.
    Default(String),
}

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BodyForm {
    /// A JSON value.
    Json,
    /// Text in UTF-8.
    Text,
    /// Bytes of any kind.
    Bytes,
}

/// The status for an exception of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ErrorStatus {
    /// `errcode`.
    pub code: i64,
    /// From 400 to 599.
    pub status: u16,
}

/// Why routes can't be; each names the field and its mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRoute {
    /// Too many.
    #[error("{0} routes: at most {MAX_ROUTES} are taken; split the service")]
    TooMany(usize),
    /// Two match the same requests.
    #[error("match {method} {first} and {method} {second} are for the same requests: remove one", method = .0.as_str(), first = .1, second = .2)]
    Conflict(HttpMethod, String, String),
    /// The path.
    #[error("match.{0}")]
    Path(#[from] InvalidTemplate),
    /// The sidecar's own.
    #[error("match.path {0}: paths below /{RESERVED} are the sidecar's own: take another")]
    Reserved(String),
    /// The method of the program.
    #[error("call: {0}")]
    Call(#[from] InvalidName),
    /// The descriptor.
    #[error(
        "descriptor {0:?}: write the types of the parameters without blanks, for example long,java.lang.String (at most 1024 bytes)"
    )]
    Descriptor(String),
    /// Too many arguments.
    #[error("arguments: {0} are listed; at most {MAX_ARGUMENTS} are taken")]
    TooManyArguments(usize),
    /// Not one source.
    #[error("arguments: each is one of path, query, header or body: {0}")]
    Source(String),
    /// A variable that the path has not.
    #[error("arguments: path {0}: the path {1} has no {{{0}}}")]
    NoVariable(String, String),
    /// A variable that nobody takes.
    #[error("match.path {1}: {{{0}}} is no argument: add - path: {0}, or write * in its place")]
    Unused(String, String),
    /// More than one body.
    #[error("arguments: body is there twice: a request has one")]
    BodyTwice,
    /// A body where there is none.
    #[error("arguments: body: a {0} request has none: take it from path, query or header, or match POST")]
    NoBody(&'static str),
    /// A name that is none.
    #[error("arguments: {0} {1:?}: write a name without blanks, at most 128 bytes")]
    Name(&'static str, String),
    /// A default that is no such value.
    #[error("arguments: {0}: default {1}")]
    Default(String, NotA),
    /// Words that say two things.
    #[error("arguments: {0}: {1}")]
    Contradiction(String, &'static str),
    /// A status that tells of no error.
    #[error("errors: code {0}: status {1} must be from 400 to 599")]
    Status(i64, u16),
    /// A code with two statuses.
    #[error("errors: code {0} is listed twice")]
    CodeTwice(i64),
}

impl Routes {
    /// Checks and keeps routes.
    ///
    /// # Errors
    /// Too many, or two for the same requests.
    pub fn new(routes: Vec<Route>) -> Result<Self, InvalidRoute> {
        if routes.len() > MAX_ROUTES {
            return Err(InvalidRoute::TooMany(routes.len()));
        }
        let mut shapes = HashMap::new();
        for route in &routes {
            let Match { method, path } = &route.matching;
            if let Some(first) = shapes.insert((method, path.shape()), path) {
                let (first, second) = (first.to_string(), path.to_string());
                return Err(InvalidRoute::Conflict(*method, first, second));
            }
        }
        Ok(Self(routes))
    }

    /// The routes, in the order written.
    #[must_use]
    pub fn as_slice(&self) -> &[Route] {
        &self.0
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<Vec<Route>> for Routes {
    type Error = InvalidRoute;
    fn try_from(routes: Vec<Route>) -> Result<Self, InvalidRoute> {
        Self::new(routes)
    }
}

impl From<Routes> for Vec<Route> {
    fn from(routes: Routes) -> Self {
        routes.0
    }
}

impl Route {
    /// Checks a route as a whole.
    ///
    /// # Errors
    /// Parts that do not fit together.
    pub fn check(self) -> Result<Self, InvalidRoute> {
        let Self {
            matching: Match { method, path },
            call: _,
            descriptor,
            serialization: _,
            arguments,
            errors,
        } = &self;
        if path.as_str() == format!("/{RESERVED}") || path.as_str().starts_with(&format!("/{RESERVED}/")) {
            return Err(InvalidRoute::Reserved(path.to_string()));
        }
        if let Some(text) = descriptor
            && (text.is_empty()
                || text.len() > MAX_DESCRIPTOR
                || !text.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            return Err(InvalidRoute::Descriptor(text.clone()));
        }
        if arguments.len() > MAX_ARGUMENTS {
            return Err(InvalidRoute::TooManyArguments(arguments.len()));
        }
        check_variables(path, arguments)?;
        let bodies = arguments
            .iter()
            .filter(|argument| matches!(argument, Argument::Body(_)))
            .count();
        match (bodies, method) {
            (2.., _) => return Err(InvalidRoute::BodyTwice),
            (1, HttpMethod::Get) => return Err(InvalidRoute::NoBody(method.as_str())),
            _ => {}
        }
        let mut codes = HashSet::new();
        for ErrorStatus { code, status } in errors {
            if !(400..600).contains(status) {
                return Err(InvalidRoute::Status(*code, *status));
            }
            if !codes.insert(code) {
                return Err(InvalidRoute::CodeTwice(*code));
            }
        }
        Ok(self)
    }
}

fn check_variables(path: &Template, arguments: &[Argument]) -> Result<(), InvalidRoute> {
    let mut taken = HashSet::new();
    for argument in arguments {
        if let Argument::Text {
            place: Place::Path(name),
            ..
        } = argument
        {
            taken.insert(name);
        }
    }
    let has = |name: &str| path.variables().iter().any(|variable| &*variable.name == name);
    if let Some(name) = taken.iter().find(|name| !has(name)) {
        return Err(InvalidRoute::NoVariable(name.to_string(), path.to_string()));
    }
    let unused = path
        .variables()
        .iter()
        .find(|variable| !taken.contains(&variable.name));
    match unused {
        Some(variable) => Err(InvalidRoute::Unused(variable.name.to_string(), path.to_string())),
        None => Ok(()),
    }
}

impl HttpMethod {
    /// The word of the request line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

impl Place {
    /// The word of YAML.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Path(_) => "path",
            Self::Query(_) => "query",
            Self::Header(_) => "header",
        }
    }

    /// The name within.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Path(name) | Self::Query(name) | Self::Header(name) => name,
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.word(), self.name())
    }
}

impl Argument {
    /// An argument that is a text of the request.
    ///
    /// # Errors
    /// A name that can't be, a default that is no such value, or what a path can't lack.
    pub fn text(place: Place, kind: ScalarKind, absent: Absent) -> Result<Self, InvalidRoute> {
        let name = place.name();
        let is_fine = match &place {
            Place::Path(_) => true, // compared with the template
            Place::Query(_) => !name.is_empty() && name.len() <= 128 && !name.chars().any(char::is_control),
            Place::Header(_) => !name.is_empty() && name.len() <= 128 && name.bytes().all(is_token),
        };
        if !is_fine {
            return Err(InvalidRoute::Name(place.word(), name.to_owned()));
        }
        let place = match place {
            Place::Header(name) => Place::Header(name.to_ascii_lowercase().into()),
            other => other,
        };
        match &absent {
            Absent::Default(text) => {
                kind.read(text)
                    .map_err(|error| InvalidRoute::Default(place.to_string(), error))?;
            }
            Absent::Null | Absent::Refuse => {}
        }
        if matches!(place, Place::Path(_)) && absent != Absent::Refuse {
            let words = "a path always has its variables: remove optional and default";
            return Err(InvalidRoute::Contradiction(place.to_string(), words));
        }
        Ok(Self::Text { place, kind, absent })
    }
}

impl Absent {
    /// The value, where there is one.
    #[must_use]
    pub fn value(&self, kind: ScalarKind) -> Option<Scalar> {
        match self {
            Self::Default(text) => kind.read(text).ok(), // read once already
            Self::Null | Self::Refuse => None,
        }
    }
}

/// Bytes of header names (RFC 9110 5.6.2).
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

#[cfg(test)]
mod tests;
