//! `MeshService`: written by the team that provides a service.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{GrpcSpec, HttpRoute, Limits, Policy};

/// A service: who provides it, what they speak, how callers name it.
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
    doc = "A service: who provides it, what they speak, how callers name it.",
    printcolumn(name = "Protocol", type_ = "string", json_path = ".status.protocol"),
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
#[x_kube(validation = Rule::new("has(self.external) || (has(self.selector) && has(self.backend))").message("spec: write selector and backend (which pods, and what they speak), or external (addresses outside of the mesh)"))]
#[x_kube(validation = Rule::new("!has(self.external) || (!has(self.selector) && !has(self.backend))").message("spec.external: addresses outside of the mesh stand instead of pods: remove selector and backend, or remove external"))]
#[x_kube(validation = Rule::new("!has(self.capture) || (has(self.ports) && size(self.ports) > 0)").message("spec.capture: its names need a port to lead to: add for example ports: [{port: 80}]"))]
#[x_kube(validation = Rule::new("!has(self.external) || !has(self.export)").message("spec.export: it opens pods of the mesh to callers outside, and a service with external has no pods: remove export"))]
#[x_kube(validation = Rule::new("!has(self.external) || !has(self.limits)").message("spec.limits: the sidecars of a service's pods keep them, and a service with external has no pods: remove limits"))]
#[x_kube(validation = Rule::new("!has(self.external) || !has(self.subsets) || size(self.subsets) == 0").message("spec.subsets: they are parts of a service's pods, and a service with external has none: remove subsets"))]
#[x_kube(validation = Rule::new("!has(self.locations) || size(self.locations) == 0 || (has(self.hosts) && size(self.hosts) > 0)").message("spec.locations: they are of hosts: list the hosts that are shared in spec.hosts"))]
#[x_kube(validation = Rule::new("!has(self.rewrites) || size(self.rewrites) == 0 || (has(self.backend) && self.backend.protocol == 'http')").message("spec.rewrites: they change HTTP paths: remove them, or let backend.protocol be http"))]
#[x_kube(validation = Rule::new("!has(self.http) || size(self.http) == 0 || (has(self.backend) && self.backend.protocol == 'motan2')").message("spec.http: routes lead to motan2 programs: remove them, or let backend.protocol be motan2"))]
#[x_kube(validation = Rule::new("!has(self.grpc) || (has(self.backend) && self.backend.protocol == 'grpc')").message("spec.grpc: it is for grpc programs: remove it, or let backend.protocol be grpc"))]
pub struct MeshServiceSpec {
    /// The pods that provide it, by label, in this namespace. An empty selector is refused: it would mean every pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("(has(self.matchLabels) && size(self.matchLabels) > 0) || (has(self.matchExpressions) && size(self.matchExpressions) > 0)").message("selector: name at least one label of the pods, for example matchLabels: {app: user}"))]
    pub selector: Option<LabelSelector>,

    /// What the program in those pods speaks, and on which port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<Backend>,

    /// Instead of pods: programs and agents outside of the mesh, which are called in plain Motan 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,

    /// Who may call the pods, beside the mesh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<Exposure>,

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

    /// The ports at which programs reach it by its names, `<name>.<namespace>.mesh` and `hosts`, as they would without a
    /// mesh: the names lead to the pod's own sidecar, which listens there (loopback capture). Pods made from then on
    /// have them; the condition `NamesInPods` of a MeshDependency tells which pods have yet to be made anew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["port"]))]
    pub ports: Vec<CapturePort>,

    /// Which further names lead to the sidecar at `ports`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<Capture>,

    /// Which paths of `hosts` lead to it, where it shares them with other MeshServices of its namespace; without, all of
    /// them do that no other one takes. An `exact` path goes before expressions, these, as listed, before the longest
    /// `start`. `<name>.<namespace>.mesh` is not shared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub locations: Vec<Location>,

    /// With backend `http`: what the program gets instead of the path that was asked for. The first rewrite whose condition
    /// holds and whose pattern is found counts; the query stays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub rewrites: Vec<Rewrite>,

    /// With a `motan2` backend: which HTTP requests are which calls, so that callers may speak HTTP and JSON. What is
    /// declared is shown as OpenAPI at `/.mesh/openapi.json`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub http: Vec<HttpRoute>,

    /// With a `grpc` backend: what is known of its methods, so that callers may speak HTTP and JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc: Option<GrpcSpec>,

    /// Parts of its pods, which `policy.routing` may name; a pod may be in several, and need not be in any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub subsets: Vec<Subset>,

    /// Defaults for every caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,

    /// How many calls each of its pods takes; its sidecar refuses the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
}

/// A part of the pods of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Subset {
    /// What `policy.routing` calls it.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// The labels that its pods have, each with this value; the service's selector selects them too.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 8, "additionalProperties" = {"type": "string", "maxLength": 63}))]
    pub labels: BTreeMap<String, String>,
}

/// What the program speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.httpException) || !self.httpException || self.protocol == 'http'").message("httpException: it makes exceptions of HTTP statuses: remove it, or let protocol be http"))]
#[x_kube(validation = Rule::new("!has(self.motan1Port) || self.protocol == 'motan2'").message("motan1Port: it says where a motan2 program takes Motan 1 too: remove it; a program that takes Motan 1 alone has protocol: motan"))]
pub struct Backend {
    /// `http` (HTTP/1.1), `grpc`, `motan2`, or `motan` (Motan 1).
    pub protocol: BackendProtocol,
    /// The port that the program listens on, in the pod.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// With `motan2`: where the program takes Motan 1 too; the same port where it tells the two apart by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub motan1_port: Option<u16>,
    /// With `http`: what the program answers with a status from 400 up reaches Motan callers as an exception of that
    /// number. Default: as a result like any other, with the status in the metadata `upstreamCode`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub http_exception: bool,
}

/// Paths of hosts that are shared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Location {
    /// One of `hosts`. Default: each of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub host: Option<String>,
    /// A path, or a regular expression (RE2 syntax), compared with the decoded path.
    #[serde(rename = "match")]
    #[schemars(length(min = 1, max = 512))]
    pub text: String,
    /// `exact`: the path is this; `start`: it begins with this; `regexp`, `iregexp`: the expression is found in it, with
    /// or without regard to case.
    #[serde(default, rename = "type")]
    pub kind: LocationKind,
}

/// How a location's path is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LocationKind {
    /// It is this path.
    Exact,
    /// It begins with this.
    #[default]
    Start,
    /// This expression is found in it.
    Regexp,
    /// The same, whatever the case.
    Iregexp,
}

/// What a program gets instead of a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rewrite {
    /// The condition: a path, or a regular expression (RE2 syntax), compared with the decoded path.
    #[serde(rename = "match")]
    #[schemars(length(min = 1, max = 512))]
    pub text: String,
    /// As of locations; with `regexpVar` `{name}` in the replacement is the query parameter of that name.
    #[serde(default, rename = "type")]
    pub kind: RewriteKind,
    /// The condition must not hold.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not: bool,
    /// The regular expression that must be found in the path.
    #[schemars(length(min = 1, max = 512))]
    pub pattern: String,
    /// The new path; `$1` and the like are what the pattern's groups found.
    #[schemars(length(min = 1, max = 512))]
    pub replacement: String,
}

/// How a rewrite's condition is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RewriteKind {
    /// It is this path.
    Exact,
    /// It begins with this.
    #[default]
    Start,
    /// This expression is found in it.
    Regexp,
    /// The same, whatever the case.
    Iregexp,
    /// As `Regexp`, and the replacement may name query parameters.
    RegexpVar,
}

/// Where a service is that is not of the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct External {
    /// `host:port` of each, an IP address or a DNS name that every caller's pod resolves for itself; IPv6 in brackets.
    #[schemars(
        length(min = 1, max = 32),
        inner(
            length(max = 260),
            regex(
                pattern = "^(\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?):[1-9][0-9]{0,4}$"
            )
        )
    )]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub addresses: Vec<String>,
    /// What is behind them: `motan2`, or `http`, which agents there take in Motan 2 frames, as motan-go's do.
    #[serde(default)]
    pub protocol: ExternalProtocol,
}

/// What is behind addresses outside of the mesh.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExternalProtocol {
    /// Agents and programs that take Motan 2.
    #[default]
    Motan2,
    /// HTTP programs behind agents that take their requests in Motan 2 frames (motan-wire 7.2).
    Http,
}

/// A port at which programs reach a service by its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CapturePort {
    /// The port that callers use, 80 for `http://user.shop.mesh/`. It need not be the program's own.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
}

/// Which names, beside its own and `hosts`, lead to a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Capture {
    /// The name of the Kubernetes Service, in this namespace, whose names callers use today: `<service>.<namespace>`, the
    /// same with `.svc` and with `.svc.<cluster domain>`, and `<service>` alone for pods of this namespace.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub service: String,
}

/// Who may call the pods of a service, beside the mesh.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Exposure {
    /// Callers outside of the mesh too, without a sidecar: in plain Motan, on port 9982 of the pods.
    #[serde(default)]
    pub plain: bool,
}

/// What the program speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BackendProtocol {
    /// HTTP/1.1.
    Http,
    /// gRPC, over HTTP/2 without TLS.
    Grpc,
    /// Motan version 2.
    Motan2,
    /// Motan version 1.
    Motan,
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
    /// What it is called in: the backend's protocol; `motan2` for addresses outside of the mesh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The pods that provide it, or the addresses outside of the mesh.
    #[serde(default)]
    pub endpoints: EndpointCount,
    /// How many MeshDependencies name it.
    #[serde(default)]
    pub dependents: i64,
}

/// How many pods, or addresses outside of the mesh, provide a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointCount {
    /// Take calls now; of addresses outside of the mesh all, as nobody here can know.
    pub ready: i64,
    /// Match the selector, with a sidecar or without.
    pub total: i64,
    /// Of those, have no sidecar: their programs are called directly, in their own protocol.
    #[serde(default)]
    pub direct: i64,
    /// `ready/total`, for `kubectl get`.
    pub text: String,
}
