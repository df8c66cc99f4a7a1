//! This worker's links by address: which is usable, which is being made, which must wait.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use govern::health::Health;
use plan::Address;
use relay::ConnectionId;

use crate::live::{Endpoint, EndpointKind};

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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Down,
    Connecting,
    Up { on: ConnectionId, draining: bool },
}

/// All links of one worker. A program and an agent at one address are two places: only an agent is told who calls.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    agents: HashMap<Address, Link>,
    programs: HashMap<Address, Link>,
}

impl Pool {
    /// How the link to an endpoint stands.
    pub(crate) fn state(&self, endpoint: &Endpoint, now: Instant) -> State {
        let links = match endpoint.kind {
            EndpointKind::Agent => &self.agents,
            EndpointKind::Program => &self.programs,
        };
        links
            .get(&endpoint.address)
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
        };
        let link = self
            .of(endpoint)
            .entry(endpoint.address.clone())
            .or_insert_with(new);
        link.progress = Progress::Connecting;
        true
    }

    /// Notes that the dialled connection is there.
    pub(crate) fn connected(&mut self, endpoint: &Endpoint, on: ConnectionId) {
        if let Some(link) = self.of(endpoint).get_mut(&endpoint.address) {
            link.health.connected();
            link.progress = Progress::Up { on, draining: false };
        }
    }

    /// Notes that the connection could not be made.
    pub(crate) fn failed(&mut self, endpoint: &Endpoint, now: Instant, random: u64) {
        if let Some(link) = self.of(endpoint).get_mut(&endpoint.address) {
            link.health.failed(now, random);
            link.progress = Progress::Down;
        }
    }

    /// Notes that this connection has ended, or is about to; the link is forgotten where no plan wants it any more.
    pub(crate) fn lost(&mut self, endpoint: &Endpoint, was_on: ConnectionId, is_wanted: bool) {
        let links = self.of(endpoint);
        let Some(link) = links.get_mut(&endpoint.address) else {
            return;
        };
        // A link that was given up before its connection ended may have another one by now.
        if !matches!(link.progress, Progress::Up { on, .. } if on == was_on) {
            return;
        }
        link.progress = Progress::Down;
        if !is_wanted {
            links.remove(&endpoint.address);
        }
    }

    /// Notes that the other side goes away.
    pub(crate) fn leaving(&mut self, endpoint: &Endpoint, now: Instant) {
        if let Some(link) = self.of(endpoint).get_mut(&endpoint.address)
            && let Progress::Up { draining, .. } = &mut link.progress
        {
            *draining = true;
            link.health.leaving(now);
        }
    }

    /// Forgets links that are down and no longer wanted; gives every connection, with whether it still is.
    pub(crate) fn sort_out(&mut self, wanted: impl Fn(&Endpoint) -> bool) -> Vec<(ConnectionId, bool)> {
        for links in [&mut self.agents, &mut self.programs] {
            links.retain(|_, link| wanted(&link.endpoint) || link.progress != Progress::Down);
        }
        let up = self.links().filter_map(|link| match link.progress {
            Progress::Up { on, .. } => Some((on, wanted(&link.endpoint))),
            Progress::Down | Progress::Connecting => None,
        });
        up.collect()
    }

    /// Every link: where it leads, how it stands, and failures in a row.
    pub(crate) fn all(&self, now: Instant) -> impl Iterator<Item = (&Endpoint, State, u32)> {
        self.links()
            .map(move |link| (&*link.endpoint, link.state(now), link.health.failures()))
    }

    fn links(&self) -> impl Iterator<Item = &Link> {
        self.agents.values().chain(self.programs.values())
    }

    fn of(&mut self, endpoint: &Endpoint) -> &mut HashMap<Address, Link> {
        match endpoint.kind {
            EndpointKind::Agent => &mut self.agents,
            EndpointKind::Program => &mut self.programs,
        }
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
