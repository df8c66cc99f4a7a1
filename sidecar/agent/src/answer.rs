//! How a call ends: its caller is told and its record is closed, here and nowhere else.

mod made;
mod passing;

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

pub(crate) use made::{Exception, Made, with_given, with_made};
pub(crate) use passing::{Passed, Passing, begin};
use relay::Parcel;
use wire::error::{self, ErrorType};
use wire::gzip::NotGzip;
use wire::keys;
use wire::message::{Message, Version};
use wire::meta::Meta;
use wire::motan1;
use wire::motan2::{EXCEPTION, Frame, Header, bits};

use crate::body::{self, Form};
use crate::call::{Call, Caller, Reply, Target};
use crate::failure::{Failure, Kind, Reach};
use crate::listen::motan::{self, By, Served};
use crate::live::Endpoint;
use crate::observe::metrics::Outcome;
use crate::provide::rest;
use crate::worker::Worker;

/// Characters of what a program said that are told to its caller, where it could not be read.
const MAX_QUOTE: usize = 200;
/// HTTP statuses from here up say that the program failed.
const SERVER_ERROR: u16 = 500;

/// The other side has answered; `bytes` is the message as it came.
pub(crate) fn with_message(
    worker: &Rc<Worker>,
    parcel: Parcel<Call>,
    message: &Message<'_>,
    bytes: &[u8],
    now: Instant,
) {
    match (parcel.call.caller.version(), message) {
        (Version::Two, Message::Two(frame)) => with_frame(worker, parcel, frame, now),
        (Version::One, Message::One(frame)) => with_frame_one(worker, parcel, *frame, bytes, now),
        (Version::One, Message::Two(frame)) if frame.header.status == EXCEPTION => {
            // How a server agent of ours refuses, whatever it was asked.
            let failure = said_by_agent(frame.meta);
            with_failure(worker, parcel, failure, now);
        }
        (Version::One, Message::Two(_)) | (Version::Two, Message::One(_)) => {
            let words = "receive unsupported msg: the answer has another version than the request";
            with_failure(worker, parcel, Failure::perhaps(Kind::BadAnswer, words), now);
        }
    }
}

fn with_frame(worker: &Rc<Worker>, mut parcel: Parcel<Call>, frame: &Frame<'_>, now: Instant) {
    if let Err(failure) = exception(frame) {
        return with_failure(worker, parcel, failure, now);
    }
    if let Some(translated) = parcel.call.translated.take() {
        return rest::answered(worker, parcel, &translated, frame, now);
    }
    let outcome = judge(&parcel.call, frame.header, frame.meta);
    let took = now.saturating_duration_since(parcel.call.record.started);
    let told = match &parcel.call.caller {
        Caller::Motan(turn) => {
            let served = Served {
                target: &parcel.call.target,
                by: parcel.call.endpoint(),
                took,
            };
            motan::reply(worker, turn, frame, &served)
        }
        Caller::Task(_) | Caller::Copy(_) => Ok(true),
    };
    match told {
        Ok(told) => {
            let by = parcel.call.at.as_ref().map(|at| Arc::clone(at.endpoint()));
            end(worker, parcel, outcome, told, now, |caller| {
                tell(caller, frame, by)
            });
        }
        Err(error) => with_failure(worker, parcel, body::unusable(error), now),
    }
}

/// An exception must say what it is: PHP and Go take one without `M_e` for a good answer (motan-wire 4).
fn exception(frame: &Frame<'_>) -> Result<(), Failure> {
    if frame.header.status != EXCEPTION {
        return Ok(());
    }
    let words = match frame.meta.find(keys::EXCEPTION) {
        Some(said) if error::read(said).is_ok() => return Ok(()),
        Some(said) => {
            let said = String::from_utf8_lossy(said);
            let said: String = said.chars().take(MAX_QUOTE).collect();
            format!("convert response fail: the program's exception is not a JSON object in M_e: {said}")
        }
        None => "convert response fail: the program's exception has no M_e".to_owned(),
    };
    Err(Failure::perhaps(Kind::BadAnswer, words))
}

/// A task gets its own copy of the frame: it runs later.
fn tell(caller: Caller, frame: &Frame<'_>, by: Option<Arc<Endpoint>>) -> bool {
    match caller {
        Caller::Motan(_) | Caller::Copy(_) => true,
        Caller::Task(waiting) => waiting
            .send(Reply::copy(frame, by).map_err(body::unusable))
            .is_ok(),
    }
}

fn with_frame_one(
    worker: &Rc<Worker>,
    parcel: Parcel<Call>,
    frame: motan1::Frame<'_>,
    bytes: &[u8],
    now: Instant,
) {
    let outcome = match motan1::Outcome::read(frame) {
        Ok(motan1::Outcome::Normal | motan1::Outcome::Void) => Outcome::Ok,
        Ok(exception) if exception.is_biz() => Outcome::AppError,
        Ok(motan1::Outcome::Exception(_)) | Err(_) => match parcel.call.target {
            Target::Export(_) => Outcome::AppError,
            Target::Service(_) => Outcome::RemoteError,
        },
    };
    let told = match &parcel.call.caller {
        Caller::Motan(turn) => motan::reply_one(worker, turn, bytes),
        Caller::Task(_) => false, // tasks ask in Motan 2
        Caller::Copy(_) => true,
    };
    end(worker, parcel, outcome, told, now, |_| true);
}

/// The mesh could not do it.
pub(crate) fn with_failure(worker: &Rc<Worker>, mut parcel: Parcel<Call>, failure: Failure, now: Instant) {
    let is_overdue = failure.kind == Kind::Timeout && failure.reach == Reach::Perhaps;
    if is_overdue && let Some(translated) = parcel.call.translated.take() {
        let (path, is_head) = (&translated.path, translated.is_head);
        return rest::overdue(worker, parcel, path, is_head, &failure, now);
    }
    let outcome = Outcome::Failed(failure.kind);
    let took = now.saturating_duration_since(parcel.call.record.started);
    let told = match &parcel.call.caller {
        Caller::Motan(turn) => {
            let by = match parcel.call.target {
                Target::Service(_) => By::ClientAgent,
                Target::Export(_) if parcel.call.is_converted => By::Converter,
                Target::Export(_) => By::ServerAgent,
            };
            motan::refuse(worker, turn, &failure, by, took)
        }
        Caller::Task(_) | Caller::Copy(_) => true,
    };
    end(worker, parcel, outcome, told, now, |caller| match caller {
        Caller::Motan(_) | Caller::Copy(_) => true,
        Caller::Task(waiting) => waiting.send(Err(failure)).is_ok(),
    });
}

/// The lane that a request was to be passed over is not there any more.
pub(crate) fn lost_lane(worker: &Rc<Worker>, parcel: Parcel<Call>, now: Instant) {
    let words = "the connection was lost before the request was written";
    with_failure(worker, parcel, Failure::unsent(Kind::Unavailable, words), now);
}

/// The local program has answered by HTTP with this status; `body` writes the value that carries its response, whose
/// body is fetched with `token` where there is one.
pub(crate) fn with_value(
    worker: &Rc<Worker>,
    parcel: Parcel<Call>,
    (status, token): (u16, Option<&str>),
    body: impl FnOnce(&mut Vec<u8>),
    now: Instant,
) {
    respond(worker, parcel, (status, token), body, by_status(status), now);
}

/// The same with what it means for the counters.
pub(crate) fn with_response(
    worker: &Rc<Worker>,
    parcel: Parcel<Call>,
    status: u16,
    body: impl FnOnce(&mut Vec<u8>),
    outcome: Outcome,
    now: Instant,
) {
    respond(worker, parcel, (status, None), body, outcome, now);
}

fn respond(
    worker: &Rc<Worker>,
    parcel: Parcel<Call>,
    (status, token): (u16, Option<&str>),
    body: impl FnOnce(&mut Vec<u8>),
    outcome: Outcome,
    now: Instant,
) {
    let took = now.saturating_duration_since(parcel.call.record.started);
    let by = parcel.call.at.as_ref().map(|at| Arc::clone(at.endpoint()));
    let mut value = Vec::new();
    let told = match &parcel.call.caller {
        Caller::Motan(turn) => motan::reply_http(worker, turn, (status, token), body, took),
        Caller::Task(_) => {
            body(&mut value);
            true
        }
        Caller::Copy(_) => true,
    };
    end(worker, parcel, outcome, told, now, |caller| match caller {
        Caller::Motan(_) | Caller::Copy(_) => true,
        Caller::Task(waiting) => waiting.send(Ok(Reply::of(value, by))).is_ok(),
    });
}

fn end(
    worker: &Rc<Worker>,
    parcel: Parcel<Call>,
    outcome: Outcome,
    told: bool,
    now: Instant,
    tell: impl FnOnce(Caller) -> bool,
) {
    let Parcel { call, request, .. } = parcel;
    let Call {
        caller,
        record,
        at,
        tried,
        ..
    } = call;
    let last = at.as_ref().map(|at| at.endpoint()).or(tried.last());
    let endpoint = last.map_or("", |endpoint| endpoint.address.as_str());
    let outcome = if told && tell(caller) {
        outcome
    } else {
        Outcome::Cancelled
    };
    record.close(outcome, now, &request, endpoint);
    worker.give_buffer(request);
}

/// What an answer means for the counters.
fn judge(call: &Call, header: Header, meta: Meta<'_>) -> Outcome {
    if header.status == EXCEPTION {
        return match call.target {
            Target::Export(_) => Outcome::AppError,
            Target::Service(_) if is_of_the_program(meta) => Outcome::AppError,
            Target::Service(_) => Outcome::RemoteError,
        };
    }
    // Where a program of Motan stands behind routes, its answer to an HTTP caller is HTTP too.
    if !call.target.speaks_http() && !matches!(call.caller, Caller::Task(_)) {
        return Outcome::Ok;
    }
    status(meta).map_or(Outcome::Ok, by_status)
}

/// The HTTP status that a program has answered with.
pub(crate) fn status(meta: Meta<'_>) -> Option<u16> {
    let status = meta.find(keys::UPSTREAM_CODE)?;
    std::str::from_utf8(status).ok()?.parse().ok()
}

pub(crate) const fn by_status(status: u16) -> Outcome {
    if status >= SERVER_ERROR {
        Outcome::AppError
    } else {
        Outcome::Ok
    }
}

/// Whether an exception is one of the program itself.
pub(crate) fn is_of_the_program(meta: Meta<'_>) -> bool {
    if meta.find(keys::MESH_ERROR).is_some() {
        return false; // an agent's, whatever it is called towards the caller
    }
    let exception = meta.find(keys::EXCEPTION).and_then(|json| error::read(json).ok());
    exception.is_some_and(|exception| exception.kind == ErrorType::Biz)
}

/// The failure that another agent has told in Motan 2, for a caller who can't read that.
fn said_by_agent(meta: Meta<'_>) -> Failure {
    let kind = meta.find(keys::MESH_ERROR).and_then(Kind::of);
    let words = meta.find(keys::EXCEPTION).and_then(|json| error::read(json).ok());
    let words = words.map_or(Cow::Borrowed("the other agent refused"), |exception| {
        Cow::Owned(exception.words)
    });
    Failure::perhaps(kind.unwrap_or(Kind::Unavailable), words)
}

impl Reply {
    /// One that an agent has made: a `simple` value.
    fn of(body: Vec<u8>, by: Option<Arc<Endpoint>>) -> Self {
        Self {
            header: Header {
                kind: bits::RESPONSE,
                ..Header::request(0)
            },
            meta: Vec::new(),
            body,
            by,
        }
    }

    /// Copies a frame out of the read buffer.
    fn copy(frame: &Frame<'_>, by: Option<Arc<Endpoint>>) -> Result<Self, NotGzip> {
        let Frame { header, meta, body } = *frame;
        let form = Form::of(header.kind & bits::GZIP, body.len(), None, false);
        let mut copied = Vec::new();
        form.write(body, &mut copied)?;
        Ok(Self {
            header: Header {
                kind: form.kind(header.kind),
                ..header
            },
            meta: meta.as_bytes().to_vec(),
            body: copied,
            by,
        })
    }
}
