//! Every caller with every server, in every serialization that both have.

use serde_json::{Value, json};

use super::client::{Client, with};
use super::mesh::{caller, provider};
use super::process::Peer;
use super::server::Server;
use super::values::{printed_bytes, printed_text};
use super::world::{Pod, World};

/// One MiB.
const LARGE: u64 = 1 << 20;

/// Three servers behind one agent, and an agent for callers.
struct Triangle {
    servers: [Server; 3],
    _world: World,
    _provider: Pod,
    caller: Pod,
}

impl Triangle {
    async fn new() -> Self {
        let world = World::new();
        let [java, go, rust] = Peer::ALL;
        let servers = [
            Server::start(java).await,
            Server::start(go).await,
            Server::start(rust).await,
        ];
        let provider = provider(&world, "provider", &servers.each_ref()).await;
        let caller = caller(&world, "caller", &Peer::ALL.map(Peer::name), &[&provider]).await;
        Self {
            servers,
            _world: world,
            _provider: provider,
            caller,
        }
    }
}

/// What a caller and a server can both read. Our server gives bodies back as they came, so it needs no serialization for
/// that; the others are Java's alone.
fn serializations(client: Peer, server: Peer) -> &'static [&'static str] {
    match (client, server) {
        (Peer::Java, Peer::Java) => &["hessian2", "simple", "breeze"],
        (Peer::Java | Peer::Go, Peer::Java | Peer::Go) => &["simple", "breeze"],
        (Peer::Rust, _) | (_, Peer::Rust) => &["simple"],
    }
}

/// Calls of a method with arguments, and the result.
fn values(server: &Server, serialization: &str) -> Vec<(&'static str, Value, Value)> {
    let long = "é".repeat(usize::try_from(LARGE / 2).unwrap());
    let mut cases = vec![
        ("who", json!([]), json!(server.name)),
        ("echo", json!([""]), json!("")),
        ("echo", json!(["é\n漢\u{1f4a1}"]), json!("é\n漢\u{1f4a1}")),
        (
            "echo",
            json!([{"$text": "é", "$times": LARGE / 2}]),
            printed_text(&long),
        ),
        ("bytes", json!([{"$bytes": 3}]), printed_bytes(3)),
        ("bytes", json!([{"$bytes": LARGE}]), printed_bytes(LARGE)),
        ("fill", json!([LARGE]), printed_bytes(LARGE)),
        ("sum", json!([1, -5]), json!(-4)),
        ("sum", json!([i64::MAX - 1, 1]), json!(i64::MAX)),
        ("nothing", json!([]), Value::Null),
        ("slow", json!([50]), json!("slept 50")),
    ];
    if serialization != "breeze" {
        // Java writes maps in breeze by the type of their first value, and Go calls its methods with no other map.
        let tree = json!({"a": 1, "b": {"c": ["x", 2, true], "d": {"e": "f"}}, "g": -1.5});
        cases.push(("tree", json!([tree]), tree));
    }
    if server.peer != Peer::Go {
        // motan-go calls its methods by reflection, which has no null.
        cases.push(("echo", json!([null]), Value::Null));
    }
    cases
}

#[tokio::test]
async fn every_caller_gets_its_values_back_from_every_server() {
    let mesh = Triangle::new().await;
    for peer in Peer::ALL {
        let mut client = Client::start(peer);
        for server in &mesh.servers {
            for serialization in serializations(peer, server.peer) {
                let how = client.by_agent(mesh.caller.at(9981), server.peer.name(), serialization);
                for (method, args, result) in values(server, serialization) {
                    let answer = client.call(&how, method, &args).await;
                    assert!(
                        answer["ok"] == true && answer["result"] == result,
                        "{peer:?} to {}, {serialization}, {method} of {args}: {answer}",
                        server.name
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn nulls_in_maps_and_objects_of_the_application_go_from_java_to_java() {
    let mesh = Triangle::new().await;
    let mut java = Client::start(Peer::Java);
    let how = |client: &Client, serialization| client.by_agent(mesh.caller.at(9981), "java", serialization);
    // In a list of strings alone Java leaves nulls out, in simple.
    let tree = json!({"a": null, "b": {"c": null, "d": [null, "x", 1]}});
    for serialization in ["hessian2", "simple"] {
        let answer = java
            .call(&how(&java, serialization), "tree", &json!([tree]))
            .await;
        assert_eq!(answer["result"], tree, "{serialization}: {answer}");
    }
    let parcel = json!({"label": "é", "weight": 3, "sent": 1_700_000_000_000_u64, "content": ["a", "b"]});
    let turned = json!({"label": "é", "weight": 3, "sent": 1_700_000_000_000_u64, "content": ["b", "a"]});
    for serialization in ["hessian2", "breeze"] {
        let answer = java
            .call(&how(&java, serialization), "turn", &json!([parcel]))
            .await;
        assert_eq!(answer["result"], turned, "{serialization}: {answer}");
    }
}

#[tokio::test]
async fn callers_that_take_the_agent_for_a_node_of_the_service_are_served_too() {
    let mesh = Triangle::new().await;
    for (peer, by) in [(Peer::Java, "direct"), (Peer::Go, "context")] {
        let mut client = Client::start(peer);
        for server in &mesh.servers {
            let how = client.by_agent(mesh.caller.at(9981), server.peer.name(), "simple");
            let how = with(&how, json!({"by": by}));
            let answer = client.call(&how, "who", &json!([])).await;
            assert_eq!(answer["result"], server.name, "{peer:?}: {answer}");
            let count = client.many(&how, 500, 50, 0).await;
            assert_eq!(count.failed, 0, "{peer:?} to {}: {count:?}", server.name);
        }
    }
}

#[tokio::test]
async fn hundreds_of_calls_under_way_get_each_their_own_answer() {
    let mesh = Triangle::new().await;
    for peer in Peer::ALL {
        let mut client = Client::start(peer);
        for server in &mesh.servers {
            let how = client.by_agent(mesh.caller.at(9981), server.peer.name(), "simple");
            let count = client.many(&how, 2_000, 300, 0).await;
            assert_eq!(count.failed, 0, "{peer:?} to {}: {count:?}", server.name);
        }
    }
}
