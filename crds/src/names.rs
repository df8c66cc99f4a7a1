//! Labels, annotations and other fixed names that people, admission and the operator share.

/// On a namespace or a pod: `enabled` or `disabled`; the pod's word wins.
pub const INJECT: &str = "motanmesh.io/inject";
/// Value of [`INJECT`] that asks for a sidecar.
pub const ENABLED: &str = "enabled";
/// Value of [`INJECT`] that refuses one.
pub const DISABLED: &str = "disabled";

/// Label on a namespace, owned by the operator: mirrors the annotation, because the API server selects by label.
pub const INJECTION_LABEL: &str = "motanmesh.io/injection";

/// Label on a pod that got a sidecar, with the value `true`.
pub const INJECTED_LABEL: &str = "motanmesh.io/injected";

/// Annotation on an injected pod: the name of its plan's ConfigMap. Set by admission, never by people.
pub const PLAN: &str = "motanmesh.io/plan";
/// Annotation on an injected pod: the version of the operator that injected it.
pub const INJECTED_BY: &str = "motanmesh.io/injected-by";

/// Label on everything the operator writes.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY`].
pub const OPERATOR: &str = "motanmesh-operator";
/// Annotation on a plan's ConfigMap: the hash of its content.
pub const PLAN_HASH: &str = "motanmesh.io/plan-hash";
/// Annotation on a plan's ConfigMap: the revision of the plan in it.
pub const PLAN_REVISION: &str = "motanmesh.io/plan-revision";
/// Annotation on a plan's ConfigMap: what its pod's program was granted without a declaration, so that the next leader
/// does not take it back.
pub const PLAN_ASKED: &str = "motanmesh.io/plan-asked";
/// The key in a plan's ConfigMap.
pub const PLAN_KEY: &str = "plan.json";

/// Annotation on a MeshService: with `true`, it can't be deleted while something depends on it.
pub const PROTECTED: &str = "motanmesh.io/protected";

/// Pod annotation: the sidecar's CPU request (a Kubernetes quantity).
pub const CPU_REQUEST: &str = "motanmesh.io/cpu-request";
/// Pod annotation: the sidecar's CPU limit.
pub const CPU_LIMIT: &str = "motanmesh.io/cpu-limit";
/// Pod annotation: the sidecar's memory request.
pub const MEMORY_REQUEST: &str = "motanmesh.io/memory-request";
/// Pod annotation: the sidecar's memory limit.
pub const MEMORY_LIMIT: &str = "motanmesh.io/memory-limit";
/// Pod annotation: `error`, `warn`, `info`, `debug` or `trace`.
pub const LOG_LEVEL: &str = "motanmesh.io/log-level";
/// Pod annotation: the local Motan port (default 9981).
pub const MOTAN_PORT: &str = "motanmesh.io/motan-port";
/// Pod annotation: the port for other agents (default 9982).
pub const INBOUND_PORT: &str = "motanmesh.io/inbound-port";
/// Pod annotation: the local HTTP port (default 9983).
pub const HTTP_PORT: &str = "motanmesh.io/http-port";
/// Pod annotation: the local management port (default 8002).
pub const ADMIN_PORT: &str = "motanmesh.io/admin-port";
/// Pod annotation: the port of metrics and probes (default 9990).
pub const METRICS_PORT: &str = "motanmesh.io/metrics-port";
/// Pod annotation: how long a pod that is going away keeps taking calls (default `5s`, at most `60s`).
pub const DRAIN_DELAY: &str = "motanmesh.io/drain-delay";

/// Pod annotation: `all`, `client` or `server`: which side of a Java program goes through the sidecar by
/// `MOTAN_MESH_PROXY`, which every container gets that does not set it itself.
pub const MESH_PROXY: &str = "motanmesh.io/mesh-proxy";
/// Pod annotation: an absolute path, for example `/run/motanmesh`: a directory of every container where the sidecar has
/// its Motan socket (`motan.sock`) and its snapshots (`snapshot/`).
pub const RUN_DIR: &str = "motanmesh.io/run-dir";

/// Pod annotation: the pod's share of calls beside other pods', where a service's policy balances by weight: 1 to 500
/// (default 10). A change reaches callers at once.
pub const WEIGHT: &str = "motanmesh.io/weight";

/// Pod annotation: `disabled` keeps the names of services as they are in this pod; else those with `ports` lead to the
/// sidecar.
pub const CAPTURE: &str = "motanmesh.io/capture";
/// Annotation on an injected pod: the address of its loopback net that the names of each service lead to, as JSON
/// (`{"shop/user":"127.1.0.1"}`). Set by admission, never by people.
pub const CAPTURED: &str = "motanmesh.io/captured";

/// The sidecar's container name.
pub const CONTAINER: &str = "motanmesh-sidecar";
/// The domain of the names that every service has: `<name>.<namespace>.mesh`.
pub const MESH_DOMAIN: &str = "mesh";
