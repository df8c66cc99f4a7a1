//! When a call is sent a second time before it is answered.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::Timeout;

/// When a call is sent a second time, to another endpoint, because its answer does not come; the first good answer counts. Only
/// of calls that may be repeated (`idempotent`; GET, HEAD, OPTIONS, TRACE, PUT and DELETE of HTTP always).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.delay) != has(self.percentile) || (!has(self.delay) && has(self.maxPercent) && self.maxPercent == 0)").message("backup: write exactly one of delay (for example 50ms) and percentile (for example 95)"))]
pub struct Backup {
    /// After so long, `1ms` to `1h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Timeout>,
    /// After as long as this share of the answers took over the last 10 to 20 s, in percent, 1 to 99; at least 10 ms, and not
    /// before 100 answers have come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 99))]
    pub percentile: Option<u32>,
    /// The share of these calls that is sent a second time at most, 0 to 100; 0: none. Default: 15.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub max_percent: Option<u32>,
}
