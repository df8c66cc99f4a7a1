//! A program that speaks HTTP/1.1: the request head and body that travelled in the frame are sent over a kept-alive
//! connection, and the response goes back the same way (motan-wire 7.3 a).

mod clients;
mod exchange;
mod upgrade;

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame as BodyFrame};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::http::response::Parts;
use hyper::{Method, Request, Response, StatusCode, Uri};
use plan::Protocol;
use relay::Parcel;
use wire::keys;
use wire::meta::Meta;
use wire::motan2::{self, DEFAULT_LIMIT, Frame, SIMPLE, bits};
use wire::value::{self, Value, Values};

use super::called;
use crate::answer;
use crate::call::{Call, Target};
use crate::failure::{Failure, Kind};
use crate::governed::limits::Permit;
use crate::http;
use crate::http::body::{Body, BodyError};
use crate::http::names;
use crate::live::Export;
use crate::observe::metrics::Outcome;
use crate::outbound::attempt;
use crate::said::Said;
use crate::worker::{Held, Worker, now};
pub(crate) use clients::Clients;
pub(crate) use exchange::{Speaks, exchange, speaks};
pub(crate) use upgrade::upgrade;

/// Motan keys that an HTTP program sees as headers (motan-wire 7.3).
pub(super) static SHOWN: [(&[u8], HeaderName); 11] = [
    (keys::PATH, HeaderName::from_static("motan-p")),
    (keys::METHOD, HeaderName::from_static("motan-m")),
    (keys::DESCRIPTOR, HeaderName::from_static("motan-md")),
    (keys::GROUP, HeaderName::from_static("motan-g")),
    (keys::PROTOCOL, HeaderName::from_static("motan-pp")),
    (keys::VERSION, HeaderName::from_static("motan-v")),
    (keys::MODULE, HeaderName::from_static("motan-mdu")),
    (keys::SOURCE, HeaderName::from_static("motan-s")),
    (keys::REQUEST_ID, HeaderName::from_static("motan-rid")),
    (keys::TIMEOUT, HeaderName::from_static("motan-tmo")),
    (keys::MESH_MIRROR, names::MIRROR),
];
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Starts a call to the program; its task tells the caller. `is_http` where the frame carries an HTTP request as it is;
/// otherwise a Motan caller wants one made.
pub(crate) fn start(worker: &Rc<Worker>, export: &Arc<Export>, mut parcel: Parcel<Call>, is_http: bool) {
    parcel.call.is_converted = !is_http;
    worker.spawn(serve(Rc::clone(worker), Arc::clone(export), parcel));
}

/// The same for a program in another pod that has no agent: the caller's agent stands in for it.
pub(crate) fn start_without_agent(worker: &Rc<Worker>, export: &Arc<Export>, parcel: Parcel<Call>) {
    let is_http = carries_http(&parcel.request);
    if export.protocol == Protocol::Grpc && !is_http {
        return super::grpc::start(worker, export, parcel);
    }
    start(worker, export, parcel, is_http);
}

async fn serve(worker: Rc<Worker>, export: Arc<Export>, mut parcel: Parcel<Call>) {
    parcel.call.at.get_or_insert_with(|| export.backend.enter());
    parcel.call.record.attempt();
    let is_converted = parcel.call.is_converted;
    let takes_stream = parcel.call.takes_stream && !is_converted;
    let place = &mut parcel.call.record.permit;
    let request = &parcel.request;
    let exchange = async {
        let frame = frame(request)?;
        let (request, format) = if is_converted {
            (
                called::request(&export.name, &frame)?.map(Body::whole),
                Some(called::format(&frame)?),
            )
        } else {
            let request = rebuild(&frame)?;
            takes(&export, request.headers())?;
            (request, None)
        };
        let request = rewritten(&export, request);
        let (exchanged, on) = ask(&worker, &export, request, takes_stream.then_some(place)).await?;
        Ok((exchanged, on, format))
    };
    let timeout = || Failure::perhaps(Kind::Timeout, "the program did not answer in time");
    let result = tokio::time::timeout_at(parcel.deadline.into(), exchange).await;
    match result.unwrap_or_else(|_| Err(timeout())) {
        Ok((exchanged, on, format)) => {
            if matches!(parcel.call.target, Target::Service(_)) {
                worker.pool.borrow_mut().reached(&export.backend);
            }
            let Exchanged {
                parts,
                body,
                token,
                _held,
            } = exchanged;
            let status = parts.status.as_u16();
            let parcel = match parcel.call.target {
                Target::Service(_) => attempt::answered_directly(&worker, parcel, status, now()),
                Target::Export(_) => Some(parcel),
            };
            let Some(parcel) = parcel else {
                return;
            };
            if let Some(format) = format {
                let made = called::reply(export.http_exception, format, &parts, &body);
                answer::with_made(&worker, parcel, &made, status, now());
            } else {
                let reason = parts.extensions.get::<hyper::ext::ReasonPhrase>();
                let head = |out: &mut Vec<u8>| {
                    http::write_response_head(out, parts.status, reason, &parts.headers);
                };
                let write = |out: &mut Vec<u8>| value::write_two(out, head, &body);
                let token = token.as_deref();
                answer::with_value(&worker, parcel, (status, token), write, now());
            }
            if let Some(sender) = on {
                clients::keep(&worker, &export.backend.address, sender).await;
            }
        }
        Err(failure) => match parcel.call.target {
            Target::Service(_) => attempt::unanswered(&worker, parcel, failure, now()),
            Target::Export(_) => answer::with_failure(&worker, parcel, failure, now()),
        },
    }
}

/// A program that speaks gRPC is asked in gRPC, or whatever it may take for it, as gRPC for browsers.
///
/// # Errors
/// The request is neither, and nothing says how it becomes a call.
pub(crate) fn takes(export: &Export, headers: &HeaderMap) -> Result<(), Failure> {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if export.protocol != Protocol::Grpc || kind.is_some_and(|kind| kind.starts_with(b"application/grpc")) {
        return Ok(());
    }
    let words = format!(
        "{} speaks grpc: to call it by HTTP and JSON let its MeshService declare spec.grpc.descriptorSet, or call it by gRPC",
        export.name
    );
    Err(Failure::perhaps(Kind::Unsupported, words)) // no other place can do it either
}

/// The request with the path that the program is to get (motan-wire 7.6); the rest of its target stays.
pub(crate) fn rewritten<B>(export: &Export, mut request: Request<B>) -> Request<B> {
    let uri = request.uri();
    if let Some(target) = export.rewrites.target(uri.path(), uri.query()) {
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = target.parse().ok();
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// A response that is here as a whole, without what concerns one connection only.
struct Exchanged {
    parts: Parts,
    body: Bytes,
    /// What the body is fetched with, where it is still coming.
    token: Option<String>,
    _held: Held,
}

/// Whether a call is an HTTP request in a frame.
pub(crate) fn carries_http(request: &[u8]) -> bool {
    frame(request).is_ok_and(|frame| Said::of(frame.meta).is_http())
}

pub(super) fn frame(request: &[u8]) -> Result<Frame<'_>, Failure> {
    let frame = motan2::decode(request, DEFAULT_LIMIT).ok().flatten();
    let (frame, _) = frame.ok_or_else(|| Failure::unsent(Kind::BadRequest, "the request can't be read"))?;
    Ok(frame)
}

/// The HTTP request that a frame carries: parameter 1 its head, parameter 2 its body.
fn rebuild(frame: &Frame<'_>) -> Result<Request<Body>, Failure> {
    let bad = |words: &str| Failure::unsent(Kind::BadRequest, words.to_owned());
    let Frame { header, meta, body } = *frame;
    if header.serialization() != SIMPLE || header.kind & bits::GZIP != 0 {
        let words =
            "an HTTP request must come as plain `simple` values; other serializations and gzip come later";
        return Err(Failure::unsent(Kind::Unsupported, words));
    }
    let carried = Bytes::copy_from_slice(body); // the frame's buffer is used again
    let mut values = Values::new(&carried);
    let mut parameter = || values.next().ok().flatten().as_ref().and_then(Value::bytes);
    let head = parameter().ok_or_else(|| bad("parameter 1 is not an HTTP request head"))?;
    let body = carried.slice_ref(parameter().unwrap_or_default());
    let (method, uri, mut headers) =
        read_head(&carried.slice_ref(head)).ok_or_else(|| bad("parameter 1 is not an HTTP request head"))?;
    http::strip_hop_by_hop(&mut headers);
    headers.remove(CONTENT_LENGTH); // hyper writes the one that is right
    headers.remove(names::MIRROR); // only agents say so
    show(meta, &mut headers);
    let mut request = Request::new(Body::whole(body));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

pub(super) fn read_head(head: &Bytes) -> Option<(Method, Uri, HeaderMap)> {
    let mut parsed = [httparse::EMPTY_HEADER; http::MAX_HEADERS];
    let mut request = httparse::Request::new(&mut parsed);
    if !request.parse(head).ok()?.is_complete() {
        return None;
    }
    let method = Method::from_bytes(request.method?.as_bytes()).ok()?;
    let uri = Uri::from_maybe_shared(head.slice_ref(request.path?.as_bytes())).ok()?;
    // The program is the origin: it gets the origin form, whatever form came (RFC 9112 3.2.1).
    let uri = match uri.into_parts().path_and_query {
        Some(path) => Uri::from(path),
        None => Uri::from_static("/"),
    };
    let headers = http::headers(request.headers, head, SHOWN.len() + 1)?;
    Some((method, uri, headers))
}

/// Adds what the program is told of the call: one pass over the metadata, the last pair of a key counts.
pub(super) fn show(meta: Meta<'_>, headers: &mut HeaderMap) {
    let (mut remote, mut host) = (None, None);
    for (key, value) in meta.pairs() {
        if key == keys::REMOTE_IP {
            remote = Some(value);
        } else if key == keys::HOST {
            host = Some(value);
        } else if let Some((_, name)) = SHOWN.iter().find(|(shown, _)| *shown == key)
            && let Ok(value) = HeaderValue::from_bytes(value)
        {
            headers.insert(name.clone(), value);
        }
    }
    if !headers.contains_key(FORWARDED_FOR)
        && let Some(caller) = remote
            .or(host)
            .and_then(|caller| HeaderValue::from_bytes(caller).ok())
    {
        headers.insert(FORWARDED_FOR, caller);
    }
}

/// Adds what the program is told of a call that came as a stream; `caller` is told where the connection does not tell.
pub(crate) fn show_stream(export: &Export, source: &[u8], caller: Option<&str>, headers: &mut HeaderMap) {
    if !headers.contains_key(FORWARDED_FOR)
        && let Some(Ok(caller)) = caller.map(HeaderValue::from_str)
    {
        headers.insert(FORWARDED_FOR, caller);
    }
    let told: [(&'static str, &[u8]); 4] = [
        ("motan-p", export.path.as_str().as_bytes()),
        ("motan-g", export.group.as_str().as_bytes()),
        ("motan-pp", export.protocol.as_str().as_bytes()),
        ("motan-s", source),
    ];
    for (name, value) in told {
        if let Ok(value) = HeaderValue::from_bytes(value)
            && !value.is_empty()
        {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

/// Sends a request and reads the whole response, unless whoever asked takes one that is still coming: `handing` is the place
/// in the program that goes with its body. Gives the connection that may be used again.
async fn ask(
    worker: &Rc<Worker>,
    export: &Arc<Export>,
    request: Request<Body>,
    handing: Option<&mut Option<Box<Permit>>>,
) -> Result<(Exchanged, Option<clients::Sender>), Failure> {
    let method = request.method().clone();
    match speaks(export, false) {
        Speaks::Http1 => {
            let (response, sender) = exchange::http1(worker, &export.backend, request).await?;
            if let Some(place) = handing.filter(|_| may_be_stream(response.body())) {
                let response = exchange::keeping(worker, &export.backend, response, sender);
                return Ok((hand_over(worker, response, place).await?, None));
            }
            Ok((read(worker, response, &method).await?, Some(sender)))
        }
        Speaks::Http2 => {
            let response = exchange(worker, &export.backend, Speaks::Http2, request).await?;
            if let Some(place) = handing.filter(|_| may_be_stream(response.body())) {
                return Ok((hand_over(worker, response, place).await?, None));
            }
            Ok((read(worker, response, &method).await?, None))
        }
    }
}

fn may_be_stream(body: &impl HttpBody) -> bool {
    !body.is_end_stream()
        && body
            .size_hint()
            .exact()
            .is_none_or(|length| length > http::MAX_WHOLE as u64)
}

/// Waits a moment for the body to be whole; else it is kept to be fetched, and the program works on until its end.
async fn hand_over(
    worker: &Rc<Worker>,
    response: Response<Body>,
    place: &mut Option<Box<Permit>>,
) -> Result<Exchanged, Failure> {
    let (mut parts, mut body) = response.into_parts();
    let mut first = Vec::new();
    let mut is_whole = false;
    if body.size_hint().exact().is_none() {
        // Where the moment is over, what has come is in `first`.
        let begun = tokio::time::timeout(http::GRACE, begin(&mut body, &mut first)).await;
        is_whole = begun.unwrap_or(false);
    }
    let broken = |error: BodyError| {
        let words = format!("the program's reply can't be relayed: it broke off: {error}");
        Failure::perhaps(Kind::Unavailable, words)
    };
    let mut frames = Vec::with_capacity(first.len());
    for frame in first {
        frames.push(frame.map_err(broken)?);
    }
    if is_whole && frames.iter().all(BodyFrame::is_data) {
        let data: Vec<Bytes> = frames
            .into_iter()
            .filter_map(|frame| frame.into_data().ok())
            .collect();
        let body = Bytes::from(data.concat());
        http::strip_hop_by_hop(&mut parts.headers);
        parts
            .headers
            .insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        return Ok(Exchanged {
            parts,
            body,
            token: None,
            _held: worker.budget.hold(),
        });
    }
    http::strip_hop_by_hop_of_stream(&mut parts.headers);
    if let Some(place) = place {
        place.ended(Outcome::Ok, Protocol::Http, now());
    }
    let token = worker.handed.keep(worker, Body::after(frames, body), place);
    let token = token.ok_or_else(|| {
        let words = "too many responses wait to be fetched";
        Failure::perhaps(Kind::Overloaded, words)
    })?;
    Ok(Exchanged {
        parts,
        body: Bytes::new(),
        token: Some(token),
        _held: worker.budget.hold(),
    })
}

/// Reads the first of a body, as much as a whole one may have; true where that is all.
async fn begin(body: &mut Body, into: &mut Vec<Result<BodyFrame<Bytes>, BodyError>>) -> bool {
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let data = frame.as_ref().ok().and_then(BodyFrame::data_ref);
        length += data.map_or(0, Bytes::len);
        into.push(frame);
        if length > http::MAX_WHOLE {
            return false;
        }
    }
    true
}

async fn read<B>(worker: &Worker, response: Response<B>, method: &Method) -> Result<Exchanged, Failure>
where
    B: HttpBody<Data = Bytes, Error: Into<BodyError>> + Unpin,
{
    let (mut parts, body) = response.into_parts();
    let mut held = worker.budget.hold();
    let body = http::gather(body, &mut held).await.map_err(|error| {
        let words = format!("the program's reply can't be relayed: {error}");
        Failure::perhaps(error.kind(Kind::Unavailable), words)
    })?;
    http::strip_hop_by_hop(&mut parts.headers);
    let has_no_body =
        method == Method::HEAD || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !has_no_body {
        parts
            .headers
            .insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    Ok(Exchanged {
        parts,
        body,
        token: None,
        _held: held,
    })
}
