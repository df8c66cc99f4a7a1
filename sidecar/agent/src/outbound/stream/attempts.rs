//! One stream's attempts: an endpoint, a request there, what became of it, again.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use govern::retry::{self, On, Reached, Tried, Verdict};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::header::HeaderValue;
use hyper::{HeaderMap, Method, Request, Response, Uri, Version};

use crate::failure::{Failure, Kind};
use crate::governed::RuleId;
use crate::http::body::Body;
use crate::http::tunnel::Switched;
use crate::http::under_way::{self, Ledger, Limit};
use crate::http::{grpc, names};
use crate::link::streams;
use crate::live::{Endpoint, Export, Live, Place, Service};
use crate::observe::metrics::Action;
use crate::outbound::{attempt, conduct, pick};
use crate::provide;
use crate::worker::{Worker, now};

/// The most of another agent's words that is read, in bytes.
const MAX_WORDS: usize = 4096;
/// What a gRPC program says that can't answer at present.
const UNAVAILABLE: &str = "14";

/// Why an attempt came to nothing.
pub(super) enum Missed {
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
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
}

impl Head {
    pub(super) fn of(
        live: &Live,
        service: &Service,
        method: Method,
        uri: &Uri,
        mut headers: HeaderMap,
    ) -> Self {
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

pub(super) struct Attempts<'a> {
    pub(super) worker: &'a Rc<Worker>,
    pub(super) service: &'a Arc<Service>,
    pub(super) head: Head,
    pub(super) ledger: Ledger,
    pub(super) tried: Vec<Arc<Endpoint>>,
    pub(super) failures: u32,
    pub(super) counted: u32,
    pub(super) rule: RuleId,
    pub(super) key: Option<u64>,
    pub(super) repeatable: bool,
    pub(super) started: Instant,
}

pub(super) type Answered = (Response<Body>, (Option<streams::Lease>, crate::live::InFlight));

impl Attempts<'_> {
    pub(super) async fn once(&mut self) -> Result<Answered, Missed> {
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
            () = self.too_slow() => {
                service.http.acted(Action::AttemptTimeout).inc();
                let words = "the service did not answer in the time of one attempt";
                Err(Missed::Here(Failure::perhaps(Kind::Timeout, words)))
            }
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

    /// Waits until an attempt has taken too long, where another one may follow it.
    async fn too_slow(&self) {
        let rule = self.service.rules.get(self.rule);
        let may_follow = rule.retry.timeout
            && self.repeatable
            && self.counted < rule.retry.attempts
            && self.ledger.source.is_here();
        match rule.attempt_timeout.filter(|_| may_follow) {
            Some(longest) => tokio::time::sleep(longest).await,
            None => std::future::pending().await,
        }
    }

    /// Takes an answer, unless it says that the program can't answer at present and there is another way.
    pub(super) fn accept(&mut self, answered: Answered, now: Instant) -> Result<Answered, Verdict> {
        if is_well(&answered.0, self.ledger.is_grpc) {
            return Ok(answered);
        }
        match self.follow(Reached::Perhaps(On::Status5xx), now) {
            Verdict::Never => Ok(answered),
            again => Err(again),
        }
    }

    /// Waits until it is time for the next attempt.
    pub(super) async fn wait(&mut self, verdict: Verdict) {
        if let Verdict::At(when) = verdict {
            self.tried.clear(); // after a pause every endpoint is as good as any other
            tokio::time::sleep_until(when.into()).await;
        }
    }

    pub(super) fn judge(&mut self, missed: &Missed, now: Instant) -> Verdict {
        let failure = missed.failure();
        let reached = match (failure.kind, failure.reach) {
            (Kind::Overloaded | Kind::RateLimited, _) if matches!(missed, Missed::There(_)) => {
                Reached::Refused
            }
            (kind, _) if kind.is_final() && matches!(missed, Missed::There(_)) => return Verdict::Never,
            (_, crate::failure::Reach::Unsent) => Reached::Unsent,
            (Kind::Unavailable, crate::failure::Reach::Perhaps) => Reached::Perhaps(On::Unavailable),
            (Kind::Timeout, crate::failure::Reach::Perhaps) => Reached::Perhaps(On::Timeout),
            (_, crate::failure::Reach::Perhaps) => return Verdict::Never,
        };
        self.follow(reached, now)
    }

    fn follow(&mut self, reached: Reached, now: Instant) -> Verdict {
        self.failures += 1;
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

/// Whether an attempt speaks well of its endpoint; `None` where it says nothing of it.
fn is_good<T>(answered: &Result<(Response<Body>, T), Missed>, ledger: &Ledger) -> Option<bool> {
    match answered {
        Ok((response, _)) => Some(is_well(response, ledger.is_grpc)),
        Err(_) if ledger.source.is_broken() => None,
        Err(Missed::Here(failure)) if failure.reach == crate::failure::Reach::Unsent => None,
        Err(Missed::Here(failure) | Missed::There(failure)) => Some(!conduct::is_unwell(Some(failure.kind))),
    }
}

/// Whether a program can answer at present, by what it says.
fn is_well(response: &Response<Body>, is_grpc: bool) -> bool {
    if is_grpc {
        let status = response.headers().get(grpc::STATUS);
        return status.is_none_or(|status| status != UNAVAILABLE);
    }
    !conduct::is_away(response.status().as_u16())
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
pub(super) fn lost(endpoint: &Endpoint, mut error: TrySendError<Request<Body>>) -> Failure {
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
pub(super) async fn understood(response: Response<Incoming>) -> Result<Response<Body>, Missed> {
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
