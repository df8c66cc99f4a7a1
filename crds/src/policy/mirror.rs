//! Which calls are copied to somebody else.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::RouteTarget;

/// Which share of calls is copied, and where the copies go. Nobody waits for a copy, and its answer is thrown away. It is marked
/// `x-mesh-mirror: true` in its metadata, of HTTP in its header. Streams, gRPC and large bodies are not copied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.percent == 0 || (has(self.to) && (has(self.to.subset) || has(self.to.group) || has(self.to.service)))").message("mirror.to: name a subset, a group or a service that gets the copies"))]
pub struct Mirror {
    /// Who gets the copies: a subset, a group or a service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<RouteTarget>,
    /// The share of calls that are copied, 0 to 100; 0: none.
    #[schemars(range(min = 0, max = 100))]
    pub percent: u32,
}
