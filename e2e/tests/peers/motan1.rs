//! Motan 1, which only Java speaks: through two sidecars, and with the reference agent in the place of either.

use serde_json::{Value, json};

use super::chains::{GoServerAgent, go_client_agent};
use super::client::{Client, with};
use super::mesh::{export, service, within};
use super::process::Peer;
use super::server::Server;
use super::values::{printed_bytes, printed_text};
use super::world::{Pod, World};

/// The group of services that speak it.
const GROUP: &str = "java1";

async fn server() -> Server {
    Server::with(Peer::Java, GROUP, &["-protocol", "motan"]).await
}

/// A plan's service or export, in Motan 1 alone.
fn only(object: &Value) -> Value {
    with(object, json!({"protocol": "motan"}))
}

async fn provider(world: &World, name: &str, server: &Server) -> Pod {
    started(world, name, &[], &json!([only(&export(server))])).await
}

async fn started(world: &World, name: &str, services: &[Value], exports: &Value) -> Pod {
    let mut pod = world.pod(name);
    pod.plan(services, exports);
    pod.start_sidecar();
    pod.ready().await;
    pod
}

/// How a Java program calls an agent by Motan 1: as the only node of the service.
fn by_agent(client: &Client, caller: &Pod) -> Value {
    let how = client.by_agent(caller.at(9981), GROUP, "hessian2");
    with(&how, json!({"by": "direct", "protocol": "motan"}))
}

/// The same calls whatever the chain is made of.
async fn works(java: &mut Client, caller: &Pod) {
    let how = &by_agent(java, caller);
    let parcel = json!({"label": "é", "weight": 3, "sent": 1_700_000_000_000_u64, "content": ["a", "b"]});
    let turned = with(&parcel, json!({"content": ["b", "a"]}));
    let tree = json!({"a": null, "b": {"c": ["x", null, 2, true]}, "d": -1.5});
    for (method, args, result) in [
        ("who", json!([]), json!("java")),
        ("echo", json!(["é\n漢\u{1f4a1}"]), json!("é\n漢\u{1f4a1}")),
        ("echo", json!([null]), Value::Null),
        (
            "echo",
            json!([{"$text": "ab", "$times": 1 << 19}]),
            printed_text(&"ab".repeat(1 << 19)),
        ),
        ("bytes", json!([{"$bytes": 1 << 20}]), printed_bytes(1 << 20)),
        ("sum", json!([i64::MAX - 1, 1]), json!(i64::MAX)),
        ("nothing", json!([]), Value::Null),
        ("tree", json!([tree]), tree),
        ("turn", json!([parcel]), turned),
    ] {
        let answer = java.call(how, method, &args).await;
        assert!(
            answer["ok"] == true && answer["result"] == result,
            "{method}: {answer}"
        );
    }
    // Motan 1 carries the exception itself, which Motan 2 does not.
    let answer = java.call(how, "fail", &json!(["no"])).await;
    assert!(
        answer["exception"] == "io.motanmesh.peers.Refusal" && answer["message"] == "no",
        "{answer}"
    );
    let count = java.many(how, 2_000, 200, 0).await;
    assert_eq!(count.failed, 0, "{count:?}");
}

#[tokio::test]
async fn motan_1_goes_from_java_to_java_through_two_sidecars() {
    let world = World::new();
    let server = server().await;
    let provider = provider(&world, "provider", &server).await;
    let caller = started(
        &world,
        "caller",
        &[only(&service(GROUP, &[&provider]))],
        &json!([]),
    )
    .await;
    let mut java = Client::start(Peer::Java);
    works(&mut java, &caller).await;
}

#[tokio::test]
async fn a_service_of_both_versions_answers_each_caller_in_its_own() {
    let world = World::new();
    // Of Java's protocols it is the newer one that reads both.
    let server = Server::with(Peer::Java, GROUP, &[]).await;
    let both = with(&export(&server), json!({"motan1": server.address().to_string()}));
    let provider = started(&world, "provider", &[], &json!([both])).await;
    let both = with(&service(GROUP, &[&provider]), json!({"motan1": true}));
    let caller = started(&world, "caller", &[both], &json!([])).await;
    let mut java = Client::start(Peer::Java);
    works(&mut java, &caller).await;
    for (peer, serialization) in [
        (Peer::Java, "hessian2"),
        (Peer::Go, "simple"),
        (Peer::Rust, "simple"),
    ] {
        let mut client = Client::start(peer);
        let how = client.by_agent(caller.at(9981), GROUP, serialization);
        let answer = client.call(&how, "who", &json!([])).await;
        assert_eq!(answer["result"], "java", "{peer:?}: {answer}");
        let count = client.many(&how, 500, 50, 0).await;
        assert_eq!(count.failed, 0, "{peer:?}: {count:?}");
    }
}

#[tokio::test]
async fn a_motan_1_caller_is_told_of_what_fails_in_the_mesh() {
    let world = World::new();
    let server = server().await;
    let provider = provider(&world, "provider", &server).await;
    let brief = only(&within(300, &service(GROUP, &[&provider])));
    let caller = started(&world, "caller", &[brief], &json!([])).await;
    let mut java = Client::start(Peer::Java);
    let how = by_agent(&java, &caller);
    let answer = java.call(&how, "slow", &json!([2_000])).await;
    let service_exception = "com.weibo.api.motan.exception.MotanServiceException";
    assert!(
        answer["exception"] == service_exception
            && answer["message"]
                .to_string()
                .contains("channel call error:timeout"),
        "{answer}"
    );
    let answer = java.call(&how, "echo", &json!(["next"])).await;
    assert_eq!(answer["result"], "next", "{answer}");
    let empty = started(&world, "empty", &[], &json!([])).await;
    let undeclared = by_agent(&java, &empty);
    let answer = java.call(&undeclared, "who", &json!([])).await;
    assert!(
        answer["exception"] == service_exception
            && answer["message"].to_string().contains("cluster not found"),
        "{answer}"
    );
}

#[tokio::test]
async fn one_of_two_motan_1_providers_is_restarted_under_load_and_no_call_fails() {
    let world = World::new();
    let (one, two) = (server().await, server().await);
    let mut first = provider(&world, "first", &one).await;
    let second = provider(&world, "second", &two).await;
    let caller = started(
        &world,
        "caller",
        &[only(&service(GROUP, &[&first, &second]))],
        &json!([]),
    )
    .await;
    let mut java = Client::start(Peer::Java);
    let how = by_agent(&java, &caller);
    let restart = async {
        for _ in 0..2 {
            assert!(first.end_sidecar().await);
            first.start_sidecar();
            first.ready().await;
        }
    };
    let (count, ()) = tokio::join!(java.many(&how, 4_000, 8, 10), restart);
    assert_eq!(count.failed, 0, "{count:?}");
}

#[tokio::test]
async fn motan_1_goes_from_our_client_agent_to_the_reference_server_agent() {
    let world = World::new();
    let server = server().await;
    let agent = GoServerAgent::start(&world.pod("provider"), &[&server]).await;
    let outside = json!({"external": true, "seeds": [{"address": agent.address}]});
    let outside = with(&only(&service(GROUP, &[])), outside);
    let caller = started(&world, "caller", &[outside], &json!([])).await;
    let mut java = Client::start(Peer::Java);
    works(&mut java, &caller).await;
}

#[tokio::test]
async fn motan_1_goes_from_the_reference_client_agent_to_our_server_agent() {
    let world = World::new();
    let server = server().await;
    let plain = with(&only(&export(&server)), json!({"plain": true}));
    let provider = started(&world, "provider", &[], &json!([plain])).await;
    let caller = world.pod("caller");
    let _agent = go_client_agent(&caller, "motan", &[GROUP], &provider.at(9982).to_string()).await;
    let mut java = Client::start(Peer::Java);
    works(&mut java, &caller).await;
}
