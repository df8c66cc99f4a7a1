//! From start to stop: readiness, the drain, calls in flight.

use tokio::process::Command;

use super::world::{World, eventually, sidecar};

#[tokio::test]
async fn a_drain_is_told_at_once_and_serves_on_until_the_end() {
    let world = World::new();
    let user = world.provider("user").await;
    let mut web = world.caller("web", &[&user]).await;
    let drain = Command::new(sidecar())
        .args(["drain", "--local-address", &web.ip.to_string()])
        .status()
        .await
        .unwrap();
    assert!(drain.success());
    assert_eq!(
        web.page("GET", 9990, "/ready").await,
        (503, "waits for: draining\n".to_owned())
    );
    assert_eq!(web.get("user.shop.mesh", "/users/1").await.0, 200);
    assert!(web.end_sidecar().await);
}

#[tokio::test]
async fn a_call_in_flight_is_finished_before_the_sidecar_ends() {
    let world = World::new();
    let mut user = world.provider("user").await;
    let mut web = world.caller("web", &[&user]).await;
    let slow = web.get("user.shop.mesh", "/slow/1500");
    let end = async {
        let under_way = "motanmesh_calls_in_flight{role=\"server\",service=\"shop/user\"} 1\n";
        eventually(under_way, async || {
            user.page("GET", 9990, "/metrics").await.1.contains(under_way)
        })
        .await;
        user.end_sidecar().await
    };
    let ((status, body), well) = tokio::join!(slow, end);
    assert!(status == 200 && well, "{status} {body}");
    assert!(web.end_sidecar().await);
}

#[tokio::test]
async fn a_program_switches_its_sidecar_off_and_on() {
    let world = World::new();
    let web = world.caller("web", &[]).await;
    assert_eq!(web.page("GET", 8002, "/503").await, (200, "ok.".to_owned()));
    assert_eq!(web.page("GET", 8002, "/").await, (503, "503".to_owned()));
    assert_eq!(web.page("GET", 9990, "/ready").await.0, 503);
    assert_eq!(web.page("GET", 8002, "/200").await, (200, "ok.".to_owned()));
    assert_eq!(web.page("GET", 8002, "/").await, (200, "200".to_owned()));
}

#[tokio::test]
async fn nothing_but_metrics_and_probes_is_shown_to_the_cluster() {
    let world = World::new();
    let web = world.caller("web", &[]).await;
    for path in ["/plan", "/links", "/drain", "/log-level", "/"] {
        assert_eq!(web.page("GET", 9990, path).await.0, 404, "{path}");
    }
}
