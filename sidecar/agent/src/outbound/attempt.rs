//! One call's attempts: pick an endpoint, send, judge what became of it, again. Nothing here waits: a call that has no
//! place to go is parked in the core, and comes back when its time has come or a link has changed.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use govern::retry::{self, Reached, Tried, Verdict};
use plan::EndpointState;
use relay::{ConnectionId, Parcel, Sent};
use wire::keys;
use wire::message::Message;
use wire::motan2::{EXCEPTION, Frame};

use super::pick::{self, Pick, Places};
use crate::answer;
use crate::call::{Call, Target};
use crate::failure::{Failure, Kind, Reach};
use crate::link;
use crate::live::{Endpoint, Service};
use crate::provide;
use crate::worker::Worker;

/// Sends a call to the best endpoint, or keeps it until there is one. Gives the link that it was put on.
pub(crate) fn place(
    worker: &Rc<Worker>,
    service: &Arc<Service>,
    parcel: Parcel<Call>,
    now: Instant,
) -> Option<ConnectionId> {
    let places = match Places::of(service, &parcel.call.caller) {
        Ok(places) => places,
        Err(failure) => {
            answer::with_failure(worker, parcel, failure, now);
            return None;
        }
    };
    match pick::for_call(worker, &places, &parcel.call.tried, now) {
        Pick::Send(on, endpoint) => return send(worker, on, &endpoint, parcel, now),
        Pick::Direct(program) => provide::http::start_without_agent(worker, &program, parcel),
        Pick::Wait => {
            let deadline = parcel.deadline;
            park(worker, parcel, deadline, now);
        }
        Pick::Later => {
            let words = format!("no endpoint of {} can be connected to", service.name);
            again(
                worker,
                parcel,
                Reached::Unsent,
                Failure::unsent(Kind::Unavailable, words),
                now,
            );
        }
        Pick::Nowhere => {
            let words = format!(
                "No refers for request, service: {}: it has no endpoint",
                service.name
            );
            answer::with_failure(worker, parcel, Failure::unsent(Kind::NoEndpoint, words), now);
        }
    }
    None
}

/// The endpoint that a call would be sent to at once; `None` where it would have to wait.
pub(crate) fn ready(worker: &Rc<Worker>, service: &Service, now: Instant) -> Option<Arc<Endpoint>> {
    match pick::for_call(worker, &Places::of_motan2(service), &[], now) {
        Pick::Send(_, endpoint) => Some(endpoint),
        Pick::Direct(_) | Pick::Wait | Pick::Later | Pick::Nowhere => {
            let pool = worker.pool.borrow();
            let mut places = service.places.iter();
            let rested =
                places.find(|place| place.state == EndpointState::Ready && pool.has_rested(&place.endpoint));
            rested.map(|place| Arc::clone(&place.endpoint))
        }
    }
}

/// An answer came, as `bytes`: the caller gets it, unless it says that the program was not reached, or was lost under a
/// call that may be repeated, and there is another way.
pub(crate) fn answered(
    worker: &Rc<Worker>,
    mut parcel: Parcel<Call>,
    message: &Message<'_>,
    bytes: &[u8],
    now: Instant,
) {
    if let Message::Two(frame) = message
        && let Some(reached) = missed(frame)
    {
        match judge(worker, &mut parcel, reached, now) {
            Verdict::Never => {}
            verdict => return follow(worker, parcel, verdict, now),
        }
    }
    answer::with_message(worker, parcel, message, bytes, now);
}

/// How far a call got that the other agent could not bring to its end; `None` for what the program answered.
fn missed(frame: &Frame<'_>) -> Option<Reached> {
    if frame.header.status != EXCEPTION {
        None
    } else if frame.meta.find(keys::MESH_UNSENT).is_some() {
        Some(Reached::Unsent)
    } else {
        let kind = frame.meta.find(keys::MESH_ERROR)?;
        (kind == Kind::Unavailable.as_str().as_bytes()).then_some(Reached::Perhaps)
    }
}

/// A program that has no agent could not be called, or did not answer.
pub(crate) fn unanswered(worker: &Rc<Worker>, parcel: Parcel<Call>, failure: Failure, now: Instant) {
    if failure.kind != Kind::Unavailable {
        return answer::with_failure(worker, parcel, failure, now);
    }
    let reached = match failure.reach {
        Reach::Unsent => Reached::Unsent,
        Reach::Perhaps => Reached::Perhaps,
    };
    if let (Reached::Unsent, Some(at)) = (reached, &parcel.call.at) {
        let random = worker.random();
        worker.pool.borrow_mut().unreached(at.endpoint(), now, random);
    }
    again(worker, parcel, reached, failure, now);
}

/// The link was lost under a call.
pub(crate) fn lost(worker: &Rc<Worker>, parcel: Parcel<Call>, sent: Sent, now: Instant) {
    let endpoint = parcel
        .call
        .at
        .as_ref()
        .map(|at| at.endpoint().address.to_string());
    let endpoint = endpoint.unwrap_or_default();
    let (reached, failure) = match sent {
        Sent::No => {
            let words = format!("the connection to {endpoint} was lost before the request was written");
            (Reached::Unsent, Failure::unsent(Kind::Unavailable, words))
        }
        Sent::Perhaps => {
            let words = format!("the connection to {endpoint} was lost before the answer came");
            (Reached::Perhaps, Failure::perhaps(Kind::Unavailable, words))
        }
    };
    again(worker, parcel, reached, failure, now);
}

/// Its deadline has passed.
pub(crate) fn late(worker: &Rc<Worker>, parcel: Parcel<Call>, sent: Sent, now: Instant) {
    let failure = match sent {
        // The words of the existing agent (motan-wire 4.1).
        Sent::Perhaps => Failure::perhaps(
            Kind::Timeout,
            Cow::Borrowed("channel call error:timeout err: receive request timeout"),
        ),
        Sent::No => Failure::unsent(
            Kind::Unavailable,
            Cow::Borrowed("can not get a channel: no endpoint could be connected to before the deadline"),
        ),
    };
    answer::with_failure(worker, parcel, failure, now);
}

/// Tries again, or tells the caller of `failure`.
fn again(worker: &Rc<Worker>, mut parcel: Parcel<Call>, reached: Reached, failure: Failure, now: Instant) {
    match judge(worker, &mut parcel, reached, now) {
        Verdict::Never => answer::with_failure(worker, parcel, failure, now),
        verdict => follow(worker, parcel, verdict, now),
    }
}

fn judge(worker: &Worker, parcel: &mut Parcel<Call>, reached: Reached, now: Instant) -> Verdict {
    let is_whole = parcel.is_whole();
    let call = &mut parcel.call;
    call.failures += 1;
    if let Some(at) = call.at.take() {
        call.tried.push(Arc::clone(at.endpoint()));
    }
    if !is_whole {
        return Verdict::Never;
    }
    let endpoints = match &call.target {
        Target::Service(service) => newest(worker, service).places.len(),
        Target::Export(_) => 1,
    };
    let tried = Tried {
        attempts: call.failures,
        endpoints,
        repeatable: call.repeatable,
        deadline: parcel.deadline,
    };
    retry::verdict(reached, &tried, now)
}

fn follow(worker: &Rc<Worker>, mut parcel: Parcel<Call>, verdict: Verdict, now: Instant) {
    match verdict {
        Verdict::Now => {
            link::place(worker, parcel, now);
        }
        Verdict::At(when) => {
            // After a pause every endpoint is as good as any other.
            parcel.call.tried.clear();
            park(worker, parcel, when, now);
        }
        Verdict::Never => {}
    }
}

/// A service as the newest plan has it: a call that must go elsewhere goes where the service is provided by now.
pub(crate) fn newest(worker: &Worker, service: &Arc<Service>) -> Arc<Service> {
    let live = worker.live.borrow();
    Arc::clone(live.named(&service.name).unwrap_or(service))
}

fn send(
    worker: &Rc<Worker>,
    on: ConnectionId,
    endpoint: &Arc<Endpoint>,
    mut parcel: Parcel<Call>,
    now: Instant,
) -> Option<ConnectionId> {
    parcel.call.record.attempt();
    parcel.call.at = Some(endpoint.enter());
    match worker.send(on, parcel) {
        Ok(()) => Some(on),
        Err(parcel) => {
            let words = "the request was too large to be kept for another attempt";
            answer::with_failure(worker, parcel, Failure::unsent(Kind::Overloaded, words), now);
            None
        }
    }
}

fn park(worker: &Rc<Worker>, parcel: Parcel<Call>, until: Instant, now: Instant) {
    if let Err(parcel) = worker.park(parcel, until) {
        let words = "too many requests wait for a connection";
        answer::with_failure(worker, parcel, Failure::unsent(Kind::Overloaded, words), now);
    }
}
