//! Programs that make known to their agent, at its management port, what they call and what they serve: motan-java's
//! weibomesh registry, unchanged programs under `MOTAN_MESH_PROXY`, motan-go's mesh registry.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Client, with};
use super::mesh::{PATH, TIMEOUT_MS, caller, provider};
use super::process::Peer;
use super::server::Server;
use super::world::{PATIENCE, Pod, World, eventually};

/// The registry that a program had before it had an agent. Nobody listens there: an agent of ours needs none.
const PROXIED: &str = "direct://127.0.0.1:1";
/// The same for programs that are left unchanged. The library turns no direct registry into an agent.
const UNCHANGED: &str = "zookeeper://127.0.0.1:1";

/// How a program calls through the agent as its registry.
fn by_registry(client: &Client, agent: &Pod, group: &str) -> Value {
    let how = client.by_agent(agent.at(9981), group, "simple");
    let management = with(&how, json!({"by": "registry", "mport": 8002, "proxied": PROXIED}));
    match client.peer {
        // It asks there where calls go.
        Peer::Go => with(&management, json!({"to": agent.at(8002).to_string()})),
        Peer::Java | Peer::Rust => management,
    }
}

/// The environment that turns the registry of an unchanged Java program into this agent.
fn proxy(mode: &str, agent: &Pod) -> String {
    format!("mode:{mode},ip:{},port:9981,mport:8002", agent.ip)
}

/// Calls until it succeeds: what a program says to the management port is said beside its calls.
async fn answers(client: &mut Client, how: &Value, name: &str) {
    let again = async {
        loop {
            let answer = client.call(how, "who", &json!([])).await;
            if answer["ok"] == true {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let answer = tokio::time::timeout(PATIENCE, again)
        .await
        .expect("it is answered");
    assert_eq!(answer["result"], name, "{answer}");
}

/// Waits until the agent lists the service.
async fn lists(agent: &Pod, kind: &str, group: &str) {
    let what = format!("{group} is among {kind}");
    eventually(&what, async || {
        let (status, body) = agent.page("GET", 8002, "/registry/list").await;
        let body: Value = serde_json::from_str(&body).unwrap_or_default();
        let listed = body["body"][kind].as_array().cloned().unwrap_or_default();
        status == 200 && listed.iter().any(|url| url["group"] == group)
    })
    .await;
}

#[tokio::test]
async fn programs_subscribe_at_the_agent_and_call_through_it() {
    let world = World::new();
    let (java, go) = (Server::start(Peer::Java).await, Server::start(Peer::Go).await);
    let provider = provider(&world, "provider", &[&java, &go]).await;
    let agent = caller(&world, "caller", &["java", "go"], &[&provider]).await;
    for peer in [Peer::Java, Peer::Go] {
        let mut client = Client::start(peer);
        for group in ["java", "go"] {
            let how = by_registry(&client, &agent, group);
            answers(&mut client, &how, group).await;
            lists(&agent, "subscribe_nodes", group).await;
            let count = client.many(&how, 500, 50, 0).await;
            assert_eq!(count.failed, 0, "{peer:?} to {group}: {count:?}");
        }
    }
}

#[tokio::test]
async fn an_unchanged_java_caller_calls_through_the_agent() {
    let world = World::new();
    let server = Server::start(Peer::Java).await;
    let provider = provider(&world, "provider", &[&server]).await;
    let agent = caller(&world, "caller", &["java"], &[&provider]).await;
    let mut java = Client::under(Peer::Java, "MOTAN_MESH_PROXY", &proxy("client", &agent));
    let how = java.by_agent(agent.at(9981), "java", "hessian2");
    let how = with(&how, json!({"by": "proxied", "proxied": UNCHANGED}));
    answers(&mut java, &how, "java").await;
    lists(&agent, "subscribe_nodes", "java").await;
}

#[tokio::test]
async fn a_subscription_that_is_not_declared_is_refused_and_its_calls_are_told_why() {
    let world = World::new();
    let agent = caller(&world, "caller", &[], &[]).await;
    for peer in [Peer::Java, Peer::Go] {
        let mut client = Client::start(peer);
        let how = by_registry(&client, &agent, "java");
        let answer = client.call(&how, "who", &json!([])).await;
        assert!(
            answer["ok"] == false && answer["message"].to_string().contains("MeshDependency"),
            "{peer:?}: {answer}"
        );
    }
}

/// The agent of a program whose declaration names a port where nobody listens: what the program registers counts.
async fn waiting_for(world: &World, name: &str, group: &str) -> Pod {
    let mut pod = world.pod(name);
    let export = json!({"name": format!("peers/{group}"), "path": PATH, "group": group,
        "protocol": "motan2", "backend": "127.0.0.1:1", "policy": {"timeoutMs": TIMEOUT_MS}});
    pod.plan(&[], &json!([export]));
    pod.start_sidecar();
    pod.ready().await;
    pod
}

/// Calls from another pod reach what was registered at this one.
async fn is_called(world: &World, agent: &Pod, group: &str, name: &str) {
    lists(agent, "register_nodes", group).await;
    let caller = caller(world, &format!("{group}-caller"), &[group], &[agent]).await;
    for peer in [Peer::Java, Peer::Go] {
        let mut client = Client::start(peer);
        let how = client.by_agent(caller.at(9981), group, "simple");
        answers(&mut client, &how, name).await;
    }
}

#[tokio::test]
async fn programs_register_their_port_at_the_agent_and_are_called_there() {
    let world = World::new();
    for peer in [Peer::Java, Peer::Go] {
        let group = peer.name();
        let agent = waiting_for(&world, group, group).await;
        let mesh = match peer {
            Peer::Go => agent.at(8002).to_string(),
            Peer::Java | Peer::Rust => agent.at(9981).to_string(),
        };
        let _server = Server::with(peer, group, &["-mesh", &mesh, "-proxied", PROXIED]).await;
        is_called(&world, &agent, group, group).await;
    }
}

#[tokio::test]
async fn an_unchanged_java_program_is_registered_at_the_agent() {
    let world = World::new();
    let agent = waiting_for(&world, "provider", "java").await;
    let environment = ("MOTAN_MESH_PROXY", proxy("server", &agent));
    let _server = Server::under(environment, Peer::Java, "java", &["-registry", UNCHANGED]).await;
    is_called(&world, &agent, "java", "java").await;
}

#[tokio::test]
async fn what_was_registered_is_served_again_after_the_agent_was_restarted() {
    let world = World::new();
    let mut agent = waiting_for(&world, "provider", "java").await;
    let mesh = agent.at(9981).to_string();
    let _server = Server::with(Peer::Java, "java", &["-mesh", &mesh, "-proxied", PROXIED]).await;
    let caller = caller(&world, "caller", &["java"], &[&agent]).await;
    let mut client = Client::start(Peer::Java);
    let how = client.by_agent(caller.at(9981), "java", "hessian2");
    answers(&mut client, &how, "java").await;
    // The program registers once and never again.
    assert!(agent.end_sidecar().await);
    agent.start_sidecar();
    agent.ready().await;
    client.recovers(&how).await;
    lists(&agent, "register_nodes", "java").await;
}

#[tokio::test]
async fn a_service_that_nobody_declared_is_served_where_that_is_allowed() {
    let world = World::new();
    let mut agent = world.pod("provider");
    let workload = json!({"namespace": "peers", "pod": "provider", "application": "provider"});
    let plan = json!({"revision": 1, "workload": workload, "undeclared": "allow"});
    agent.write_plan(&plan.to_string());
    agent.start_sidecar();
    agent.ready().await;
    let mesh = agent.at(8002).to_string();
    let _server = Server::with(Peer::Go, "go", &["-mesh", &mesh, "-proxied", PROXIED]).await;
    is_called(&world, &agent, "go", "go").await;
}
