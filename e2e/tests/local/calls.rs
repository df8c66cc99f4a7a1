//! Calls through two sidecars, and what happens to them when providers come and go.

use tokio::process::Command;

use super::world::{Kind, PATIENCE, World, services};

/// One Motan 2 call from the program of a pod: whether it succeeded, and what it printed.
pub(crate) async fn motan(via: std::net::SocketAddr, path: &str, method: &str) -> (bool, String) {
    let call = Command::new(env!("CARGO_BIN_EXE_motanmesh-demo"))
        .args(["motan", "--via", &via.to_string(), path, method, "mesh"])
        .output();
    let output = tokio::time::timeout(PATIENCE, call).await.unwrap().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

#[tokio::test]
async fn http_and_motan_calls_go_through_two_sidecars() {
    let world = World::new();
    let user = world.provider("user").await;
    let web = world.caller("web", &[&user]).await;

    let (status, body) = web.get("user.shop.mesh", "/users/1").await;
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("\"servedBy\":\"user\""), "{body}");
    let (well, text) = motan(web.at(9981), "com.example.Greet", "hello").await;
    assert!(well && text.contains("mesh"), "{text}");
}

#[tokio::test]
async fn a_call_to_something_undeclared_says_what_to_declare() {
    let world = World::new();
    let web = world.caller("web", &[]).await;
    let (status, body) = web.get("cart.shop.mesh", "/").await;
    assert_eq!(status, 404, "{body}");
    assert!(body.contains("MeshDependency"), "{body}");
    let (well, text) = motan(web.at(9981), "com.example.Cart", "hello").await;
    assert!(
        !well && text.contains("cluster not found") && text.contains("MeshDependency"),
        "{text}"
    );
}

#[tokio::test]
async fn providers_are_replaced_under_load_and_no_call_fails() {
    let world = World::new();
    let (one, two) = (world.provider("one").await, world.provider("two").await);
    let mut web = world.caller("web", &[&one]).await;
    let loads = [web.load(Kind::Http, 8), web.load(Kind::Motan, 8)];
    for providers in [&[&one, &two][..], &[&two], &[&one, &two], &[&two]] {
        let revision = web.plan(&services(providers), &serde_json::json!([]));
        web.runs(revision).await;
    }
    for load in loads {
        let report = load.unharmed().await;
        assert!(
            report.answered_by.contains_key("one") && report.answered_by.contains_key("two"),
            "{report:?}"
        );
    }
}

#[tokio::test]
async fn one_of_two_server_agents_is_restarted_under_load_and_no_call_fails() {
    let world = World::new();
    let (mut one, two) = (world.provider("one").await, world.provider("two").await);
    let web = world.caller("web", &[&one, &two]).await;
    let loads = [web.load(Kind::Http, 8), web.load(Kind::Motan, 8)];
    for _ in 0..3 {
        assert!(one.end_sidecar().await);
        one.start_sidecar();
        one.ready().await;
    }
    for load in loads {
        load.unharmed().await;
    }
}

#[tokio::test]
async fn one_of_two_pods_goes_under_load_and_no_call_fails() {
    let world = World::new();
    let (mut one, two) = (world.provider("one").await, world.provider("two").await);
    let web = world.caller("web", &[&one, &two]).await;
    let loads = [web.load(Kind::Http, 5), web.load(Kind::Motan, 5)];
    // As a pod goes: the sidecar is told, the program ends after the drain delay, the sidecar last.
    assert_eq!(one.page("POST", 8002, "/drain").await.0, 200);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    one.kill_program().await;
    assert!(one.end_sidecar().await);
    for load in loads {
        let report = load.unharmed().await;
        assert!(report.answered_by.contains_key("two"), "{report:?}");
    }
}

/// Neither Motan 2 nor an idle HTTP/1.1 connection has a word for "connect anew" that is not the end of the connection
/// itself: a call that its program writes in the instant between our farewell and the program's hearing of it is lost.
/// Nothing else is, and most of the time there is none. How long the instant is depends on when the program gets to run.
#[tokio::test]
async fn the_client_agent_is_restarted_under_load_and_at_most_calls_that_cross_its_farewell_fail() {
    let world = World::new();
    let user = world.provider("user").await;
    let mut web = world.caller("web", &[&user]).await;
    let loads = [web.load(Kind::Http, 5), web.load(Kind::Motan, 5)];
    for _ in 0..2 {
        assert!(web.end_sidecar().await);
        web.start_sidecar();
        web.ready().await;
    }
    for load in loads {
        let report = load.report().await;
        let crossed = |kind: &String| {
            kind.contains("the sidecar closed the connection")
                || kind.contains("connection closed before message completed")
        };
        assert!(
            report.sent > 0 && report.failures.keys().all(crossed),
            "{report:?}"
        );
        assert!(report.failed * 20 <= report.sent, "{report:?}");
    }
}
