//! A program that speaks Motan, asked by HTTP: the request that travelled in the frame becomes the call that its route
//! says, and the answer an HTTP response. Which call and which response is decided in `translate`.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hyper::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode, Uri};
use relay::{ConnectionId, Parcel};
use translate::rest::{Reply, Rest, Step};
use translate::{Answer, Asked, problem};
use wire::error;
use wire::keys;
use wire::motan2::{self, DEFAULT_LIMIT, EXCEPTION, Frame, Header, SIMPLE, bits};
use wire::value::{self, Value, Values};

use super::http::read_head;
use super::motan;
use crate::answer;
use crate::body::{self, Form};
use crate::call::Call;
use crate::failure::{Failure, Kind};
use crate::http::{self, names};
use crate::live::Export;
use crate::observe::metrics::Outcome;
use crate::worker::Worker;

/// A call that was asked for by HTTP, and how its answer is written.
#[derive(Debug)]
pub(crate) struct Translated {
    call: translate::rest::Call,
    pub(crate) path: Box<str>,
    pub(crate) is_head: bool,
}

/// Asks the program for what an HTTP request means. Gives the link that the call was put on.
pub(crate) fn start(
    worker: &Rc<Worker>,
    export: &Arc<Export>,
    mut parcel: Parcel<Call>,
    now: Instant,
) -> Option<ConnectionId> {
    let Some(rest) = &export.front.rest else {
        let words = "the service has no routes any more";
        answer::with_failure(worker, parcel, Failure::perhaps(Kind::Unsupported, words), now);
        return None;
    };
    match translate(rest, &parcel.request) {
        Ok((Step::Call(call), path, is_head)) => {
            let mut request = worker.take_buffer(parcel.request.len());
            let written = write(&mut request, &parcel.request, &call);
            worker.give_buffer(std::mem::replace(&mut parcel.request, request));
            if let Err(failure) = written {
                answer::with_failure(worker, parcel, failure, now);
                return None;
            }
            parcel.call.translated = Some(Box::new(Translated { call, path, is_head }));
            motan::place(worker, export, parcel, now)
        }
        Ok((Step::Answer(answered), _, is_head)) => {
            let outcome = answer::by_status(answered.status.as_u16());
            respond(worker, parcel, &answered, is_head, outcome, now);
            None
        }
        Err(failure) => {
            answer::with_failure(worker, parcel, failure, now);
            None
        }
    }
}

fn translate(rest: &Rest, request: &[u8]) -> Result<(Step, Box<str>, bool), Failure> {
    let request = HttpRequest::read(request)?;
    let step = rest.ask(request.asked());
    Ok((step, request.uri.path().into(), request.method == Method::HEAD))
}

/// The HTTP request that a frame carries.
pub(super) struct HttpRequest<'a> {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    body: &'a [u8],
}

impl<'a> HttpRequest<'a> {
    pub(super) fn read(request: &'a [u8]) -> Result<Self, Failure> {
        let bad = || Failure::unsent(Kind::BadRequest, "the frame is not an HTTP request");
        let Frame { header, meta, body } = decode(request)?;
        if header.serialization() != SIMPLE || header.kind & bits::GZIP != 0 {
            return Err(bad());
        }
        let mut values = Values::new(body);
        let mut parameter = || values.next().ok().flatten().as_ref().and_then(Value::bytes);
        let head = parameter().ok_or_else(bad)?;
        let body = parameter().unwrap_or_default();
        let (method, uri, mut headers) = read_head(&Bytes::copy_from_slice(head)).ok_or_else(bad)?;
        headers.remove(names::MIRROR); // only agents say so
        if meta.find(keys::MESH_MIRROR).is_some() {
            headers.insert(names::MIRROR, HeaderValue::from_static("true"));
        }
        Ok(Self {
            method,
            uri,
            headers,
            body,
        })
    }

    pub(super) fn asked(&self) -> Asked<'_> {
        Asked {
            method: &self.method,
            path: self.uri.path(),
            query: self.uri.query(),
            headers: &self.headers,
            body: self.body,
        }
    }
}

fn decode(request: &[u8]) -> Result<Frame<'_>, Failure> {
    let frame = motan2::decode(request, DEFAULT_LIMIT).ok().flatten();
    let (frame, _) = frame.ok_or_else(|| Failure::unsent(Kind::BadRequest, "the request can't be read"))?;
    Ok(frame)
}

/// The frame that the program gets: metadata as it came, but for what the route says.
fn write(out: &mut Vec<u8>, request: &[u8], call: &translate::rest::Call) -> Result<(), Failure> {
    let Frame { header, meta, .. } = decode(request)?;
    let header = Header {
        kind: header.kind & !bits::GZIP,
        serialization: call.serialization() << 3,
        ..header
    };
    motan2::encode(
        out,
        header,
        |pairs| {
            pairs.copy(meta, |key| {
                !matches!(
                    key,
                    keys::METHOD | keys::DESCRIPTOR | keys::HTTP_PROXY | keys::HTTP_METHOD | keys::HTTP_QUERY
                )
            });
            pairs.pair(keys::METHOD, call.method().as_bytes());
            if let Some(descriptor) = call.descriptor() {
                pairs.pair(keys::DESCRIPTOR, descriptor.as_bytes());
            }
        },
        |out| out.extend_from_slice(&call.parameters),
    );
    if out.len() > DEFAULT_LIMIT {
        return Err(Failure::unsent(Kind::TooLarge, "the call has over 10 MiB"));
    }
    Ok(())
}

/// The program has answered.
pub(crate) fn answered(
    worker: &Rc<Worker>,
    parcel: Parcel<Call>,
    translated: &Translated,
    frame: &Frame<'_>,
    now: Instant,
) {
    let answered = match read(translated, frame) {
        Ok(answered) => answered,
        Err(failure) => return answer::with_failure(worker, parcel, failure, now),
    };
    let outcome = match frame.header.status {
        EXCEPTION => Outcome::AppError,
        _ => answer::by_status(answered.status.as_u16()),
    };
    respond(worker, parcel, &answered, translated.is_head, outcome, now);
}

fn read(translated: &Translated, frame: &Frame<'_>) -> Result<Answer, Failure> {
    if frame.header.status == EXCEPTION {
        let said = frame.meta.find(keys::EXCEPTION).unwrap_or_default();
        let exception = error::read(said).map_err(|error| {
            let words = format!("convert response fail: the program's exception can't be read: {error}");
            Failure::perhaps(Kind::BadAnswer, words)
        })?;
        return Ok(translated.call.answer(Reply::Exception(&exception)));
    }
    let form = Form::of(frame.header.kind, frame.body.len(), None, false);
    let body = if form == Form::AsItCame {
        Cow::Borrowed(frame.body)
    } else {
        let mut inflated = Vec::new();
        form.write(frame.body, &mut inflated).map_err(body::unusable)?;
        Cow::Owned(inflated)
    };
    Ok(translated.call.answer(Reply::Result {
        serialization: frame.header.serialization(),
        body: &body,
    }))
}

/// The program has not answered in time. No other place could mend that, so the caller is told as of everything else
/// that went wrong behind the routes.
pub(crate) fn overdue(
    worker: &Rc<Worker>,
    parcel: Parcel<Call>,
    path: &str,
    is_head: bool,
    failure: &Failure,
    now: Instant,
) {
    let (status, title) = (StatusCode::GATEWAY_TIMEOUT, "The program took too long");
    let answered = problem(status, failure.kind.as_str(), title, &failure.words, path);
    let outcome = Outcome::Failed(failure.kind);
    respond(worker, parcel, &answered, is_head, outcome, now);
}

/// Tells the caller.
pub(super) fn respond(
    worker: &Rc<Worker>,
    parcel: Parcel<Call>,
    answered: &Answer,
    is_head: bool,
    outcome: Outcome,
    now: Instant,
) {
    let Answer {
        status,
        content_type,
        allow,
        body,
    } = answered;
    let mut headers = HeaderMap::new();
    if let Some(media) = content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    if let Some(allow) = allow
        .as_deref()
        .and_then(|allow| HeaderValue::from_str(allow).ok())
    {
        headers.insert(ALLOW, allow);
    }
    let mut head = Vec::with_capacity(512);
    http::write_response_head(&mut head, *status, None, &headers);
    let body: &[u8] = if is_head { &[] } else { body };
    if head.len() + body.len() > http::MAX_BODY {
        let failure = Failure::perhaps(Kind::TooLarge, "the program's answer is over 10 MiB in JSON");
        return answer::with_failure(worker, parcel, failure, now);
    }
    let write = |out: &mut Vec<u8>| value::write_two(out, |out| out.extend_from_slice(&head), body);
    answer::with_response(worker, parcel, status.as_u16(), write, outcome, now);
}
