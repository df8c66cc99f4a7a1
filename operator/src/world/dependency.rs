//! A MeshDependency as the compiler sees it.

use crds::{MeshDependency, MeshDependencyStatus};

use super::policy::{self, PolicyFlaw, PolicyWish};
use super::{Age, Flaw, ObjectKey, Selector};

/// A MeshDependency.
#[derive(Debug, Clone, PartialEq)]
pub struct Dependency {
    /// Its name.
    pub key: ObjectKey,
    /// When it was made.
    pub age: Age,
    /// The generation of its spec.
    pub generation: Option<i64>,
    /// The services it names, in the order written; they may not exist, and one may be named twice.
    pub wants: Box<[Want]>,
    /// The pods that depend, or why they can't be told.
    pub selector: Result<Selector, Flaw>,
    /// Its status as last seen.
    pub status: Option<Box<MeshDependencyStatus>>,
}

/// One service that is called, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// The MeshService.
    pub service: ObjectKey,
    /// What is over the service's own, field by field, or why it can't be had.
    pub policy: Result<PolicyWish, PolicyFlaw>,
}

impl Dependency {
    /// Reads a MeshDependency.
    #[must_use]
    pub fn read(object: &MeshDependency) -> Self {
        let key = ObjectKey::of(&object.metadata);
        let wants = object.spec.services.iter().map(|named| Want {
            service: ObjectKey::new(named.namespace_or(&key.namespace), &named.name),
            policy: named.policy.as_ref().map_or_else(
                || Ok(PolicyWish::default()),
                |written| policy::policy(written, &key.namespace),
            ),
        });
        Self {
            age: Age::of(&object.metadata),
            generation: object.metadata.generation,
            wants: wants.collect(),
            selector: Selector::read(&object.spec.selector).map_err(Flaw::from),
            status: object.status.clone().map(Box::new),
            key,
        }
    }

    /// Whether it is the same dependency as far as any plan goes.
    pub(super) fn compiles_like(&self, other: &Self) -> bool {
        self.age == other.age && self.wants == other.wants && self.selector == other.selector
    }
}
