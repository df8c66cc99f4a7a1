//! Routes as they are written, in YAML and in a plan; they are read into what can't be wrong.

use serde::{Deserialize, Serialize};

use super::{
    Absent, Argument, BodyForm, ErrorStatus, InvalidRoute, Match, Place, Route, ScalarKind, Serialization,
};
use crate::name::MethodName;

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawRoute {
    #[serde(rename = "match")]
    matching: Match,
    call: MethodName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    descriptor: Option<String>,
    #[serde(default, skip_serializing_if = "crate::is_default")]
    serialization: Serialization,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    arguments: Vec<Argument>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ErrorStatus>,
}

impl TryFrom<RawRoute> for Route {
    type Error = InvalidRoute;
    fn try_from(raw: RawRoute) -> Result<Self, InvalidRoute> {
        let RawRoute {
            matching,
            call,
            descriptor,
            serialization,
            arguments,
            errors,
        } = raw;
        Self {
            matching,
            call,
            descriptor,
            serialization,
            arguments,
            errors,
        }
        .check()
    }
}

impl From<Route> for RawRoute {
    fn from(route: Route) -> Self {
        let Route {
            matching,
            call,
            descriptor,
            serialization,
            arguments,
            errors,
        } = route;
        Self {
            matching,
            call,
            descriptor,
            serialization,
            arguments,
            errors,
        }
    }
}

/// An argument as it is written, in YAML and in a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RawArgument {
    /// A variable of the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// A parameter of the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// A header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<BodyForm>,
    /// What a text is read as.
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    pub kind: Option<ScalarKind>,
    /// Null where the request has no such text.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub optional: bool,
    /// The text where the request has none.
    #[serde(rename = "default", skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
}

impl TryFrom<RawArgument> for Argument {
    type Error = InvalidRoute;
    fn try_from(raw: RawArgument) -> Result<Self, InvalidRoute> {
        let RawArgument {
            path,
            query,
            header,
            body,
            kind,
            optional,
            fallback,
        } = raw;
        let place = match (path, query, header, body) {
            (Some(name), None, None, None) => Place::Path(name.into()),
            (None, Some(name), None, None) => Place::Query(name.into()),
            (None, None, Some(name), None) => Place::Header(name.into()),
            (None, None, None, Some(form)) if kind.is_none() && !optional && fallback.is_none() => {
                return Ok(Self::Body(form));
            }
            (None, None, None, Some(_)) => {
                let words = "as, optional and default are for path, query and header: remove them";
                return Err(InvalidRoute::Contradiction("body".to_owned(), words));
            }
            (None, None, None, None) => return Err(InvalidRoute::Source("none is written".to_owned())),
            _ => return Err(InvalidRoute::Source("several are written".to_owned())),
        };
        let absent = match (optional, fallback) {
            (false, None) => Absent::Refuse,
            (true, None) => Absent::Null,
            (false, Some(text)) => Absent::Default(text),
            (true, Some(_)) => {
                let words = "write optional or default, not both";
                return Err(InvalidRoute::Contradiction(place.to_string(), words));
            }
        };
        Self::text(place, kind.unwrap_or_default(), absent)
    }
}

impl From<Argument> for RawArgument {
    fn from(argument: Argument) -> Self {
        let mut raw = Self::default();
        match argument {
            Argument::Body(form) => raw.body = Some(form),
            Argument::Text { place, kind, absent } => {
                let field = match &place {
                    Place::Path(_) => &mut raw.path,
                    Place::Query(_) => &mut raw.query,
                    Place::Header(_) => &mut raw.header,
                };
                *field = Some(place.name().to_owned());
                raw.kind = (kind != ScalarKind::default()).then_some(kind);
                match absent {
                    Absent::Refuse => {}
                    Absent::Null => raw.optional = true,
                    Absent::Default(text) => raw.fallback = Some(text),
                }
            }
        }
        raw
    }
}
