//! How many calls a program takes.

use serde::{Deserialize, Serialize};

use super::{Bounded, MAX_METHODS, Millis, Pattern};

/// The most entries that say how much calls matter.
pub const MAX_PRIORITIES: usize = 16;

/// How many calls a program takes; the server agent refuses the others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default, try_from = "Raw")]
pub struct Limits {
    /// By all callers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// By all callers at all pods of the service together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_rate: Option<ClusterRate>,
    /// By each caller, told apart by application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_caller: Option<Rate>,
    /// At once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// At once, as many as it turns out to do well; never beside `concurrency`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<Adaptive>,
    /// How much calls matter where not all can be let in at once: the first that matches counts, others are
    /// [`Priority::Normal`]. At most [`MAX_PRIORITIES`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub priorities: Vec<PriorityRule>,
    /// Of some methods, beside those above; the first that matches counts. At most [`MAX_METHODS`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<MethodLimits>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Raw {
    rate: Option<Rate>,
    cluster_rate: Option<ClusterRate>,
    per_caller: Option<Rate>,
    concurrency: Option<Concurrency>,
    adaptive: Option<Adaptive>,
    #[serde(default)]
    priorities: Vec<PriorityRule>,
    #[serde(default)]
    methods: Vec<MethodLimits>,
}

impl TryFrom<Raw> for Limits {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        if raw.methods.len() > MAX_METHODS {
            return Err(format!(
                "limits: {} methods; at most {MAX_METHODS}",
                raw.methods.len()
            ));
        }
        if raw.priorities.len() > MAX_PRIORITIES {
            return Err(format!(
                "limits: {} priorities; at most {MAX_PRIORITIES}",
                raw.priorities.len()
            ));
        }
        if raw.adaptive.is_some() && raw.concurrency.is_some() {
            return Err("limits: adaptive stands instead of concurrency: one of them".to_owned());
        }
        Ok(Self {
            rate: raw.rate,
            cluster_rate: raw.cluster_rate,
            per_caller: raw.per_caller,
            concurrency: raw.concurrency,
            adaptive: raw.adaptive,
            priorities: raw.priorities,
            methods: raw.methods,
        })
    }
}

/// Limits of some methods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MethodLimits {
    /// Of which.
    #[serde(rename = "match")]
    pub matches: Pattern,
    /// By all callers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// At once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
}

/// So many calls a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rate {
    /// In the long run.
    pub per_second: Bounded<1, 10_000_000>,
    /// How many may come at once after a pause.
    pub burst: Bounded<1, 10_000_000>,
}

/// So many calls a second at all pods of a service together. The operator tells each of them its share
/// ([`crate::stream::FromOperator::Shares`]); until then it has [`first`](Self::first).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterRate {
    /// In the long run.
    pub per_second: Bounded<1, 10_000_000>,
    /// Together, at once after a pause.
    pub burst: Bounded<1, 10_000_000>,
    /// At least as many as there are pods: rounded up to a power of two, so that plans change when their number doubles
    /// and not with each of them.
    pub among: Bounded<1, 1_048_576>,
}

impl ClusterRate {
    /// What a pod may let in, calls a second, that has not been told its share: together they stay below the rate, but
    /// for the one call a second that each has at least.
    #[must_use]
    pub fn first(self) -> u32 {
        (self.per_second.get() / self.among.get()).max(1)
    }
}

/// So many calls at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Concurrency {
    /// Calls that the program works on.
    pub at_once: Bounded<1, 1_000_000>,
    /// Where others wait; they are refused without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Queue>,
}

/// Where calls wait for others to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Queue {
    /// How many of each agent.
    pub length: Bounded<1, 100_000>,
    /// How long.
    pub timeout_ms: Millis,
}

/// As many calls at once as a program does well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, try_from = "RawAdaptive")]
pub struct Adaptive {
    /// At least so many.
    pub min: Bounded<1, 1_000_000>,
    /// At most; not below `min`.
    pub max: Bounded<1, 1_000_000>,
    /// Where others wait; they are refused without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Queue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawAdaptive {
    min: Bounded<1, 1_000_000>,
    max: Bounded<1, 1_000_000>,
    queue: Option<Queue>,
}

impl TryFrom<RawAdaptive> for Adaptive {
    type Error = String;

    fn try_from(RawAdaptive { min, max, queue }: RawAdaptive) -> Result<Self, String> {
        if min.get() > max.get() {
            return Err(format!("adaptive: min {} is above max {}", min.get(), max.get()));
        }
        Ok(Self { min, max, queue })
    }
}

/// How much a call matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Priority {
    /// Refused first.
    Low,
    /// As most calls.
    Normal,
    /// Refused last.
    Critical,
}

/// How much some calls matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PriorityRule {
    /// Of which methods; none: of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<Pattern>,
    /// By which applications; none: by all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub callers: Vec<Pattern>,
    /// How much.
    pub priority: Priority,
}

impl PriorityRule {
    /// Whether it is of such a call.
    #[must_use]
    pub fn matches(&self, method: &[u8], caller: &[u8]) -> bool {
        let holds = |patterns: &[Pattern], name| {
            patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(name))
        };
        holds(&self.methods, method) && holds(&self.callers, caller)
    }
}
