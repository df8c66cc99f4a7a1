//! This worker's links by endpoint: which is usable, which is being made, which must wait; and the lanes beside them.

use std::sync::Arc;
use std::time::Instant;

use foldhash::HashMap;
use govern::health::Health;
use relay::ConnectionId;

use super::lane::{IDLE, Lane, MAX_LANES};
use crate::live::{Endpoint, EndpointId};

/// How a link stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// There is none; one may be dialled.
    Idle,
    /// There is none, and a new one must wait a while.
    Waiting,
    /// It is being dialled.
    Connecting,
    /// Calls go over it.
    Ready(ConnectionId),
    /// The other side goes away: calls go over it only where nothing else is ready.
    Draining(ConnectionId),
}

#[derive(Debug)]
struct Link {
    endpoint: Arc<Endpoint>,
    health: Health,
    progress: Progress,
    /// Lanes that there are, those being made too.
    lanes: usize,
    /// Those of them that carry nothing, and since when; the last one is taken first, so that few are kept.
    rested: Vec<(ConnectionId, Instant)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Down,
    Connecting,
    Up { on: ConnectionId, draining: bool },
}

/// What becomes of a lane that carries nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// It waits for the next large message.
    Lane,
    /// It is the link again.
    Link,
    /// Nobody wants it.
    Unwanted,
}

/// All links of one worker.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    links: HashMap<EndpointId, Link>,
}

impl Pool {
    /// How the link to an endpoint stands.
    pub(crate) fn state(&self, endpoint: &Endpoint, now: Instant) -> State {
        self.links
            .get(&endpoint.id)
            .map_or(State::Idle, |link| link.state(now))
    }

    /// Notes that a connection is being dialled; false where that must not be done now.
    pub(crate) fn dialling(&mut self, endpoint: &Arc<Endpoint>, now: Instant) -> bool {
        if self.state(endpoint, now) != State::Idle {
            return false;
        }
        let new = || Link {
            endpoint: Arc::clone(endpoint),
            health: Health::default(),
            progress: Progress::Down,
            lanes: 0,
            rested: Vec::new(),
        };
        self.links.entry(endpoint.id).or_insert_with(new).progress = Progress::Connecting;
        true
    }

    /// Notes that the dialled connection is there.
    pub(crate) fn connected(&mut self, endpoint: &Endpoint, on: ConnectionId) {
        if let Some(link) = self.links.get_mut(&endpoint.id) {
            link.health.connected();
            link.progress = Progress::Up { on, draining: false };
        }
    }

    /// Notes that a program that needs no link could not be reached: it is left alone for a while.
    pub(crate) fn unreached(&mut self, endpoint: &Arc<Endpoint>, now: Instant, random: u64) {
        if self.dialling(endpoint, now) {
            self.failed(endpoint, now, random);
        }
    }

    /// Notes that a program that needs no link was reached.
    pub(crate) fn reached(&mut self, endpoint: &Endpoint) {
        self.links.remove(&endpoint.id);
    }

    /// Notes that the connection could not be made.
    pub(crate) fn failed(&mut self, endpoint: &Endpoint, now: Instant, random: u64) {
        if let Some(link) = self.links.get_mut(&endpoint.id) {
            link.health.failed(now, random);
            link.progress = Progress::Down;
        }
    }

    /// Notes that this connection has ended, or is about to; the link is forgotten where no plan wants it any more.
    pub(crate) fn lost(&mut self, endpoint: &Endpoint, was_on: ConnectionId, is_wanted: bool) {
        let Some(link) = self.links.get_mut(&endpoint.id) else {
            return;
        };
        // A link that was given up before its connection ended may have another one by now.
        if !matches!(link.progress, Progress::Up { on, .. } if on == was_on) {
            return;
        }
        link.progress = Progress::Down;
        if !is_wanted && link.lanes == 0 {
            self.links.remove(&endpoint.id);
        }
    }

    /// Whether a large request would find a lane there that carries nothing.
    pub(crate) fn has_rested(&self, endpoint: &Endpoint) -> bool {
        let link = self.links.get(&endpoint.id);
        link.is_some_and(|link| !link.rested.is_empty())
    }

    /// Whether the connection of a link may become a lane.
    pub(crate) fn may_detach(&self, endpoint: &Endpoint) -> bool {
        let link = self.links.get(&endpoint.id);
        link.is_some_and(|link| link.lanes < MAX_LANES)
    }

    /// Makes the connection of a link a lane: who comes next gets another one.
    pub(crate) fn detach(&mut self, endpoint: &Endpoint, was_on: ConnectionId) {
        if let Some(link) = self.links.get_mut(&endpoint.id)
            && matches!(link.progress, Progress::Up { on, .. } if on == was_on)
        {
            link.progress = Progress::Down;
            link.lanes += 1;
        }
    }

    /// Notes that the other side goes away.
    pub(crate) fn leaving(&mut self, endpoint: &Endpoint, now: Instant) {
        if let Some(link) = self.links.get_mut(&endpoint.id)
            && let Progress::Up { draining, .. } = &mut link.progress
        {
            *draining = true;
            link.health.leaving(now);
        }
    }

    /// Notes that the other side takes no calls on this connection any more. It listens no longer, so that who comes
    /// in its place is found as soon as it is there.
    pub(crate) fn dismissed(&mut self, endpoint: &Endpoint, was_on: ConnectionId, now: Instant) {
        let Some(link) = self.links.get_mut(&endpoint.id) else {
            return;
        };
        link.rested.retain(|(rested, _)| *rested != was_on);
        if matches!(link.progress, Progress::Up { on, .. } if on == was_on) {
            link.progress = Progress::Down;
            link.health.gone(now);
        }
    }

    /// A lane that is there and carries nothing.
    pub(crate) fn take_rested(&mut self, endpoint: &Endpoint) -> Option<ConnectionId> {
        let link = self.links.get_mut(&endpoint.id)?;
        link.rested.pop().map(|(id, _)| id)
    }

    /// A place among the lanes to an endpoint that has a link; `None` where all are taken.
    pub(crate) fn take_lane(&mut self, endpoint: &Endpoint) -> Option<Lane> {
        let link = self.links.get_mut(&endpoint.id)?;
        if let Some((id, _)) = link.rested.pop() {
            return Some(Lane::Rested(id));
        }
        (link.lanes < MAX_LANES).then(|| {
            link.lanes += 1;
            Lane::New
        })
    }

    /// Notes that a lane carries nothing.
    pub(crate) fn rest(&mut self, endpoint: &Endpoint, id: ConnectionId, now: Instant) -> Rest {
        let Some(link) = self.links.get_mut(&endpoint.id) else {
            return Rest::Unwanted;
        };
        if link.progress == Progress::Down && link.health.failures() == 0 {
            // What was a lane's once carries everything again, before another one is made.
            link.progress = Progress::Up {
                on: id,
                draining: false,
            };
            link.lanes = link.lanes.saturating_sub(1);
            return Rest::Link;
        }
        if link.rested.iter().all(|(rested, _)| *rested != id) {
            link.rested.push((id, now));
        }
        Rest::Lane
    }

    /// Notes that a lane has ended, or that one could not be made.
    pub(crate) fn lost_lane(&mut self, endpoint: &Endpoint, id: Option<ConnectionId>) {
        if let Some(link) = self.links.get_mut(&endpoint.id) {
            link.lanes = link.lanes.saturating_sub(1);
            link.rested.retain(|(rested, _)| Some(*rested) != id);
        }
    }

    /// Takes out lanes that have carried nothing for [`IDLE`].
    pub(crate) fn idle_lanes(&mut self, now: Instant) -> Vec<ConnectionId> {
        let mut idle = Vec::new();
        for link in self.links.values_mut() {
            link.rested.retain(|(id, since)| {
                let stays = now.saturating_duration_since(*since) < IDLE;
                if !stays {
                    idle.push(*id);
                }
                stays
            });
        }
        idle
    }

    /// Forgets links that are down and no longer wanted; gives every connection, with whether it still is.
    pub(crate) fn sort_out(&mut self, wanted: impl Fn(&Endpoint) -> bool) -> Vec<(ConnectionId, bool)> {
        self.links
            .retain(|_, link| wanted(&link.endpoint) || link.progress != Progress::Down || link.lanes > 0);
        let mut all = Vec::new();
        for link in self.links.values_mut() {
            let is_wanted = wanted(&link.endpoint);
            if let Progress::Up { on, .. } = link.progress {
                all.push((on, is_wanted));
            }
            if !is_wanted {
                all.extend(link.rested.drain(..).map(|(id, _)| (id, false)));
            }
        }
        all
    }

    /// Every link: where it leads, how it stands, and failures in a row.
    pub(crate) fn all(&self, now: Instant) -> impl Iterator<Item = (&Endpoint, State, u32)> {
        self.links
            .values()
            .map(move |link| (&*link.endpoint, link.state(now), link.health.failures()))
    }
}

impl Link {
    fn state(&self, now: Instant) -> State {
        match self.progress {
            Progress::Up { on, draining: false } => State::Ready(on),
            Progress::Up { on, draining: true } => State::Draining(on),
            Progress::Connecting => State::Connecting,
            Progress::Down if self.health.may_try(now) => State::Idle,
            Progress::Down => State::Waiting,
        }
    }
}
