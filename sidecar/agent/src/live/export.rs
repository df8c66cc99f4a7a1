//! A service that the program provides.

use std::sync::Arc;

use plan::{GroupName, PathName, Policy, Protocol, ServiceName};

use super::Endpoint;
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
    /// How calls are governed on this side.
    pub policy: Policy,
    /// The program's own port.
    pub backend: Arc<Endpoint>,
    /// Counters.
    pub metrics: Arc<CallMetrics>,
}
