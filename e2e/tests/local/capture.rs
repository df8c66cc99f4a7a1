//! Loopback capture: a port of the pod's own loopback net for each service, from a plan alone.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::world::{PATIENCE, Pod, World, eventually, http, services};

/// The services of a caller, `shop/user` with listeners at these ports.
fn captured(web: &Pod, user: &Pod, ports: &[u16]) -> Vec<Value> {
    let listen: Vec<_> = ports.iter().map(|port| web.at(*port).to_string()).collect();
    let mut services = services(&[user]);
    services[1]["listen"] = json!(listen);
    services
}

/// By a name that the plan does not know: which one it was is settled before the connection is made.
async fn get(at: SocketAddr, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: any.example.com:80\r\nconnection: close\r\n\r\n");
    http(at, &request).await
}

/// One request and its answer over a connection that stays.
async fn ask(stream: &mut TcpStream, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: user.shop.mesh\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = timeout(PATIENCE, stream.read(&mut answer))
        .await
        .expect("in time");
    String::from_utf8_lossy(&answer[..read.unwrap()]).into_owned()
}

#[tokio::test]
async fn a_port_of_the_loopback_net_leads_to_its_service_and_goes_with_the_plan() {
    let world = World::new();
    let user = world.provider("user").await;
    let mut web = world.pod("web");
    web.plan(&captured(&web, &user, &[8300, 8301]), &json!([]));
    web.start_sidecar();
    web.ready().await;
    for port in [8300, 8301] {
        let (status, body) = get(web.at(port), "/users/7").await;
        assert!(status == 200 && body.contains("\"id\":\"7\""), "{status} {body}");
    }
    let calls = ["role=\"client\"", "service=\"shop/user\"", "outcome=\"ok\""];
    assert_eq!(web.metric("motanmesh_calls_total", &calls).await, 2);
    let calls = ["role=\"server\"", "service=\"shop/user\"", "outcome=\"ok\""];
    assert_eq!(user.metric("motanmesh_calls_total", &calls).await, 2);

    let mut stays = TcpStream::connect(web.at(8301)).await.unwrap();
    assert!(ask(&mut stays, "/users/1").await.starts_with("HTTP/1.1 200"));
    let revision = web.plan(&captured(&web, &user, &[8300, 8302]), &json!([]));
    web.runs(revision).await;
    eventually("the new port is open", async || {
        get(web.at(8302), "/users/8").await.0 == 200
    })
    .await;
    eventually("the old one is closed", async || {
        get(web.at(8301), "/users/8").await.0 == 0
    })
    .await;
    assert!(ask(&mut stays, "/users/2").await.starts_with("HTTP/1.1 200"));
    assert!(web.end_sidecar().await);
}

#[tokio::test]
async fn a_port_that_the_program_has_is_told_and_costs_nothing_else() {
    let world = World::new();
    let user = world.provider("user").await;
    let mut web = world.pod("web");
    web.start_program(); // has 8080
    web.plan(&captured(&web, &user, &[8080, 8300]), &json!([]));
    web.start_sidecar();
    web.ready().await;
    assert_eq!(get(web.at(8300), "/users/7").await.0, 200);
    let (_, shown) = web.page("GET", 8002, "/listeners").await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown[0]["address"], web.at(8080).to_string());
    assert!(
        shown[0]["error"].as_str().unwrap().contains("spec.ports"),
        "{shown}"
    );
    assert_eq!(
        shown[1],
        json!({"address": web.at(8300).to_string(), "service": "shop/user"})
    );
    assert_eq!(web.metric("motanmesh_capture_listeners", &[]).await, 1);
    assert_eq!(web.metric("motanmesh_capture_listeners_failed", &[]).await, 1);
}
