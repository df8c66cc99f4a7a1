//! Answers, and problems (RFC 9457) among them.

use http::StatusCode;
use serde_json::{Map, Value, json};

/// An HTTP answer, but for headers that concern one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// What the body is; none where there is no body.
    pub content_type: Option<&'static str>,
    /// The methods that the path has, where the request had another one.
    pub allow: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// The media type of JSON.
pub(crate) const JSON: &str = "application/json";
/// The media type of problems.
pub(crate) const PROBLEM: &str = "application/problem+json";
/// What the types of problems begin with.
const TYPE: &str = "urn:motanmesh:problem:";

/// A problem of this type: `kind` is a word that programs may compare, `detail` is for people.
#[must_use]
pub fn problem(status: StatusCode, kind: &str, title: &str, detail: &str, instance: &str) -> Answer {
    of(status, kind, title, detail, instance, Map::new())
}

/// A problem with further members.
pub(crate) fn of(
    status: StatusCode,
    kind: &str,
    title: &str,
    detail: &str,
    instance: &str,
    more: Map<String, Value>,
) -> Answer {
    let mut problem = Map::new();
    problem.insert("type".to_owned(), json!(format!("{TYPE}{kind}")));
    problem.insert("title".to_owned(), json!(title));
    problem.insert("status".to_owned(), json!(status.as_u16()));
    problem.insert("detail".to_owned(), json!(detail));
    problem.insert("instance".to_owned(), json!(instance));
    problem.extend(more);
    Answer {
        status,
        content_type: Some(PROBLEM),
        allow: None,
        body: text(&Value::Object(problem)),
    }
}

/// No route has this path.
pub(crate) fn no_route(path: &str) -> Answer {
    let detail = format!(
        "no route has the path {path}; {} lists those there are",
        crate::DOCUMENT
    );
    problem(StatusCode::NOT_FOUND, "no-route", "No such route", &detail, path)
}

/// The path has routes for other methods.
pub(crate) fn wrong_method(method: &str, path: &str, allow: String) -> Answer {
    let detail = format!("{path} takes {allow}, and not {method}");
    let title = "Method not allowed";
    Answer {
        allow: Some(allow),
        ..problem(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            title,
            &detail,
            path,
        )
    }
}

/// What a path takes, as OPTIONS asks.
pub(crate) fn options(allow: String) -> Answer {
    Answer {
        status: StatusCode::NO_CONTENT,
        content_type: None,
        allow: Some(allow),
        body: Vec::new(),
    }
}

/// Part of a request can't be used.
pub(crate) fn bad_argument(argument: &str, detail: &str, path: &str) -> Answer {
    let mut more = Map::new();
    more.insert("argument".to_owned(), json!(argument));
    let title = "Bad argument";
    of(StatusCode::BAD_REQUEST, "bad-argument", title, detail, path, more)
}

/// A body of a kind that the route does not take.
pub(crate) fn unsupported_type(found: &str, wanted: &str, path: &str) -> Answer {
    let detail = format!("the body is {found:?}: send {wanted}");
    let title = "Unsupported media type";
    problem(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported-media-type",
        title,
        &detail,
        path,
    )
}

/// The program has answered with something that can't be read.
pub(crate) fn unreadable(why: &str, path: &str) -> Answer {
    let detail = format!("the program's answer can't be read: {why}");
    problem(
        StatusCode::BAD_GATEWAY,
        "bad-answer",
        "Bad answer of the program",
        &detail,
        path,
    )
}

/// A JSON value.
pub(crate) fn json_of(value: &Value) -> Answer {
    Answer {
        status: StatusCode::OK,
        content_type: Some(JSON),
        allow: None,
        body: text(value),
    }
}

/// A tree of JSON values has no way to fail.
fn text(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
