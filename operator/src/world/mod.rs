//! The cluster as last seen: namespaces, pods, services, dependencies, what programs ask for, and who touches whom.
//!
//! Objects go in by plain calls and each call says what it touched; nothing here watches, waits or decides. What is
//! kept are our own slim structs. The compiler, the status and admission read it next.

mod asked;
mod captured;
mod change;
mod cluster;
mod dependency;
mod index;
mod key;
mod namespace;
mod node;
mod pod;
mod policy;
mod rated;
mod routed;
mod routes;
mod selector;
mod service;
pub mod watch;

use std::collections::{BTreeMap, BTreeSet};

use asked::Asked;
use index::Index;
use plan::Zone;

pub use captured::{CAPTURE_NET, Captured};
pub use cluster::{Changes, Cluster};
pub use dependency::{Dependency, Want};
pub use index::{Claim, Touched};
pub use key::{Age, ObjectKey};
pub use namespace::Namespace;
pub use pod::{Phase, Pod};
pub use policy::{
    At, CallWish, CopyWish, MergeWish, MethodWish, MirrorWish, PolicyFlaw, PolicyWish, RoutingWish,
    TargetWish, Twice, WayWish, mesh_wide,
};
pub use routes::FrontFlaw;
pub use selector::{InvalidSelector, Labels, Selector};
pub use service::{Flaw, Offer, Pods, Provider, Service};

/// The cluster as last seen.
#[derive(Debug, Default)]
pub struct World {
    mark: u64,
    namespaces: BTreeMap<Box<str>, Namespace>,
    /// Of the nodes that are in one.
    zones: BTreeMap<Box<str>, Zone>,
    pods: BTreeMap<ObjectKey, Pod>,
    services: BTreeMap<ObjectKey, Service>,
    dependencies: BTreeMap<ObjectKey, Dependency>,
    asked: BTreeMap<ObjectKey, Asked>,
    /// Services whose calls, or copies of them, somebody leads elsewhere.
    routing: BTreeSet<ObjectKey>,
    index: Index,
}

impl World {
    /// The highest resource version seen.
    #[must_use]
    pub const fn mark(&self) -> u64 {
        self.mark
    }

    /// A namespace.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<&Namespace> {
        self.namespaces.get(name)
    }

    /// A pod.
    #[must_use]
    pub fn pod(&self, key: &ObjectKey) -> Option<&Pod> {
        self.pods.get(key)
    }

    /// A service.
    #[must_use]
    pub fn service(&self, key: &ObjectKey) -> Option<&Service> {
        self.services.get(key)
    }

    /// A dependency.
    #[must_use]
    pub fn dependency(&self, key: &ObjectKey) -> Option<&Dependency> {
        self.dependencies.get(key)
    }

    /// The zone of the node that a pod runs on.
    #[must_use]
    pub fn zone(&self, pod: &Pod) -> Option<&Zone> {
        self.zones.get(pod.node.as_ref()?)
    }

    /// All namespaces, by name.
    pub fn namespaces(&self) -> impl Iterator<Item = &Namespace> {
        self.namespaces.values()
    }

    /// All pods, by key.
    pub fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.values()
    }

    /// All services, by key.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.values()
    }

    /// All dependencies, by key.
    pub fn dependencies(&self) -> impl Iterator<Item = &Dependency> {
        self.dependencies.values()
    }

    /// The pods that a service selects, with a sidecar or without, by key.
    pub fn providers(&self, service: &ObjectKey) -> impl Iterator<Item = &Pod> {
        self.index
            .providers
            .from(service)
            .filter_map(|key| self.pods.get(key))
    }

    /// The services that select a pod, by key.
    pub fn provided_by(&self, pod: &ObjectKey) -> impl Iterator<Item = &Service> {
        self.index
            .providers
            .to(pod)
            .filter_map(|key| self.services.get(key))
    }

    /// The pods that a dependency selects, with a sidecar or without, by key.
    pub fn callers(&self, dependency: &ObjectKey) -> impl Iterator<Item = &Pod> {
        self.index
            .callers
            .from(dependency)
            .filter_map(|key| self.pods.get(key))
    }

    /// The dependencies that select a pod, by key.
    pub fn dependencies_of(&self, pod: &ObjectKey) -> impl Iterator<Item = &Dependency> {
        self.index
            .callers
            .to(pod)
            .filter_map(|key| self.dependencies.get(key))
    }

    /// The dependencies that select a pod of this namespace with these labels, which need not be there yet, by key.
    pub fn dependencies_selecting(&self, namespace: &str, labels: &Labels) -> Vec<&Dependency> {
        let selects = |dependency: &&Dependency| {
            let selector = dependency.selector.as_ref();
            selector.is_ok_and(|selector| selector.matches(labels))
        };
        change::within(&self.dependencies, namespace)
            .filter(selects)
            .collect()
    }

    /// The services that select a pod of this namespace with these labels, which need not be there yet, by key.
    pub fn services_selecting(&self, namespace: &str, labels: &Labels) -> Vec<&Service> {
        let selects = |service: &&Service| {
            let pods = service.offer.as_ref().ok().and_then(Offer::pods);
            pods.is_some_and(|pods| pods.selector.matches(labels))
        };
        change::within(&self.services, namespace)
            .filter(selects)
            .collect()
    }

    /// The dependencies that name a service, which need not exist, or whose calls the routing of another one leads to it;
    /// by key.
    pub fn dependents(&self, service: &ObjectKey) -> impl Iterator<Item = &Dependency> {
        let mut all: BTreeSet<ObjectKey> = self.index.named.to(service).cloned().collect();
        if let Some(Ok(offer)) = self.services.get(service).map(|service| &service.offer) {
            all.extend(self.led_to(service, offer));
        }
        all.into_iter().filter_map(|key| self.dependencies.get(&key))
    }

    /// The services that claim a name, by key.
    pub fn claimants(&self, claim: &Claim) -> impl Iterator<Item = &Service> {
        let keys = self.index.claims.get(claim).into_iter().flatten();
        keys.filter_map(|key| self.services.get(key))
    }
}
