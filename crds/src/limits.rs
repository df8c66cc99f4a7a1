//! How many calls a service takes: what is over that its sidecars refuse, each for its own pod.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Timeout;

/// How many calls each pod of a service takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.burst) || has(self.requestsPerSecond)").message("limits.burst: it is of requestsPerSecond: add that, or remove burst"))]
#[x_kube(validation = Rule::new("!has(self.queue) || has(self.concurrency) || has(self.adaptive)").message("limits.queue: calls over concurrency wait there: add concurrency or adaptive, or remove queue"))]
#[x_kube(validation = Rule::new("!has(self.adaptive) || !has(self.concurrency)").message("limits.adaptive: it stands instead of concurrency: remove one of them"))]
#[x_kube(validation = Rule::new("!has(self.priorities) || has(self.concurrency) || has(self.adaptive)").message("limits.priorities: they are of calls over concurrency: add concurrency or adaptive, or remove priorities"))]
pub struct Limits {
    /// Calls a second, in the long run, 1 to 10000000. Others are refused with HTTP 429, gRPC's RESOURCE_EXHAUSTED, or as
    /// overloaded. Default: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub requests_per_second: Option<u32>,
    /// How many of them may come at once after a pause. Default: those of a tenth of a second, at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub burst: Option<u32>,
    /// Calls a second at all pods together, shared among their sidecars as calls come, through the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_rate: Option<ClusterRate>,
    /// Calls that the program works on at once, 1 to 1000000. Default: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub concurrency: Option<u32>,
    /// As many calls at once as the program does well, learnt from how soon it answers, instead of `concurrency`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<AdaptiveLimit>,
    /// How much calls matter where not all can be let in at once: those who matter less are refused first, and wait
    /// longer. The first entry that matches counts; other calls are `normal`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub priorities: Vec<PriorityEntry>,
    /// Where calls over `concurrency` or `adaptive` wait. Default: nowhere, they are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Queue>,
    /// Calls a second of each calling application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_caller: Option<CallerLimit>,
    /// Of some methods, beside those above; the first entry that matches counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub methods: Vec<MethodLimit>,
}

/// As many calls at once as the program does well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.min <= self.max").message("limits.adaptive: min is above max: lower it, or raise max"))]
pub struct AdaptiveLimit {
    /// At least so many, 1 to 1000000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min: u32,
    /// At most so many, 1 to 1000000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max: u32,
}

/// How much some calls matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.methods) || has(self.callers)").message("limits.priorities: an entry must say of which calls: add methods, or callers"))]
pub struct PriorityEntry {
    /// Names of methods, for HTTP paths without query; `*` stands for any characters, none too. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(length(min = 1, max = 253), regex(pattern = "^[!-~]+$"))
    )]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub methods: Vec<String>,
    /// Applications that call, as each of them says of itself; `*` as above. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(length(min = 1, max = 253), regex(pattern = "^[!-~]+$"))
    )]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub callers: Vec<String>,
    /// How much: `critical`, `normal` or `low`.
    pub priority: CallPriority,
}

/// How much a call matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CallPriority {
    /// Refused last.
    Critical,
    /// As most calls.
    Normal,
    /// Refused first.
    Low,
}

/// Where calls wait for others to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    /// How many, 1 to 100000.
    #[schemars(range(min = 1, max = 100_000))]
    pub length: u32,
    /// How long, `1ms` to `1h`.
    pub timeout: Timeout,
}

/// Calls a second of one calling application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallerLimit {
    /// In the long run, 1 to 10000000.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub requests_per_second: u32,
    /// How many may come at once after a pause. Default: those of a tenth of a second, at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub burst: Option<u32>,
}

/// Calls a second at all pods of a service together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterRate {
    /// In the long run, 1 to 10000000. Each pod takes one a second at least.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub requests_per_second: u32,
    /// How many may come at once after a pause. Default: those of a tenth of a second, at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub burst: Option<u32>,
}

/// Limits of some methods.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.requestsPerSecond) || has(self.concurrency)").message("limits.methods: an entry needs a limit: add requestsPerSecond, or concurrency"))]
#[x_kube(validation = Rule::new("!has(self.burst) || has(self.requestsPerSecond)").message("limits.methods: burst is of requestsPerSecond: add that, or remove burst"))]
pub struct MethodLimit {
    /// The name of a method, for HTTP the path without query; `*` stands for any characters, none too.
    #[serde(rename = "match")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[!-~]+$"))]
    pub matches: String,
    /// Calls a second, 1 to 10000000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub requests_per_second: Option<u32>,
    /// How many of them may come at once after a pause. Default: those of a tenth of a second, at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub burst: Option<u32>,
    /// Calls that the program works on at once, 1 to 1000000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub concurrency: Option<u32>,
}
