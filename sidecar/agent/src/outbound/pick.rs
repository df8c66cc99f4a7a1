//! Which endpoint a call or a stream goes to: one of two that the policy draws, by how they stand and what is under way there.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use govern::balance::{self, Drawn};
use govern::outlier::Standing;
use plan::EndpointState;
use relay::ConnectionId;
use wire::message::Version;

use crate::call::Caller;
use crate::failure::{Failure, Kind};
use crate::governed::Member;
use crate::link::pool::State;
use crate::link::streams::Standing as Conduct;
use crate::link::{self, dial};
use crate::live::{Endpoint, Export, Place, Service};
use crate::worker::Worker;

/// How good an endpoint is for a call now: the lesser the better, then by calls under way there.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
enum Rank {
    /// Connected.
    Ready(f64),
    /// Connected, and going away or with much to send.
    Reluctant(f64),
    /// Being connected, or free to be.
    Coming,
    /// The same, and going away.
    Going,
    /// Ejected: calls have failed there again and again.
    Out(f64),
    /// Connected, and this call has failed there.
    Tried(f64),
    /// It can't be connected to before a pause is over.
    Away,
}

/// Where a call goes.
pub(super) enum Pick {
    Send(ConnectionId, Arc<Endpoint>, Arc<Member>),
    /// To a program that speaks HTTP and has no agent.
    Direct(Arc<Export>, Arc<Member>),
    /// A connection is being made.
    Wait,
    /// Every endpoint must be left alone for a while.
    Later,
    /// Nobody provides it.
    Nowhere,
}

/// The places that a call may go to.
pub(super) struct Places<'s> {
    service: &'s Service,
    /// Which of them, where it is not all: an HTTP request can't go to a Motan program without an agent, which would
    /// translate.
    agents: Option<Vec<&'s Place>>,
    version: Version,
}

impl<'s> Places<'s> {
    pub(super) fn of(service: &'s Service, caller: &Caller) -> Result<Self, Failure> {
        let mut places = Self::of_motan2(service);
        places.version = caller.version();
        let is_http = match caller {
            Caller::Motan(_) => false,
            Caller::Task(_) => true,
            Caller::Copy(copied) => copied.is_http,
        };
        if is_http && service.direct && service.protocol.is_motan() {
            let agents = service.places.iter().filter(|place| !place.direct);
            let agents: Vec<_> = agents.collect();
            if agents.is_empty() {
                return Err(no_agent(service));
            }
            places.agents = Some(agents);
        }
        Ok(places)
    }

    pub(super) const fn of_motan2(service: &'s Service) -> Self {
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

/// The better of two endpoints that the policy draws; where neither is connected, the best of all. Those drawn and not
/// connected are dialled, so that in a few calls all of them are.
pub(super) fn for_call(
    worker: &Rc<Worker>,
    places: &Places<'_>,
    (key, tried): (Option<u64>, &[Arc<Endpoint>]),
    now: Instant,
) -> Pick {
    let version = places.version;
    let load = |index: usize| places.at(index).takes(version).in_flight();
    let drawn = draw(
        worker,
        places.service,
        places.len(),
        key,
        load,
        |index| places.at(index),
        now,
    );
    let Some(Drawn {
        first,
        second,
        by_load,
    }) = drawn
    else {
        return Pick::Nowhere;
    };
    let slow_start = places.service.balancing.slow_start;
    let look = |index: usize| look(worker, places.at(index), (version, slow_start), tried, now);
    let (one, other) = (look(first), look(second));
    if let (Rank::Ready(load), Rank::Ready(other_load)) = (one.rank, other.rank)
        && let (State::Ready(on), State::Ready(other_on)) = (one.state, other.state)
    {
        // The usual case, and the whole of it.
        let (index, on) = if by_load && other_load < load {
            (second, other_on)
        } else {
            (first, on)
        };
        let place = places.at(index);
        return Pick::Send(on, Arc::clone(place.takes(version)), Arc::clone(&place.member));
    }
    for (index, seen) in [(first, one), (second, other)] {
        let place = places.at(index);
        if place.state == EndpointState::Ready && seen.state == State::Idle && place.web.is_none() {
            dial::start(worker, place.takes(version), now);
        }
    }
    let (drawn, seen) = match one.rank {
        Rank::Ready(_) if !by_load => (first, one),
        rank if other.rank < rank => (second, other),
        _ => (first, one),
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
            return Pick::Send(on, Arc::clone(endpoint), Arc::clone(&place.member));
        }
        State::Connecting => return Pick::Wait,
        State::Waiting => return Pick::Later,
        State::Idle => {}
    }
    if let Some(program) = &place.web {
        return Pick::Direct(Arc::clone(program), Arc::clone(&place.member));
    }
    dial::start(worker, endpoint, now);
    Pick::Wait
}

/// Two places of a service that the policy draws. A newcomer is passed over for the other one as long as it has no full
/// share, where loads are not compared.
fn draw<'p>(
    worker: &Worker,
    service: &Service,
    count: usize,
    key: Option<u64>,
    load: impl Fn(usize) -> u32,
    place: impl Fn(usize) -> &'p Place,
    now: Instant,
) -> Option<Drawn> {
    let balancing = &service.balancing;
    let is_usable = |index: usize| {
        let place = place(index);
        let is_away = worker.pool.borrow().state(&place.endpoint, now) == State::Waiting;
        !is_away && place.state == EndpointState::Ready && place.member.standing(now) != Standing::Out
    };
    let mut drawn = balancing.draw(count, (|| worker.random(), key, now), load, is_usable)?;
    if let Some(window) = balancing.slow_start
        && !drawn.by_load
        && !balance::takes(place(drawn.first).member.share(window, now), worker.random())
    {
        std::mem::swap(&mut drawn.first, &mut drawn.second);
    }
    Some(drawn)
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

fn look(
    worker: &Worker,
    place: &Place,
    (version, slow_start): (Version, Option<Duration>),
    tried: &[Arc<Endpoint>],
    now: Instant,
) -> Seen {
    let endpoint = place.takes(version);
    let was_tried = tried.iter().any(|tried| Arc::ptr_eq(tried, endpoint));
    let is_leaving = place.state == EndpointState::Draining;
    let load = cost(place, endpoint.in_flight(), slow_start, now);
    let state = worker.pool.borrow().state(endpoint, now);
    let is_out = place.member.standing(now) == Standing::Out;
    let rank = match state {
        State::Idle if is_out && place.web.is_some() && !was_tried => Rank::Out(load),
        State::Ready(_) | State::Draining(_) if is_out && !was_tried => Rank::Out(load),
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

/// What one more call costs at a place.
fn cost(place: &Place, in_flight: u32, slow_start: Option<Duration>, now: Instant) -> f64 {
    let cost = place.member.cost(in_flight, now);
    match slow_start {
        None => cost,
        // One more than there are, so that a newcomer without calls is not as good as any other.
        Some(window) => (cost + 1.0) / place.member.share(window, now),
    }
}

/// Whether a call had better go elsewhere: much waits to be written, or nothing is heard from there.
fn is_reluctant(worker: &Worker, on: ConnectionId) -> bool {
    worker.core.borrow().is_full(on) || is_silent(worker, on)
}

fn is_silent(worker: &Worker, on: ConnectionId) -> bool {
    let core = worker.core.borrow();
    core.attached(on)
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

/// How good an endpoint is for a stream now: the lesser the better.
type StreamRank = (bool, Conduct, bool, bool, f64);

/// The better of two endpoints that the policy draws; where neither is good, the best of all.
pub(super) fn for_stream(
    worker: &Worker,
    service: &Service,
    (key, tried): (Option<u64>, &[Arc<Endpoint>]),
    now: Instant,
) -> Option<Place> {
    let places = &service.places;
    let better = |one: &&Place, other: &&Place| {
        let rank = |place: &Place| stream_rank(worker, service, place, tried, now);
        let order = rank(one).partial_cmp(&rank(other));
        order.unwrap_or(std::cmp::Ordering::Equal)
    };
    if service.direct && service.protocol.is_motan() {
        // A Motan program can't be called so; an agent says what could be done.
        let agents = places.iter().filter(|place| !place.direct);
        return agents.min_by(better).cloned();
    }
    let load = |index: usize| places[index].endpoint.in_flight();
    let drawn = draw(
        worker,
        service,
        places.len(),
        key,
        load,
        |index| &places[index],
        now,
    )?;
    let rank = |index: usize| stream_rank(worker, service, &places[index], tried, now);
    let (one, other) = (rank(drawn.first), rank(drawn.second));
    let is_fine = |rank: &StreamRank| matches!(rank, (false, Conduct::Fine, false, false, _));
    let prefers_second = other < one && (drawn.by_load || !is_fine(&one));
    let (index, best) = if prefers_second {
        (drawn.second, other)
    } else {
        (drawn.first, one)
    };
    let best = if is_fine(&best) {
        &places[index]
    } else {
        places.iter().min_by(better)?
    };
    Some(best.clone())
}

fn stream_rank(
    worker: &Worker,
    service: &Service,
    place: &Place,
    tried: &[Arc<Endpoint>],
    now: Instant,
) -> StreamRank {
    let endpoint = &place.endpoint;
    let was_tried = tried.iter().any(|tried| Arc::ptr_eq(tried, endpoint));
    let standing = worker.streams.borrow().standing(endpoint, now);
    let link = worker.pool.borrow().state(endpoint, now);
    let standing = match link {
        State::Waiting if place.web.is_some() => Conduct::Away,
        _ => standing,
    };
    // The Motan link hears first that an agent goes away, or does not hear from it.
    let is_reluctant = match link {
        State::Draining(_) => true,
        State::Ready(on) => is_silent(worker, on),
        State::Idle | State::Connecting | State::Waiting => false,
    };
    let is_reluctant = is_reluctant || place.state == EndpointState::Draining;
    let is_out = place.member.standing(now) == Standing::Out;
    let cost = cost(place, endpoint.in_flight(), service.balancing.slow_start, now);
    (was_tried, standing, is_out, is_reluctant, cost)
}
