//! A gRPC caller calls a program that speaks Motan 2: its one message becomes the body of a request in serialization
//! `grpc-pb` (motan-wire 5.4), and the reply a message again, or a status.

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::Response;
use hyper::body::Frame as Piece;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use plan::Protocol;
use relay::Parcel;
use tokio::sync::oneshot;
use wire::error::{self, ErrorType, Exception};
use wire::keys;
use wire::meta::{Meta, Writer};
use wire::motan2::{self, EXCEPTION, Header};

use crate::call::{Call, Caller, Reply, Target};
use crate::failure::{Failure, Kind};
use crate::http::body::Body;
use crate::http::message::{self, Carried, NotOne};
use crate::http::under_way::Limit;
use crate::http::{self, BODY_IDLE, grpc, names};
use crate::live::Export;
use crate::observe::metrics::Outcome;
use crate::provide;
use crate::record::Record;
use crate::worker::{Worker, now};

/// Headers that say something of the exchange, not of the call.
const OF_THE_EXCHANGE: [&str; 7] = [
    "content-type",
    "content-length",
    "te",
    "user-agent",
    "host",
    "accept-encoding",
    "expect",
];
/// Names of these prefixes are gRPC's, ours, and Motan's own.
const RESERVED: [&str; 3] = ["grpc-", "x-mesh-", "m_"];

/// Calls the program, and makes a response of whatever comes of it.
pub(super) async fn call(
    worker: &Rc<Worker>,
    export: &Arc<Export>,
    (parts, body): (Parts, Body),
    (peer, limit): (&str, Limit),
    record: Record,
) -> Response<Body> {
    let answered = ask(worker, export, (&parts, body), (peer, limit), record).await;
    match answered.and_then(|reply| read(&reply)) {
        Ok(answer) => answer.respond(),
        Err(failure) => super::stream::refuse(&failure),
    }
}

async fn ask(
    worker: &Rc<Worker>,
    export: &Arc<Export>,
    (parts, body): (&Parts, Body),
    (peer, limit): (&str, Limit),
    record: Record,
) -> Result<Reply, Failure> {
    let mut held = worker.budget.hold(); // until the call has ended
    let gathered = async {
        takes(export)?;
        let body = http::gather(body, &mut held).await.map_err(|error| {
            let words = format!("the request's body can't be relayed: {error}");
            Failure::perhaps(error.kind(Kind::BadRequest), words)
        })?;
        message::read(&body).map_err(not_one)
    };
    let until = match limit {
        Limit::HeadBy(deadline) | Limit::Whole(deadline) => deadline,
        Limit::Head(_) => now() + BODY_IDLE,
    };
    let late = || Failure::unsent(Kind::Timeout, "the request did not come in time");
    let gathered = tokio::time::timeout_at(until.into(), gathered).await;
    let message = match gathered.unwrap_or_else(|_| Err(late())) {
        Ok(message) => message,
        Err(failure) => {
            record.close_of(
                Outcome::Failed(failure.kind),
                now(),
                || parts.uri.path().to_owned(),
                "",
            );
            return Err(failure);
        }
    };
    let now = now();
    let deadline = limit.until(now);
    let (waiting, answered) = oneshot::channel();
    let mut request = worker.take_buffer(message.len());
    write(&mut request, export, parts, (peer, deadline, now), &message);
    let parcel = Parcel {
        call: Call::new(Caller::Task(waiting), Target::Export(Arc::clone(export)), record),
        request,
        deadline,
        is_partial: false,
    };
    provide::motan::place(worker, export, parcel, now);
    // Every call in the core ends, at its deadline if not before.
    answered
        .await
        .unwrap_or_else(|_| Err(Failure::perhaps(Kind::Draining, "the sidecar stopped")))
}

fn takes(export: &Export) -> Result<(), Failure> {
    if export.protocol == Protocol::Motan2 {
        return Ok(());
    }
    let words = format!(
        "{} speaks Motan 1, which has no gRPC messages: call it by Motan 1 on port 9981",
        export.name
    );
    Err(Failure::perhaps(Kind::Unsupported, words))
}

fn not_one(error: NotOne) -> Failure {
    let kind = match error {
        NotOne::Several | NotOne::Compressed => Kind::Unsupported,
        NotOne::None | NotOne::Short => Kind::BadRequest,
    };
    Failure::perhaps(kind, format!("the service speaks Motan, and {error}"))
}

/// The Motan request: the last part of the path is the method.
fn write(
    out: &mut Vec<u8>,
    export: &Export,
    parts: &Parts,
    (peer, deadline, now): (&str, Instant, Instant),
    message: &[u8],
) {
    let (_, method) = parts.uri.path().rsplit_once('/').unwrap_or_default();
    let millis = deadline.saturating_duration_since(now).as_millis();
    let meta = |meta: &mut Writer<'_>| {
        meta.pair(keys::PATH, export.path.as_str().as_bytes());
        meta.pair(keys::METHOD, &http::path::decode(method.as_bytes()));
        meta.pair(keys::GROUP, export.group.as_str().as_bytes());
        meta.pair(keys::PROTOCOL, Protocol::Motan2.as_str().as_bytes());
        if let Some(source) = parts.headers.get(names::SOURCE) {
            meta.pair(keys::SOURCE, source.as_bytes());
        }
        meta.number(keys::TIMEOUT, i64::try_from(millis).unwrap_or(i64::MAX));
        meta.pair(keys::HOST, peer.as_bytes());
        if !parts.headers.contains_key("x-forwarded-for") {
            meta.pair(keys::FORWARDED_FOR, peer.as_bytes());
        }
        for name in parts.headers.keys().filter(|name| is_of_the_call(name)) {
            let last = parts.headers.get_all(name).iter().next_back();
            if let Some(value) = last {
                meta.pair(name.as_str().as_bytes(), value.as_bytes());
            }
        }
    };
    let header = Header {
        serialization: Carried::Plain.number() << 3,
        ..Header::request(0)
    };
    motan2::encode(out, header, meta, |out| Carried::Plain.write(out, message));
}

fn is_of_the_call(name: &HeaderName) -> bool {
    let name = name.as_str();
    !OF_THE_EXCHANGE.contains(&name)
        && !RESERVED.iter().any(|prefix| name.starts_with(prefix))
        && name.as_bytes() != keys::HOST
}

/// What a program answered.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Message(Bytes, HeaderMap),
    Status(u8, String),
}

fn read(reply: &Reply) -> Result<Answer, Failure> {
    let meta = Meta::new(&reply.meta).unwrap_or_default();
    if reply.header.status == EXCEPTION {
        let exception = meta.find(keys::EXCEPTION).and_then(|said| error::read(said).ok());
        let exception = exception.ok_or_else(|| {
            Failure::perhaps(
                Kind::BadAnswer,
                "the program answered with an exception that says nothing",
            )
        })?;
        return Ok(Answer::Status(status(&exception), exception.words));
    }
    let number = reply.header.serialization();
    let message = Carried::of(number).and_then(|carried| carried.read(&reply.body));
    let message = message.ok_or_else(|| {
        let words = format!("the program did not answer with one protobuf message (serialization {number})");
        Failure::perhaps(Kind::BadAnswer, words)
    })?;
    Ok(Answer::Message(Bytes::copy_from_slice(message), metadata(meta)))
}

fn metadata(meta: Meta<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (key, value) in meta.pairs() {
        let is_text = value.iter().all(|byte| matches!(byte, b' '..=b'~'));
        if let Some(name) = HeaderName::from_bytes(key).ok().filter(|_| is_text)
            && is_of_the_call(&name)
            && let Ok(value) = HeaderValue::from_bytes(value)
        {
            headers.insert(name, value);
        }
    }
    http::strip_hop_by_hop(&mut headers);
    headers
}

/// The gRPC status of a program's exception: by the codes of motan-wire 4.1 where the framework made it, UNKNOWN where the
/// program did.
const fn status(exception: &Exception) -> u8 {
    match (exception.kind, exception.code) {
        (ErrorType::Biz, _) => 2,      // UNKNOWN
        (_, 10_003) => 4,              // DEADLINE_EXCEEDED
        (_, 403) => 7,                 // PERMISSION_DENIED
        (_, 10_002 | 10_201) => 8,     // RESOURCE_EXHAUSTED
        (_, 404 | 501 | 10_101) => 12, // UNIMPLEMENTED
        (_, 503 | 1001 | 1002) => 14,  // UNAVAILABLE
        _ => 13,                       // INTERNAL
    }
}

impl Answer {
    fn respond(self) -> Response<Body> {
        let (mut headers, body) = match self {
            Self::Message(message, headers) => {
                let status = HeaderMap::from_iter([(grpc::STATUS, HeaderValue::from_static("0"))]);
                let pieces = [Piece::data(message::write(&message)), Piece::trailers(status)];
                let pieces = futures::stream::iter(pieces.map(Ok::<_, Infallible>));
                (headers, Body::coming(StreamBody::new(pieces)))
            }
            Self::Status(status, words) => {
                let mut headers = HeaderMap::new();
                headers.insert(grpc::STATUS, HeaderValue::from(u16::from(status)));
                if let Ok(words) = HeaderValue::from_maybe_shared(grpc::encode(&words)) {
                    headers.insert(grpc::MESSAGE, words);
                }
                (headers, Body::empty())
            }
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        let mut response = Response::new(body);
        *response.headers_mut() = headers;
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(header: Header, pairs: &[(&str, &str)], body: &[u8]) -> Result<Answer, Failure> {
        let mut meta = Vec::new();
        let mut writer = Writer::new(&mut meta);
        for (key, value) in pairs {
            writer.pair(key.as_bytes(), value.as_bytes());
        }
        let body = body.to_vec();
        read(&Reply {
            header,
            meta,
            body,
            by: None,
        })
    }

    fn of(number: u8) -> Header {
        Header {
            serialization: number << 3,
            ..Header::request(1)
        }
    }

    #[test]
    fn a_value_is_a_message_and_metadata_are_headers() {
        for (number, body) in [(1, &b"\x0a\x01a"[..]), (5, b"\0\x03\x0a\x01a")] {
            let pairs = [
                ("K1", "v1"),
                ("M_pt", "3"),
                ("x-mesh-error", "no"),
                ("grpc-status", "no"),
                ("w", "ü"),
            ];
            let headers =
                HeaderMap::from_iter([(HeaderName::from_static("k1"), HeaderValue::from_static("v1"))]);
            let expected = Answer::Message(Bytes::from_static(b"\x0a\x01a"), headers);
            assert_eq!(answer(of(number), &pairs, body), Ok(expected));
        }
        for (number, body) in [(6, &b"\x01\0\0\0\x01a"[..]), (5, b"\0\x09a")] {
            assert_eq!(answer(of(number), &[], body).unwrap_err().kind, Kind::BadAnswer);
        }
    }

    #[test]
    fn an_exception_is_a_status_by_who_made_it() {
        for (code, kind, status) in [
            (10_001, 1, 13),
            (404, 2, 2),
            (404, 1, 12),
            (10_002, 0, 8),
            (10_003, 1, 4),
            (403, 1, 7),
            (503, 503, 14),
        ] {
            let said = format!(r#"{{"errcode":{code},"errmsg":"words","errtype":{kind}}}"#);
            let read = answer(Header::exception(1), &[("M_e", &said)], b"");
            assert_eq!(
                read,
                Ok(Answer::Status(status, "words".to_owned())),
                "{code} {kind}"
            );
        }
        let read = answer(Header::exception(1), &[], b"");
        assert_eq!(read.unwrap_err().kind, Kind::BadAnswer);
    }
}
