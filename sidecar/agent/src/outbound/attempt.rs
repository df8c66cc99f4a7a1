//! One call's attempts: pick an endpoint, send, judge what became of it, again. Nothing here waits: a call that has no
//! place to go is parked in the core, and comes back when its time has come or a link has changed.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use govern::balance;
use govern::retry::{self, Reached, Tried, Verdict};
use plan::EndpointState;
use relay::{ConnectionId, Parcel, Sent};
use wire::keys;
use wire::message::{Message, Version};
use wire::motan2::{EXCEPTION, Frame};

use crate::answer;
use crate::call::{Call, Caller, Target};
use crate::failure::{Failure, Kind, Reach};
use crate::link::pool::State;
use crate::link::{self, dial};
use crate::live::{Endpoint, Export, Place, Service};
use crate::provide;
use crate::worker::Worker;

/// How good an endpoint is for a call now: the lesser the better, then by calls under way there.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
enum Rank {
    /// Connected.
    Ready(u32),
    /// Connected, and going away or with much to send.
    Reluctant(u32),
    /// Being connected, or free to be.
    Coming,
    /// The same, and going away.
    Going,
    /// Connected, and this call has failed there.
    Tried(u32),
    /// It can't be connected to before a pause is over.
    Away,
}

/// Where a call goes.
enum Pick {
    Send(ConnectionId, Arc<Endpoint>),
    /// To a program that speaks HTTP and has no agent.
    Direct(Arc<Export>),
    /// A connection is being made.
    Wait,
    /// Every endpoint must be left alone for a while.
    Later,
    /// Nobody provides it.
    Nowhere,
}

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
    match pick(worker, &places, &parcel.call.tried, now) {
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
    match pick(worker, &Places::of_motan2(service), &[], now) {
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

/// The places that a call may go to.
struct Places<'s> {
    service: &'s Service,
    /// Which of them, where it is not all: an HTTP request can't go to a Motan program without an agent, which would
    /// translate.
    agents: Option<Vec<&'s Place>>,
    version: Version,
}

impl<'s> Places<'s> {
    fn of(service: &'s Service, caller: &Caller) -> Result<Self, Failure> {
        let mut places = Self::of_motan2(service);
        match caller {
            Caller::Motan(turn) => places.version = turn.version,
            Caller::Task(_) if service.direct && service.protocol.is_motan() => {
                let agents = service.places.iter().filter(|place| !place.direct);
                let agents: Vec<_> = agents.collect();
                if agents.is_empty() {
                    return Err(no_agent(service));
                }
                places.agents = Some(agents);
            }
            Caller::Task(_) => {}
        }
        Ok(places)
    }

    const fn of_motan2(service: &'s Service) -> Self {
        Self {
            service,
            agents: None,
            version: Version::Two,
        }
    }

    fn len(&self) -> usize {
        self.agents.as_ref().map_or(self.service.places.len(), Vec::len)
    }

    fn at(&self, index: usize) -> &'s Place {
        match &self.agents {
            Some(agents) => agents[index],
            None => &self.service.places[index],
        }
    }
}

/// An HTTP request can't reach a Motan program by itself.
pub(crate) fn no_agent(service: &Service) -> Failure {
    let words = format!(
        "{} speaks {} and its pods have no sidecar, which would translate: annotate them or their namespace \
         motanmesh.io/inject: enabled, or call it by Motan on port 9981",
        service.name,
        service.protocol.as_str()
    );
    Failure::unsent(Kind::Unsupported, words)
}

/// The better of two endpoints drawn at random; where neither is connected, the best of all. Those drawn and not
/// connected are dialled, so that in a few calls all of them are.
fn pick(worker: &Rc<Worker>, places: &Places<'_>, tried: &[Arc<Endpoint>], now: Instant) -> Pick {
    let version = places.version;
    let random = worker.random();
    let Some((first, second)) = balance::draw_two(places.len(), random) else {
        return Pick::Nowhere;
    };
    let look = |index: usize| look(worker, places.at(index), version, tried, now);
    let (one, other) = (look(first), look(second));
    if let (Rank::Ready(load), Rank::Ready(other_load)) = (one.rank, other.rank)
        && let (State::Ready(on), State::Ready(other_on)) = (one.state, other.state)
    {
        // The usual case, and the whole of it.
        let (index, on) = if other_load < load {
            (second, other_on)
        } else {
            (first, on)
        };
        return Pick::Send(on, Arc::clone(places.at(index).takes(version)));
    }
    for (index, seen) in [(first, one), (second, other)] {
        let place = places.at(index);
        if place.state == EndpointState::Ready && seen.state == State::Idle && place.web.is_none() {
            dial::start(worker, place.takes(version), now);
        }
    }
    let (drawn, seen) = if other.rank < one.rank {
        (second, other)
    } else {
        (first, one)
    };
    let best = match seen.rank {
        Rank::Ready(_) => drawn,
        _ => best_of_all(places.len(), first, |index| look(index).rank),
    };
    let place = places.at(best);
    let endpoint = place.takes(version);
    let seen = look(best);
    match seen.state {
        State::Ready(on) | State::Draining(on) => {
            if let Rank::Ready(_) = seen.rank {
                leave(
                    worker,
                    [first, second].map(|index| places.at(index).takes(version)),
                    now,
                );
            }
            return Pick::Send(on, Arc::clone(endpoint));
        }
        State::Connecting => return Pick::Wait,
        State::Waiting => return Pick::Later,
        State::Idle => {}
    }
    if let Some(program) = &place.web {
        return Pick::Direct(Arc::clone(program));
    }
    dial::start(worker, endpoint, now);
    Pick::Wait
}

fn best_of_all(count: usize, from: usize, rank: impl Fn(usize) -> Rank) -> usize {
    let mut best = (from, rank(from));
    for index in (0..count).map(|step| (from + step) % count) {
        let rank = rank(index);
        if rank < best.1 {
            best = (index, rank);
        }
    }
    best.0
}

/// An endpoint as it is seen by one call.
#[derive(Clone, Copy)]
struct Seen {
    state: State,
    rank: Rank,
}

fn look(worker: &Worker, place: &Place, version: Version, tried: &[Arc<Endpoint>], now: Instant) -> Seen {
    let endpoint = place.takes(version);
    let was_tried = tried.iter().any(|tried| Arc::ptr_eq(tried, endpoint));
    let is_leaving = place.state == EndpointState::Draining;
    let load = endpoint.in_flight();
    let state = worker.pool.borrow().state(endpoint, now);
    let rank = match state {
        State::Idle if place.web.is_some() => match (was_tried, is_leaving) {
            (true, _) => Rank::Tried(load),
            (false, true) => Rank::Reluctant(load),
            (false, false) => Rank::Ready(load),
        },
        State::Ready(_) | State::Draining(_) if was_tried => Rank::Tried(load),
        State::Ready(on) if !is_leaving && !is_reluctant(worker, on) => Rank::Ready(load),
        State::Ready(_) | State::Draining(_) => Rank::Reluctant(load),
        State::Idle | State::Connecting if is_leaving => Rank::Going,
        State::Idle | State::Connecting => Rank::Coming,
        State::Waiting => Rank::Away,
    };
    Seen { state, rank }
}

/// Whether a call had better go elsewhere: much waits to be written, or nothing is heard from there.
fn is_reluctant(worker: &Worker, on: ConnectionId) -> bool {
    let core = worker.core.borrow();
    core.is_full(on)
        || core
            .attached(on)
            .is_some_and(|connection| connection.is_silent.get())
}

/// Closes links to endpoints that go away, once nothing waits on them: another one is ready, so nothing new will.
fn leave(worker: &Worker, endpoints: [&Arc<Endpoint>; 2], now: Instant) {
    for endpoint in endpoints {
        let state = worker.pool.borrow().state(endpoint, now);
        if let State::Draining(on) = state {
            link::close_if_idle(worker, on);
        }
    }
}
