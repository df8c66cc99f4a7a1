//! A pod that is never made: created with dry run, to see whether the webhook is reached and does its work.

use std::time::Duration;

use crds::names;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::PostParams};
use serde_json::json;
use tokio::time::timeout;

use super::{Finding, Unread};
use crate::connect::plain;

/// How long the API server may take: longer than the strict webhook's timeout.
const PROBE: Duration = Duration::from_secs(20);

/// Tries an injection, in a namespace that asks for it where there is one.
pub(super) async fn inject(client: &Client, enabled: Option<&str>) -> Finding {
    let namespace = enabled.unwrap_or("default");
    let what = format!("webhook: a dry-run pod in namespace {namespace}");
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let params = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let Some(pod) = pod() else {
        return Finding::fail(what, "report this: the probe's pod is not a pod");
    };
    let created = match timeout(PROBE, api.create(&params, &pod)).await {
        Ok(created) => created.map_err(Unread::from),
        Err(_) => Err(Unread::Late),
    };
    match created {
        Ok(pod) if has_sidecar(&pod) => Finding::ok(format!("{what} gets its sidecar")),
        Ok(_) => Finding::fail(
            format!("{what} gets no sidecar"),
            "the API server does not reach port 9443 of the operator (firewall, NetworkPolicy), or no replica is ready",
        ),
        Err(error) => Finding::fail(
            format!("{what} is refused: {}", plain(&error)),
            "where it speaks of the webhook: does the API server reach port 9443 of the operator, is a replica ready?",
        ),
    }
}

/// A pod that any Pod Security level admits.
fn pod() -> Option<Pod> {
    let pod = json!({
        "metadata": {"generateName": "motanmesh-check-", "annotations": {names::INJECT: names::ENABLED}},
        "spec": {
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "app",
                "image": "motanmesh.io/check",
                "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"cpu": "10m", "memory": "8Mi"}},
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    });
    serde_json::from_value(pod).ok()
}

fn has_sidecar(pod: &Pod) -> bool {
    let containers = pod
        .spec
        .iter()
        .flat_map(|spec| spec.init_containers.iter().flatten());
    containers
        .into_iter()
        .any(|container| container.name == names::CONTAINER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_is_a_pod() {
        assert!(pod().is_some_and(|pod| !has_sidecar(&pod)));
    }
}
