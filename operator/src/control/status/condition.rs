//! Conditions: one finding each.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::world::ObjectKey;

/// What a condition will say, but for whose and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) holds: bool,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Finding {
    pub(super) fn yes(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            holds: true,
            reason,
            message: message.into(),
        }
    }

    pub(super) fn no(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            holds: false,
            reason,
            message: message.into(),
        }
    }

    /// The same finding as the reason that something else does not hold.
    pub(super) fn or(self, otherwise: impl FnOnce() -> Self) -> Self {
        if self.holds { otherwise() } else { self }
    }
}

/// What the conditions of one object have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) generation: Option<i64>,
    pub(super) previous: &'a [Condition],
    pub(super) now: Timestamp,
}

impl Frame<'_> {
    /// The condition of this type; it keeps its time while its status stays.
    pub(super) fn condition(self, type_: &str, finding: Finding) -> Condition {
        let status = if finding.holds { "True" } else { "False" };
        let same = |condition: &&Condition| condition.type_ == type_ && condition.status == status;
        let since = self.previous.iter().find(same);
        Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: finding.reason.to_owned(),
            message: finding.message,
            observed_generation: self.generation,
            last_transition_time: since.map_or_else(
                || Time(whole_seconds(self.now)),
                |condition| condition.last_transition_time.clone(),
            ),
        }
    }
}

/// The API server keeps whole seconds; a finer time would come back different and be written again.
fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

const MOST_PODS: usize = 3; // replicas of one workload are alike

/// `pod a` or `pods a, b and 7 more`.
pub(super) fn listed(pods: &[&ObjectKey]) -> String {
    let shown: Vec<_> = pods.iter().take(MOST_PODS).map(ToString::to_string).collect();
    let shown = shown.join(", ");
    match pods.len() {
        1 => format!("pod {shown}"),
        all if all <= MOST_PODS => format!("pods {shown}"),
        all => format!("pods {shown} and {} more", all - MOST_PODS),
    }
}

const MOST_SHOWN: usize = 4; // of many of one kind, people mend the first few first

/// Several messages as one, the first few in full.
pub(super) fn joined(messages: &[String]) -> String {
    let shown = messages.get(..MOST_SHOWN).unwrap_or(messages).join("; ");
    match messages.len().saturating_sub(MOST_SHOWN) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}
