//! The live stream between a sidecar and the operator: one JSON object a line, both ways, over one HTTP/2 request
//! (`POST /v1/stream`, `Authorization: Bearer <projected token>`).
//!
//! The sidecar says [`FromSidecar::Hello`] first. The operator answers with the plan where it differs, then one
//! [`FromOperator::Endpoints`] with `reset` for every service of the plan, then deltas. A slow sidecar gets the
//! latest state, never a queue. A heartbeat comes every [`HEARTBEAT`]; a stream silent for [`SILENCE`] is dead.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Address, Endpoint, Plan, PlanHash, Revision, ServiceName};

/// The path of the request that carries the stream.
pub const PATH: &str = "/v1/stream";
/// The audience of the projected token.
pub const AUDIENCE: &str = "motanmesh.io/operator";
/// How often the operator says that it lives.
pub const HEARTBEAT: Duration = Duration::from_secs(10);
/// A stream with nothing on it for this long is dead: two heartbeats and a half.
pub const SILENCE: Duration = Duration::from_secs(25);
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
    /// The operator lives.
    Heartbeat,
    /// The operator ends this stream soon on purpose (its lifetime is over, or it stops): connect again.
    Goodbye,
}
