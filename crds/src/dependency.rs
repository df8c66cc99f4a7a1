//! `MeshDependency`: written by the team that calls.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Policy;

/// What pods of this namespace call: which pods, which services, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "motanmesh.io",
    version = "v1alpha1",
    kind = "MeshDependency",
    plural = "meshdependencies",
    namespaced,
    status = "MeshDependencyStatus",
    shortname = "mdep",
    category = "motanmesh",
    derive = "PartialEq",
    doc = "What pods of this namespace call: which pods, which services, and how.",
    printcolumn(
        name = "Services",
        type_ = "string",
        json_path = ".status.services.text",
        description = "resolved/declared"
    ),
    printcolumn(
        name = "Pods",
        type_ = "string",
        json_path = ".status.pods.text",
        description = "applied/selected"
    ),
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
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct MeshDependencySpec {
    /// The pods that depend, by label, in this namespace. An empty selector is refused: it would mean every pod.
    #[x_kube(validation = Rule::new("(has(self.matchLabels) && size(self.matchLabels) > 0) || (has(self.matchExpressions) && size(self.matchExpressions) > 0)").message("selector: name at least one label of the pods, for example matchLabels: {app: web}"))]
    pub selector: LabelSelector,

    /// The services they call.
    #[schemars(length(min = 1, max = 256))]
    pub services: Vec<ServiceRef>,
}

/// One service that is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceRef {
    /// The name of a MeshService.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its namespace. Default: this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// Overrides the service's defaults, field by field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
}

/// What is true of a MeshDependency now.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeshDependencyStatus {
    /// The generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Accepted`, `ResolvedRefs`, `Programmed` and `Ready`; `NamesInPods` where a service has `ports`;
    /// `UndeclaredSubscriptions` where a program asks for more.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Services that exist, of those declared.
    #[serde(default)]
    pub services: AppliedCount,
    /// Pods that run it, of those selected.
    #[serde(default)]
    pub pods: AppliedCount,
}

/// n of m.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppliedCount {
    /// How many of `total` are as declared.
    pub applied: i64,
    /// How many there are.
    pub total: i64,
    /// `applied/total`, for `kubectl get`.
    pub text: String,
}

impl AppliedCount {
    /// n of m, with its text.
    #[must_use]
    pub fn of(applied: usize, total: usize) -> Self {
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        Self {
            applied: number(applied),
            total: number(total),
            text: format!("{applied}/{total}"),
        }
    }
}

impl ServiceRef {
    /// The namespace it means, for a dependency in `home`.
    #[must_use]
    pub fn namespace_or<'a>(&'a self, home: &'a str) -> &'a str {
        self.namespace.as_deref().unwrap_or(home)
    }
}
