//! Programs and sidecars that come and go under real callers.

use serde_json::json;

use super::client::{Client, with};
use super::mesh::{caller, provider, service, within};
use super::process::Peer;
use super::server::Server;
use super::world::World;

#[tokio::test]
async fn callers_get_answers_again_after_the_program_was_killed_and_started() {
    let world = World::new();
    for provides in Peer::ALL {
        let mut server = Server::start(provides).await;
        let name = provides.name();
        let provider = provider(&world, name, &[&server]).await;
        let mut caller = world.pod(&format!("{name}-caller"));
        // The agents go on trying until a call's time is up.
        caller.plan(&[within(1_000, &service(name, &[&provider]))], &json!([]));
        caller.start_sidecar();
        caller.ready().await;
        let mut clients = [Peer::Java, Peer::Go].map(Client::start);
        for client in &mut clients {
            let how = client.by_agent(caller.at(9981), name, "simple");
            assert_eq!(client.many(&how, 100, 4, 0).await.failed, 0, "{provides:?}");
        }
        server.kill().await;
        for client in &mut clients {
            let how = client.by_agent(caller.at(9981), name, "simple");
            let count = client.many(&how, 8, 8, 0).await;
            assert_eq!(count.right, 0, "{provides:?} is dead: {count:?}");
        }
        server.run().await;
        for client in &mut clients {
            let how = client.by_agent(caller.at(9981), name, "simple");
            client.recovers(&how).await;
            let count = client.many(&how, 100, 4, 0).await;
            assert_eq!(count.failed, 0, "{provides:?}: {count:?}");
        }
    }
}

#[tokio::test]
async fn one_of_two_server_agents_is_restarted_under_real_callers_and_no_call_fails() {
    let world = World::new();
    let (java, go) = (
        Server::with(Peer::Java, "both", &[]).await,
        Server::with(Peer::Go, "both", &[]).await,
    );
    let mut first = provider(&world, "first", &[&java]).await;
    let second = provider(&world, "second", &[&go]).await;
    let caller = caller(&world, "caller", &["both"], &[&first, &second]).await;
    let (mut by_java, mut by_go) = (Client::start(Peer::Java), Client::start(Peer::Go));
    let how = by_java.by_agent(caller.at(9981), "both", "simple");
    let restart = async {
        for _ in 0..2 {
            assert!(first.end_sidecar().await);
            first.start_sidecar();
            first.ready().await;
        }
    };
    let (java, go, ()) = tokio::join!(
        by_java.many(&how, 4_000, 8, 10),
        by_go.many(&how, 4_000, 8, 10),
        restart
    );
    assert!(java.failed == 0 && go.failed == 0, "{java:?} {go:?}");
}

#[tokio::test]
async fn callers_find_their_own_agent_again_after_its_restart() {
    let world = World::new();
    let server = Server::start(Peer::Java).await;
    let provider = provider(&world, "provider", &[&server]).await;
    let mut caller = caller(&world, "caller", &["java"], &[&provider]).await;
    let mut clients = [Peer::Java, Peer::Go].map(Client::start);
    let by_agent = clients[0].by_agent(caller.at(9981), "java", "simple");
    let ways = |peer| {
        // As the agent's client, and with the agent as the only node of the service.
        let node = if peer == Peer::Java { "direct" } else { "context" };
        ["mesh", node].map(|by| with(&by_agent, json!({"by": by})))
    };
    for client in &mut clients {
        for how in ways(client.peer) {
            assert_eq!(client.many(&how, 100, 4, 0).await.failed, 0, "{how}");
        }
    }
    assert!(caller.end_sidecar().await);
    caller.start_sidecar();
    caller.ready().await;
    for client in &mut clients {
        for how in ways(client.peer) {
            client.recovers(&how).await;
            let count = client.many(&how, 200, 4, 0).await;
            assert_eq!(count.failed, 0, "{how}: {count:?}");
        }
    }
}
