//! The sidecar as it stands in a pod: its container, its volumes and the names of both.

use crds::names;
use serde_json::{Value, json};

use super::overrides::{Shape, Share};
use crate::settings::Injection;

pub(super) const PLAN_VOLUME: &str = "motanmesh-plan";
pub(super) const TOKEN_VOLUME: &str = "motanmesh-token";
pub(super) const STATE_VOLUME: &str = "motanmesh-state";
/// Shared with the program, where it asks for that.
pub(super) const RUN_VOLUME: &str = "motanmesh-run";

/// The user and group that the sidecar runs as.
pub(super) const USER: i64 = 65532;

const BINARY: &str = "/motanmesh-sidecar";
const PLAN_DIR: &str = "/etc/motanmesh/plan";
const TOKEN_DIR: &str = "/var/run/secrets/motanmesh";
const TOKEN_FILE: &str = "token";
const STATE_DIR: &str = "/var/lib/motanmesh";
/// Where it has files of its own.
pub(super) const MOUNTS: [&str; 3] = [PLAN_DIR, TOKEN_DIR, STATE_DIR];

const TOKEN_SECONDS: u32 = 3_600; // the kubelet renews it at four fifths
const STATE_SIZE: &str = "16Mi"; // the last good plan is at most 1 MiB

/// The container: a native sidecar that passes Pod Security `restricted`.
pub(super) fn container(shape: &Shape, settings: &Injection) -> Value {
    let metrics = shape.ports.metrics;
    json!({
        "name": names::CONTAINER,
        "image": settings.sidecar_image,
        "imagePullPolicy": settings.sidecar_image_pull_policy.as_str(),
        "args": ["run"],
        "restartPolicy": "Always",
        "env": environment(shape),
        "ports": [
            {"name": "mesh-inbound", "containerPort": shape.ports.inbound, "protocol": "TCP"},
            {"name": "mesh-metrics", "containerPort": metrics, "protocol": "TCP"},
        ],
        "resources": resources(shape),
        // The program starts only once this has succeeded: two minutes to wait for the plan, a look each second.
        "startupProbe": probe("/ready", metrics, 1, 120),
        "readinessProbe": probe("/ready", metrics, 5, 3),
        "livenessProbe": probe("/live", metrics, 10, 3),
        "lifecycle": {"preStop": {"exec": {"command": [BINARY, "drain"]}}},
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": true,
            "runAsGroup": USER,
            "runAsNonRoot": true,
            "runAsUser": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": mounts(shape),
    })
}

fn mounts(shape: &Shape) -> Vec<Value> {
    let mut mounts = vec![
        json!({"name": PLAN_VOLUME, "mountPath": PLAN_DIR, "readOnly": true}),
        json!({"name": TOKEN_VOLUME, "mountPath": TOKEN_DIR, "readOnly": true}),
        json!({"name": STATE_VOLUME, "mountPath": STATE_DIR}),
    ];
    let run = shape.run_dir.as_ref();
    mounts.extend(run.map(|dir| json!({"name": RUN_VOLUME, "mountPath": dir.as_str()})));
    mounts
}

/// Its volumes. The ConfigMap is not optional: without a plan the container can't start. The state lives in memory,
/// as a volume on disk would keep the cluster autoscaler from emptying the node.
pub(super) fn volumes(plan_name: &str, shape: &Shape) -> Vec<Value> {
    let memory = json!({"medium": "Memory", "sizeLimit": STATE_SIZE});
    let mut volumes = vec![
        plan_volume(plan_name),
        json!({"name": TOKEN_VOLUME, "projected": {"sources": [{"serviceAccountToken": {
            "audience": plan::stream::AUDIENCE,
            "expirationSeconds": TOKEN_SECONDS,
            "path": TOKEN_FILE,
        }}]}}),
        json!({"name": STATE_VOLUME, "emptyDir": memory}),
    ];
    let run = shape.run_dir.as_ref();
    volumes.extend(run.map(|_| json!({"name": RUN_VOLUME, "emptyDir": memory})));
    volumes
}

/// The volume that names the plan.
pub(super) fn plan_volume(plan_name: &str) -> Value {
    json!({"name": PLAN_VOLUME, "configMap": {"name": plan_name}})
}

fn environment(shape: &Shape) -> Vec<Value> {
    let set = |name: &str, value: &str| json!({"name": name, "value": value});
    let mut environment = vec![
        set("MOTANMESH_PLAN", PLAN_DIR),
        set("MOTANMESH_STATE_DIR", STATE_DIR),
        set("MOTANMESH_TOKEN_FILE", &format!("{TOKEN_DIR}/{TOKEN_FILE}")),
        json!({"name": "MOTANMESH_INBOUND_ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}),
        set("MOTANMESH_LOG_LEVEL", shape.log_level.as_str()),
        set("MOTANMESH_LOG_FORMAT", "json"),
        set("MOTANMESH_DRAIN_DELAY", &shape.drain_delay.to_string()),
    ];
    if let Some(dir) = &shape.run_dir {
        environment.push(set("MOTANMESH_MOTAN_SOCKET", &format!("{dir}/motan.sock")));
        environment.push(set("MOTANMESH_SNAPSHOT_DIR", &format!("{dir}/snapshot")));
    }
    let moved = shape.ports.settings();
    let moved = moved.iter().filter(|setting| setting.port != setting.default);
    environment.extend(moved.map(|setting| set(setting.variable, &setting.port.to_string())));
    environment
}

fn resources(shape: &Shape) -> Value {
    let Shape { cpu, memory, .. } = shape;
    let mut limits = serde_json::Map::new();
    for (name, Share { limit, .. }) in [("cpu", cpu), ("memory", memory)] {
        if let Some(limit) = limit {
            limits.insert(name.to_owned(), limit.as_str().into());
        }
    }
    let requests = json!({"cpu": cpu.request.as_str(), "memory": memory.request.as_str()});
    if limits.is_empty() {
        return json!({"requests": requests});
    }
    json!({"requests": requests, "limits": limits})
}

fn probe(path: &str, port: u16, period_seconds: u32, failures: u32) -> Value {
    json!({
        "httpGet": {"path": path, "port": port},
        "periodSeconds": period_seconds,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    })
}
