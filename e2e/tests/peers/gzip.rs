//! Bodies that their senders compressed.

use serde_json::{Value, json};

use super::client::{Client, with};
use super::mesh::{caller, provider};
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

#[tokio::test]
async fn compressed_requests_and_responses_pass_two_sidecars_as_they_are() {
    let world = World::new();
    let servers = [
        Server::with(Peer::Java, "java", &["-gzip-from", &FROM.to_string()]).await,
        Server::start(Peer::Go).await,
        Server::start(Peer::Rust).await,
    ];
    let provider = provider(&world, "provider", &servers.each_ref()).await;
    let caller = caller(&world, "caller", &Peer::ALL.map(Peer::name), &[&provider]).await;
    for peer in [Peer::Java, Peer::Go] {
        let mut client = Client::start(peer);
        for server in &servers {
            let what = format!("{peer:?} to {}", server.name);
            let how = client.by_agent(caller.at(9981), server.peer.name(), "simple");
            let how = compressing(&client, &how);
            let (text, bytes) = (
                json!([{"$text": "mesh", "$times": 5_000}]),
                json!([{"$bytes": 1 << 20}]),
            );
            let answer = client.call(&how, "echo", &text).await;
            assert_eq!(
                answer["result"],
                printed_text(&"mesh".repeat(5_000)),
                "{what}: {answer}"
            );
            let answer = client.call(&how, "bytes", &bytes).await;
            assert_eq!(answer["result"], printed_bytes(1 << 20), "{what}: {answer}");
            let answer = client.call(&how, "echo", &json!(["short"])).await;
            assert_eq!(answer["result"], "short", "{what}: {answer}");
            if server.peer == Peer::Rust {
                let answer = client.call(&how, "zipped", &text).await;
                assert_eq!(answer["result"], "gzip", "{what}: {answer}");
                let answer = client.call(&how, "zipped", &json!(["short"])).await;
                assert_eq!(answer["result"], "plain", "{what}: {answer}");
            }
        }
    }
}
