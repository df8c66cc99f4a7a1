//! Somewhere that a call can go: another agent, or the program's own port.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use plan::{Address, EndpointState};
use wire::message::Version;

use super::Export;
use crate::governed::Member;
use crate::observe::metrics::CallMetrics;

/// Who is at an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndpointKind {
    /// Another agent of the mesh.
    Agent,
    /// The program of this pod.
    Program,
    /// Outside of the mesh, an older agent or a program, or a program of a pod without a sidecar. Told nothing of ours.
    Outside,
    /// A program that speaks HTTP, in another pod without a sidecar.
    Web,
}

/// Names an endpoint in tables: never used for another one in the life of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EndpointId(pub(super) u32);

/// One address, shared by all services provided there and by all workers, and kept over reloads.
#[derive(Debug)]
pub struct Endpoint {
    /// Where it is.
    pub address: Address,
    /// Who is there.
    pub kind: EndpointKind,
    /// Its name in tables.
    pub id: EndpointId,
    /// When it is asked for its weight.
    pub(crate) weigh: Turns,
    in_flight: AtomicU32,
}

/// When something is done again that any worker may do.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<Option<Instant>>);

impl Turns {
    /// Whether it is to be done now by whoever asks; then it is due again after `every`.
    pub(crate) fn is_due(&self, now: Instant, every: Duration) -> bool {
        let mut next = self.next();
        let is_due = next.is_none_or(|next| next <= now);
        if is_due {
            *next = Some(now + every);
        }
        is_due
    }

    /// It is not done before then.
    pub(crate) fn not_before(&self, then: Instant) {
        *self.next() = Some(then);
    }

    fn next(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Endpoint {
    pub(super) fn new(address: Address, kind: EndpointKind, id: EndpointId) -> Self {
        Self {
            address,
            kind,
            id,
            weigh: Turns::default(),
            in_flight: AtomicU32::new(0),
        }
    }

    /// Calls under way there, over all workers.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Counts a call until the guard is dropped.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight {
            endpoint: Arc::clone(self),
            member: None,
        }
    }

    /// The same for a call to a service, which is told how it ends.
    pub(crate) fn enter_as(self: &Arc<Self>, member: Arc<Member>, now: Instant) -> InFlight {
        let mut entered = self.enter();
        entered.member = Some((member, now));
        entered
    }
}

/// One call under way at an endpoint.
#[derive(Debug)]
pub struct InFlight {
    endpoint: Arc<Endpoint>,
    /// Who wants to know how it ends, and when it began.
    member: Option<(Arc<Member>, Instant)>,
}

impl InFlight {
    /// Where it is under way.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// It has ended, well or not: told once.
    pub(crate) fn ended(&mut self, is_good: bool, now: Instant, random: u64, calls: &CallMetrics) {
        if let Some((member, began)) = self.member.take() {
            member.ended((began, is_good), (now, random), calls);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.endpoint.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An endpoint as one service sees it.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where.
    pub endpoint: Arc<Endpoint>,
    /// Whether new calls may go there.
    pub state: EndpointState,
    /// There is no agent: the program itself is called.
    pub direct: bool,
    /// The same for a program that speaks HTTP: it is called as its own agent would call it.
    pub web: Option<Arc<Export>>,
    /// Where such a program takes Motan 1, if that is elsewhere.
    pub motan1: Option<Arc<Endpoint>>,
    /// What the service knows of it.
    pub member: Arc<Member>,
}

impl Place {
    /// Where requests of this version go.
    #[must_use]
    pub fn takes(&self, version: Version) -> &Arc<Endpoint> {
        match (version, &self.motan1) {
            (Version::One, Some(elsewhere)) => elsewhere,
            (Version::One, None) | (Version::Two, _) => &self.endpoint,
        }
    }
}
