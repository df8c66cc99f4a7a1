//! A stream for a program that speaks Motan or gRPC, by what its service declares: the body is gathered, and then it is
//! a request as those that ride frames.

use std::rc::Rc;
use std::sync::Arc;

use hyper::Response;
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderValue};
use hyper::http::request::Parts;
use relay::Parcel;
use tokio::sync::oneshot;
use wire::keys;
use wire::motan2::{self, DEFAULT_LIMIT, Header};
use wire::value;

use super::{limit, refuse};
use crate::answer;
use crate::call::{Call, Caller, Target};
use crate::failure::{Failure, Kind};
use crate::http::body::Body;
use crate::http::{self, names};
use crate::listen;
use crate::live::{Export, Live};
use crate::observe::metrics::Outcome;
use crate::provide;
use crate::record::Record;
use crate::worker::{Worker, now};

/// Calls the program.
pub(super) async fn call(
    worker: &Rc<Worker>,
    live: &Live,
    export: &Arc<Export>,
    peer: &str,
    parts: Parts,
    body: Incoming,
) -> Response<Body> {
    let started = now();
    let mut record = Record::open(&export.metrics, &worker.load, live.access, started);
    let mut held = worker.budget.hold(); // until the call has ended
    let body = match http::gather(body, &mut held).await {
        Ok(body) => body,
        Err(error) => {
            let words = format!("the request's body can't be translated: {error}");
            let failure = Failure::perhaps(error.kind(Kind::BadRequest), words);
            record.close(Outcome::Failed(failure.kind), now(), &[], "");
            return refuse(&failure);
        }
    };
    // The time runs from the end of the request.
    let deadline = limit(export, &parts, false).until(now());
    match super::admitted(export, &parts, deadline).await {
        Ok(permit) => record.permit = permit,
        Err(failure) => {
            let method = || parts.uri.path().to_owned();
            record.close_of(Outcome::Failed(failure.kind), now(), method, "");
            return refuse(&failure);
        }
    }
    let (waiting, answered) = oneshot::channel();
    let mut request = worker.take_buffer(body.len());
    write(&mut request, export, peer, parts, &body);
    let parcel = Parcel {
        call: Call::new(Caller::Task(waiting), Target::Export(Arc::clone(export)), record),
        request,
        deadline,
        is_partial: false,
    };
    if parcel.request.len() > DEFAULT_LIMIT {
        let words = "head and body together are over 10 MiB";
        answer::with_failure(worker, parcel, Failure::unsent(Kind::TooLarge, words), now());
    } else if export.protocol.is_motan() {
        provide::rest::start(worker, export, parcel, now());
    } else {
        provide::transcode::start(worker, export, parcel);
    }
    let answered = answered.await;
    let answered = answered.unwrap_or_else(|_| Err(Failure::perhaps(Kind::Draining, "the sidecar stopped")));
    answered
        .and_then(|mut reply| listen::http::response_of(&mut reply))
        .unwrap_or_else(|failure| refuse(&failure))
}

/// The frame that would have carried it.
fn write(out: &mut Vec<u8>, export: &Export, peer: &str, parts: Parts, body: &[u8]) {
    let Parts {
        method,
        uri,
        mut headers,
        ..
    } = parts;
    let source = headers.get(names::SOURCE).cloned();
    names::strip(&mut headers);
    http::strip_hop_by_hop(&mut headers);
    if let Some(authority) = uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        headers.insert(HOST, host);
    }
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    motan2::encode(
        out,
        Header::request(0),
        |meta| {
            meta.pair(keys::PATH, export.path.as_str().as_bytes());
            meta.pair(keys::METHOD, uri.path().as_bytes());
            meta.pair(keys::HTTP_PROXY, b"true");
            meta.pair(keys::GROUP, export.group.as_str().as_bytes());
            if let Some(version) = export.front.version() {
                meta.pair(keys::VERSION, version.as_bytes());
            }
            if let Some(source) = source {
                meta.pair(keys::SOURCE, source.as_bytes());
            }
            meta.pair(keys::HOST, peer.as_bytes());
            meta.pair(keys::FORWARDED_FOR, peer.as_bytes());
            meta.pair(keys::PROTOCOL, plan::Protocol::Motan2.as_str().as_bytes());
        },
        |out| {
            value::write_bytes_by(out, |out| {
                http::write_request_head(out, &method, target, &headers);
            });
            value::write_bytes(out, body);
        },
    );
}
