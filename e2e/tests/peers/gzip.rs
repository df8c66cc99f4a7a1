//! Bodies that their senders compressed.

use serde_json::{Value, json};

use super::client::{Client, with};
use super::mesh::{TIMEOUT_MS, caller, export, provider, service};
use super::process::Peer;
use super::server::Server;
use super::values::{printed_bytes, printed_text};
use super::world::World;

/// Bodies over this many bytes are compressed.
const FROM: u32 = 100;

/// A call whose requests are compressed: motan-go has no setting for that in its mesh client.
fn compressing(client: &Client, how: &Value) -> Value {
    let by = if client.peer == Peer::Go {
        "context"
    } else {
        "mesh"
    };
    with(how, json!({"by": by, "gzipFrom": FROM}))
}

async fn servers() -> [Server; 3] {
    [
        Server::with(Peer::Java, "java", &["-gzip-from", &FROM.to_string()]).await,
        Server::start(Peer::Go).await,
        Server::start(Peer::Rust).await,
    ]
}

/// A long text, long bytes and a short text come back as they went.
async fn echoes(client: &mut Client, how: &Value, server: &Server) {
    let what = format!("{:?} to {}", client.peer, server.name);
    let long = json!([{"$text": "mesh", "$times": 5_000}]);
    let answer = client.call(how, "echo", &long).await;
    assert_eq!(
        answer["result"],
        printed_text(&"mesh".repeat(5_000)),
        "{what}: {answer}"
    );
    let answer = client.call(how, "bytes", &json!([{"$bytes": 1 << 20}])).await;
    assert_eq!(answer["result"], printed_bytes(1 << 20), "{what}: {answer}");
    let answer = client.call(how, "echo", &json!(["short"])).await;
    assert_eq!(answer["result"], "short", "{what}: {answer}");
}

#[tokio::test]
async fn what_callers_and_programs_compress_is_understood_by_the_other_side() {
    let world = World::new();
    let servers = servers().await;
    let provider = provider(&world, "provider", &servers.each_ref()).await;
    let caller = caller(&world, "caller", &Peer::ALL.map(Peer::name), &[&provider]).await;
    for peer in [Peer::Java, Peer::Go] {
        let mut client = Client::start(peer);
        for server in &servers {
            let how = client.by_agent(caller.at(9981), server.peer.name(), "simple");
            let how = compressing(&client, &how);
            echoes(&mut client, &how, server).await;
        }
    }
}

#[tokio::test]
async fn a_program_gets_no_compressed_body_of_an_agent() {
    let world = World::new();
    let server = Server::start(Peer::Rust).await;
    let provider = provider(&world, "provider", &[&server]).await;
    let caller = caller(&world, "caller", &["rust"], &[&provider]).await;
    for peer in [Peer::Java, Peer::Go] {
        let mut client = Client::start(peer);
        let agent = compressing(&client, &client.by_agent(caller.at(9981), "rust", "simple"));
        let direct = with(&agent, json!({"to": server.address().to_string()}));
        let long = json!([{"$text": "mesh", "$times": 5_000}]);
        for (how, word) in [(direct, "gzip"), (agent, "plain")] {
            let answer = client.call(&how, "zipped", &long).await;
            assert_eq!(answer["result"], word, "{peer:?}: {answer}");
        }
    }
}

#[tokio::test]
async fn what_agents_compress_between_them_nobody_else_sees() {
    let world = World::new();
    let servers = servers().await;
    let policy = json!({"policy": {"timeoutMs": TIMEOUT_MS, "mingzSize": FROM}});
    let mut provider = world.pod("provider");
    let exports: Vec<_> = servers
        .iter()
        .map(|server| with(&export(server), policy.clone()))
        .collect();
    provider.plan(&[], &Value::from(exports));
    provider.start_sidecar();
    provider.ready().await;
    let mut caller = world.pod("caller");
    let services = Peer::ALL.map(|peer| with(&service(peer.name(), &[&provider]), policy.clone()));
    caller.plan(&services, &json!([]));
    caller.start_sidecar();
    caller.ready().await;
    for peer in Peer::ALL {
        let mut client = Client::start(peer);
        for server in &servers {
            let how = client.by_agent(caller.at(9981), server.peer.name(), "simple");
            echoes(&mut client, &how, server).await;
        }
    }
}
