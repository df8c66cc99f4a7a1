//! Answers that an agent makes: of what a program of another protocol said, or of what a policy says instead.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use hyper::HeaderMap;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use relay::Parcel;
use wire::error::{self, ErrorType};
use wire::message::Version;
use wire::meta::{Meta, Writer};
use wire::motan2::{EXCEPTION, Header, SIMPLE};
use wire::value;

use super::{by_status, end, with_failure, with_value};
use crate::call::{Call, Caller, Reply};
use crate::failure::{Failure, Kind};
use crate::governed::gate::Given;
use crate::http;
use crate::listen::motan;
use crate::live::Endpoint;
use crate::provide;
use crate::worker::Worker;

/// A reply for a Motan caller that was made of what a program of another protocol said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    /// The serialization number of `body`.
    pub(crate) serialization: u8,
    /// A metadata block.
    pub(crate) meta: Vec<u8>,
    /// The value.
    pub(crate) body: Vec<u8>,
    /// Instead of a value: an exception of the program.
    pub(crate) exception: Option<Exception>,
}

impl Made {
    /// The same for a task of this worker.
    fn reply(&self, by: Option<Arc<Endpoint>>) -> Reply {
        let header = Header {
            serialization: self.serialization << 3,
            status: if self.exception.is_some() { EXCEPTION } else { 0 },
            ..Header::request(0)
        };
        let mut meta = Vec::new();
        let mut writer = Writer::new(&mut meta);
        writer.copy(Meta::new(&self.meta).unwrap_or_default(), |_| true);
        if let Some(Exception { code, words }) = &self.exception {
            error::write(&mut writer, *code, ErrorType::Biz, words);
        }
        Reply {
            header,
            meta,
            body: self.body.clone(),
            by,
        }
    }
}

/// An exception of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exception {
    pub(crate) code: i64,
    pub(crate) words: String,
}

/// The local program has answered in another protocol, with what counts as this HTTP status.
pub(crate) fn with_made(worker: &Rc<Worker>, parcel: Parcel<Call>, made: &Made, status: u16, now: Instant) {
    let took = now.saturating_duration_since(parcel.call.record.started);
    match &parcel.call.caller {
        Caller::Motan(turn) => {
            let told = motan::reply_made(worker, turn, made, &parcel.call.target, took);
            end(worker, parcel, by_status(status), told, now, |_| true);
        }
        Caller::Task(_) => {
            let reply = made.reply(parcel.call.at.as_ref().map(|at| Arc::clone(at.endpoint())));
            end(
                worker,
                parcel,
                by_status(status),
                true,
                now,
                |caller| match caller {
                    Caller::Motan(_) | Caller::Copy(_) => true,
                    Caller::Task(waiting) => waiting.send(Ok(reply)).is_ok(),
                },
            );
        }
        Caller::Copy(_) => end(worker, parcel, by_status(status), true, now, |_| true),
    }
}

/// The policy has an answer of its own.
pub(crate) fn with_given(worker: &Rc<Worker>, parcel: Parcel<Call>, given: &Given, now: Instant) {
    let is_http = provide::http::carries_http(&parcel.request);
    let version = parcel.call.caller.version();
    if is_http {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(given.json.len()));
        let body = |out: &mut Vec<u8>| {
            let head = |out: &mut Vec<u8>| http::write_response_head(out, given.status, None, &headers);
            value::write_two(out, head, &given.json);
        };
        return with_value(worker, parcel, (given.status.as_u16(), None), body, now);
    }
    match (&given.simple, version) {
        (Some(value), Version::Two) => {
            let made = Made {
                serialization: SIMPLE,
                meta: Vec::new(),
                body: value.clone(),
                exception: None,
            };
            with_made(worker, parcel, &made, given.status.as_u16(), now);
        }
        (None, _) | (_, Version::One) => {
            let words =
                "the service is switched off, and what it answers instead has no form for this caller";
            with_failure(worker, parcel, Failure::unsent(Kind::Degraded, words), now);
        }
    }
}
