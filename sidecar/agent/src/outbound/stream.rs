//! An HTTP request that goes to another agent as a stream of HTTP/2: which endpoint, and which one after that.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use govern::retry::{self, On, Reached, Tried, Verdict};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::uri::Scheme;
use hyper::{HeaderMap, Method, Request, Response, Uri, Version};

use super::{attempt, pick};
use crate::failure::{Failure, Kind};
use crate::governed::RuleId;
use crate::governed::gate::{Asking, Entry};
use crate::http::body::Body;
use crate::http::tunnel::Switched;
use crate::http::under_way::{self, Ledger, Limit};
use crate::http::{self, grpc, names, watched};
use crate::inbound::stream::BODY_PATH;
use crate::link::streams;
use crate::live::{Endpoint, Export, Live, Place, Service};
use crate::observe::metrics::Outcome;
use crate::provide;
use crate::record::Record;
use crate::worker::{Worker, now};

/// How long fetching the body of a response may take until it begins; the other agent keeps it as long.
const FETCH_WITHIN: Duration = Duration::from_secs(2);
/// The most of another agent's words that is read, in bytes.
const MAX_WORDS: usize = 4096;

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
    let id = service.rules.of(&http::path::normal(parts.uri.path().as_bytes()));
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
        let (failure, outcome) = match attempts.once().await {
            Ok((response, keep)) => return Ok(under_way::carry(response, attempts.ledger, keep)),
            Err(missed) => match attempts.judge(&missed, now()) {
                Verdict::Now => continue,
                Verdict::At(when) => {
                    attempts.tried.clear(); // after a pause every endpoint is as good as any other
                    tokio::time::sleep_until(when.into()).await;
                    continue;
                }
                Verdict::Never => match missed {
                    Missed::Here(failure) => {
                        let outcome = Outcome::Failed(failure.kind);
                        (failure, outcome)
                    }
                    Missed::There(failure) => (failure, Outcome::RemoteError),
                },
            },
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

/// Why an attempt came to nothing.
enum Missed {
    /// This agent could not do it.
    Here(Failure),
    /// The other one says so.
    There(Failure),
}

impl Missed {
    const fn failure(&self) -> &Failure {
        match self {
            Self::Here(failure) | Self::There(failure) => failure,
        }
    }
}

/// The head of the request, as the other agent gets it.
struct Head {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

impl Head {
    fn of(live: &Live, service: &Service, method: Method, uri: &Uri, mut headers: HeaderMap) -> Self {
        names::strip(&mut headers);
        headers.insert(names::PEER, HeaderValue::from_static(names::OURSELVES));
        let mut put = |name, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        put(
            names::SERVICE,
            &names::service(service.group.as_str(), service.path.as_str()),
        );
        put(names::SOURCE, &live.application);
        Self {
            method,
            uri: uri.clone(),
            headers,
        }
    }

    fn request(&self, body: Body, limit: Limit, now: Instant) -> Request<Body> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = Version::HTTP_2;
        let left = limit.left(now);
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        let millis = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
        headers.insert(names::TIMEOUT, HeaderValue::from(millis));
        if matches!(limit, Limit::Whole(_)) {
            headers.insert(grpc::TIMEOUT, grpc::write_timeout(left));
        }
        request
    }
}

struct Attempts<'a> {
    worker: &'a Rc<Worker>,
    service: &'a Arc<Service>,
    head: Head,
    ledger: Ledger,
    tried: Vec<Arc<Endpoint>>,
    failures: u32,
    counted: u32,
    rule: RuleId,
    key: Option<u64>,
    repeatable: bool,
    started: Instant,
}

type Answered = (Response<Body>, (Option<streams::Lease>, crate::live::InFlight));

impl Attempts<'_> {
    async fn once(&mut self) -> Result<Answered, Missed> {
        let service = attempt::newest(self.worker, self.service);
        let now = now();
        let place =
            pick::for_stream(self.worker, &service, (self.key, &self.tried), now).ok_or_else(|| {
                if service.protocol.is_motan() && !service.places.is_empty() {
                    return Missed::Here(pick::no_agent(&service));
                }
                let words = format!("{} has no endpoint", service.name);
                Missed::Here(Failure::perhaps(Kind::NoEndpoint, words)) // one more attempt would not find any either
            })?;
        let Place {
            endpoint,
            web,
            member,
            ..
        } = place;
        self.tried.push(Arc::clone(&endpoint));
        self.ledger.attempt(endpoint.address.as_str());
        let mut at = member.enter(&endpoint, now);
        let ledger = &self.ledger;
        let request = || {
            let body = ledger.source.lend().ok_or_else(|| {
                let words = "too much of the request has gone to send it again";
                Missed::Here(Failure::perhaps(Kind::Unavailable, words))
            })?;
            Ok(self.head.request(body, ledger.limit, crate::worker::now()))
        };
        let answering = async {
            if let Some(program) = &web {
                let response = direct(self.worker, program, request()?, ledger.is_grpc).await?;
                return Ok((response, None));
            }
            let mut lease = streams::lease(self.worker, &endpoint)
                .await
                .map_err(Missed::Here)?;
            let request = request()?;
            let sent = lease.sender.try_send_request(request).await;
            let response = sent.map_err(|error| Missed::Here(lost(&endpoint, error)))?;
            Ok((understood(response).await?, Some(lease)))
        };
        let answered = tokio::select! {
            answered = answering => answered,
            () = ledger.overdue() => {
                let words = match ledger.limit {
                    Limit::Whole(_) => under_way::late().words,
                    Limit::Head(_) | Limit::HeadBy(_) => "the service did not answer in time".into(),
                };
                Err(Missed::Here(Failure::perhaps(Kind::Timeout, words)))
            }
        };
        if let Some(is_good) = is_good(&answered, ledger) {
            at.ended(is_good, crate::worker::now(), self.worker.random(), &service.http);
        }
        let (response, lease) = answered?;
        Ok((response, (lease, at)))
    }

    fn judge(&mut self, missed: &Missed, now: Instant) -> Verdict {
        self.failures += 1;
        let failure = missed.failure();
        let reached = match (failure.kind, failure.reach) {
            (Kind::Overloaded | Kind::RateLimited, _) if matches!(missed, Missed::There(_)) => {
                Reached::Refused
            }
            (_, crate::failure::Reach::Unsent) => Reached::Unsent,
            (Kind::Unavailable, crate::failure::Reach::Perhaps) => Reached::Perhaps(On::Unavailable),
            (_, crate::failure::Reach::Perhaps) => return Verdict::Never,
        };
        self.counted += u32::from(reached != Reached::Unsent);
        if self.ledger.source.is_broken() || !self.ledger.source.is_here() {
            return Verdict::Never;
        }
        let tried = Tried {
            attempts: self.failures,
            endpoints: attempt::newest(self.worker, self.service).places.len(),
            counted: self.counted,
            repeatable: self.repeatable,
            deadline: self.ledger.limit.until(self.started),
        };
        let Service { rules, http, .. } = &**self.service;
        let budget = || rules.may_repeat(self.service.begun(), http, now);
        retry::verdict(reached, &tried, &rules.get(self.rule).retry, budget, now)
    }
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

/// Whether an attempt speaks well of its endpoint; `None` where it says nothing of it.
fn is_good<T>(answered: &Result<(Response<Body>, T), Missed>, ledger: &Ledger) -> Option<bool> {
    match answered {
        Ok((response, _)) if ledger.is_grpc => {
            let status = response.headers().get(grpc::STATUS);
            Some(status.is_none_or(|status| status != "14")) // UNAVAILABLE
        }
        Ok((response, _)) => Some(!attempt::is_away(response.status().as_u16())),
        Err(_) if ledger.source.is_broken() => None,
        Err(Missed::Here(failure)) if failure.reach == crate::failure::Reach::Unsent => None,
        Err(Missed::Here(failure) | Missed::There(failure)) => Some(!attempt::is_unwell(Some(failure.kind))),
    }
}

/// Calls a program that has no agent as its agent would.
async fn direct(
    worker: &Rc<Worker>,
    program: &Arc<Export>,
    mut request: Request<Body>,
    is_grpc: bool,
) -> Result<Response<Body>, Missed> {
    provide::http::takes(program, request.headers()).map_err(Missed::Here)?;
    let headers = request.headers_mut();
    let source = headers.get(names::SOURCE).cloned();
    names::strip(headers);
    if !is_grpc {
        let source = source.as_ref().map(HeaderValue::as_bytes);
        provide::http::show_stream(program, source.unwrap_or_default(), None, headers);
    }
    let request = provide::http::rewritten(program, request);
    let speaks = provide::http::speaks(program, is_grpc);
    match provide::http::exchange(worker, &program.backend, speaks, request).await {
        Ok(mut response) => {
            worker.pool.borrow_mut().reached(&program.backend);
            names::strip(response.headers_mut());
            Ok(response)
        }
        Err(failure) => {
            if failure.reach == crate::failure::Reach::Unsent {
                let random = worker.random();
                worker
                    .pool
                    .borrow_mut()
                    .unreached(&program.backend, now(), random);
            }
            Err(Missed::Here(failure))
        }
    }
}

/// What became of a stream that got no response.
fn lost(endpoint: &Endpoint, mut error: TrySendError<Request<Body>>) -> Failure {
    let is_unsent = streams::is_unsent(&mut error);
    let error = error.into_error();
    let words = format!("the connection to {} was lost: {}", endpoint.address, of(&error));
    if is_unsent {
        Failure::unsent(Kind::Unavailable, words)
    } else {
        Failure::perhaps(Kind::Unavailable, words)
    }
}

fn of(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// The response of the program; what the other agent says itself is a failure.
async fn understood(response: Response<Incoming>) -> Result<Response<Body>, Missed> {
    let (mut parts, body) = response.into_parts();
    let Some(kind) = parts.headers.get(names::ERROR) else {
        if let Some(to) = parts.headers.remove(names::UPGRADED) {
            parts.extensions.insert(Switched(to));
        }
        names::strip(&mut parts.headers);
        return Ok(Response::from_parts(parts, Body::of_agent(body)));
    };
    let kind = Kind::of(kind.as_bytes()).unwrap_or(Kind::Unavailable);
    let words = Limited::new(body, MAX_WORDS).collect().await;
    let words = words.map_or_else(|_| Bytes::new(), http_body_util::Collected::to_bytes);
    let words = String::from_utf8_lossy(&words).trim().to_owned();
    Err(Missed::There(if parts.headers.contains_key(names::UNSENT) {
        Failure::unsent(kind, words)
    } else {
        Failure::perhaps(kind, words)
    }))
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
