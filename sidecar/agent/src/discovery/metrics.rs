//! What control work counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::Source;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BySource {
    source: &'static str,
}

/// Handles to the families of control work; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// The revision that runs.
    pub revision: Gauge,
    /// Plans that the workers have begun to run.
    pub applied: Counter,
    /// Whether the live stream is up, 0 or 1.
    pub connected: Gauge,
    /// Services that the shrink guard holds endpoints for.
    pub held: Gauge,
    /// Failed writes of the last good state.
    pub unsaved: Counter,
    refused: Family<BySource, Counter>,
    older: Family<BySource, Counter>,
    source: Family<BySource, Gauge>,
}

impl Metrics {
    /// Registers the families.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        let build = Info::new(version);
        let (revision, applied) = (metrics.revision.clone(), metrics.applied.clone());
        let (refused, older, source) = (
            metrics.refused.clone(),
            metrics.older.clone(),
            metrics.source.clone(),
        );
        let (connected, held) = (metrics.connected.clone(), metrics.held.clone());
        registry.register("motanmesh_build", "The version that runs", build);
        registry.register(
            "motanmesh_plan_revision",
            "The revision of the plan that runs",
            revision,
        );
        registry.register(
            "motanmesh_plan_source",
            "1 for where the plan that runs came from",
            source,
        );
        registry.register(
            "motanmesh_plans_applied",
            "Plans that the workers have begun to run",
            applied,
        );
        registry.register("motanmesh_plans_refused", "Plans that could not be read", refused);
        registry.register(
            "motanmesh_plans_older",
            "Plans older than the one that runs",
            older,
        );
        registry.register(
            "motanmesh_operator_connected",
            "Whether the live stream is up",
            connected,
        );
        registry.register(
            "motanmesh_services_held",
            "Services whose vanished endpoints are held",
            held,
        );
        let (unsaved, help) = (metrics.unsaved.clone(), "Failed writes of the last good state");
        registry.register("motanmesh_state_write_failures", help, unsaved);
        for source in Source::ALL {
            metrics.refused.get_or_create(&BySource::of(source)).inc_by(0);
            metrics.source.get_or_create(&BySource::of(source)).set(0);
        }
        metrics
    }

    /// A plan from `source` could not be read.
    pub fn refuse(&self, source: Source) {
        self.refused.get_or_create(&BySource::of(source)).inc();
    }

    /// How many plans from `source` could not be read.
    #[must_use]
    pub fn refusals(&self, source: Source) -> u64 {
        self.refused.get_or_create(&BySource::of(source)).get()
    }

    /// A plan from `source` was older than the one that runs.
    pub fn older(&self, source: Source) {
        self.older.get_or_create(&BySource::of(source)).inc();
    }

    /// The plan that runs came from `source`.
    pub fn runs(&self, source: Source) {
        for each in Source::ALL {
            self.source
                .get_or_create(&BySource::of(each))
                .set((each == source).into());
        }
    }
}

impl BySource {
    const fn of(source: Source) -> Self {
        Self {
            source: source.as_str(),
        }
    }
}
