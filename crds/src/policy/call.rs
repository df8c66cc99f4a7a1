//! What may differ from method to method.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Timeout;

/// Which failures are tried again, how often, and how much in all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retries {
    /// Attempts after the first, 0 to 10. Default: 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10))]
    pub attempts: Option<u32>,
    /// After which failures: `unavailable` (the connection was lost), `timeout` (an attempt took longer than
    /// `perAttemptTimeout`), `overloaded` (a limit of the service refused it), `status5xx` (the program answered 502, 503 or
    /// 504, or gRPC's UNAVAILABLE). Default: [unavailable].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub retry_on: Option<Vec<RetryOn>>,
    /// How long one attempt may take, `1ms` to `1h`. Default: as long as the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_attempt_timeout: Option<Timeout>,
    /// How much may be repeated in all, by each pod that calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<RetryBudget>,
}

/// Which failures of some methods are tried again, and how often.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MethodRetries {
    /// Attempts after the first, 0 to 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10))]
    pub attempts: Option<u32>,
    /// After which failures: `unavailable`, `timeout`, `overloaded`, `status5xx`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub retry_on: Option<Vec<RetryOn>>,
    /// How long one attempt may take, `1ms` to `1h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_attempt_timeout: Option<Timeout>,
}

/// A failure after which a call may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RetryOn {
    /// The connection was lost, or the other agent could not bring the call to its end.
    Unavailable,
    /// An attempt took longer than `perAttemptTimeout`.
    Timeout,
    /// A limit of the service refused it.
    Overloaded,
    /// The program answered 502, 503 or 504, or gRPC's UNAVAILABLE.
    Status5xx,
}

/// How much may be repeated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetryBudget {
    /// The share of the calls of the last 10 s, 0 to 100. Default: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub percent: Option<u32>,
    /// At least so many a second, 0 to 100000. Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub min_per_second: Option<u32>,
}

/// When calls are not let through because too many fail; they are refused at once instead, and some try again later.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.window) || (duration(self.window) >= duration('1s') && duration(self.window) <= duration('10m'))").message("breaker.window: write from 1s to 10m"))]
#[x_kube(validation = Rule::new("!has(self.openFor) || (duration(self.openFor) >= duration('100ms') && duration(self.openFor) <= duration('10m'))").message("breaker.openFor: write from 100ms to 10m"))]
pub struct Breaker {
    /// The share of calls that fail from which on it opens, 1 to 100. Default: 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub failure_percent: Option<u32>,
    /// It never opens below so many calls in its window, 1 to 100000. Default: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub min_calls: Option<u32>,
    /// What it looks back on, `1s` to `10m`. Default: 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Timeout>,
    /// How long it lets nothing through before some calls try again, `100ms` to `10m`. Default: 5s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_for: Option<Timeout>,
    /// How many calls try then, 1 to 100: it closes when all of them went well. Default: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub probes: Option<u32>,
}

/// No call reaches the service: it is refused, or answered with a fixed reply.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Degrade {
    /// What callers are told.
    #[schemars(length(min = 1, max = 512))]
    pub message: String,
    /// What they get instead of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<FixedReply>,
}

/// A reply that is the same for all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FixedReply {
    /// The body for callers by HTTP, as JSON of at most 16 KiB; Motan callers get the value it means.
    #[schemars(length(min = 1, max = 16384))]
    pub json: String,
    /// The status for callers by HTTP, 200 to 599. Default: 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 200, max = 599))]
    pub status: Option<u32>,
}

/// A share of calls that is made to wait or to fail; each fault draws for itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.delay) || has(self.abort)").message("faults: a fault needs something to do: add delay (for example 200ms), or abort (for example {status: 503, message: injected})"))]
pub struct Fault {
    /// The share of calls, 1 to 100.
    #[schemars(range(min = 1, max = 100))]
    pub percent: u32,
    /// How long the call waits before it is sent, or fails; `1ms` to `1h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Timeout>,
    /// How it fails; it is not sent then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort: Option<Abort>,
    /// Only calls by these applications, with `*` for any characters. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(length(min = 1, max = 253), regex(pattern = "^[!-~]+$"))
    )]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub callers: Vec<String>,
}

/// How a call is made to fail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Abort {
    /// The HTTP status, 400 to 599; also the code of a Motan exception.
    #[schemars(range(min = 400, max = 599))]
    pub status: u32,
    /// What callers are told.
    #[schemars(length(min = 1, max = 512))]
    pub message: String,
}
