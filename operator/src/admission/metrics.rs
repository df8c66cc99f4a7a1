//! What is counted about admission.

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::Reason;

/// The families of this room.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    injections: Counter,
    refusals: Family<ReasonLabels, Counter>,
    verdicts: Family<VerdictLabels, Counter>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: ReasonLabel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ReasonLabel(Reason);

impl EncodeLabelValue for ReasonLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        EncodeLabelValue::encode(&self.0.as_str(), encoder)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabels {
    kind: What,
    verdict: Word,
}

/// Which kind was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum What {
    Service,
    Dependency,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Word {
    Allowed,
    Refused,
}

impl Metrics {
    /// Registers the families; every reason is there from the start, at zero.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("motanmesh_operator_admission");
        registry.register("injections", "Pods that got a sidecar", self.injections.clone());
        registry.register("refusals", "Pods that got no sidecar", self.refusals.clone());
        registry.register(
            "verdicts",
            "Services and dependencies judged",
            self.verdicts.clone(),
        );
        for reason in Reason::ALL {
            drop(self.refusals.get_or_create(&ReasonLabels {
                reason: ReasonLabel(reason),
            }));
        }
    }

    pub(super) fn injected(&self) {
        self.injections.inc();
    }

    pub(super) fn refused(&self, reason: Reason) {
        let reason = ReasonLabel(reason);
        self.refusals.get_or_create(&ReasonLabels { reason }).inc();
    }

    pub(super) fn judged(&self, kind: What, allowed: bool) {
        let verdict = if allowed { Word::Allowed } else { Word::Refused };
        self.verdicts
            .get_or_create(&VerdictLabels { kind, verdict })
            .inc();
    }
}
