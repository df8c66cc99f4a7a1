//! Calls that fail: what each caller is told, through two sidecars, of what each server says and of what the mesh says.

use serde_json::{Value, json};

use super::client::{Client, with};
use super::mesh::{PATH, caller, export, provider, service, within};
use super::process::Peer;
use super::server::Server;
use super::world::World;

/// What a caller says of an exception: its code, its type and a part of its message.
type Told = (i64, i64, &'static str);

/// What a server answers to `fail("no")`.
const fn business(client: Peer, server: Peer) -> Told {
    match (client, server) {
        // A panic is the only way in which a program on motan-go tells of its own failure.
        (_, Peer::Go) => (500, 1, "provider call panic"),
        // motan-java knows a business exception by a cause, which Motan 2 does not carry.
        (Peer::Java, Peer::Java | Peer::Rust) => (10_001, 1, "no"),
        (Peer::Go | Peer::Rust, Peer::Java) => (30_001, 2, "org err:no"),
        (Peer::Go | Peer::Rust, Peer::Rust) => (30_001, 2, "no"),
    }
}

/// What a server answers to a method that it does not have.
const fn no_method(server: Peer) -> Told {
    match server {
        Peer::Java => (10_101, 1, "Service method not exist"),
        Peer::Go => (500, 1, "method unknown is not found in provider."),
        Peer::Rust => (500, 1, "no method unknown"),
    }
}

fn assert_told(answer: &Value, (code, kind, words): Told, what: &str) {
    let message = answer["message"].as_str().unwrap_or_default();
    assert!(
        answer["ok"] == false && answer["code"] == code && answer["type"] == kind && message.contains(words),
        "{what}: {answer}"
    );
}

#[tokio::test]
async fn exceptions_of_programs_arrive_as_their_servers_made_them() {
    let world = World::new();
    let mut servers = Vec::new();
    for peer in Peer::ALL {
        servers.push(Server::start(peer).await);
    }
    let provider = provider(&world, "provider", &servers.iter().collect::<Vec<_>>()).await;
    let caller = caller(&world, "caller", &Peer::ALL.map(Peer::name), &[&provider]).await;
    for peer in Peer::ALL {
        let mut client = Client::start(peer);
        for server in &servers {
            let what = format!("{peer:?} to {}", server.name);
            let how = client.by_agent(caller.at(9981), server.peer.name(), "simple");
            let answer = client.call(&how, "fail", &json!(["no"])).await;
            assert_told(&answer, business(peer, server.peer), &what);
            let answer = client.call(&how, "unknown", &json!([])).await;
            assert_told(&answer, no_method(server.peer), &what);
            if server.peer == Peer::Go {
                let answer = client.call(&how, "echo", &json!([null])).await;
                assert_told(&answer, (500, 1, "provider call panic"), &what);
            }
            let answer = client.call(&how, "echo", &json!(["still there"])).await;
            assert_eq!(answer["result"], "still there", "{what}: {answer}");
        }
    }
}

#[tokio::test]
async fn every_caller_is_told_what_it_has_not_declared() {
    let world = World::new();
    let caller = caller(&world, "caller", &[], &[]).await;
    for peer in Peer::ALL {
        let mut client = Client::start(peer);
        let how = client.by_agent(caller.at(9981), "java", "simple");
        let answer = client.call(&how, "who", &json!([])).await;
        assert_told(&answer, (400, 1, "cluster not found"), peer.name());
        assert!(
            answer["message"].as_str().unwrap().contains("MeshDependency"),
            "{answer}"
        );
        assert!(answer["message"].as_str().unwrap().contains(PATH), "{answer}");
    }
}

#[tokio::test]
async fn a_slow_answer_ends_in_the_agents_timeout_and_hurts_no_other_call() {
    let world = World::new();
    let mut servers = Vec::new();
    for peer in Peer::ALL {
        servers.push(Server::start(peer).await);
    }
    let provider = provider(&world, "provider", &servers.iter().collect::<Vec<_>>()).await;
    let mut caller = world.pod("caller");
    let brief = |peer: Peer| within(300, &service(peer.name(), &[&provider]));
    caller.plan(&Peer::ALL.map(brief), &json!([]));
    caller.start_sidecar();
    caller.ready().await;
    for peer in Peer::ALL {
        let mut client = Client::start(peer);
        for server in &servers {
            let what = format!("{peer:?} to {}", server.name);
            let how = client.by_agent(caller.at(9981), server.peer.name(), "simple");
            let answer = client.call(&how, "slow", &json!([2_000])).await;
            assert_eq!(answer["ok"], false, "{what}: {answer}");
            assert!(
                answer["message"].as_str().unwrap().contains("timeout"),
                "{what}: {answer}"
            );
            let answer = client.call(&how, "echo", &json!(["next"])).await;
            assert_eq!(answer["result"], "next", "{what}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_java_caller_that_waits_less_long_than_the_agent_gives_up_alone() {
    let world = World::new();
    let server = Server::start(Peer::Java).await;
    let provider = provider(&world, "provider", &[&server]).await;
    let caller = caller(&world, "caller", &["java"], &[&provider]).await;
    let mut java = Client::start(Peer::Java);
    let how = java.by_agent(caller.at(9981), "java", "hessian2");
    let brief = with(&how, json!({"timeoutMs": 300}));
    let answer = java.call(&brief, "slow", &json!([1_000])).await;
    assert_told(&answer, (10_003, 1, "timeout"), "java");
    // The late answer is dropped; it is nobody else's.
    let count = java.many(&brief, 500, 8, 2).await;
    assert_eq!(count.failed, 0, "{count:?}");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_said_to_be_missing() {
    let world = World::new();
    let mut server = Server::start(Peer::Go).await;
    server.kill().await;
    let mut provider = world.pod("provider");
    provider.plan(&[], &json!([export(&server)]));
    provider.start_sidecar();
    provider.ready().await;
    // The agents go on trying until the call's time is up.
    let mut caller = world.pod("caller");
    caller.plan(&[within(500, &service("go", &[&provider]))], &json!([]));
    caller.start_sidecar();
    caller.ready().await;
    for peer in Peer::ALL {
        let mut client = Client::start(peer);
        let how = client.by_agent(caller.at(9981), "go", "simple");
        let answer = client.call(&how, "who", &json!([])).await;
        assert!(answer["ok"] == false && answer["type"] == 1, "{peer:?}: {answer}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_costs_its_caller_that_call_and_nobody_else_any() {
    let world = World::new();
    let server = Server::start(Peer::Java).await;
    let provider = provider(&world, "provider", &[&server]).await;
    let caller = caller(&world, "caller", &["java"], &[&provider]).await;
    let mut other = Client::start(Peer::Java);
    for peer in [Peer::Java, Peer::Go] {
        let mut client = Client::start(peer);
        let how = client.by_agent(caller.at(9981), "java", "simple");
        let large = json!([{"$bytes": 11 << 20}]);
        let (answer, count) = tokio::join!(client.call(&how, "bytes", &large), other.many(&how, 1_000, 8, 1));
        assert_eq!(answer["ok"], false, "{peer:?}: {answer}");
        assert_eq!(count.failed, 0, "{peer:?}: {count:?}");
        client.recovers(&how).await;
    }
}

#[tokio::test]
async fn a_response_over_the_limit_costs_its_caller_that_call_and_nobody_else_any() {
    let world = World::new();
    let mut servers = Vec::new();
    for peer in Peer::ALL {
        servers.push(Server::start(peer).await);
    }
    let provider = provider(&world, "provider", &servers.iter().collect::<Vec<_>>()).await;
    let caller = caller(&world, "caller", &Peer::ALL.map(Peer::name), &[&provider]).await;
    let (mut client, mut other) = (Client::start(Peer::Go), Client::start(Peer::Go));
    for server in &servers {
        let how = client.by_agent(caller.at(9981), &server.name, "simple");
        let large = json!([11 << 20]);
        let (answer, count) = tokio::join!(client.call(&how, "fill", &large), other.many(&how, 1_000, 8, 1));
        assert_eq!(answer["ok"], false, "{}: {answer}", server.name);
        assert_eq!(count.failed, 0, "{}: {count:?}", server.name);
        client.recovers(&how).await;
    }
}

#[tokio::test]
async fn a_question_to_the_framework_is_answered_in_the_words_that_callers_know() {
    let world = World::new();
    let caller = caller(&world, "caller", &["java"], &[]).await;
    let mut client = Client::start(Peer::Rust);
    // As callers that weigh their nodes ask for a weight, again and again unless they are answered so.
    let how = json!({"path": "com.weibo.api.motan.runtime.meta.MetaService", "framework": "y"});
    let how = with(&client.by_agent(caller.at(9981), "java", "simple"), how);
    let answer = client.call(&how, "getDynamicMeta", &json!([])).await;
    assert_told(&answer, (501, 1, "service not support"), "the client agent");
    assert_eq!(answer["message"], "service not support", "to the letter");
}
