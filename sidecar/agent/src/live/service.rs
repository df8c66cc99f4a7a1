//! A service that the program may call.

use std::sync::Arc;

use plan::{GroupName, PathName, Policy, Protocol, ServiceName};

use super::Place;
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
    /// How calls are governed.
    pub policy: Policy,
    /// Where it is provided.
    pub places: Box<[Place]>,
    /// Counters for Motan callers.
    pub motan: Arc<CallMetrics>,
    /// Counters for HTTP callers.
    pub http: Arc<CallMetrics>,
}
