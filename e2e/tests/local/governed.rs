//! Policies as programs and metrics of real sidecars see them: a circuit, a switch, a rate.

use std::time::Instant;

use serde_json::{Value, json};

use super::calls::motan;
use super::world::{Pod, World, eventually, exports, services};

const HOST: &str = "user.shop.mesh";

/// Gives the caller a policy for both services, and waits until its sidecar has it.
async fn governed(web: &mut Pod, user: &Pod, policy: &Value) {
    let mut services = services(&[user]);
    for service in &mut services {
        service["policy"] = policy.clone();
    }
    let revision = web.plan(&services, &json!([]));
    web.runs(revision).await;
}

/// Asserts what the metrics of a pod say of `shop/user`, as label and count: an outcome of calls or what a policy did.
async fn counted(pod: &Pod, role: &str, lines: &[(&str, u64)]) {
    let role = format!("role=\"{role}\"");
    for &(label, count) in lines {
        let name = if label.starts_with("action") {
            "motanmesh_policy_actions_total"
        } else {
            "motanmesh_calls_total"
        };
        let labels = [&*role, "service=\"shop/user\"", label];
        // A call is counted when its answer goes out, which its caller may see first.
        eventually(&format!("{name} {role} {label}: {count}"), async || {
            pod.metric(name, &labels).await == count
        })
        .await;
    }
}

#[tokio::test]
async fn a_circuit_opens_after_failures_and_closes_when_the_program_is_well() {
    let world = World::new();
    let user = world.provider("user").await;
    let mut web = world.caller("web", &[&user]).await;
    let breaker =
        json!({"failurePercent": 50, "minCalls": 10, "windowMs": 600_000, "openMs": 3_000, "probes": 1});
    governed(&mut web, &user, &json!({"timeoutMs": 5_000, "breaker": breaker})).await;
    for _ in 0..10 {
        assert_eq!(web.get(HOST, "/status/500").await.0, 500);
    }
    let (status, body) = web.get(HOST, "/users/1").await;
    assert_eq!(status, 503, "{body}");
    counted(
        &web,
        "client",
        &[("action=\"opened\"", 1), ("outcome=\"circuit-open\"", 1)],
    )
    .await;
    // The other service has a circuit of its own.
    assert!(motan(web.at(9981), "com.example.Greet", "hello").await.0);
    eventually("it lets calls through again", async || {
        web.get(HOST, "/users/1").await.0 == 200
    })
    .await;
    counted(&web, "client", &[("action=\"closed\"", 1)]).await;
    assert_eq!(web.get(HOST, "/users/1").await.0, 200);
}

#[tokio::test]
async fn a_switch_refuses_or_gives_what_it_says_and_is_off_again() {
    let world = World::new();
    let user = world.provider("user").await;
    let mut web = world.caller("web", &[&user]).await;
    let reply = json!({"status": 203, "json": "\"nobody\""});
    let table = [
        (json!({"message": "closed tonight"}), 503, "closed tonight\n"),
        (
            json!({"message": "closed tonight", "reply": reply}),
            203,
            "\"nobody\"",
        ),
    ];
    for (degrade, status, body) in table {
        governed(&mut web, &user, &json!({"timeoutMs": 5_000, "degrade": degrade})).await;
        assert_eq!(web.get(HOST, "/users/1").await, (status, body.to_owned()));
        let (well, text) = motan(web.at(9981), "com.example.Greet", "hello").await;
        let words = if status == 503 { "closed tonight" } else { "nobody" };
        assert!(well == (status == 203) && text.contains(words), "{text}");
    }
    counted(
        &web,
        "client",
        &[("outcome=\"degraded\"", 1), ("action=\"given\"", 1)],
    )
    .await;
    // Nothing has reached the program's agent.
    counted(&user, "server", &[("outcome=", 0)]).await;
    governed(&mut web, &user, &json!({"timeoutMs": 5_000})).await;
    assert_eq!(web.get(HOST, "/users/1").await.0, 200);
    counted(&user, "server", &[("outcome=\"ok\"", 1)]).await;
}

#[tokio::test]
async fn a_rate_lets_a_burst_through_and_refuses_the_rest() {
    const BURST: u64 = 5;
    const CALLS: u64 = 20;
    let world = World::new();
    let mut user = world.provider("user").await;
    let web = world.caller("web", &[&user]).await;
    let mut exports = exports(user.ip);
    exports[1]["limits"] = json!({"rate": {"perSecond": 1, "burst": BURST}});
    let revision = user.plan(&[], &exports);
    user.runs(revision).await;
    let begun = Instant::now();
    let mut passed = 0;
    for _ in 0..CALLS {
        let (status, body) = web.get(HOST, "/users/1").await;
        assert!(
            status == 200 || status == 429 && body.contains("1 a second"),
            "{body}"
        );
        passed += u64::from(status == 200);
    }
    // One more for each second that the calls took on a busy machine, the one that has begun included.
    let most = (BURST + begun.elapsed().as_secs() + 1).min(CALLS);
    assert!((BURST..=most).contains(&passed), "{passed}");
    let refused = CALLS - passed;
    let told = [("outcome=\"ok\"", passed), ("outcome=\"rate-limited\"", refused)];
    counted(&user, "server", &told).await;
    // The rate is that of one service.
    for _ in 0..=BURST {
        let (well, text) = motan(web.at(9981), "com.example.Greet", "hello").await;
        assert!(well, "{text}");
    }
}
