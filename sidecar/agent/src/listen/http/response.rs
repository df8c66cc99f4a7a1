//! A reply or a failure as an HTTP response. The only place where a failure becomes a status; responses that the mesh
//! makes carry `x-mesh-error`, those of the program never do.

use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use hyper::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Request, Response, StatusCode, Uri};
use wire::error;
use wire::keys;
use wire::meta::Meta;
use wire::motan2::{EXCEPTION, SIMPLE, bits};
use wire::value::{Value, Values};

use super::request::Form;
use crate::call::Reply;
use crate::failure::{Failure, Kind};
use crate::http::body::Body;
use crate::http::{self, grpc};
use crate::live::Endpoint;

const MESH_ERROR: HeaderName = HeaderName::from_static("x-mesh-error");

/// The response that a reply carries: an array of head and body (motan-wire 7.2).
///
/// The body of the reply becomes the response's.
///
/// # Errors
/// An exception of the other agent, or a reply that carries no response.
pub(crate) fn read(reply: &mut Reply) -> Result<Response<Body>, Failure> {
    let meta = Meta::new(&reply.meta).unwrap_or_default();
    if reply.header.status == EXCEPTION {
        return Err(remote(meta));
    }
    let not_http = || {
        let words = "the service answered with something that is not an HTTP response";
        Failure::perhaps(Kind::Unavailable, words)
    };
    if reply.header.serialization() != SIMPLE || reply.header.kind & bits::GZIP != 0 {
        return Err(not_http());
    }
    let carried = Bytes::from(std::mem::take(&mut reply.body));
    let parts = match Values::new(&carried).next() {
        Ok(Some(Value::Array(parts))) => parts,
        _ => return Err(not_http()),
    };
    let part = |index: usize| parts.get(index).and_then(Value::bytes);
    let head = carried.slice_ref(part(0).ok_or_else(not_http)?);
    let body = carried.slice_ref(part(1).unwrap_or_default());
    rebuild(&head, body).ok_or_else(not_http)
}

/// Where the rest of a reply is fetched, and with which token, where its body is still coming.
pub(super) fn handed_over(reply: &Reply) -> Option<(&Arc<Endpoint>, &str)> {
    let token = Meta::new(&reply.meta).ok()?.find(keys::MESH_BODY)?;
    let token = std::str::from_utf8(token).ok()?;
    reply.by.as_ref().map(|by| (by, token))
}

fn rebuild(head: &Bytes, body: Bytes) -> Option<Response<Body>> {
    let mut parsed = [httparse::EMPTY_HEADER; http::MAX_HEADERS];
    let mut read = httparse::Response::new(&mut parsed);
    if !read.parse(head).ok()?.is_complete() {
        return None;
    }
    let status = StatusCode::from_u16(read.code?).ok()?;
    let mut headers = http::headers(read.headers, head, 1)?;
    http::strip_hop_by_hop_of_stream(&mut headers);
    http::names::strip(&mut headers);
    if !body.is_empty() {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    let reason = read
        .reason
        .filter(|reason| status.canonical_reason() != Some(reason));
    let mut response = Response::new(Body::whole(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    if let Some(reason) = reason.and_then(|reason| ReasonPhrase::try_from(reason.as_bytes()).ok()) {
        response.extensions_mut().insert(reason);
    }
    Some(response)
}

/// An exception of the other side. Our agents say what it was; of others only the words are known.
fn remote(meta: Meta<'_>) -> Failure {
    let kind = match meta.find(keys::MESH_ERROR) {
        Some(b"bad-request") => Kind::BadRequest,
        Some(b"too-large") => Kind::TooLarge,
        Some(b"unsupported") => Kind::Unsupported,
        Some(b"timeout") => Kind::Timeout,
        Some(b"overloaded") => Kind::Overloaded,
        Some(b"rate-limited") => Kind::RateLimited,
        Some(b"not-provided") => Kind::NotProvided,
        _ => Kind::Unavailable,
    };
    let exception = meta.find(keys::EXCEPTION).and_then(|json| error::read(json).ok());
    let words = exception.map_or_else(
        || "exception without a message".to_owned(),
        |exception| exception.words,
    );
    Failure::perhaps(kind, format!("err_msg: {words}"))
}

/// The response that tells a gRPC caller of a failure: trailers only.
pub(super) fn refuse_grpc(failure: &Failure) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    grpc::tell(failure, headers);
    response
}

/// How whoever asks wants to be told of a failure.
pub(super) struct Manner {
    form: Form,
    /// What was asked for, where the caller reads JSON.
    json_of: Option<Uri>,
}

impl Manner {
    pub(super) fn of(request: &Request<Incoming>) -> Self {
        Self {
            form: Form::of(request),
            json_of: reads_json(request.headers()).then(|| request.uri().clone()),
        }
    }
}

/// Whether `Accept` names JSON; whoever takes anything gets plain words (RFC 9110 12.5.1).
fn reads_json(headers: &HeaderMap) -> bool {
    let named = headers.get_all(ACCEPT).iter();
    let mut named = named
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    named.any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let is_json = media.eq_ignore_ascii_case("application/json")
            || media.eq_ignore_ascii_case("application/problem+json");
        is_json && !parts.any(is_never)
    })
}

/// A weight of nothing.
fn is_never(parameter: &str) -> bool {
    let weight = parameter
        .strip_prefix("q=")
        .or_else(|| parameter.strip_prefix("Q="));
    weight.and_then(|weight| weight.parse::<f32>().ok()) == Some(0.0)
}

/// The response that tells of a failure.
pub(super) fn refuse(failure: &Failure, manner: &Manner) -> Response<Body> {
    let form = manner.form;
    let (status, word) = match failure.kind {
        Kind::Undeclared if form != Form::Origin => (StatusCode::FORBIDDEN, "undeclared"),
        Kind::Undeclared => (StatusCode::NOT_FOUND, "undeclared"),
        Kind::BadRequest => (StatusCode::BAD_REQUEST, "bad-request"),
        Kind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
        Kind::Unsupported => (StatusCode::NOT_IMPLEMENTED, "unsupported"),
        Kind::Timeout => (StatusCode::GATEWAY_TIMEOUT, "timeout"),
        Kind::NoEndpoint => (StatusCode::SERVICE_UNAVAILABLE, "no-endpoint"),
        Kind::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
        Kind::NotProvided | Kind::Unavailable => (StatusCode::BAD_GATEWAY, "unavailable"),
        Kind::Draining => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        Kind::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
        Kind::BadAnswer => (StatusCode::BAD_GATEWAY, "bad-answer"),
        Kind::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "rate-limited"),
        Kind::Degraded => (StatusCode::SERVICE_UNAVAILABLE, "degraded"),
        Kind::CircuitOpen => (StatusCode::SERVICE_UNAVAILABLE, "circuit-open"),
        Kind::Injected => (StatusCode::SERVICE_UNAVAILABLE, "injected"),
    };
    let own = failure
        .status
        .and_then(|status| StatusCode::from_u16(status).ok());
    let status = own.unwrap_or(status);
    let (media, body) = match &manner.json_of {
        Some(uri) => problem(status, word, &failure.words, uri.path()),
        None => ("text/plain; charset=utf-8", format!("{}\n", failure.words).into()),
    };
    let mut response = Response::new(Body::whole(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(MESH_ERROR, HeaderValue::from_static(word));
    if failure.kind == Kind::RateLimited {
        // Limits are for a second: after one there is room again.
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// The same problem document as what goes wrong behind routes (RFC 9457).
fn problem(status: StatusCode, word: &'static str, words: &str, path: &str) -> (&'static str, Bytes) {
    let title = status.canonical_reason().unwrap_or("The mesh refused");
    let answer = translate::problem(status, word, title, words, path);
    (answer.content_type.unwrap_or_default(), answer.body.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_for_those_who_name_it() {
        let rows: [(&[&str], bool); 9] = [
            (&[], false),
            (&["*/*"], false),
            (&["text/html, application/xhtml+xml, */*;q=0.8"], false),
            (&["application/json"], true),
            (&["application/json, text/plain, */*"], true),
            (&["text/plain", "Application/Problem+JSON;q=0.5"], true),
            (&["application/json;q=0, text/plain"], false),
            (&["application/json; q=0.0"], false),
            (&["application/jsonl"], false),
        ];
        for (accept, expected) in rows {
            let accepted = accept
                .iter()
                .map(|value| (ACCEPT, HeaderValue::from_static(value)));
            assert_eq!(
                reads_json(&HeaderMap::from_iter(accepted)),
                expected,
                "{accept:?}"
            );
        }
    }
}
