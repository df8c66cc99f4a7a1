//! What is counted about streams.

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// The families of this room.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Sidecars connected now.
    pub connected: Gauge,
    /// Streams that ended, by why.
    pub ended: Family<EndedLabels, Counter>,
    /// Streams that were refused, by why.
    pub refused: Family<RefusedLabels, Counter>,
    /// Plans sent.
    pub plans: Counter,
    /// Endpoint lines sent.
    pub endpoints: Counter,
    /// Plans that sidecars refused.
    pub nacks: Counter,
}

/// Why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EndedLabels {
    /// Why.
    pub why: Ended,
}

/// Why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Ended {
    /// The sidecar ended it, or its connection died.
    Left,
    /// Its lifetime was over.
    Lifetime,
    /// The operator stops.
    Stopping,
    /// The sidecar has another stream.
    Replaced,
    /// The pod is gone.
    PodGone,
    /// The sidecar said what can't be read.
    Malformed,
    /// It did not say hello.
    Silent,
}

/// Why a stream was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RefusedLabels {
    /// Why.
    pub why: Refusal,
}

/// Why a stream was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Refusal {
    /// This replica doesn't know the cluster yet.
    NotReady,
    /// No token, or one that nobody believes.
    Token,
    /// The token could not be reviewed now.
    Busy,
    /// No such pod, or another one of that name.
    Pod,
}

impl Metrics {
    /// Registers the families.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("motanmesh_operator_stream");
        registry.register(
            "connected",
            "Sidecars connected to this replica",
            self.connected.clone(),
        );
        registry.register("ended", "Streams that ended", self.ended.clone());
        registry.register("refused", "Streams that were refused", self.refused.clone());
        registry.register("plans", "Plans sent", self.plans.clone());
        registry.register(
            "endpoint_updates",
            "Endpoint updates sent",
            self.endpoints.clone(),
        );
        registry.register("nacks", "Plans that a sidecar could not read", self.nacks.clone());
    }

    pub(super) fn refuse(&self, why: Refusal) {
        self.refused.get_or_create(&RefusedLabels { why }).inc();
    }
}
