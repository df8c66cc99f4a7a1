//! An HTTP request that goes to another agent as a stream of HTTP/2: which endpoint, and which one after that.

mod attempts;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use govern::retry::Verdict;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::uri::Scheme;
use hyper::{Request, Response, Uri, Version};

use super::attempt;
use crate::failure::{Failure, Kind};
use crate::governed::RuleId;
use crate::governed::gate::{Asking, Entry};
use crate::http::body::Body;
use crate::http::under_way::{self, Ledger, Limit};
use crate::http::{self, grpc, names, watched};
use crate::inbound::stream::BODY_PATH;
use crate::link::streams;
use crate::live::{Endpoint, Live, Service};
use crate::observe::metrics::Outcome;
use crate::record::Record;
use crate::worker::{Worker, now};
use attempts::{Attempts, Head, Missed, lost, understood};

/// How long fetching the body of a response may take until it begins; the other agent keeps it as long.
const FETCH_WITHIN: Duration = Duration::from_secs(2);

/// Calls a service; the body of the response is still coming. The request is as its caller sent it, but for its Host,
/// which is in its URI, and what concerns one connection only; `upgrade` is what
/// that connection wants to become.
pub(crate) async fn call(
    worker: &Rc<Worker>,
    live: &Live,
    service: &Arc<Service>,
    request: Request<Body>,
    upgrade: Option<HeaderValue>,
) -> Result<Response<Body>, Failure> {
    let started = now();
    let (parts, body) = request.into_parts();
    let is_grpc = grpc::is_grpc(&parts.headers);
    let asked = grpc::timeout(&parts.headers).filter(|_| is_grpc);
    let id = service.rules.of_path(parts.uri.path());
    let timeout = service.rules.get(id).timeout;
    let key = service.balancing.key_of_http(&parts.headers, parts.uri.path());
    let repeatable = http::is_repeatable(&parts.method) && !is_grpc || service.rules.get(id).is_idempotent;
    let limit = match asked.and_then(|asked| started.checked_add(asked)) {
        Some(deadline) => Limit::Whole(deadline),
        None if upgrade.is_some() => Limit::HeadBy(started + timeout),
        None => Limit::Head(timeout),
    };
    let mut head = Head::of(live, service, parts.method, &parts.uri, parts.headers);
    if let Some(upgrade) = upgrade {
        head.headers.insert(names::UPGRADE, upgrade);
    }
    let mut record = Record::open(&service.http, &worker.load, live.access, started);
    match enter(worker, live, service, (id, is_grpc), &mut record).await {
        Ok(None) => {}
        Ok(Some(response)) => {
            let outcome = crate::answer::by_status(response.status().as_u16());
            record.close_of(outcome, now(), || parts.uri.path().to_owned(), "");
            return Ok(response);
        }
        Err(failure) => {
            let outcome = Outcome::Failed(failure.kind);
            record.close_of(outcome, now(), || parts.uri.path().to_owned(), "");
            return Err(failure);
        }
    }
    let mut attempts = Attempts {
        worker,
        service,
        head,
        ledger: Ledger::open(record, parts.uri.path(), body, is_grpc, limit),
        tried: Vec::new(),
        failures: 0,
        counted: 0,
        rule: id,
        key,
        repeatable,
        started,
    };
    loop {
        let missed = match attempts.once().await {
            Ok(answered) => match attempts.accept(answered, now()) {
                Ok((response, keep)) => return Ok(under_way::carry(response, attempts.ledger, keep)),
                Err(again) => {
                    attempts.wait(again).await;
                    continue;
                }
            },
            Err(missed) => missed,
        };
        let (failure, outcome) = match (attempts.judge(&missed, now()), missed) {
            (Verdict::Never, Missed::Here(failure)) => {
                let outcome = Outcome::Failed(failure.kind);
                (failure, outcome)
            }
            (Verdict::Never, Missed::There(failure)) => (failure, Outcome::RemoteError),
            (again, _) => {
                attempts.wait(again).await;
                continue;
            }
        };
        // What the other side says of a body that breaks off here is not its fault.
        let (failure, outcome) = if attempts.ledger.source.is_broken() {
            let words = "the request's body can't be relayed: it broke off, or is not framed as it should be";
            (
                Failure::perhaps(Kind::BadRequest, words),
                Outcome::Failed(Kind::BadRequest),
            )
        } else {
            (failure, outcome)
        };
        attempts.ledger.end(outcome);
        return Err(failure);
    }
}

/// Fetches the body of a response whose head came in a frame.
///
/// # Errors
/// The endpoint does not keep it any more, or is lost.
pub(crate) async fn fetch(
    worker: &Rc<Worker>,
    endpoint: &Arc<Endpoint>,
    token: &str,
) -> Result<Body, Failure> {
    let fetching = async {
        let mut lease = streams::lease(worker, endpoint).await?;
        let mut request = Request::new(Body::empty());
        let at = format!("http://mesh{BODY_PATH}{token}");
        *request.uri_mut() = at.parse().map_err(|_| {
            let words = "the other agent named the body of its response in a way that can't be asked for";
            Failure::perhaps(Kind::BadAnswer, words)
        })?;
        *request.version_mut() = Version::HTTP_2;
        let ourselves = HeaderValue::from_static(names::OURSELVES);
        request.headers_mut().insert(names::PEER, ourselves);
        let sent = lease.sender.try_send_request(request).await;
        let response = sent.map_err(|error| lost(endpoint, error))?;
        match understood(response).await {
            Ok(response) => Ok(watched::watch(response.into_body(), (lease, worker.busy()))),
            Err(Missed::Here(failure) | Missed::There(failure)) => Err(failure),
        }
    };
    let fetched = tokio::time::timeout(FETCH_WITHIN, fetching).await;
    fetched.unwrap_or_else(|_| {
        let words = "the body of the response could not be fetched in time";
        Err(Failure::perhaps(Kind::Unavailable, words))
    })
}

/// What its rule asks of a request comes first: gives the response, where the policy has one of its own.
async fn enter(
    worker: &Worker,
    live: &Live,
    service: &Service,
    (id, is_grpc): (RuleId, bool),
    record: &mut Record,
) -> Result<Option<Response<Body>>, Failure> {
    let Some(gate) = &service.rules.get(id).gate else {
        return Ok(None);
    };
    let asking = Asking {
        application: &live.application,
        calls: &service.http,
        now: record.started,
    };
    let (pause, end) = match gate.enter(&asking, || worker.random()) {
        Entry::Go(pause, passed) => {
            record.passed = passed;
            (pause, Ok(None))
        }
        Entry::Fail(pause, failure) => (pause, Err(failure)),
        Entry::Give(_) if is_grpc => {
            let words =
                "the service is switched off, and what it answers instead has no form for this caller";
            return Err(Failure::unsent(Kind::Degraded, words));
        }
        Entry::Give(given) => {
            let mut response = Response::new(Body::whole(given.json.clone()));
            *response.status_mut() = given.status;
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, json);
            return Ok(Some(response));
        }
    };
    let longest = service.rules.get(id).timeout;
    if !pause.is_zero() {
        tokio::time::sleep(pause.min(longest)).await;
    }
    if pause > longest {
        return Err(Failure::unsent(Kind::Timeout, attempt::LONG_DELAY));
    }
    end
}

/// A URI that says everything HTTP/2 wants to know; the service's path stands in for a Host that is none.
pub(crate) fn uri(host: &str, uri: Uri) -> Uri {
    let mut parts = uri.into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = host.parse().ok().or(parts.authority);
    if parts.authority.is_none() {
        parts.authority = Some(hyper::http::uri::Authority::from_static("unnamed"));
    }
    if parts.path_and_query.is_none() {
        parts.path_and_query = Some(hyper::http::uri::PathAndQuery::from_static("/"));
    }
    Uri::from_parts(parts).unwrap_or_else(|_| Uri::from_static("http://unnamed/"))
}
