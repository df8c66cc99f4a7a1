//! Policies as programs and metrics of real sidecars see them: a circuit, a switch, a rate.

use std::time::Instant;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::calls::motan;
use super::world::{Pod, World, eventually, exports, http, services};

const HOST: &str = "user.shop.mesh";

/// Gives the caller a policy for both services of these providers, and waits until its sidecar has it.
async fn governed(web: &mut Pod, providers: &[&Pod], policy: &Value) {
    let mut services = services(providers);
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
    governed(
        &mut web,
        &[&user],
        &json!({"timeoutMs": 5_000, "breaker": breaker}),
    )
    .await;
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
        governed(
            &mut web,
            &[&user],
            &json!({"timeoutMs": 5_000, "degrade": degrade}),
        )
        .await;
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
    governed(&mut web, &[&user], &json!({"timeoutMs": 5_000})).await;
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

#[tokio::test]
async fn a_method_has_its_own_time_and_calls_over_it_end() {
    let world = World::new();
    let user = world.provider("user").await;
    let mut web = world.caller("web", &[&user]).await;
    let slow = json!([{"match": "/slow/*", "timeoutMs": 100}]);
    governed(&mut web, &[&user], &json!({"timeoutMs": 5_000, "methods": slow})).await;
    let (status, body) = web.get(HOST, "/slow/3000").await;
    assert_eq!(status, 504, "{body}");
    assert_eq!(web.get(HOST, "/users/1").await.0, 200);
    counted(&web, "client", &[("outcome=\"ok\"", 1)]).await;
    // Both agents watch the time, and either may be the first to say that it is over.
    eventually("one call ran out of time", async || {
        let of = async |outcome: &str| {
            web.metric("motanmesh_calls_total", &["role=\"client\"", outcome])
                .await
        };
        of("outcome=\"timeout\"").await + of("outcome=\"remote-error\"").await == 1
    })
    .await;
}

#[tokio::test]
async fn calls_over_what_a_program_takes_at_once_wait_or_are_refused() {
    let world = World::new();
    let mut user = world.provider("user").await;
    let web = world.caller("web", &[&user]).await;
    let mut exports = exports(user.ip);
    exports[1]["limits"] = json!({"concurrency": {"atOnce": 1, "queue": {"length": 1, "timeoutMs": 5_000}}});
    let revision = user.plan(&[], &exports);
    user.runs(revision).await;
    let call = || async { web.get(HOST, "/slow/700").await.0 };
    let mut seen = <[u16; 3]>::from(tokio::join!(call(), call(), call()));
    seen.sort_unstable();
    assert_eq!(seen, [200, 200, 503]);
    let told = [
        ("outcome=\"ok\"", 2),
        ("outcome=\"overloaded\"", 1),
        ("action=\"queued\"", 1),
    ];
    counted(&user, "server", &told).await;
}

#[tokio::test]
async fn calls_go_to_the_part_that_their_path_or_their_own_word_names() {
    let world = World::new();
    let (old, new) = (world.provider("old").await, world.provider("new").await);
    let mut web = world.caller("web", &[&old, &new]).await;
    let to = |subset: &str| json!([{"to": {"subset": subset}, "weight": 1}]);
    let routing = json!({
        "named": [{"name": "grey", "to": {"subset": "new"}}],
        "rules": [{"match": {"methods": ["/users/1"]}, "to": to("new")}, {"to": to("old")}],
    });
    let mut services = services(&[&old, &new]);
    for service in &mut services {
        service["policy"] = json!({"timeoutMs": 5_000, "routing": routing});
        for (seed, subset) in service["seeds"]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .zip(["old", "new"])
        {
            seed["subsets"] = json!([subset]);
        }
    }
    let revision = web.plan(&services, &json!([]));
    web.runs(revision).await;
    for _ in 0..5 {
        for (path, header, by) in [
            ("/users/1", "", "new"),
            ("/users/2", "", "old"),
            ("/users/2", "motan-route-group: x,grey\r\n", "new"),
        ] {
            let request = format!("GET {path} HTTP/1.1\r\nhost: {HOST}\r\n{header}connection: close\r\n\r\n");
            let (status, body) = http(web.at(9983), &request).await;
            let served = format!("\"servedBy\":\"{by}\"");
            assert!(status == 200 && body.contains(&served), "{path} {header}: {body}");
        }
        assert!(motan(web.at(9981), "com.example.Greet", "hello").await.0);
    }
    counted(&old, "server", &[("outcome=\"ok\"", 5)]).await;
    counted(&new, "server", &[("outcome=\"ok\"", 10)]).await;
}

#[tokio::test]
async fn a_call_that_a_stopped_program_has_is_answered_by_another_one() {
    let world = World::new();
    let (one, two) = (world.provider("one").await, world.provider("two").await);
    let mut web = world.caller("web", &[&one, &two]).await;
    let policy = json!({
        "timeoutMs": 20_000, "health": "off", "balance": {"mode": "random"},
        "backup": {"after": {"delayMs": 50}, "maxPercent": 100}, "budget": {"percent": 100, "minPerSecond": 1000},
    });
    governed(&mut web, &[&one, &two], &policy).await;
    one.signal_program(Signal::STOP);
    eventually("some calls were sent twice", async || {
        let (status, body) = web.get(HOST, "/users/1").await;
        assert!(status == 200 && body.contains("\"servedBy\":\"two\""), "{body}");
        let labels = ["role=\"client\"", "action=\"backup-won\""];
        web.metric("motanmesh_policy_actions_total", &labels).await >= 3
    })
    .await;
    one.signal_program(Signal::CONT);
}

#[tokio::test]
async fn calls_follow_the_weight_that_a_program_says_of_itself_while_it_runs() {
    let world = World::new();
    let (one, two) = (world.provider("one").await, world.provider("two").await);
    let mut web = world.caller("web", &[&one, &two]).await;
    let policy = json!({"timeoutMs": 5_000, "balance": {"mode": "weighted"}});
    governed(&mut web, &[&one, &two], &policy).await;
    // How many of the next 40 calls the second one answers.
    let share = async || {
        let mut share = 0;
        for _ in 0..40 {
            let (status, body) = web.get(HOST, "/users/1").await;
            assert_eq!(status, 200, "{body}");
            share += u32::from(body.contains("\"servedBy\":\"two\""));
        }
        share
    };
    let half = share().await;
    assert!((5..=35).contains(&half), "{half}");
    for (pod, weight) in [(&one, 500), (&two, 1)] {
        let path = format!("/meta/update?META_WEIGHT={weight}");
        assert_eq!(pod.page("GET", 8002, &path).await.0, 200);
    }
    eventually("nearly all calls go to the heavy one", async || {
        share().await <= 2
    })
    .await;
    assert_eq!(one.page("GET", 8002, "/meta/delete?key=META_WEIGHT").await.0, 200);
    assert_eq!(two.page("GET", 8002, "/meta/delete?key=META_WEIGHT").await.0, 200);
    eventually("each is worth the same again", async || share().await >= 10).await;
}

#[tokio::test]
async fn attempts_at_a_stopped_program_end_in_their_own_time_and_it_is_left_alone() {
    let world = World::new();
    let (one, two) = (world.provider("one").await, world.provider("two").await);
    let mut web = world.caller("web", &[&one, &two]).await;
    let policy = json!({
        "timeoutMs": 4_000,
        "retries": {"attempts": 2, "on": ["unavailable", "timeout"], "attemptTimeoutMs": 300},
        "budget": {"percent": 100, "minPerSecond": 100},
        "health": {"consecutiveFailures": 3},
    });
    governed(&mut web, &[&one, &two], &policy).await;
    one.signal_program(Signal::STOP);
    let labels = ["role=\"client\"", "action=\"ejected\""];
    eventually("the stopped one is left alone", async || {
        let (status, body) = web.get(HOST, "/users/1").await;
        assert!(status == 200 && body.contains("\"servedBy\":\"two\""), "{body}");
        web.metric("motanmesh_policy_actions_total", &labels).await >= 1
    })
    .await;
    one.signal_program(Signal::CONT);
}
