//! What is counted about the leader's writes.

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// The families of this room.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    plans: Family<DoneLabels, Counter>,
    statuses: Family<DoneLabels, Counter>,
    backlog: Gauge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DoneLabels {
    result: Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Done {
    Ok,
    Failed,
}

impl DoneLabels {
    const fn of(ok: bool) -> Self {
        Self {
            result: if ok { Done::Ok } else { Done::Failed },
        }
    }
}

impl Metrics {
    /// Registers the families.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("motanmesh_operator");
        registry.register("plan_writes", "Plans written to ConfigMaps", self.plans.clone());
        registry.register("status_writes", "Statuses written", self.statuses.clone());
        registry.register(
            "plan_backlog",
            "Pods whose plan is not written yet",
            self.backlog.clone(),
        );
    }

    pub(super) fn wrote(&self, ok: bool) {
        self.plans.get_or_create(&DoneLabels::of(ok)).inc();
    }

    pub(super) fn reported(&self, ok: bool) {
        self.statuses.get_or_create(&DoneLabels::of(ok)).inc();
    }

    pub(super) fn backlog(&self, pods: usize) {
        self.backlog.set(i64::try_from(pods).unwrap_or(i64::MAX));
    }
}
