//! The YAML that tests apply: what a service team would write, with the names filled in.

use crate::cluster::demo_image;

/// The pod template that every workload here shares: restricted, ready when it serves.
#[must_use]
pub fn pod_template(app: &str, args: &str, probe: &str) -> String {
    let image = demo_image();
    format!(
        r#"
metadata: {{labels: {{app: {app}, mesh-test: "yes"}}}}
spec:
  terminationGracePeriodSeconds: 30
  securityContext: {{runAsNonRoot: true, runAsUser: 65532, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
  - name: program
    image: {image}
    imagePullPolicy: IfNotPresent
    args: {args}
    env: [{{name: POD_NAME, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}]
    {probe}
    securityContext: {{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {{drop: [ALL]}}}}
"#
    )
}

fn indent(text: &str, by: usize) -> String {
    text.trim_matches('\n')
        .lines()
        .map(|line| format!("{}{line}\n", " ".repeat(by)))
        .collect()
}

/// A Deployment, StatefulSet or DaemonSet of a pod template.
#[must_use]
pub fn workload(kind: &str, name: &str, replicas: u32, template: &str) -> String {
    let own = match kind {
        "Deployment" => format!(
            "  replicas: {replicas}\n  strategy: {{rollingUpdate: {{maxUnavailable: 0, maxSurge: 1}}}}\n"
        ),
        "StatefulSet" => format!("  replicas: {replicas}\n  serviceName: {name}\n"),
        _ => String::new(),
    };
    format!(
        "apiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n{own}  selector: {{matchLabels: {{app: {name}}}}}\n  template:\n{}---\n",
        indent(template, 4)
    )
}

/// A provider of both protocols: HTTP on 8080, Motan 2 on 7000.
#[must_use]
pub fn provider(name: &str, replicas: u32) -> String {
    let probe = "readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}";
    let args = r#"[serve, --http, "0.0.0.0:8080", --motan, "0.0.0.0:7000"]"#;
    workload("Deployment", name, replicas, &pod_template(name, args, probe))
}

/// The pods of a manifest, on one node.
#[must_use]
pub fn on_node(manifest: &str, node: &str) -> String {
    let spec = "spec:\n      terminationGracePeriodSeconds";
    let there = format!(
        "spec:\n      nodeSelector: {{kubernetes.io/hostname: {node}}}\n      terminationGracePeriodSeconds"
    );
    manifest.replace(spec, &there)
}

/// As [`provider`], and its containers share their processes, so that the program can be stopped from inside. It is
/// another user than the sidecar, which is not injected otherwise.
#[must_use]
pub fn stoppable(name: &str, replicas: u32) -> String {
    let alone = "spec:\n      terminationGracePeriodSeconds";
    let shared = "spec:\n      shareProcessNamespace: true\n      terminationGracePeriodSeconds";
    provider(name, replicas)
        .replace(alone, shared)
        .replace("runAsUser: 65532", "runAsUser: 10001")
}

/// As [`provider`], of the same application as others, with an annotation on its pods.
#[must_use]
pub fn part(name: &str, app: &str, annotation: &str) -> String {
    provider(name, 1)
        .replace(
            &format!("matchLabels: {{app: {name}}}"),
            &format!("matchLabels: {{part: {name}}}"),
        )
        .replace(
            &format!("metadata: {{labels: {{app: {name},"),
            &format!("metadata: {{annotations: {{{annotation}}}, labels: {{app: {app}, part: {name},"),
        )
}

/// A load that runs until it is removed; `args` are those of `motanmesh-demo load`, as a YAML list without brackets.
#[must_use]
pub fn load(name: &str, args: &str) -> String {
    workload(
        "Deployment",
        name,
        1,
        &pod_template(name, &format!("[load, {args}]"), ""),
    )
}

/// A MeshService of the pods labelled `app: <app>`.
#[must_use]
pub fn service(name: &str, app: &str, protocol: &str, more: &str) -> String {
    let port = match protocol {
        "http" => 8080,
        "grpc" => 9090,
        _ => 7000,
    };
    format!(
        "apiVersion: motanmesh.io/v1alpha1\nkind: MeshService\nmetadata: {{name: {name}}}\nspec:\n  selector: {{matchLabels: {{app: {app}}}}}\n  backend: {{protocol: {protocol}, port: {port}}}\n{}---\n",
        indent(more, 2)
    )
}

/// A MeshDependency of the pods labelled `app: <app>`; `services` is a YAML list.
#[must_use]
pub fn dependency(name: &str, app: &str, services: &str) -> String {
    format!(
        "apiVersion: motanmesh.io/v1alpha1\nkind: MeshDependency\nmetadata: {{name: {name}}}\nspec:\n  selector: {{matchLabels: {{app: {app}}}}}\n  services: {services}\n---\n"
    )
}
