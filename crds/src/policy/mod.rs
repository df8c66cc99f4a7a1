//! How calls to a service are governed, as people write it: a MeshService for every caller, a MeshDependency for its own pods.

mod backup;
mod call;
mod fleet;
mod mirror;
mod routing;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{MingzSize, Timeout};

pub use backup::Backup;
pub use call::{Abort, Breaker, Degrade, Fault, FixedReply, MethodRetries, Retries, RetryBudget, RetryOn};
pub use fleet::{Balance, BalanceMode, HashBy, Health, Locality};
pub use mirror::Mirror;
pub use routing::{CallMatch, NamedTarget, RouteTarget, Routing, RoutingRule, TrafficCommands, Way};

/// How calls are governed. In a MeshService: defaults for every caller. In a MeshDependency: what differs for these callers,
/// field by field; what is absent comes from the service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// How long a call may take, `1ms` to `1h`, repetitions included. Default: the mesh-wide default of the chart (1s).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Timeout>,
    /// Bodies longer than this many bytes are compressed between the two sidecars: 128 to 1048576. Default, and 0: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mingz_size: Option<MingzSize>,
    /// Calls may be repeated even where the program may have seen them. Default: false; GET, HEAD, OPTIONS, TRACE, PUT and
    /// DELETE of HTTP always count as such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotent: Option<bool>,
    /// Which failures are tried again, and how often. Calls that certainly were not sent are tried again anyway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
    /// When a call is sent a second time, elsewhere, because its answer does not come. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
    /// Where calls go: to parts of the service's endpoints, to other groups of it, to other services. Default: to the service
    /// itself, all its endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routing: Option<Routing>,
    /// Which share of calls is copied to somebody else, whose answer is thrown away. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Mirror>,
    /// Which of the service's endpoints a call goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<Balance>,
    /// When an endpoint gets no calls for a while. On by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// When calls are not let through because too many fail. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Breaker>,
    /// The switch that keeps calls from the service while this is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degrade: Option<Degrade>,
    /// Shares of calls that are made to wait or to fail. An empty list in a MeshDependency: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub faults: Option<Vec<Fault>>,
    /// What differs for some methods: the first entry that matches counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub methods: Vec<MethodPolicy>,
}

/// What differs for some methods.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MethodPolicy {
    /// The name of a method, for HTTP the path without query; `*` stands for any characters, none too.
    #[serde(rename = "match")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[!-~]+$"))]
    pub matches: String,
    /// How long a call may take, `1ms` to `1h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Timeout>,
    /// Calls may be repeated even where the program may have seen them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotent: Option<bool>,
    /// Which failures are tried again, and how often; the budget is the service's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<MethodRetries>,
    /// When a call is sent a second time, elsewhere, because its answer does not come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
    /// When calls are not let through because too many fail; of these methods alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Breaker>,
    /// The switch that keeps calls from the service while this is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degrade: Option<Degrade>,
    /// Shares of calls that are made to wait or to fail. An empty list: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub faults: Option<Vec<Fault>>,
}
