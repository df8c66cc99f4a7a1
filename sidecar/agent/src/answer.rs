//! How a call ends: its caller is told and its record is closed, here and nowhere else.

use std::rc::Rc;
use std::time::Instant;

use relay::Parcel;
use wire::error::{self, ErrorType};
use wire::keys;
use wire::meta::Meta;
use wire::motan2::{EXCEPTION, Frame, Header};

use crate::call::{Call, Caller, Reply, Target};
use crate::failure::Failure;
use crate::listen;
use crate::observe::metrics::Outcome;
use crate::worker::Worker;

/// HTTP statuses from here up say that the program failed.
const SERVER_ERROR: u16 = 500;

/// The other side has answered.
pub(crate) fn with_frame(worker: &Rc<Worker>, parcel: Parcel<Call>, frame: &Frame<'_>, now: Instant) {
    let Parcel { call, request, .. } = parcel;
    let Call {
        caller,
        target,
        record,
        at,
        ..
    } = call;
    let outcome = judge(&target, frame);
    let endpoint = at.as_ref().map_or("", |at| at.endpoint().address.as_str());
    let took = now.saturating_duration_since(record.started);
    let told = match caller {
        Caller::Motan(turn) => listen::motan::reply(worker, &turn, &target, frame, endpoint, took),
        Caller::Task(waiting) => waiting.send(Ok(Reply::copy(frame))).is_ok(),
    };
    let outcome = if told { outcome } else { Outcome::Cancelled };
    record.close(outcome, now, &request, endpoint);
    worker.give_buffer(request);
}

/// The mesh could not do it.
pub(crate) fn with_failure(worker: &Rc<Worker>, parcel: Parcel<Call>, failure: Failure, now: Instant) {
    let Parcel { call, request, .. } = parcel;
    let Call {
        caller,
        target,
        record,
        at,
        tried,
        ..
    } = call;
    let last = at.as_ref().map(|at| at.endpoint()).or(tried.last());
    let endpoint = last.map_or("", |endpoint| endpoint.address.as_str());
    let outcome = Outcome::Failed(failure.kind);
    let took = now.saturating_duration_since(record.started);
    let told = match caller {
        Caller::Motan(turn) => {
            let is_server = matches!(target, Target::Export(_));
            listen::motan::refuse(worker, turn.to, turn.id, &failure, is_server, took)
        }
        Caller::Task(waiting) => waiting.send(Err(failure)).is_ok(),
    };
    let outcome = if told { outcome } else { Outcome::Cancelled };
    record.close(outcome, now, &request, endpoint);
    worker.give_buffer(request);
}

/// The local program has answered by HTTP with this status; `body` writes the value that carries its response.
pub(crate) fn with_value(
    worker: &Rc<Worker>,
    parcel: Parcel<Call>,
    status: u16,
    body: impl FnOnce(&mut Vec<u8>),
    now: Instant,
) {
    let Parcel { call, request, .. } = parcel;
    let Call {
        caller, record, at, ..
    } = call;
    let outcome = by_status(status);
    let endpoint = at.as_ref().map_or("", |at| at.endpoint().address.as_str());
    let took = now.saturating_duration_since(record.started);
    let told = match caller {
        Caller::Motan(turn) => listen::motan::reply_http(worker, &turn, status, body, took),
        Caller::Task(_) => false, // tasks call services, not the program
    };
    let outcome = if told { outcome } else { Outcome::Cancelled };
    record.close(outcome, now, &request, endpoint);
    worker.give_buffer(request);
}

/// What an answer means for the counters.
fn judge(target: &Target, frame: &Frame<'_>) -> Outcome {
    if frame.header.status == EXCEPTION {
        return match target {
            Target::Export(_) => Outcome::AppError,
            Target::Service(_) if is_of_the_program(frame.meta) => Outcome::AppError,
            Target::Service(_) => Outcome::RemoteError,
        };
    }
    let status = frame.meta.find(keys::UPSTREAM_CODE);
    let status: Option<u16> = status.and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
    status.map_or(Outcome::Ok, by_status)
}

const fn by_status(status: u16) -> Outcome {
    if status >= SERVER_ERROR {
        Outcome::AppError
    } else {
        Outcome::Ok
    }
}

fn is_of_the_program(meta: Meta<'_>) -> bool {
    let exception = meta.find(keys::EXCEPTION).and_then(|json| error::read(json).ok());
    exception.is_some_and(|exception| exception.kind == ErrorType::Biz)
}

impl Reply {
    /// Copies a frame out of the read buffer: its reader runs later.
    fn copy(frame: &Frame<'_>) -> Self {
        let Frame { header, meta, body } = *frame;
        Self {
            header: Header { ..header },
            meta: meta.as_bytes().to_vec(),
            body: body.to_vec(),
        }
    }
}
