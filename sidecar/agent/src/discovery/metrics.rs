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
        registry.register("build", "The version that runs", Info::new(version));
        registry.register(
            "plan_revision",
            "The revision of the plan that runs",
            metrics.revision.clone(),
        );
        registry.register(
            "plan_source",
            "1 for where the plan that runs came from",
            metrics.source.clone(),
        );
        registry.register(
            "plans_applied",
            "Plans that the workers have begun to run",
            metrics.applied.clone(),
        );
        registry.register(
            "plans_refused",
            "Plans that could not be read",
            metrics.refused.clone(),
        );
        registry.register(
            "plans_older",
            "Plans older than the one that runs",
            metrics.older.clone(),
        );
        registry.register(
            "operator_connected",
            "Whether the live stream is up",
            metrics.connected.clone(),
        );
        registry.register(
            "services_held",
            "Services whose vanished endpoints are held",
            metrics.held.clone(),
        );
        registry.register(
            "state_write_failures",
            "Failed writes of the last good state",
            metrics.unsaved.clone(),
        );
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
