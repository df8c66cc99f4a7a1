//! One stream under way: its ledger, how long it may take, and the body that goes back to the caller. The same on both
//! agents.

use std::any::Any;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::{HeaderMap, Response};
use tokio::time::Sleep;

use super::body::{Body, BodyError, Source};
use super::{BODY_IDLE, grpc};
use crate::failure::{Failure, Kind};
use crate::observe::metrics::Outcome;
use crate::record::Record;
use crate::worker::now;

/// HTTP statuses from here up say that the program failed.
const SERVER_ERROR: u16 = 500;

/// How long a stream may take.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limit {
    /// From the end of the request to the head of the response.
    Head(Duration),
    /// From the start to the head of the response, where the request has no end of its own.
    HeadBy(Instant),
    /// All of it: the deadline of a gRPC call.
    Whole(Instant),
}

impl Limit {
    /// How long there is from now on.
    pub(crate) fn left(self, now: Instant) -> Duration {
        match self {
            Self::Head(timeout) => timeout,
            Self::HeadBy(deadline) | Self::Whole(deadline) => deadline.saturating_duration_since(now),
        }
    }

    /// Until when another attempt is worth beginning.
    pub(crate) fn until(self, started: Instant) -> Instant {
        match self {
            Self::Head(timeout) => started + timeout,
            Self::HeadBy(deadline) | Self::Whole(deadline) => deadline,
        }
    }
}

/// A stream's ledger: closed once. One that is dropped was cancelled.
pub(crate) struct Ledger {
    record: Option<Record>,
    /// What the access log calls the method.
    method: Box<str>,
    /// Where it went last.
    pub(crate) endpoint: String,
    pub(crate) source: Source,
    pub(crate) is_grpc: bool,
    pub(crate) limit: Limit,
}

impl Ledger {
    pub(crate) fn open(record: Record, method: &str, body: Body, is_grpc: bool, limit: Limit) -> Self {
        Self {
            record: Some(record),
            method: Box::from(method),
            endpoint: String::new(),
            source: Source::new(body),
            is_grpc,
            limit,
        }
    }

    /// Counts one more attempt.
    pub(crate) fn attempt(&mut self, endpoint: &str) {
        self.endpoint.clear();
        self.endpoint.push_str(endpoint);
        if let Some(record) = &mut self.record {
            record.attempt();
        }
    }

    /// The head of the response is here.
    fn answered(&mut self, outcome: Outcome) {
        if let Some(record) = &mut self.record {
            record.answered(outcome, now());
        }
    }

    /// It has ended like this.
    pub(crate) fn end(&mut self, outcome: Outcome) {
        if let Some(record) = self.record.take() {
            record.close_of(outcome, now(), || self.method.to_string(), &self.endpoint);
        }
    }

    /// Waits until the head of the response is overdue, or nothing has come of the request for too long.
    pub(crate) async fn overdue(&self) {
        match self.limit {
            Limit::HeadBy(deadline) | Limit::Whole(deadline) => {
                tokio::time::sleep_until(deadline.into()).await
            }
            Limit::Head(timeout) => {
                tokio::select! {
                    () = self.source.ended() => {}
                    () = self.halted() => return,
                }
                let until = self.source.moved() + timeout;
                tokio::time::sleep_until(until.into()).await;
            }
        }
    }

    async fn halted(&self) {
        loop {
            let until = self.source.moved() + BODY_IDLE;
            if until <= now() {
                return;
            }
            tokio::time::sleep_until(until.into()).await;
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        let outcome = if self.source.is_broken() {
            Outcome::Failed(Kind::BadRequest)
        } else {
            Outcome::Cancelled
        };
        self.end(outcome);
        self.source.give_up();
    }
}

/// A response on its way back, with everything that lives as long as it does.
pub(crate) fn carry<K: 'static>(response: Response<Body>, mut ledger: Ledger, keep: K) -> Response<Body> {
    ledger.source.settle();
    let (parts, body) = response.into_parts();
    let outcome = match parts.headers.get(grpc::STATUS) {
        Some(status) if ledger.is_grpc => of_status(status.as_bytes()),
        _ if parts.status.as_u16() >= SERVER_ERROR => Outcome::AppError,
        _ => Outcome::Ok,
    };
    if body.is_end_stream() {
        ledger.end(outcome);
        return Response::from_parts(parts, Body::empty());
    }
    ledger.answered(outcome);
    let alarm = match ledger.limit {
        Limit::Whole(deadline) => deadline.min(now() + BODY_IDLE),
        Limit::Head(_) | Limit::HeadBy(_) => now() + BODY_IDLE,
    };
    let carried = Carried {
        body,
        ledger,
        outcome,
        moved: now(),
        alarm: Box::pin(tokio::time::sleep_until(alarm.into())),
        has_ended: false,
        _keep: Box::new(keep),
    };
    Response::from_parts(parts, Body::Coming(Box::pin(carried)))
}

fn of_status(status: &[u8]) -> Outcome {
    if grpc::is_fault(status) {
        Outcome::AppError
    } else {
        Outcome::Ok
    }
}

struct Carried {
    body: Body,
    ledger: Ledger,
    outcome: Outcome,
    /// When something of it went by last.
    moved: Instant,
    alarm: Pin<Box<Sleep>>,
    has_ended: bool,
    _keep: Box<dyn Any>,
}

impl Carried {
    fn end(&mut self, outcome: Outcome) {
        self.has_ended = true;
        self.ledger.end(outcome);
    }

    /// What is to be done now that the alarm has rung; `None` where nothing is yet.
    fn rung(&mut self) -> Option<Result<Frame<Bytes>, BodyError>> {
        let now = now();
        if let Limit::Whole(deadline) = self.ledger.limit
            && deadline <= now
        {
            self.end(Outcome::Failed(Kind::Timeout));
            let mut trailers = HeaderMap::new();
            grpc::tell(&late(), &mut trailers);
            return Some(Ok(Frame::trailers(trailers)));
        }
        let idle_at = self.moved.max(self.ledger.source.moved()) + BODY_IDLE;
        if idle_at <= now {
            self.end(Outcome::Failed(Kind::Timeout));
            return Some(Err("nothing came or went for 5 minutes".into()));
        }
        let next = match self.ledger.limit {
            Limit::Whole(deadline) => deadline.min(idle_at),
            Limit::Head(_) | Limit::HeadBy(_) => idle_at,
        };
        self.alarm.as_mut().reset(next.into());
        None
    }
}

/// What a gRPC caller is told at its deadline.
pub(crate) fn late() -> Failure {
    Failure::perhaps(Kind::Timeout, "the deadline of the call has passed")
}

impl HttpBody for Carried {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.has_ended {
            return Poll::Ready(None);
        }
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                this.moved = now();
                if let Some(status) = frame
                    .trailers_ref()
                    .and_then(|trailers| trailers.get(grpc::STATUS))
                {
                    this.outcome = of_status(status.as_bytes());
                }
                if frame.is_trailers() || this.body.is_end_stream() {
                    this.end(this.outcome);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                this.end(this.outcome);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                this.end(Outcome::Failed(Kind::Unavailable));
                Poll::Ready(Some(Err(error)))
            }
            Poll::Pending => {
                while this.alarm.as_mut().poll(context).is_ready() {
                    if let Some(last) = this.rung() {
                        return Poll::Ready(Some(last));
                    }
                }
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
