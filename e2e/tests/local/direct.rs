//! Providers without a sidecar beside those that have one: real processes.

use serde_json::{Value, json};

use super::world::{Kind, Pod, World, services};

/// The services of a caller: each provided by a sidecar, and by a program that has none.
fn mixed(meshed: &[&Pod], bare: &Pod) -> Vec<Value> {
    let mut services = services(meshed);
    for (service, port) in services.iter_mut().zip([7000, 8080]) {
        let seeds = service["seeds"].as_array_mut().unwrap();
        seeds.push(json!({"address": bare.at(port).to_string(), "direct": true}));
    }
    services
}

#[tokio::test]
async fn a_load_goes_to_programs_with_and_without_a_sidecar_and_loses_nothing() {
    let world = World::new();
    let user = world.provider("user").await;
    let mut bare = world.pod("bare");
    bare.start_program();
    let mut web = world.pod("web");
    web.plan(&mixed(&[&user], &bare), &json!([]));
    web.start_sidecar();
    web.ready().await;
    for kind in [Kind::Http, Kind::Motan] {
        let report = web.load(kind, 2).unharmed().await;
        let names: Vec<_> = report.answered_by.keys().map(String::as_str).collect();
        assert_eq!(names, ["bare", "user"], "{report:?}");
    }
    let large = "x".repeat(300_000);
    let request = format!(
        "POST /echo HTTP/1.1\r\nhost: user.shop.mesh\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{large}",
        large.len()
    );
    for _ in 0..8 {
        let (status, body) = super::world::http(web.at(9983), &request).await;
        assert!(
            status == 200 && body.contains("\"bodyLength\":300000"),
            "{status} {body}"
        );
    }
}

#[tokio::test]
async fn a_mesh_is_adopted_one_pod_at_a_time_under_load() {
    let world = World::new();
    let mut first = world.pod("first");
    first.start_program();
    let mut web = world.pod("web");
    web.plan(&mixed(&[], &first), &json!([]));
    web.start_sidecar();
    web.ready().await;
    let loads = [web.load(Kind::Http, 4), web.load(Kind::Motan, 4)];

    // The next pod has a sidecar; then nobody is without.
    let second = world.provider("second").await;
    let revision = web.plan(&mixed(&[&second], &first), &json!([]));
    web.runs(revision).await;
    let mut leaving = mixed(&[&second], &first);
    for service in &mut leaving {
        service["seeds"][1]["state"] = json!("draining");
    }
    let revision = web.plan(&leaving, &json!([]));
    web.runs(revision).await;
    let revision = web.plan(&services(&[&second]), &json!([]));
    web.runs(revision).await;
    for load in loads {
        load.unharmed().await;
    }
    let calls = ["role=\"server\"", "outcome=\"ok\""];
    assert!(second.metric("motanmesh_calls_total", &calls).await > 0);
}
