//! All that is known at one moment: the plan that won, and where each of its services is provided.

use std::collections::BTreeMap;
use std::sync::Arc;

use plan::{Endpoint, Plan, ServiceName};

/// What a sidecar knows now; the next one shares every part that did not change.
///
/// Guarantees: `endpoints` holds exactly the services of `plan`; addresses within a service are sorted and unique; a
/// list that did not change is the same `Arc` as in the value before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The plan that won: the highest revision that could be read.
    pub plan: Arc<Plan>,
    /// Where each service is provided: from the live stream, else as last known, else the plan's seeds. It stands
    /// in for `Service::seeds`, which nobody but the merge reads. Names of services outside are resolved here: their
    /// endpoints are IP addresses.
    pub endpoints: BTreeMap<ServiceName, Arc<[Endpoint]>>,
}

impl Known {
    /// Where `service` is provided; empty for a service that is not in the plan.
    #[must_use]
    pub fn endpoints(&self, service: &ServiceName) -> &[Endpoint] {
        self.endpoints.get(service).map_or(&[], |list| list)
    }

    /// A plan by itself: every service is provided by its seeds.
    #[must_use]
    pub fn seeded(plan: Arc<Plan>) -> Self {
        let endpoints = plan
            .services
            .iter()
            .map(|service| (service.name.clone(), sorted(service.seeds.clone())))
            .collect();
        Self { plan, endpoints }
    }
}

/// Endpoints in the order that [`Known`] promises; where an address is named twice, the later word counts.
pub(crate) fn sorted(list: Vec<Endpoint>) -> Arc<[Endpoint]> {
    let by_address: BTreeMap<_, _> = list
        .into_iter()
        .map(|endpoint| (endpoint.address.clone(), endpoint))
        .collect();
    by_address.into_values().collect()
}
