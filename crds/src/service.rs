//! `MeshService`: written by the team that provides a service.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Timeout;

/// A service that pods of this namespace provide: which pods, what they speak, how callers name it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "motanmesh.io",
    version = "v1alpha1",
    kind = "MeshService",
    plural = "meshservices",
    namespaced,
    status = "MeshServiceStatus",
    shortname = "msvc",
    category = "motanmesh",
    derive = "PartialEq",
    doc = "A service that pods of this namespace provide: which pods, what they speak, how callers name it.",
    printcolumn(name = "Protocol", type_ = "string", json_path = ".spec.backend.protocol"),
    printcolumn(
        name = "Endpoints",
        type_ = "string",
        json_path = ".status.endpoints.text",
        description = "ready/total"
    ),
    printcolumn(name = "Dependents", type_ = "integer", json_path = ".status.dependents"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(
        name = "Path",
        type_ = "string",
        json_path = ".spec.motan.path",
        priority = "1"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct MeshServiceSpec {
    /// The pods that provide it, by label, in this namespace. An empty selector is refused: it would mean every pod.
    #[x_kube(validation = Rule::new("(has(self.matchLabels) && size(self.matchLabels) > 0) || (has(self.matchExpressions) && size(self.matchExpressions) > 0)").message("selector: name at least one label of the pods, for example matchLabels: {app: user}"))]
    pub selector: LabelSelector,

    /// What the program in those pods speaks, and on which port.
    pub backend: Backend,

    /// How Motan callers name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub motan: Option<MotanNames>,

    /// Further names for HTTP callers, beside `<name>.<namespace>.mesh`: lower-case DNS names without a port.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(
            length(min = 1, max = 253),
            regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
        )
    )]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub hosts: Vec<String>,

    /// Defaults for every caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<ServicePolicy>,
}

/// What the program speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backend {
    /// `http` (HTTP/1.1) or `motan2`.
    pub protocol: BackendProtocol,
    /// The port that the program listens on, in the pod.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
}

/// What the program speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BackendProtocol {
    /// HTTP/1.1.
    Http,
    /// Motan version 2.
    Motan2,
}

/// How Motan callers name a service; what is absent has a default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MotanNames {
    /// The service path (`M_p`), for example an interface name. Default: `<name>.<namespace>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[!-~]+$"))]
    pub path: Option<String>,
    /// The group (`M_g`). Default: the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[!-~]+$"))]
    pub group: Option<String>,
    /// The version (`M_v`), compared only where the caller sends one too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[!-~]+$"))]
    pub version: Option<String>,
}

/// Defaults for every caller of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServicePolicy {
    /// How long a call may take, `1ms` to `1h`. Default: the mesh-wide default of the chart (1s).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Timeout>,
}

/// What is true of a MeshService now.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeshServiceStatus {
    /// The generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Accepted` and `Ready`.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The pods that provide it.
    #[serde(default)]
    pub endpoints: EndpointCount,
    /// How many MeshDependencies name it.
    #[serde(default)]
    pub dependents: i64,
}

/// How many pods provide a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointCount {
    /// Take calls now.
    pub ready: i64,
    /// Have a sidecar and match the selector.
    pub total: i64,
    /// `ready/total`, for `kubectl get`.
    pub text: String,
}
