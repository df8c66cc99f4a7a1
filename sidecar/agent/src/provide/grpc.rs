//! A Motan caller calls a gRPC program (motan-wire 10.5): `POST /<M_p>/<M_m>` with the body as its one message; the reply
//! is the message that comes back, or an exception of the status.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, TE};
use hyper::http::response::Parts;
use hyper::{Method, Request, Uri};
use plan::ServiceName;
use relay::Parcel;
use wire::keys;
use wire::meta::{Meta, Writer};
use wire::motan2::Frame;

use super::called::own_host;
use super::http::{Speaks, exchange, frame};
use crate::answer::{self, Exception, Made};
use crate::call::{Call, Target};
use crate::failure::{Failure, Kind};
use crate::http::body::Body;
use crate::http::message::{self, Carried};
use crate::http::{self, grpc, names};
use crate::live::Export;
use crate::outbound::attempt;
use crate::worker::{Worker, now};

/// What counts as the HTTP status of a call that the program failed.
const FAULT: u16 = 500;
/// And of any other.
const FINE: u16 = 200;
/// Headers of a response that say something of the exchange, not of the call.
const OF_THE_EXCHANGE: [&str; 9] = [
    "content-type",
    "content-length",
    "date",
    "grpc-status",
    "grpc-message",
    "grpc-encoding",
    "grpc-accept-encoding",
    "trailer",
    "te",
];
/// Keys of this prefix mean something to Motan callers.
const MOTAN: &str = "m_";
/// Names of these prefixes are gRPC's and ours: no metadata may pass for one.
const RESERVED: [&str; 2] = ["grpc-", "x-mesh-"];

/// Starts a call to the program; its task tells the caller.
pub(crate) fn start(worker: &Rc<Worker>, export: &Arc<Export>, mut parcel: Parcel<Call>) {
    parcel.call.is_converted = true;
    worker.spawn(serve(Rc::clone(worker), Arc::clone(export), parcel));
}

async fn serve(worker: Rc<Worker>, export: Arc<Export>, mut parcel: Parcel<Call>) {
    parcel.call.at.get_or_insert_with(|| export.backend.enter());
    parcel.call.record.attempt();
    let left = parcel.deadline.saturating_duration_since(now());
    let asked = async {
        let frame = frame(&parcel.request)?;
        let carried = carried(&export.name, &frame)?;
        let request = request(&export.name, carried, &frame, left)?;
        let response = exchange(&worker, &export.backend, Speaks::Http2, request).await?;
        let (parts, body) = response.into_parts();
        let mut held = worker.budget.hold();
        let (body, trailers) = http::gather_all(body, &mut held).await.map_err(|error| {
            let words = format!("the program's answer can't be relayed: {error}");
            Failure::perhaps(error.kind(Kind::Unavailable), words)
        })?;
        reply(carried, &parts, &trailers.unwrap_or_default(), &body)
    };
    let timeout = || Failure::perhaps(Kind::Timeout, "the program did not answer in time");
    let result = tokio::time::timeout_at(parcel.deadline.into(), asked).await;
    match result.unwrap_or_else(|_| Err(timeout())) {
        Ok((made, status)) => answer::with_made(&worker, parcel, &made, status, now()),
        Err(failure) => match parcel.call.target {
            Target::Service(_) => attempt::unanswered(&worker, parcel, failure, now()),
            Target::Export(_) => answer::with_failure(&worker, parcel, failure, now()),
        },
    }
}

fn carried(name: &ServiceName, frame: &Frame<'_>) -> Result<Carried, Failure> {
    let number = frame.header.serialization();
    Carried::of(number).ok_or_else(|| {
        let words = format!(
            "service not support: {name} speaks gRPC: send one protobuf message in serialization grpc-pb (1) or protobuf \
             (5), not {number}"
        );
        Failure::unsent(Kind::Unsupported, words)
    })
}

/// The gRPC request that a frame asks for. A method that begins with "/" is the whole path.
fn request(
    name: &ServiceName,
    carried: Carried,
    frame: &Frame<'_>,
    left: Duration,
) -> Result<Request<Body>, Failure> {
    let bad = |words: &'static str| Failure::unsent(Kind::BadRequest, words);
    let message = carried.read(frame.body).ok_or_else(|| {
        bad("there is not exactly one protobuf message: a gRPC program takes one parameter, a message")
    })?;
    let of = |key| frame.meta.find(key).unwrap_or_default();
    let path = match of(keys::METHOD) {
        [] => return Err(bad("M_m is missing: it names the gRPC method")),
        whole @ [b'/', ..] => http::path::encode(whole),
        method => http::path::encode(&[b"/", of(keys::PATH), b"/", method].concat()),
    };
    let mut request = Request::new(Body::whole(message::write(message)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = path
        .parse::<Uri>()
        .map_err(|_| bad("M_p and M_m are no path of a gRPC method"))?;
    *request.headers_mut() = headers(frame.meta, name, left);
    Ok(request)
}

/// All metadata as gRPC metadata, names in lower case; what can't be some is left out.
fn headers(meta: Meta<'_>, service: &ServiceName, left: Duration) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (key, value) in meta.pairs() {
        let is_text = value.iter().all(|byte| matches!(byte, b' '..=b'~'));
        let name = HeaderName::from_bytes(key).ok().filter(|_| is_text);
        if let Some((name, value)) = name.zip(HeaderValue::from_bytes(value).ok())
            && (name == names::MIRROR || !RESERVED.iter().any(|prefix| name.as_str().starts_with(prefix)))
            && !OF_THE_EXCHANGE.contains(&name.as_str())
            && name != HOST
        {
            headers.insert(name, value);
        }
    }
    http::strip_hop_by_hop(&mut headers);
    if let Ok(host) = HeaderValue::from_str(&own_host(service)) {
        headers.insert(HOST, host);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(grpc::TIMEOUT, grpc::write_timeout(left));
    headers
}

/// What the caller is told of an answer, and what counts as its HTTP status.
fn reply(
    carried: Carried,
    parts: &Parts,
    trailers: &HeaderMap,
    body: &Bytes,
) -> Result<(Made, u16), Failure> {
    let of = |name: &HeaderName| trailers.get(name).or_else(|| parts.headers.get(name));
    let status = of(&grpc::STATUS).ok_or_else(|| {
        let words = format!(
            "the program ended the call without grpc-status, with HTTP status {}",
            parts.status.as_u16()
        );
        Failure::perhaps(Kind::BadAnswer, words)
    })?;
    let counts = if grpc::is_fault(status.as_bytes()) {
        FAULT
    } else {
        FINE
    };
    let meta = metadata(&parts.headers, trailers);
    if status != "0" {
        let code = status.to_str().ok().and_then(|code| code.parse().ok());
        let words = of(&grpc::MESSAGE).map(|words| http::path::decode(words.as_bytes()));
        let made = Made {
            serialization: 0,
            meta,
            body: Vec::new(),
            exception: Some(Exception {
                code: code.unwrap_or(2), // UNKNOWN
                words: String::from_utf8_lossy(&words.unwrap_or_default()).into_owned(),
            }),
        };
        return Ok((made, counts));
    }
    let message = message::read(body).map_err(|error| {
        let words = format!("the program's answer can't be relayed: {error}");
        Failure::perhaps(Kind::BadAnswer, words)
    })?;
    let mut value = Vec::with_capacity(message.len() + 8);
    carried.write(&mut value, &message);
    let made = Made {
        serialization: carried.number(),
        meta,
        body: value,
        exception: None,
    };
    Ok((made, counts))
}

fn metadata(headers: &HeaderMap, trailers: &HeaderMap) -> Vec<u8> {
    let mut meta = Vec::new();
    let mut writer = Writer::new(&mut meta);
    for (name, value) in headers
        .iter()
        .filter(|(name, _)| !trailers.contains_key(*name))
        .chain(trailers)
    {
        let name = name.as_str();
        let is_ours = name.starts_with(MOTAN) || RESERVED.iter().any(|prefix| name.starts_with(prefix));
        if !is_ours && !OF_THE_EXCHANGE.contains(&name) {
            writer.pair(name.as_bytes(), value.as_bytes());
        }
    }
    meta
}

#[cfg(test)]
mod tests;
