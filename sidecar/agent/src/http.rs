//! What both sides of an HTTP call share: limits, bodies, and heads as text (motan-wire 7.2).

pub(crate) mod body;
pub(crate) mod grpc;
pub(crate) mod message;
pub(crate) mod names;
pub(crate) mod path;
pub(crate) mod tunnel;
pub(crate) mod under_way;
pub(crate) mod watched;

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::ext::ReasonPhrase;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use hyper::{Method, StatusCode};

use crate::failure::Kind;
use crate::worker::{Held, Worker};
use body::BodyError;

/// The largest body, either way: what fits into a frame with its head beside it.
pub(crate) const MAX_BODY: usize = wire::motan2::DEFAULT_LIMIT - MAX_HEAD - 64;
/// The largest head, in bytes.
pub(crate) const MAX_HEAD: usize = 64 * 1024;
/// The most headers in a head.
pub(crate) const MAX_HEADERS: usize = 256;

/// A body up to this size, in bytes, travels as a whole in a Motan frame; a larger one as a stream.
pub(crate) const MAX_WHOLE: usize = 64 * 1024;
/// How much of one stream may be on its way unread, in bytes: a round trip of 2 ms at 1 Gbit/s.
pub(crate) const STREAM_WINDOW: u32 = 256 * 1024;
/// The same for all streams of a connection, so that some that are not read do not hold up the others.
pub(crate) const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
/// Streams at a time on one connection that others made.
pub(crate) const MAX_STREAMS: u32 = 256;
/// How often another agent is asked whether it lives while streams are open to it.
pub(crate) const PING_EVERY: Duration = Duration::from_secs(5);
/// How long its answer may take; then the connection is given up.
pub(crate) const PING_WITHIN: Duration = Duration::from_secs(5);
/// How long the body of a response without a length may take to be whole, where it is small: then it goes back in one
/// piece. Programs often write such a body in two or three pieces at once.
pub(crate) const GRACE: Duration = Duration::from_millis(2);
/// How long a body may stand still, both ways, before its stream is ended.
pub(crate) const BODY_IDLE: Duration = Duration::from_secs(300);

/// Runs what hyper wants to be run, as tasks that end with the worker.
#[derive(Clone)]
pub(crate) struct Hands(pub(crate) Rc<Worker>);

impl<F: Future + 'static> hyper::rt::Executor<F> for Hands {
    fn execute(&self, task: F) {
        self.0.spawn(async {
            task.await;
        });
    }
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const PROXY_AUTHORIZATION: HeaderName = HeaderName::from_static("proxy-authorization");

/// Why a body is not read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ungathered {
    /// Over [`MAX_BODY`].
    #[error("it is over 10 MiB")]
    TooLarge,
    /// The worker holds too much already.
    #[error("the sidecar holds as many bodies as it may")]
    Overloaded,
    /// Nothing of it came for [`BODY_IDLE`].
    #[error("it does not go on")]
    Halted,
    /// The connection broke.
    #[error("it broke off: {0}")]
    Broken(#[source] BodyError),
}

impl Ungathered {
    /// What failed; `fault` where it is the one who sends it.
    pub(crate) const fn kind(&self, fault: Kind) -> Kind {
        match self {
            Self::TooLarge => Kind::TooLarge,
            Self::Overloaded => Kind::Overloaded,
            Self::Halted | Self::Broken(_) => fault,
        }
    }
}

/// Reads a whole body; what it takes is on `held` as it arrives. Trailers are left out.
pub(crate) async fn gather<B>(body: B, held: &mut Held) -> Result<Bytes, Ungathered>
where
    B: hyper::body::Body<Data = Bytes, Error: Into<BodyError>> + Unpin,
{
    gather_all(body, held).await.map(|(body, _)| body)
}

/// Reads a whole body and the trailers after it.
pub(crate) async fn gather_all<B>(
    mut body: B,
    held: &mut Held,
) -> Result<(Bytes, Option<HeaderMap>), Ungathered>
where
    B: hyper::body::Body<Data = Bytes, Error: Into<BodyError>> + Unpin,
{
    let mut gathered = BytesMut::new();
    let mut trailers = None;
    loop {
        let frame = tokio::time::timeout(BODY_IDLE, body.frame()).await;
        let Some(frame) = frame.map_err(|_| Ungathered::Halted)? else {
            return Ok((gathered.freeze(), trailers));
        };
        let frame = frame.map_err(|error| Ungathered::Broken(error.into()))?;
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(other) => {
                trailers = other.into_trailers().ok();
                continue;
            }
        };
        let length = gathered.len() + data.len();
        if length > MAX_BODY {
            return Err(Ungathered::TooLarge);
        }
        if !held.resize(length) {
            return Err(Ungathered::Overloaded);
        }
        if gathered.is_empty() && body.is_end_stream() {
            return Ok((data, trailers)); // the usual case, not copied
        }
        gathered.extend_from_slice(&data);
    }
}

/// Removes what concerns one connection only (RFC 9110 7.6.1). What says whom and how much a message is for concerns all,
/// whatever `Connection` names.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name| *name != HOST && *name != CONTENT_LENGTH)
        .collect();
    let fixed = [
        CONNECTION,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        PROXY_AUTHORIZATION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ];
    for name in named.iter().chain(&fixed) {
        headers.remove(name);
    }
}

/// Removes from trailers what may not be there: whatever frames a message, says whom it is for, or concerns one connection
/// only (RFC 9110 6.5.1).
pub(crate) fn strip_trailers(trailers: &mut HeaderMap) {
    strip_hop_by_hop(trailers);
    trailers.remove(HOST);
    trailers.remove(CONTENT_LENGTH);
    names::strip(trailers);
}

/// The same, where trailers may follow: what says so stays (RFC 9110 6.5).
pub(crate) fn strip_hop_by_hop_of_stream(headers: &mut HeaderMap) {
    let takes_trailers = headers
        .get_all(TE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"));
    let trailer = headers.remove(TRAILER);
    strip_hop_by_hop(headers);
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(trailer) = trailer {
        headers.insert(TRAILER, trailer);
    }
}

/// Whether a request may be repeated although it may have been acted on (RFC 9110 9.2.2).
pub(crate) fn is_repeatable(method: &Method) -> bool {
    method.is_idempotent()
}

/// Parsed headers as a map with room for `more`, repeated ones in their order; their values are slices of the `head` that
/// they were parsed from. `None` for what hyper would not accept.
pub(crate) fn headers(parsed: &[httparse::Header<'_>], head: &Bytes, more: usize) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(parsed.len() + more);
    for header in parsed {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(head.slice_ref(header.value)).ok()?;
        headers.append(name, value);
    }
    Some(headers)
}

/// Appends a request head in origin form.
pub(crate) fn write_request_head(head: &mut Vec<u8>, method: &Method, target: &str, headers: &HeaderMap) {
    for part in [method.as_str(), " ", target, " HTTP/1.1\r\n"] {
        head.extend_from_slice(part.as_bytes());
    }
    write_headers(head, headers);
}

/// Appends a response head.
pub(crate) fn write_response_head(
    head: &mut Vec<u8>,
    status: StatusCode,
    reason: Option<&ReasonPhrase>,
    headers: &HeaderMap,
) {
    let canonical = status.canonical_reason().unwrap_or_default().as_bytes();
    let reason = reason.map_or(canonical, ReasonPhrase::as_bytes);
    for part in [b"HTTP/1.1 ", status.as_str().as_bytes(), b" ", reason, b"\r\n"] {
        head.extend_from_slice(part);
    }
    write_headers(head, headers);
}

fn write_headers(head: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
}
