//! Where calls to a service go: to all of its endpoints, to a part of them, or to another service.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where calls go. What is tried first: `routeGroups`, where a call names one; then the first of `rules` that holds; then
/// `commands`; then the service itself, with all its endpoints; and `backup` where nobody of those can answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Routing {
    /// Which calls go where: the first that holds counts, and where none does the call goes to the service itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub rules: Vec<RoutingRule>,
    /// Traffic commands, as Weibo's registries give them out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commands: Option<TrafficCommands>,
    /// What calls may name themselves, in the metadata or header `motan-route-group`: sandboxes and grey releases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub route_groups: Vec<NamedTarget>,
    /// Who answers, the first that can, where nobody else does: neither where the call should go nor the service itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub backup: Vec<RouteTarget>,
}

/// Which calls go where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoutingRule {
    /// Which calls: all that is written must hold. Default: every call.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matches: Option<CallMatch>,
    /// Where they go, by weight. One that has nobody who can answer gets no call, and where none has the service itself does.
    #[schemars(length(min = 1, max = 16))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub to: Vec<Way>,
}

/// Which calls; all that is written must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallMatch {
    /// Of one of these methods, for HTTP paths without query; `*` stands for any characters. Default: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(length(min = 1, max = 253), regex(pattern = "^[!-~]+$"))
    )]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub methods: Vec<String>,
    /// With all of these metadata, for HTTP and gRPC headers; each is a value, in which `*` stands for any characters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8, "additionalProperties" = {"type": "string", "minLength": 1, "maxLength": 253, "pattern": "^[!-~]+$"}))]
    pub metadata: BTreeMap<String, String>,
    /// By one of these applications, with `*` for any characters. Default: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(length(min = 1, max = 253), regex(pattern = "^[!-~]+$"))
    )]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub callers: Vec<String>,
}

/// One of several targets. Without `subset`, `group` and `service`: the service itself, all its endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.group) || !has(self.service)").message("routing.rules.to: group and service both name a MeshService: write one of them"))]
pub struct Way {
    /// One of `spec.subsets` of the service, or of the one that `group` or `service` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub subset: Option<String>,
    /// The MeshService with the same `motan.path` and this group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[!-~]+$"))]
    pub group: Option<String>,
    /// A MeshService that speaks the same protocol: `name`, or `namespace/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 317), regex(pattern = "^[!-.0-~]+(/[!-.0-~]+)?$"))]
    pub service: Option<String>,
    /// Its share beside the others', 0 to 10000. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000))]
    pub weight: Option<u32>,
}

/// Where calls go. Without `subset`, `group` and `service`: to the service itself, all its endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.group) || !has(self.service)").message("routing: group and service both name a MeshService: write one of them"))]
pub struct RouteTarget {
    /// One of `spec.subsets` of the service, or of the one that `group` or `service` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub subset: Option<String>,
    /// The MeshService with the same `motan.path` and this group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[!-~]+$"))]
    pub group: Option<String>,
    /// A MeshService that speaks the same protocol: `name`, or `namespace/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 317), regex(pattern = "^[!-.0-~]+(/[!-.0-~]+)?$"))]
    pub service: Option<String>,
}

/// What calls may name themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamedTarget {
    /// The name in `motan-route-group`, which may be a list with commas: the first that somebody answers counts.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[!-+.-~-]+$"))]
    pub name: String,
    /// Where such calls go; where nobody can answer there, they go where others do.
    pub to: RouteTarget,
}

/// Traffic commands, as Weibo's registries give them out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrafficCommands {
    /// The groups of the same `motan.path` that calls go to instead of the service's own, which may be one of them:
    /// `group:weight` with 1 to 100, or all of them without a weight, which makes their endpoints one list. Groups
    /// where nobody can answer are left out, and where all are the own one is used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(length(min = 1, max = 264), regex(pattern = "^[!-~]+$"))
    )]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub merge_groups: Vec<String>,
    /// `from to to`, for example `10.1.* to !10.2.*`: pods whose address matches the one call only endpoints whose address
    /// matches the other. Every rule that is for the pod must allow an endpoint; rules that leave nobody are not followed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 128)))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub route_rules: Vec<String>,
}
