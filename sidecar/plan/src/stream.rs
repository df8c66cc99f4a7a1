//! The live stream between a sidecar and the operator: one JSON object a line, both ways, over one HTTP/2 request
//! (`POST /v1/stream`, `Authorization: Bearer <projected token>`).
//!
//! The sidecar says [`FromSidecar::Hello`] first. The operator answers with the plan where it differs, then one
//! [`FromOperator::Endpoints`] with `reset` for every service of the plan, then deltas. A slow sidecar gets the
//! latest state, never a queue. A heartbeat comes every [`HEARTBEAT`]; a stream silent for [`SILENCE`] is dead.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Address, Endpoint, GroupName, PathName, Plan, PlanHash, Revision, ServiceName};

/// The path of the request that carries the stream.
pub const PATH: &str = "/v1/stream";
/// The audience of the projected token.
pub const AUDIENCE: &str = "motanmesh.io/operator";
/// How often the operator says that it lives.
pub const HEARTBEAT: Duration = Duration::from_secs(10);
/// A stream with nothing on it for this long is dead: two heartbeats and a half.
pub const SILENCE: Duration = Duration::from_secs(25);
/// How many subscriptions that nobody declared one sidecar tells of.
pub const MAX_UNDECLARED: usize = 256;
/// For how many services with a rate of all their pods one sidecar is told a share; for others it keeps its first.
pub const MAX_RATES: usize = 256;
/// The longest line either side reads: a plan (1 MiB) and its wrapping.
pub const MAX_LINE: usize = crate::MAX_PLAN_BYTES + 4096;

/// What a sidecar says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum FromSidecar {
    /// First line: what it runs now, and its own version.
    Hello {
        /// The revision it runs.
        revision: Revision,
        /// The hash it runs.
        hash: PlanHash,
        /// The sidecar's version, for the skew report.
        version: String,
    },
    /// It runs this plan now.
    Ack {
        /// The revision it runs.
        revision: Revision,
        /// The hash it runs.
        hash: PlanHash,
    },
    /// It could not read a plan and keeps the last good one.
    Nack {
        /// The revision refused; 0 where it could not be read either.
        revision: Revision,
        /// Why, for people.
        reason: String,
    },
    /// What the program has subscribed to by itself and no MeshDependency declares: all of it, at most
    /// [`MAX_UNDECLARED`]. Said after the hello, and again whenever it changes.
    Undeclared {
        /// Path and group of each.
        subscriptions: Vec<Subscription>,
    },
    /// How fast calls come of the services whose rate is shared among pods: all of them, at most [`MAX_RATES`]. Said after
    /// the hello where there are any, and when something in it has changed, at most once a second beside the answer to a
    /// [`FromOperator::Shares`].
    Rates {
        /// Each.
        rates: Vec<RateHeld>,
    },
    /// A kind that whoever reads it does not know: a newer sidecar's, and of no effect.
    #[serde(other)]
    Unknown,
}

/// How fast calls of a service come at one pod, and how fast they may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RateHeld {
    /// Which service.
    pub service: ServiceName,
    /// Calls that came within a second, those that were refused too.
    pub demand: u32,
    /// Calls a second that are let in now.
    pub share: u32,
    /// The [`RateShare::number`] of the share that was told last; 0 where none was.
    pub number: u64,
}

/// What one pod may let in of a rate that is shared among pods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RateShare {
    /// Of which service.
    pub service: ServiceName,
    /// Calls a second.
    pub share: u32,
    /// Tells this share from any other that the pod is told; never 0.
    pub number: u64,
}

/// A service as a program names it that subscribes by itself (motan-clients.md 1.10).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    /// `M_p`.
    pub path: PathName,
    /// `M_g`.
    pub group: GroupName,
}

/// What the operator says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum FromOperator {
    /// Run this.
    Plan {
        /// The plan.
        plan: Box<Plan>,
    },
    /// Where a service is provided has changed.
    Endpoints {
        /// Which service.
        service: ServiceName,
        /// `set` is all there is: forget what is not in it.
        #[serde(default)]
        reset: bool,
        /// New or changed.
        #[serde(default)]
        set: Vec<Endpoint>,
        /// Gone.
        #[serde(default)]
        removed: Vec<Address>,
    },
    /// What the pod may let in of rates that are shared among pods: all its shares. Said to sidecars that say
    /// [`FromSidecar::Rates`], whenever one has changed.
    Shares {
        /// Each.
        shares: Vec<RateShare>,
    },
    /// The operator lives.
    Heartbeat,
    /// The operator ends this stream soon on purpose (its lifetime is over, or it stops): connect again.
    Goodbye,
}
