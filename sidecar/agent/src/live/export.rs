//! A service that the program provides.

use std::sync::Arc;

use plan::{GroupName, PathName, Protocol, ServiceName};
use wire::message::Version;

use super::{Endpoint, Front, Rewrites};
use crate::governed::limits::Limits;
use crate::governed::rules::Timeouts;
use crate::observe::metrics::CallMetrics;

/// A service that the program provides, ready to be called.
#[derive(Debug)]
pub struct Export {
    /// `namespace/name`.
    pub name: ServiceName,
    /// `M_p`.
    pub path: PathName,
    /// `M_g`.
    pub group: GroupName,
    /// What the program speaks.
    pub protocol: Protocol,
    /// How long calls may take, by method.
    pub(crate) timeout: Timeouts,
    /// From how many bytes on bodies are compressed.
    pub mingz_size: Option<u32>,
    /// The program's own port.
    pub backend: Arc<Endpoint>,
    /// Where a Motan 2 program takes Motan 1 too.
    pub motan1: Option<Arc<Endpoint>>,
    /// Callers from outside of the mesh are served.
    pub plain: bool,
    /// HTTP statuses from 400 up are exceptions to Motan callers.
    pub http_exception: bool,
    /// What the program gets instead of the paths that are asked for.
    pub rewrites: Arc<Rewrites>,
    /// What lets callers speak HTTP and JSON to it.
    pub front: Arc<Front>,
    /// How many calls it takes, where that is limited.
    pub(crate) limits: Option<Arc<Limits>>,
    /// Counters.
    pub metrics: Arc<CallMetrics>,
}

impl Export {
    /// Where the program takes requests of this version; `None` where it takes none.
    #[must_use]
    pub const fn takes(&self, version: Version) -> Option<&Arc<Endpoint>> {
        match (version, self.protocol) {
            (Version::One, Protocol::Motan)
            | (Version::Two, Protocol::Motan2 | Protocol::Http | Protocol::Grpc) => Some(&self.backend),
            (Version::One, Protocol::Motan2) => self.motan1.as_ref(),
            (Version::One, Protocol::Http | Protocol::Grpc) | (Version::Two, Protocol::Motan) => None,
        }
    }
}
