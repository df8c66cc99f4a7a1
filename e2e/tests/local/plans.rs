//! Plans: late, changed, bad, and last known.

use std::fs;

use serde_json::json;
use tokio::process::Command;

use super::world::{World, eventually, services, sidecar};

#[tokio::test]
async fn a_sidecar_waits_for_its_plan_and_says_so() {
    let world = World::new();
    let mut web = world.pod("web");
    web.start_sidecar();
    eventually("the page answers", async || {
        web.page("GET", 9990, "/ready").await.0 == 503
    })
    .await;
    assert_eq!(
        web.page("GET", 9990, "/ready").await.1,
        "waits for: listeners, plan\n"
    );
    assert_eq!(web.page("GET", 9990, "/live").await.0, 200);
    web.plan(&services(&[]), &json!([]));
    web.ready().await;
}

#[tokio::test]
async fn a_bad_plan_changes_nothing_and_is_counted() {
    let world = World::new();
    let user = world.provider("user").await;
    let web = world.caller("web", &[&user]).await;
    web.write_plan(r#"{"revision": 9, "workload": {}}"#);
    let counted = "motanmesh_plans_refused_total{source=\"file\"} 1\n";
    eventually(counted, async || {
        web.page("GET", 9990, "/metrics").await.1.contains(counted)
    })
    .await;
    assert_eq!(web.get("user.shop.mesh", "/users/1").await.0, 200);
    let (_, plan) = web.page("GET", 8002, "/plan").await;
    assert!(plan.contains("\"revision\": 1"), "{plan}");
}

#[tokio::test]
async fn a_sidecar_restarts_from_its_last_good_plan_when_the_file_is_bad_and_no_operator_answers() {
    let world = World::new();
    let user = world.provider("user").await;
    let mut web = world.pod("web");
    let nobody = web.at(9444).to_string();
    let control = json!({"address": nobody, "serverName": "operator", "roots": ""});
    let workload = json!({"namespace": "shop", "pod": "web", "application": "web"});
    let plan =
        json!({"revision": 3, "workload": workload, "control": control, "services": services(&[&user])});
    web.write_plan(&plan.to_string());
    web.start_sidecar();
    web.ready().await;
    assert_eq!(web.get("user.shop.mesh", "/users/1").await.0, 200);
    assert!(web.end_sidecar().await);

    web.write_plan("{");
    web.start_sidecar();
    web.ready().await;
    assert_eq!(web.get("user.shop.mesh", "/users/1").await.0, 200);
    assert!(
        web.page("GET", 8002, "/plan")
            .await
            .1
            .contains("\"source\": \"saved\"")
    );
}

#[tokio::test]
async fn check_says_what_is_in_a_plan_or_what_is_wrong_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plan.json");
    let check = async || {
        Command::new(sidecar())
            .args(["check", "--plan"])
            .arg(&path)
            .output()
            .await
            .unwrap()
    };
    let missing = check().await;
    assert_eq!(missing.status.code(), Some(1));
    let workload = json!({"namespace": "shop", "pod": "web", "application": "web"});
    let plan = json!({"revision": 3, "workload": workload, "services": services(&[])});
    fs::write(&path, plan.to_string()).unwrap();
    let fine = check().await;
    let text = String::from_utf8(fine.stdout).unwrap();
    assert!(
        fine.status.success() && text.contains("calls shop/user (http, user.shop in shop)"),
        "{text}"
    );
    fs::write(
        &path,
        plan.to_string().replace("\"timeoutMs\":5000", "\"timeoutMs\":0"),
    )
    .unwrap();
    let wrong = check().await;
    let text = String::from_utf8(wrong.stderr).unwrap();
    assert!(
        wrong.status.code() == Some(1) && text.contains("from 1 to 3600000") && text.contains("line 1"),
        "{text}"
    );
}

#[tokio::test]
async fn the_access_log_says_of_calls_what_the_plan_wants() {
    for (wanted, fine, failed) in [("off", 0, 0), ("errors", 0, 1), ("all", 1, 1)] {
        let world = World::new();
        let user = world.provider("user").await;
        let mut web = world.pod("web");
        web.write_plan(
            &json!({"revision": 1, "workload": {"namespace": "shop", "pod": "web", "application": "web"},
                "services": services(&[&user]), "observe": {"accessLog": wanted}})
            .to_string(),
        );
        let log = web.start_sidecar_logged();
        web.ready().await;
        assert_eq!(web.get("user.shop.mesh", "/users/1").await.0, 200);
        assert_eq!(web.get("cart.shop.mesh", "/users/2").await.0, 404);
        // A sidecar that has ended has written all it had to say.
        assert!(web.end_sidecar().await);
        let text = fs::read_to_string(&log).unwrap();
        let lines = |outcome: &str| {
            let lines = text
                .lines()
                .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            lines
                .filter(|line| {
                    line["target"] == "access" && line["outcome"] == outcome && line["role"] == "client"
                })
                .count()
        };
        assert_eq!(
            (lines("ok"), lines("undeclared")),
            (fine, failed),
            "{wanted}: {text}"
        );
    }
}
