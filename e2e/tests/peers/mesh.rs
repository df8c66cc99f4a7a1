//! What the sidecars around peers are told.

use serde_json::{Value, json};

use super::client::with;
use super::server::Server;
use super::world::{Pod, World};

/// The path of the service: in Java the interface's name, so that all peers share it and are told apart by group.
pub(crate) const PATH: &str = "io.motanmesh.peers.Probe";

/// Longer than any call of these tests that should succeed takes, on a busy machine.
pub(crate) const TIMEOUT_MS: u32 = 10_000;

/// The agent of these servers, with an export for the group of each.
pub(crate) async fn provider(world: &World, name: &str, servers: &[&Server]) -> Pod {
    let mut pod = world.pod(name);
    let exports: Vec<_> = servers.iter().map(|server| export(server)).collect();
    pod.plan(&[], &Value::from(exports));
    pod.start_sidecar();
    pod.ready().await;
    pod
}

/// An agent for callers of the groups `groups`, provided by these pods.
pub(crate) async fn caller(world: &World, name: &str, groups: &[&str], providers: &[&Pod]) -> Pod {
    let mut pod = world.pod(name);
    let services: Vec<_> = groups.iter().map(|group| service(group, providers)).collect();
    pod.plan(&services, &json!([]));
    pod.start_sidecar();
    pod.ready().await;
    pod
}

/// The service of one group at these providers.
pub(crate) fn service(group: &str, providers: &[&Pod]) -> Value {
    let seeds: Vec<_> = providers
        .iter()
        .map(|pod| json!({"address": pod.at(9982).to_string()}))
        .collect();
    json!({"name": format!("peers/{group}"), "path": PATH, "group": group, "protocol": "motan2",
        "policy": {"timeoutMs": TIMEOUT_MS}, "seeds": seeds})
}

/// The same service with so many milliseconds for a call: less than half of what callers wait, so that their own wish does
/// not count.
pub(crate) fn within(millis: u32, service: &Value) -> Value {
    assert!(millis < TIMEOUT_MS / 2);
    with(service, json!({"policy": {"timeoutMs": millis}}))
}

/// The export of a server.
pub(crate) fn export(server: &Server) -> Value {
    let group = &server.group;
    json!({"name": format!("peers/{group}"), "path": PATH, "group": group, "protocol": "motan2",
        "backend": server.address().to_string(), "policy": {"timeoutMs": TIMEOUT_MS}})
}
