//! A stream of another agent becomes a request to the local program.

mod translated;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use govern::deadline::{self, Asked};
use http_body_util::StreamBody;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Request, Response, StatusCode};

use crate::failure::{Failure, Kind, Reach};
use crate::governed::limits::{Admission, Permit};
use crate::http::body::Body;
use crate::http::tunnel::Switched;
use crate::http::under_way::{self, Ledger, Limit};
use crate::http::{self, grpc, names};
use crate::live::route::Wanted;
use crate::live::{Export, Live};
use crate::observe::metrics::Outcome;
use crate::provide;
use crate::record::Record;
use crate::worker::{Phase, Worker, now};

/// Where bodies are fetched, before their token. No program is asked for it.
pub(crate) const BODY_PATH: &str = "/.mesh/body/";

/// Calls the program. Whatever goes wrong becomes a response, by [`refuse`].
pub(crate) async fn call(worker: &Rc<Worker>, peer: &str, request: Request<Incoming>) -> Response<Body> {
    let live = worker.live();
    let (mut parts, body) = request.into_parts();
    let started = now();
    if let Some(token) = parts.uri.path().strip_prefix(BODY_PATH)
        && parts.headers.contains_key(names::PEER)
        && !parts.headers.contains_key(names::SERVICE)
    {
        return handed_over(worker, token);
    }
    let export = match admit(worker, &live, &parts.headers) {
        Ok(export) => Arc::clone(export),
        Err(failure) => {
            let record = Record::open(&live.unknown.inbound, &worker.load, live.access, started);
            record.close(Outcome::Failed(failure.kind), started, &[], "");
            return refuse(&failure);
        }
    };
    let is_grpc = grpc::is_grpc(&parts.headers);
    if export.front.is_there() && !is_grpc {
        return translated::call(worker, &live, &export, peer, parts, body).await;
    }
    let upgrade = parts.headers.remove(names::UPGRADE);
    let limit = match limit(&export, &parts, is_grpc) {
        Limit::Head(timeout) if upgrade.is_some() => Limit::HeadBy(started + timeout),
        limit => limit,
    };
    let mut record = Record::open(&export.metrics, &worker.load, live.access, started);
    match admitted(&export, &parts, limit.until(started)).await {
        Ok(permit) => record.permit = permit,
        Err(failure) => {
            let method = || parts.uri.path().to_owned();
            record.close_of(Outcome::Failed(failure.kind), now(), method, "");
            return refuse(&failure);
        }
    }
    if is_grpc && export.protocol.is_motan() {
        let body = Body::coming(body);
        return super::unary::call(worker, &export, (parts, body), (peer, limit), record).await;
    }
    let mut ledger = Ledger::open(record, parts.uri.path(), Body::coming(body), is_grpc, limit);
    if let Err(failure) = dress(&export, &mut parts.headers, peer, is_grpc) {
        return failed(ledger, &failure);
    }
    let backend = &export.backend;
    ledger.attempt(backend.address.as_str());
    let at = backend.enter();
    let body = ledger.source.lend().unwrap_or(Body::empty());
    let speaks = provide::http::speaks(&export, is_grpc);
    let (parts, ()) = provide::http::rewritten(&export, Request::from_parts(parts, ())).into_parts();
    let asking = async {
        match upgrade {
            Some(to) => provide::http::upgrade(worker, backend, (parts, to), body).await,
            None => {
                let request = Request::from_parts(parts, body);
                provide::http::exchange(worker, backend, speaks, request).await
            }
        }
    };
    let answered = tokio::select! {
        answered = asking => answered,
        () = ledger.overdue() => {
            let words = "the program did not answer in time";
            Err(Failure::perhaps(Kind::Timeout, words))
        }
    };
    match answered {
        Ok(mut response) => {
            let headers = response.headers_mut();
            names::strip(headers);
            http::strip_hop_by_hop_of_stream(headers);
            if let Some(Switched(to)) = response.extensions_mut().remove::<Switched>() {
                response.headers_mut().insert(names::UPGRADED, to);
            }
            under_way::carry(response, ledger, at)
        }
        Err(failure) => failed(ledger, &failure),
    }
}

/// Waits until the limits of its service let a call in.
async fn admitted(export: &Export, parts: &Parts, deadline: Instant) -> Result<Option<Box<Permit>>, Failure> {
    let Some(limits) = &export.limits else {
        return Ok(None);
    };
    let method = http::path::normal(parts.uri.path().as_bytes());
    let source = parts.headers.get(names::SOURCE).map(HeaderValue::as_bytes);
    let by = (&*method, source.unwrap_or_default());
    match limits.admit(by, (deadline, now()), &export.metrics)? {
        Admission::In(permit) => Ok(permit),
        Admission::Wait(waiting) => waiting.place().await.map(Some),
    }
}

/// The body of a response whose head went back in a frame.
fn handed_over(worker: &Worker, token: &str) -> Response<Body> {
    match worker.handed.fetch(token) {
        Some(mut pieces) => {
            let pieces = futures::stream::poll_fn(move |context| pieces.poll_recv(context));
            Response::new(Body::coming(StreamBody::new(pieces)))
        }
        None => refuse(&Failure::perhaps(
            Kind::Unavailable,
            "the body of the response was not fetched in time",
        )),
    }
}

fn failed(mut ledger: Ledger, failure: &Failure) -> Response<Body> {
    ledger.end(Outcome::Failed(failure.kind));
    refuse(failure)
}

fn admit<'a>(worker: &Worker, live: &'a Live, headers: &HeaderMap) -> Result<&'a Arc<Export>, Failure> {
    if worker.phase.get() >= Phase::Refusing {
        return Err(Failure::unsent(Kind::Draining, "this instance is going away"));
    }
    let wanted = headers.get(names::SERVICE).map(HeaderValue::as_bytes);
    let (group, path) = wanted.and_then(names::read_service).ok_or_else(|| {
        let words = "x-mesh-service must say <group>;<path>: this port is for other agents of the mesh";
        Failure::unsent(Kind::BadRequest, words)
    })?;
    let export = live.export(&Wanted {
        path: &path,
        group: &group,
        ..Wanted::default()
    })?;
    super::open_to(export, headers.contains_key(names::PEER))?;
    Ok(export)
}

fn limit(export: &Export, Parts { headers, uri, .. }: &Parts, is_grpc: bool) -> Limit {
    if let Some(asked) = grpc::timeout(headers).filter(|_| is_grpc)
        && let Some(deadline) = now().checked_add(asked)
    {
        return Limit::Whole(deadline);
    }
    let asked = headers.get(names::TIMEOUT).map(HeaderValue::as_bytes);
    let asked = asked
        .and_then(deadline::read_millis)
        .map_or(Asked::Nothing, Asked::ByAgent);
    Limit::Head(deadline::timeout(export.timeout.of_path(uri.path()), asked))
}

/// What the program sees of the call.
fn dress(export: &Export, headers: &mut HeaderMap, peer: &str, is_grpc: bool) -> Result<(), Failure> {
    if export.protocol.is_motan() {
        return Err(super::no_routes(export));
    }
    provide::http::takes(export, headers)?;
    let source = headers.get(names::SOURCE).cloned();
    names::strip(headers);
    http::strip_hop_by_hop_of_stream(headers);
    if !is_grpc {
        let source = source.as_ref().map(HeaderValue::as_bytes);
        provide::http::show_stream(export, source.unwrap_or_default(), Some(peer), headers);
    }
    Ok(())
}

/// What the other agent is told of a failure.
pub(super) fn refuse(failure: &Failure) -> Response<Body> {
    let status = match failure.kind {
        Kind::Undeclared | Kind::NotProvided => StatusCode::NOT_FOUND,
        Kind::BadRequest => StatusCode::BAD_REQUEST,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        Kind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        Kind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Kind::NoEndpoint
        | Kind::Overloaded
        | Kind::Draining
        | Kind::Degraded
        | Kind::CircuitOpen
        | Kind::Injected => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Unavailable | Kind::BadAnswer => StatusCode::BAD_GATEWAY,
        Kind::Forbidden => StatusCode::FORBIDDEN,
    };
    let mut response = Response::new(Body::whole(Bytes::from(failure.words.clone().into_owned())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(names::ERROR, HeaderValue::from_static(failure.kind.as_str()));
    if failure.reach == Reach::Unsent {
        headers.insert(names::UNSENT, HeaderValue::from_static("true"));
    }
    response
}
