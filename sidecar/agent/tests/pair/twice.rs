//! Backup requests: who answers first is heard, and the other costs nobody anything.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use agent::worker::ListenerKind;
use hyper::{Method, StatusCode};
use tokio::time::Instant;

use crate::mesh::{Agent, caller, provider, run};
use crate::motan::{echo, program as motan_program, request};
use crate::net::Net;
use crate::web::{Client, get, program, whole};

const A: &str = "10.0.0.1:9982";
const B: &str = "10.0.0.2:9982";
const APP_A: &str = "127.0.0.1:8001";
const APP_B: &str = "127.0.0.1:8002";
const HOST: &str = "user.shop.mesh";
/// Calls of motan are as idempotent as HTTP's GET, and endpoints take turns.
const POLICY: &str = r#""idempotent": true, "balance": {"mode": "roundRobin"}"#;
/// As much as anybody wishes may be repeated.
const BUDGET: &str = r#""budget": {"percent": 100, "minPerSecond": 100}"#;
const AFTER_50: &str = r#""backup": {"after": {"delayMs": 50}, "maxPercent": 100}"#;

/// A provider at each of two places, and one that calls them by this policy.
fn pair(net: &Net, protocol: &str, policy: &str) -> (Agent, [Agent; 2]) {
    let servers = [(A, APP_A), (B, APP_B)]
        .map(|(address, app)| Agent::start(net, Some(address), &provider(protocol, app)));
    (Agent::start(net, None, &says(protocol, policy)), servers)
}

fn says(protocol: &str, policy: &str) -> String {
    let plan = caller(protocol, &[A, B], 1000);
    plan.replace("\"timeoutMs\": 1000", &format!("\"timeoutMs\": 1000, {policy}"))
}

fn acted(agent: &Agent, action: &str) -> f64 {
    agent.metric(
        "motanmesh_policy_actions_total",
        &[&format!("action=\"{action}\"")],
    )
}

/// Calls that this agent believes under way at its links.
fn in_flight(agent: &Agent) -> u32 {
    agent.worker.links().iter().map(|link| link.in_flight).sum()
}

/// A program that answers so late with this status, and counts.
fn answering(net: &Net, at: &str, status: u16, delay: Duration) -> Rc<Cell<u32>> {
    let asked = Rc::new(Cell::new(0));
    let count = Rc::clone(&asked);
    program(net, at, move |_| {
        count.set(count.get() + 1);
        async move {
            tokio::time::sleep(delay).await;
            let mut answer = whole("body");
            *answer.status_mut() = StatusCode::from_u16(status).unwrap();
            answer
        }
    });
    asked
}

async fn web(agent: &Agent) -> Client {
    Client::new(agent.connect(ListenerKind::Http)).await
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_answered_is_sent_elsewhere_too_and_the_first_answer_counts() {
    run(async {
        let net = Net::default();
        let policy = format!(r#"{POLICY}, {BUDGET}, {AFTER_50}, "health": {{"consecutiveFailures": 1}}"#);
        let (client, _servers) = pair(&net, "motan2", &policy);
        let mut silent = motan_program(&net, APP_A);
        echo(&net, APP_B, "b", Duration::ZERO);
        let mut program = client.motan();
        // Both links are there after these.
        for id in 1..=4 {
            program.call(&request(id, "demo.User", "hello", b"x")).await;
        }
        let before = acted(&client, "backup");
        let started = Instant::now();
        for id in 5..=14 {
            let reply = program.call(&request(id, "demo.User", "hello", b"x")).await;
            assert_eq!((&*reply.body, reply.header.id), (&b"b:x"[..], id));
        }
        let second = acted(&client, "backup") - before;
        assert!(second >= 5.0, "{second}");
        assert_eq!(started.elapsed(), Duration::from_millis(50).mul_f64(second));
        assert_eq!(acted(&client, "backup-won"), acted(&client, "backup"));
        // Whoever lost is not held to have failed, nor thought to have calls under way.
        assert_eq!(acted(&client, "ejected"), 0.0);
        assert_eq!(in_flight(&client), 0);
        assert_eq!(client.worker.in_flight(), 0);
        assert_eq!(client.metric("motanmesh_retries_total", &[]), 0.0);
        // What comes too late is nobody's answer.
        while let Ok(asked) = silent.try_recv() {
            asked.answer(b"late").await;
        }
        let reply = program.call(&request(15, "demo.User", "hello", b"y")).await;
        assert_eq!(reply.body, b"b:y");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_first_attempt_still_wins_where_it_answers_first() {
    run(async {
        let net = Net::default();
        let (client, _servers) = pair(&net, "motan2", &format!("{POLICY}, {BUDGET}, {AFTER_50}"));
        echo(&net, APP_A, "a", Duration::from_millis(60));
        echo(&net, APP_B, "b", Duration::from_millis(60));
        let mut program = client.motan();
        for id in 1..=10 {
            let started = Instant::now();
            let reply = program.call(&request(id, "demo.User", "hello", b"")).await;
            assert_eq!((reply.header.status, started.elapsed().as_millis()), (0, 60));
        }
        assert!(acted(&client, "backup") >= 8.0);
        assert_eq!(acted(&client, "backup-won"), 0.0);
        assert_eq!(in_flight(&client), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_second_attempt_says_how_much_time_is_left() {
    run(async {
        let net = Net::default();
        let (client, _servers) = pair(&net, "motan2", &format!("{POLICY}, {AFTER_50}"));
        let mut asked = [APP_A, APP_B].map(|app| motan_program(&net, app));
        let mut program = client.motan();
        let started = Instant::now();
        let reply = program.call(&request(1, "demo.User", "hello", b"")).await;
        assert!(reply.exception().words.contains("timeout"));
        assert_eq!(started.elapsed(), Duration::from_secs(1));
        let mut left: Vec<u32> = Vec::new();
        for program in &mut asked {
            while let Ok(asked) = program.try_recv() {
                left.push(asked.message.get("M_tmo").parse().unwrap());
            }
        }
        left.sort_unstable();
        // The link to the second place may have had to be made first.
        assert!(matches!(left[..], [900 | 950, 1000]), "{left:?}");
        assert_eq!(in_flight(&client), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_bad_answer_or_a_lost_connection_leaves_the_call_to_the_other_attempt() {
    run(async {
        let net = Net::default();
        let policy = format!(r#"{POLICY}, {BUDGET}, {AFTER_50}, "health": "off""#);
        let (client, _servers) = pair(&net, "http", &policy);
        answering(&net, APP_A, 503, Duration::from_millis(80));
        answering(&net, APP_B, 200, Duration::from_millis(90));
        let mut web = web(&client).await;
        web.call(get(HOST, "/")).await;
        web.call(get(HOST, "/")).await;
        for _ in 0..6 {
            assert_eq!(web.call(get(HOST, "/")).await.status(), 200);
        }
        // Of a call that is under way at both, one connection is cut.
        let calling = tokio::task::spawn_local(async move { web.call(get(HOST, "/")).await.status() });
        tokio::time::sleep(Duration::from_millis(60)).await;
        net.cut(A);
        assert_eq!(calling.await.unwrap(), 200);
        assert_eq!(in_flight(&client), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_repeated_is_never_sent_twice() {
    run(async {
        let net = Net::default();
        let (client, _servers) = pair(&net, "http", &format!("{BUDGET}, {AFTER_50}"));
        let slow = Duration::from_millis(200);
        let asked = [APP_A, APP_B].map(|app| answering(&net, app, 200, slow));
        let sum = || asked.iter().map(|count| count.get()).sum::<u32>();
        let mut web = web(&client).await;
        for _ in 0..10 {
            let mut post = get(HOST, "/");
            *post.method_mut() = Method::POST;
            assert_eq!(web.call(post).await.status(), 200);
        }
        assert_eq!((sum(), acted(&client, "backup")), (10, 0.0));
        for _ in 0..10 {
            assert_eq!(web.call(get(HOST, "/")).await.status(), 200);
        }
        assert!(acted(&client, "backup") >= 8.0);
        assert_eq!(f64::from(sum()), 20.0 + acted(&client, "backup"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_method_has_a_backup_of_its_own() {
    run(async {
        let net = Net::default();
        let method =
            format!(r#""methods": [{{"match": "get*", "timeoutMs": 1000, "idempotent": true, {AFTER_50}}}]"#);
        let (client, _servers) = pair(&net, "motan2", &format!("{POLICY}, {method}"));
        let slow = Duration::from_millis(200);
        echo(&net, APP_A, "a", slow);
        echo(&net, APP_B, "b", slow);
        let mut program = client.motan();
        for id in 1..=4 {
            program.call(&request(id, "demo.User", "find", b"")).await;
        }
        assert_eq!(acted(&client, "backup"), 0.0);
        program.call(&request(5, "demo.User", "getUser", b"")).await;
        assert_eq!(acted(&client, "backup"), 1.0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn second_attempts_are_a_share_of_calls_and_of_the_budget() {
    run(async {
        for (backup, budget, most) in [(10, 100, 10.0), (100, 5, 16.0)] {
            let net = Net::default();
            let policy = format!(
                r#"{POLICY}, "backup": {{"after": {{"delayMs": 20}}, "maxPercent": {backup}}},
                "budget": {{"percent": {budget}, "minPerSecond": 0}}"#
            );
            let (client, _servers) = pair(&net, "motan2", &policy);
            let slow = Duration::from_millis(40);
            echo(&net, APP_A, "a", slow);
            echo(&net, APP_B, "b", slow);
            let mut program = client.motan();
            for id in 1..=100 {
                program.call(&request(id, "demo.User", "hello", b"")).await;
            }
            let sent = acted(&client, "backup");
            assert!(sent >= 1.0 && sent <= most, "{backup} {budget}: {sent}");
            let denied = acted(&client, "backup-denied") + acted(&client, "retry-denied");
            assert!(denied > 50.0, "{backup} {budget}: {denied}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_delay_that_is_learnt_follows_the_answers() {
    run(async {
        let net = Net::default();
        let policy =
            format!(r#"{POLICY}, {BUDGET}, "backup": {{"after": {{"percentile": 90}}, "maxPercent": 100}}"#);
        let (client, _servers) = pair(&net, "motan2", &policy);
        let usual = Rc::new(Cell::new(Duration::from_millis(20)));
        for app in [APP_A, APP_B] {
            let usual = Rc::clone(&usual);
            program_with(&net, app, move || usual.get());
        }
        let mut program = client.motan();
        let mut id = 0;
        let mut calls = async |count: u32| {
            for _ in 0..count {
                id += 1;
                program.call(&request(id, "demo.User", "hello", b"")).await;
            }
        };
        // Nothing is known of the first hundred, and of calls as usual none is late.
        usual.set(Duration::from_millis(500));
        calls(1).await;
        usual.set(Duration::from_millis(20));
        calls(200).await;
        assert_eq!(acted(&client, "backup"), 0.0);
        // Five times as long is.
        usual.set(Duration::from_millis(100));
        calls(4).await;
        assert_eq!(acted(&client, "backup"), 4.0);
        // Until it is the usual.
        calls(300).await;
        let learnt = acted(&client, "backup");
        calls(50).await;
        assert_eq!(acted(&client, "backup"), learnt);
    })
    .await;
}

/// A program that answers after as long as it is told at that time.
fn program_with(net: &Net, at: &str, delay: impl Fn() -> Duration + 'static) {
    let mut asked = motan_program(net, at);
    tokio::task::spawn_local(async move {
        while let Some(asked) = asked.recv().await {
            let delay = delay();
            tokio::task::spawn_local(async move {
                tokio::time::sleep(delay).await;
                asked.answer(b"").await;
            });
        }
    });
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_for_a_caller_that_has_gone() {
    run(async {
        let net = Net::default();
        let (client, _servers) = pair(&net, "motan2", &format!("{POLICY}, {AFTER_50}"));
        let slow = Duration::from_millis(200);
        echo(&net, APP_A, "a", slow);
        echo(&net, APP_B, "b", slow);
        let mut program = client.motan();
        for id in 1..=4 {
            program.call(&request(id, "demo.User", "hello", b"")).await;
        }
        let before = acted(&client, "backup");
        program.send(&request(5, "demo.User", "hello", b"")).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        drop(program);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(acted(&client, "backup"), before);
        assert_eq!((in_flight(&client), client.worker.in_flight()), (0, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_service_with_one_endpoint_has_no_second_attempts() {
    run(async {
        let net = Net::default();
        let _server = Agent::start(&net, Some(A), &provider("motan2", APP_A));
        let plan = caller("motan2", &[A], 1000);
        let policy = format!("\"timeoutMs\": 1000, {POLICY}, {AFTER_50}");
        let client = Agent::start(&net, None, &plan.replace("\"timeoutMs\": 1000", &policy));
        echo(&net, APP_A, "a", Duration::from_millis(200));
        let mut program = client.motan();
        for id in 1..=4 {
            let reply = program.call(&request(id, "demo.User", "hello", b"")).await;
            assert_eq!(reply.body, b"a:");
        }
        assert_eq!(acted(&client, "backup"), 0.0);
    })
    .await;
}
