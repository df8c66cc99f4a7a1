//! A Motan caller calls an HTTP program (motan-wire 7.3 b): its metadata become headers, its one argument body or query,
//! and the response goes back as metadata and bytes. No I/O: `http` sends the request.

use bytes::Bytes;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::http::response::Parts;
use hyper::{Method, Request, StatusCode, Uri};
use plan::ServiceName;
use wire::argument::{Argument, Format};
use wire::keys;
use wire::meta::{Meta, Writer};
use wire::motan2::Frame;

use super::http::{SHOWN, show};
use crate::answer::{Exception, Made};
use crate::failure::{Failure, Kind};
use crate::http;

/// What every service is called under, whatever else it is called.
const MESH_DOMAIN: &str = "mesh";
/// Headers of this prefix are between agents.
const OURS: &str = "x-mesh-";
/// Keys of this prefix mean something to Motan callers: no header may pass for one.
const MOTAN: &[u8] = b"m_";
/// Characters of a response's body that become the words of an exception: a thin client reads metadata of 8 KiB.
const MAX_WORDS: usize = 4096;

/// The HTTP request that a frame asks for.
///
/// # Errors
/// Parameters that HTTP has no place for, or metadata that are no request.
pub(super) fn request(name: &ServiceName, frame: &Frame<'_>) -> Result<Request<Bytes>, Failure> {
    let meta = frame.meta;
    let argument = format(frame)?
        .read(frame.body)
        .map_err(|error| bad(format!("{name}: {error}")))?;
    let method = match meta.find(keys::HTTP_METHOD) {
        Some(method) => Method::from_bytes(method)
            .ok()
            .filter(|method| method != Method::CONNECT),
        None => Some(Method::GET),
    };
    let method = method.ok_or_else(|| bad("HTTP_Method is not a method that can be sent"))?;
    let mut headers = headers(meta, name);
    let mut query = meta
        .find(keys::HTTP_QUERY)
        .map(http::path::encode_query)
        .unwrap_or_default();
    let body = match argument {
        Argument::None => Bytes::new(),
        Argument::Text(text) => Bytes::from(text.into_owned()),
        Argument::Map(pairs) => {
            let form = form(pairs.iter().map(|(key, value)| (&**key, &**value)));
            if method == Method::GET {
                join(&mut query, &form);
                Bytes::new()
            } else {
                headers.insert(
                    CONTENT_TYPE,
                    HeaderValue::from_static("application/x-www-form-urlencoded"),
                );
                Bytes::from(form)
            }
        }
    };
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = target(meta, &query)?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// The serialization that is read and answered in.
pub(super) fn format(frame: &Frame<'_>) -> Result<Format, Failure> {
    Format::of(frame.header.serialization())
        .map_err(|error| Failure::unsent(Kind::Unsupported, format!("service not support: {error}")))
}

fn target(meta: Meta<'_>, query: &str) -> Result<Uri, Failure> {
    let path = http::path::normal(meta.find(keys::METHOD).unwrap_or_default());
    let mut target = http::path::encode(&path);
    if !query.is_empty() {
        target.push('?');
        target.push_str(query);
    }
    target
        .parse()
        .map_err(|error| bad(format!("M_m and HTTP_QueryString are no request target: {error}")))
}

/// What the metadata say as headers; a key that is no header's name is left out.
fn headers(meta: Meta<'_>, name: &ServiceName) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut host = None;
    for (key, value) in meta.pairs() {
        if keys::HTTP_HOSTS.contains(&key) {
            host = HeaderValue::from_bytes(value).ok();
            continue;
        }
        if is_not_a_header(key) {
            continue;
        }
        let key = key.strip_prefix(keys::HTTP_PREFIX).unwrap_or(key);
        let name = HeaderName::from_bytes(key).ok();
        if let Some((name, value)) = name.zip(HeaderValue::from_bytes(value).ok())
            && !name.as_str().starts_with(OURS)
        {
            headers.insert(name, value);
        }
    }
    // The message that hyper writes has its own framing and connection.
    http::strip_hop_by_hop(&mut headers);
    headers.remove(CONTENT_LENGTH);
    headers.remove(EXPECT);
    headers.remove(HOST);
    let own = || HeaderValue::from_str(&own_host(name)).ok();
    if let Some(host) = host.or_else(own) {
        headers.insert(HOST, host);
    }
    show(meta, &mut headers);
    headers
}

fn is_not_a_header(key: &[u8]) -> bool {
    matches!(
        key,
        keys::HTTP_PROXY | keys::HTTP_METHOD | keys::HTTP_QUERY | keys::HOST | b"Host"
    ) || SHOWN.iter().any(|(shown, _)| *shown == key)
}

/// `<name>.<namespace>.mesh`.
pub(super) fn own_host(name: &ServiceName) -> String {
    let (namespace, name) = name.as_str().split_once('/').unwrap_or_default();
    format!("{name}.{namespace}.{MESH_DOMAIN}")
}

fn form<'a>(pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> String {
    let mut form = String::new();
    for (key, value) in pairs {
        if !form.is_empty() {
            form.push('&');
        }
        form.extend(form_urlencoded::byte_serialize(key));
        form.push('=');
        form.extend(form_urlencoded::byte_serialize(value));
    }
    form
}

fn join(query: &mut String, more: &str) {
    if !query.is_empty() && !more.is_empty() {
        query.push('&');
    }
    query.push_str(more);
}

fn bad(words: impl Into<std::borrow::Cow<'static, str>>) -> Failure {
    Failure::unsent(Kind::BadRequest, words)
}

/// What the caller is told of a response: its headers as metadata, its body as bytes. With `http_exception` a status from
/// 400 up is an exception of the program.
pub(super) fn reply(http_exception: bool, format: Format, parts: &Parts, body: &[u8]) -> Made {
    let code = parts.status.as_u16();
    let mut meta = Vec::new();
    let mut writer = Writer::new(&mut meta);
    for name in parts.headers.keys() {
        // Metadata hold one value of a key: the last, as with the existing agent.
        let last = parts.headers.get_all(name).iter().next_back();
        let key = canonical(name.as_str());
        if let Some(value) = last
            && !is_of_motan(&key)
        {
            writer.pair(&key, value.as_bytes());
        }
    }
    writer.number(keys::UPSTREAM_CODE, code.into());
    if http_exception && code >= StatusCode::BAD_REQUEST.as_u16() {
        let words = String::from_utf8_lossy(body);
        let words = words.chars().take(MAX_WORDS).collect();
        return Made {
            serialization: 0,
            meta,
            body: Vec::new(),
            exception: Some(Exception {
                code: code.into(),
                words,
            }),
        };
    }
    let mut value = Vec::with_capacity(body.len() + 8);
    format.write_bytes(&mut value, body);
    Made {
        serialization: format.number(),
        meta,
        body: value,
        exception: None,
    }
}

/// A header's name as the existing agent spells it: `Content-Type`. Metadata keys tell upper from lower case.
fn canonical(name: &str) -> Vec<u8> {
    let mut at_start = true;
    let upper = |byte: u8| {
        let byte = if at_start { byte.to_ascii_uppercase() } else { byte };
        at_start = byte == b'-';
        byte
    };
    name.bytes().map(upper).collect()
}

fn is_of_motan(key: &[u8]) -> bool {
    let begins = |prefix: &[u8]| {
        key.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    begins(MOTAN) || begins(OURS.as_bytes())
}

#[cfg(test)]
mod tests;
