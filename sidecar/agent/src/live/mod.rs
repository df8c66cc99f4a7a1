//! The tables that a call reads: made anew by [`build`] for every plan or change of endpoints, never changed in
//! place. A call keeps what it began with.

mod build;
mod endpoint;
mod export;
mod front;
mod location;
mod rates;
mod rewrite;
pub mod route;
mod routes;
mod service;

use std::sync::Arc;

use foldhash::HashMap;
use plan::{AccessLog, Address, Revision, ServiceName};

pub use build::build;
pub use endpoint::{Endpoint, EndpointId, EndpointKind, InFlight, Place};
pub use export::Export;
pub use front::Front;
pub use rewrite::Rewrites;
pub(crate) use routes::{Facts, Routes};
pub use service::Service;
pub(crate) use service::{Mirror, WayOf};

use crate::governed::Weights;
use crate::meta::Meta;
use crate::observe::metrics::CallMetrics;
use location::Hosts;
use route::{Cluster, Offers};

/// What one sidecar does, ready to be looked up.
#[derive(Debug)]
pub struct Live {
    /// The plan that this was built from.
    pub revision: Revision,
    /// What callees are told is calling (`M_s`).
    pub application: Box<str>,
    /// Which calls get a line.
    pub access: AccessLog,
    /// Calls to things that are not in the plan.
    pub unknown: Unknown,
    /// What the program tells of itself to callers that ask: a handle, so it is always the latest.
    pub meta: Meta,
    /// What providers say of their weight: a handle too.
    pub weights: Weights,
    paths: HashMap<Box<[u8]>, Cluster>,
    names: HashMap<ServiceName, Arc<Service>>,
    hosts: Hosts,
    exports: HashMap<Box<[u8]>, Offers>,
    endpoints: HashMap<(EndpointKind, Address), Arc<Endpoint>>,
    next_endpoint: u32,
}

/// Counters for calls to what is not in the plan.
#[derive(Debug, Clone)]
pub struct Unknown {
    /// Motan callers of the client agent.
    pub motan: Arc<CallMetrics>,
    /// HTTP callers of the client agent.
    pub http: Arc<CallMetrics>,
    /// Other agents.
    pub inbound: Arc<CallMetrics>,
}

impl Live {
    /// Whether calls may still go to this endpoint.
    #[must_use]
    pub fn knows(&self, endpoint: &Endpoint) -> bool {
        let known = self.endpoints.get(&(endpoint.kind, endpoint.address.clone()));
        known.is_some_and(|known| known.id == endpoint.id)
    }

    /// Whether a program that speaks HTTP may still be called there.
    #[must_use]
    pub fn knows_program(&self, address: &Address) -> bool {
        let kinds = [EndpointKind::Program, EndpointKind::Web];
        kinds
            .into_iter()
            .any(|kind| self.endpoints.contains_key(&(kind, address.clone())))
    }

    /// A service that a call has gone to, as these tables have it.
    pub(crate) fn again(&self, service: &Service) -> Option<&Arc<Service>> {
        if let Some(way) = service.way.as_deref().filter(|way| way.is_mirror) {
            // A copy goes nowhere else.
            let mirror = self.named(&way.by)?.mirror.as_deref()?;
            let is_there = mirror.to.way.as_deref().is_some_and(|now| now.to == way.to);
            return is_there.then_some(&mirror.to);
        }
        let way = service.way.as_deref().and_then(|way| {
            let routes = self.named(&way.by)?.routes.as_deref()?;
            routes.find(&way.to, way.is_strict)
        });
        way.or_else(|| self.named(&service.name))
    }

    /// Declared services whose calls are shared by weight.
    pub(crate) fn weighed(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.names
            .values()
            .filter(|service| service.balancing.is_by_weight())
    }

    /// The declared service of this name.
    #[must_use]
    pub fn named(&self, name: &ServiceName) -> Option<&Arc<Service>> {
        self.names.get(name)
    }
}

#[cfg(test)]
mod tests;
