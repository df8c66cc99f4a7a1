//! What holds for all endpoints of a service together.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Timeout;

/// Which of a service's endpoints a call goes to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.hash) || self.mode == 'consistentHash'").message("balance.hash: it says what is hashed: remove it, or let mode be consistentHash"))]
#[x_kube(validation = Rule::new("!has(self.locality) || self.mode != 'consistentHash'").message("balance.locality: a key has one endpoint, wherever that is: remove it, or choose another mode than consistentHash"))]
pub struct Balance {
    /// `leastRequest` (the one of two with less under way), `random`, `roundRobin`, `weighted` (by the pods' annotation
    /// `motanmesh.io/weight`, 1 to 500, 10 without it), `consistentHash`, or `peakEwma` (the one of two that would answer
    /// sooner).
    #[serde(default)]
    pub mode: BalanceMode,
    /// What of a call is hashed, for `consistentHash`. Default: the metadata `consistentHashKey`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<HashBy>,
    /// An endpoint that is seen newly gets its full share only after this time, `1ms` to `1h`. Default: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<Timeout>,
    /// Calls stay in the caller's zone (of its node, `topology.kubernetes.io/zone`) as long as there are enough endpoints there
    /// and they are not much busier than others; `locality: {}` is enough. Default: zones don't count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locality: Option<Locality>,
}

/// How long calls stay in the caller's zone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Locality {
    /// Up to so many calls under way at an endpoint in the zone none goes elsewhere for its load, 0 to 100000. Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub spill_above: Option<u32>,
    /// Beyond, a call stays while the endpoint in the zone has at most this share of the calls under way at one elsewhere, in
    /// percent, 100 to 10000. Default: 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 10_000))]
    pub spill_percent: Option<u32>,
}

/// How an endpoint is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum BalanceMode {
    /// Of two drawn at random the one with fewer calls under way.
    #[default]
    LeastRequest,
    /// At random.
    Random,
    /// One after the other.
    RoundRobin,
    /// In proportion to the weights of the pods.
    Weighted,
    /// Calls with the same key go to the same endpoint, while it is not much busier than the others.
    ConsistentHash,
    /// Of two drawn at random the one that would answer sooner.
    PeakEwma,
}

/// What of a call is hashed: exactly one of these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.metadata) ? 1 : 0) + (has(self.header) ? 1 : 0) + (has(self.cookie) ? 1 : 0) + (has(self.pathSegment) ? 1 : 0) == 1").message("balance.hash: write exactly one of metadata, header, cookie and pathSegment"))]
pub struct HashBy {
    /// A key of the metadata of a Motan call; of an HTTP request the header of that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[!-~]+$"))]
    pub metadata: Option<String>,
    /// A header of an HTTP request; of a Motan call the metadata of that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[!-~]+$"))]
    pub header: Option<String>,
    /// A cookie of an HTTP request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[!-~]+$"))]
    pub cookie: Option<String>,
    /// A segment of the path of an HTTP request, from 1 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub path_segment: Option<u32>,
}

/// When an endpoint gets no calls for a while. A failure: a call that was not answered, was refused as unavailable or
/// overloaded, or was answered with 502, 503, 504 or gRPC's UNAVAILABLE.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.baseEjection) || duration(self.baseEjection) >= duration('100ms')").message("health.baseEjection: write from 100ms to 1h"))]
#[x_kube(validation = Rule::new("!has(self.maxEjection) || duration(self.maxEjection) >= duration('100ms')").message("health.maxEjection: write from 100ms to 1h"))]
#[x_kube(validation = Rule::new("!has(self.baseEjection) || !has(self.maxEjection) || duration(self.baseEjection) <= duration(self.maxEjection)").message("health.maxEjection: the longest ejection can't be shorter than the first one: raise it, or lower health.baseEjection"))]
pub struct Health {
    /// `false` turns it off: every endpoint gets calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// An endpoint is ejected after so many failures in a row, 1 to 1000. Default: 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub consecutive_failures: Option<u32>,
    /// It is ejected where this share of its calls of the last 10 s failed, 1 to 100. Default: the share is not judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub failure_percent: Option<u32>,
    /// It is ejected where its calls of the last 10 s took this much of what they took at the median of all endpoints, in
    /// percent, 150 to 10000, and 10 ms more. Default: how long calls take is not judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 150, max = 10_000))]
    pub latency_percent: Option<u32>,
    /// Shares and latencies are not judged below so many calls, 1 to 100000. Default: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub min_calls: Option<u32>,
    /// How long the first ejection takes, each one after it twice as long; `100ms` to `1h`. Default: 1s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_ejection: Option<Timeout>,
    /// The longest ejection, `100ms` to `1h`. Default: 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ejection: Option<Timeout>,
    /// Never more of the endpoints than this are ejected at once, 1 to 100. Default: 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_ejected_percent: Option<u32>,
}
