//! A service that the program may call.

use std::sync::Arc;

use plan::{GroupName, PathName, Protocol, ServiceName, Target};
use wire::message::Version;

use super::{Place, Routes};
use crate::governed::Rules;
use crate::governed::balancing::Balancing;
use crate::governed::member::Fleet;
use crate::observe::metrics::CallMetrics;

/// A service that the program may call, ready to be called.
#[derive(Debug)]
pub struct Service {
    /// `namespace/name`.
    pub name: ServiceName,
    /// `M_p`.
    pub path: PathName,
    /// `M_g`.
    pub group: GroupName,
    /// `M_v`, compared only where both sides have one.
    pub version: Option<String>,
    /// What the program behind it speaks.
    pub protocol: Protocol,
    /// It takes Motan 1 too.
    pub motan1: bool,
    /// It is provided outside of the mesh.
    pub external: bool,
    /// Some of its places have no agent.
    pub direct: bool,
    /// How calls are governed, by method.
    pub rules: Arc<Rules>,
    /// Where calls go instead, where that may be elsewhere.
    pub(crate) routes: Option<Box<Routes>>,
    /// Who gets copies of calls, where anybody does.
    pub(crate) mirror: Option<Arc<Mirror>>,
    /// Of a way that calls to another service take, or of a part: how it is found in the next tables.
    pub(crate) way: Option<Box<WayOf>>,
    /// Which place a call goes to.
    pub(crate) balancing: Balancing,
    /// How many of its places there are, and get calls.
    pub(super) fleet: Arc<Fleet>,
    /// From how many bytes on bodies are compressed.
    pub mingz_size: Option<u32>,
    /// Where it is provided.
    pub places: Box<[Place]>,
    /// Counters for Motan callers.
    pub motan: Arc<CallMetrics>,
    /// Counters for HTTP callers.
    pub http: Arc<CallMetrics>,
}

/// How a way is found in other tables than those that it was chosen in.
#[derive(Debug)]
pub(crate) struct WayOf {
    /// The service that was asked for.
    pub(crate) by: ServiceName,
    /// Where its calls go.
    pub(crate) to: Target,
    /// Whether rules by address are followed.
    pub(crate) is_strict: bool,
    /// Only copies of calls go there.
    pub(crate) is_mirror: bool,
}

/// Who gets copies of calls.
#[derive(Debug)]
pub(crate) struct Mirror {
    /// The share of calls, in percent.
    pub(crate) percent: u32,
    /// Who.
    pub(crate) to: Arc<Service>,
}

impl Service {
    /// Calls that ever began, by whatever protocol.
    pub(crate) fn begun(&self) -> u64 {
        self.motan.begun() + self.http.begun()
    }

    /// Whether its programs take requests of this version. An HTTP service is reached in Motan 2 frames.
    #[must_use]
    pub const fn takes(&self, version: Version) -> bool {
        match (version, self.protocol) {
            (Version::One, Protocol::Motan)
            | (Version::Two, Protocol::Motan2 | Protocol::Http | Protocol::Grpc) => true,
            (Version::One, Protocol::Motan2) => self.motan1,
            (Version::One, Protocol::Http | Protocol::Grpc) | (Version::Two, Protocol::Motan) => false,
        }
    }
}
