//! A reply or a failure as an HTTP response. The only place where a failure becomes a status; responses that the mesh
//! makes carry `x-mesh-error`, those of the program never do.

use std::sync::Arc;

use bytes::Bytes;
use hyper::ext::ReasonPhrase;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
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
/// # Errors
/// An exception of the other agent, or a reply that carries no response.
pub(crate) fn read(reply: &Reply) -> Result<Response<Body>, Failure> {
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
    let parts = match Values::new(&reply.body).next() {
        Ok(Some(Value::Array(parts))) => parts,
        _ => return Err(not_http()),
    };
    let part = |index: usize| parts.get(index).and_then(Value::bytes);
    let head = part(0).ok_or_else(not_http)?;
    let body = Bytes::copy_from_slice(part(1).unwrap_or_default());
    rebuild(head, body).ok_or_else(not_http)
}

/// Where the rest of a reply is fetched, and with which token, where its body is still coming.
pub(super) fn handed_over(reply: &Reply) -> Option<(&Arc<Endpoint>, &str)> {
    let token = Meta::new(&reply.meta).ok()?.find(keys::MESH_BODY)?;
    let token = std::str::from_utf8(token).ok()?;
    reply.by.as_ref().map(|by| (by, token))
}

fn rebuild(head: &[u8], body: Bytes) -> Option<Response<Body>> {
    let mut parsed = [httparse::EMPTY_HEADER; http::MAX_HEADERS];
    let mut read = httparse::Response::new(&mut parsed);
    if !read.parse(head).ok()?.is_complete() {
        return None;
    }
    let status = StatusCode::from_u16(read.code?).ok()?;
    let mut headers = http::headers(read.headers)?;
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

/// The response that tells of a failure.
pub(super) fn refuse(failure: &Failure, form: Form) -> Response<Body> {
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
    let mut response = text(own.unwrap_or(status), word, failure.words.as_ref());
    if failure.kind == Kind::RateLimited {
        // Limits are for a second: after one there is room again.
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn text(status: StatusCode, word: &'static str, words: &str) -> Response<Body> {
    let mut response = Response::new(Body::whole(Bytes::from(format!("{words}\n"))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(MESH_ERROR, HeaderValue::from_static(word));
    response
}
