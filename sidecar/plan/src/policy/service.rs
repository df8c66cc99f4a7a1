//! How the calls to one service are governed together: balancing, health, retry budget.

use serde::{Deserialize, Serialize};

use super::{Bounded, Millis, Percent};

/// How much may be repeated, over all calls of one caller's agent to one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Budget {
    /// The share of the calls of the last 10 s.
    pub percent: Bounded<0, 100>,
    /// Always so many.
    pub min_per_second: Bounded<0, 100_000>,
}

impl Default for Budget {
    /// 20 % and 10 a second, as other meshes have it (meshes.md 1.4).
    fn default() -> Self {
        Self {
            percent: Bounded::literal::<20>(),
            min_per_second: Bounded::literal::<10>(),
        }
    }
}

/// Which endpoint a call goes to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Balance {
    /// How one is chosen.
    pub mode: BalanceMode,
    /// What of a call is hashed, for [`BalanceMode::ConsistentHash`].
    #[serde(skip_serializing_if = "crate::is_default")]
    pub hash: HashBy,
    /// An endpoint that is seen newly gets its full share only after this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_start_ms: Option<Millis>,
    /// Calls stay near; zones don't count without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locality: Option<Locality>,
}

/// How long calls stay in the caller's zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Locality {
    /// Up to so many calls under way at an endpoint of the zone none goes elsewhere for its load.
    pub spill_above: Bounded<0, 100_000>,
    /// Beyond: the most that it may have under way, in percent of what an endpoint elsewhere has.
    pub spill_percent: Bounded<100, 10_000>,
}

impl Default for Locality {
    fn default() -> Self {
        Self {
            spill_above: Bounded::literal::<10>(),
            spill_percent: Bounded::literal::<200>(),
        }
    }
}

/// How an endpoint is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BalanceMode {
    /// Of two drawn at random the one with fewer calls under way.
    #[default]
    LeastRequest,
    /// At random.
    Random,
    /// One after the other.
    RoundRobin,
    /// In proportion to the weights of the endpoints.
    Weighted,
    /// Calls with the same key go to the same endpoint, while it is not much busier than the others.
    ConsistentHash,
    /// Of two drawn at random the one that would answer sooner, by its latency of late and the calls under way there.
    PeakEwma,
}

/// What of a call is hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum HashBy {
    /// A key of the metadata of a Motan call, or a header of an HTTP request.
    Metadata(String),
    /// A cookie of an HTTP request.
    Cookie(String),
    /// A segment of the path of an HTTP request, from 1 on.
    PathSegment(Bounded<1, 64>),
}

impl Default for HashBy {
    /// What motan-go's `consistentHashKey` balancer reads (motan-agent.md 4).
    fn default() -> Self {
        Self::Metadata("consistentHashKey".to_owned())
    }
}

/// When an endpoint gets no calls for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Health {
    /// It is ejected after so many failures in a row.
    pub consecutive_failures: Bounded<1, 1000>,
    /// It is ejected where this share of its calls of the last 10 s has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_percent: Option<Percent>,
    /// It is ejected where its calls of the last 10 s took this much of what they took at the median of all endpoints, in
    /// percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_percent: Option<Bounded<150, 10_000>>,
    /// Shares and latencies are not judged below so many calls.
    pub min_calls: Bounded<1, 100_000>,
    /// How long the first ejection takes; each one after it twice as long.
    pub base_ejection_ms: Bounded<100, 3_600_000>,
    /// The longest ejection.
    pub max_ejection_ms: Bounded<100, 3_600_000>,
    /// Never more of the endpoints are ejected at once.
    pub max_ejected_percent: Percent,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            consecutive_failures: Bounded::literal::<5>(),
            failure_percent: None,
            latency_percent: None,
            min_calls: Bounded::literal::<20>(),
            base_ejection_ms: Bounded::literal::<1_000>(),
            max_ejection_ms: Bounded::literal::<30_000>(),
            max_ejected_percent: Bounded::literal::<50>(),
        }
    }
}
