//! Policies: what a caller and a program see of them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use agent::worker::ListenerKind;
use bytes::Bytes;
use hyper::body::Frame;
use hyper::{Request, Response, StatusCode};
use tokio::task::spawn_local;
use tokio::time::Instant;
use wire::value::{Value, Values};

use crate::mesh::{Agent, caller, provider, run};
use crate::motan::{echo, program as motan_program, request};
use crate::net::Net;
use crate::web::{Client, Client2, Speaks, get, mesh_error, pieces, program, rest, streaming, whole};

const A: &str = "10.0.0.1:9982";
const B: &str = "10.0.0.2:9982";
const C: &str = "10.0.0.3:9982";
const APP_A: &str = "127.0.0.1:8001";
const APP_B: &str = "127.0.0.1:8002";
const APP_C: &str = "127.0.0.1:8003";
const HOST: &str = "user.shop.mesh";
const PROMPT: Duration = Duration::ZERO;

/// A caller's plan whose policy says more.
fn says(protocol: &str, endpoints: &[&str], policy: &str) -> String {
    let plan = caller(protocol, endpoints, 1000);
    plan.replace("\"timeoutMs\": 1000", &format!("\"timeoutMs\": 1000, {policy}"))
}

/// A provider's plan with limits.
fn limited(protocol: &str, limits: &str) -> String {
    let plan = provider(protocol, APP_A);
    plan.replace("\"policy\"", &format!("\"limits\": {limits}, \"policy\""))
}

/// Providers at these places, each with its own agent.
fn providers(net: &Net, protocol: &str, at: &[(&str, &str)]) -> Vec<Agent> {
    let start = |(address, app): &(&str, &str)| Agent::start(net, Some(address), &provider(protocol, app));
    at.iter().map(start).collect()
}

async fn web(agent: &Agent) -> Client {
    Client::new(agent.connect(ListenerKind::Http)).await
}

/// A program that answers with the status in the cell, and counts.
fn answering(net: &Net, at: &str, status: &Rc<Cell<u16>>) -> Rc<Cell<u32>> {
    let asked = Rc::new(Cell::new(0));
    let (status, count) = (Rc::clone(status), Rc::clone(&asked));
    program(net, at, move |_| {
        count.set(count.get() + 1);
        let mut answer = whole("body");
        *answer.status_mut() = StatusCode::from_u16(status.get()).unwrap();
        async { answer }
    });
    asked
}

fn acted(agent: &Agent, action: &str) -> f64 {
    agent.metric(
        "motanmesh_policy_actions_total",
        &[&format!("action=\"{action}\"")],
    )
}

fn ended(agent: &Agent, role: &str, outcome: &str) -> f64 {
    let labels = [&*format!("role=\"{role}\""), &*format!("outcome=\"{outcome}\"")];
    agent.metric("motanmesh_calls_total", &labels)
}

#[tokio::test(start_paused = true)]
async fn a_method_has_a_timeout_of_its_own() {
    run(async {
        let net = Net::default();
        let _servers = providers(&net, "motan2", &[(A, APP_A)]);
        let mut asked = motan_program(&net, APP_A);
        let policy = r#""methods": [{"match": "get*", "timeoutMs": 50}]"#;
        let client = Agent::start(&net, None, &says("motan2", &[A], policy));
        let mut program = client.motan();
        for (method, millis) in [("getUser", 50), ("setUser", 1000)] {
            let started = Instant::now();
            let reply = program.call(&request(1, "demo.User", method, b"")).await;
            assert!(reply.exception().words.contains("timeout"), "{method}");
            assert_eq!(started.elapsed().as_millis(), millis, "{method}");
            let seen = asked.recv().await.unwrap().message;
            assert_eq!(seen.get("M_tmo"), millis.to_string(), "{method}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_too_long_is_tried_elsewhere_where_calls_are_idempotent() {
    run(async {
        let net = Net::default();
        let _servers = providers(&net, "motan2", &[(A, APP_A), (B, APP_B)]);
        let mut silent = motan_program(&net, APP_A);
        echo(&net, APP_B, "b", PROMPT);
        let retries = r#""retries": {"attempts": 1, "on": ["timeout"], "attemptTimeoutMs": 100}, "balance": {"mode": "roundRobin"}"#;
        let policy = format!("\"idempotent\": true, {retries}");
        let client = Agent::start(&net, None, &says("motan2", &[A, B], &policy));
        let mut program = client.motan();
        for id in 1..=4 {
            let reply = program.call(&request(id, "demo.User", "hello", b"x")).await;
            assert_eq!(reply.body, b"b:x", "{id}");
        }
        let timeouts = acted(&client, "attempt-timeout");
        assert!(timeouts >= 1.0);
        let mut seen = 0;
        while let Ok(asked) = silent.try_recv() {
            assert_eq!(asked.message.get("M_tmo"), "0100");
            seen += 1;
        }
        assert_eq!(f64::from(seen), timeouts);

        // Without the word nothing is sent twice, and an attempt has all the time.
        client.apply(&says("motan2", &[A, B], retries).replace("\"revision\": 1", "\"revision\": 2"));
        let started = Instant::now();
        let mut late = 0;
        for id in 5..=8 {
            let reply = program.call(&request(id, "demo.User", "hello", b"x")).await;
            late += u32::from(reply.header.status != 0);
        }
        assert_eq!(late, 2);
        assert_eq!(acted(&client, "attempt-timeout"), timeouts);
        assert_eq!(started.elapsed(), Duration::from_secs(2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_program_can_not_answer_at_present_is_tried_elsewhere_where_the_policy_says_so() {
    run(async {
        let net = Net::default();
        let _servers = providers(&net, "http", &[(A, APP_A), (B, APP_B)]);
        let (away, well) = (Rc::new(Cell::new(503)), Rc::new(Cell::new(200)));
        let asked = answering(&net, APP_A, &away);
        answering(&net, APP_B, &well);
        let balance = r#""health": "off", "balance": {"mode": "roundRobin"}"#;
        let policy = format!(r#""retries": {{"on": ["status5xx"]}}, {balance}"#);
        let client = Agent::start(&net, None, &says("http", &[A, B], &policy));
        let mut web = web(&client).await;
        for _ in 0..6 {
            assert_eq!(web.call(get(HOST, "/")).await.status(), 200);
        }
        assert!(asked.get() >= 1);
        let retries = client.metric("motanmesh_retries_total", &[]);
        assert_eq!(retries, f64::from(asked.get()));
        // What may have been done is not done twice: POST is no such method.
        let mut statuses = Vec::new();
        for _ in 0..2 {
            let mut post = get(HOST, "/");
            *post.method_mut() = hyper::Method::POST;
            statuses.push(web.call(post).await.status().as_u16());
        }
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 503]);
        // Nor is anything where the policy does not name it.
        client.apply(&says("http", &[A, B], balance));
        let mut away = 0;
        for _ in 0..4 {
            away += u32::from(web.call(get(HOST, "/")).await.status() == 503);
        }
        assert_eq!(away, 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_retries_is_bounded_by_the_budget() {
    run(async {
        let net = Net::default();
        let _servers = providers(&net, "http", &[(A, APP_A)]);
        let asked = answering(&net, APP_A, &Rc::new(Cell::new(503)));
        let policy = r#""retries": {"attempts": 3, "on": ["status5xx"]}, "health": "off", "budget": {"percent": 20, "minPerSecond": 2}"#;
        let client = Agent::start(&net, None, &says("http", &[A], policy));
        let mut web = web(&client).await;
        for _ in 0..100 {
            assert_eq!(web.call(get(HOST, "/")).await.status(), 503);
        }
        let retries = client.metric("motanmesh_retries_total", &[]);
        assert!((2.0..=22.0).contains(&retries), "{retries}");
        assert_eq!(f64::from(asked.get()), 100.0 + retries);
        assert!(acted(&client, "retry-denied") > 0.0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_fast_failing_endpoint_is_ejected_tried_out_and_taken_back() {
    run(async {
        let net = Net::default();
        let _servers = providers(&net, "http", &[(A, APP_A), (B, APP_B)]);
        let status = Rc::new(Cell::new(503));
        let asked = answering(&net, APP_A, &status);
        answering(&net, APP_B, &Rc::new(Cell::new(200)));
        let client = Agent::start(&net, None, &caller("http", &[A, B], 1000));
        let mut web = web(&client).await;
        let mut failed = 0;
        for _ in 0..100 {
            failed += u32::from(web.call(get(HOST, "/")).await.status() == 503);
        }
        assert_eq!((failed, asked.get()), (5, 5));
        assert_eq!(acted(&client, "ejected"), 1.0);
        // Ejections last a second and up to half as much again; then one call tries it out.
        tokio::time::advance(Duration::from_millis(1500)).await;
        for _ in 0..20 {
            web.call(get(HOST, "/")).await;
        }
        assert_eq!(asked.get(), 6);
        status.set(200);
        tokio::time::advance(Duration::from_millis(3000)).await;
        for _ in 0..50 {
            assert_eq!(web.call(get(HOST, "/")).await.status(), 200);
        }
        assert_eq!(acted(&client, "readmitted"), 1.0);
        assert!(asked.get() > 10, "{}", asked.get());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_last_endpoint_is_never_ejected() {
    run(async {
        let net = Net::default();
        let _servers = providers(&net, "http", &[(A, APP_A)]);
        let asked = answering(&net, APP_A, &Rc::new(Cell::new(503)));
        let client = Agent::start(&net, None, &caller("http", &[A], 1000));
        let mut web = web(&client).await;
        for _ in 0..30 {
            assert_eq!(web.call(get(HOST, "/")).await.status(), 503);
        }
        assert_eq!((asked.get(), acted(&client, "ejected")), (30, 0.0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_circuit_opens_tries_again_and_closes_for_its_methods_only() {
    run(async {
        let net = Net::default();
        let _servers = providers(&net, "http", &[(A, APP_A)]);
        let status = Rc::new(Cell::new(500));
        let asked = answering(&net, APP_A, &status);
        let policy = r#""methods": [{"match": "/bad*", "timeoutMs": 1000, "breaker": {"failurePercent": 50, "minCalls": 10,
            "windowMs": 10000, "openMs": 5000, "probes": 2}}]"#;
        let plan = says("http", &[A], policy);
        let client = Agent::start(&net, None, &plan);
        let mut web = web(&client).await;
        for _ in 0..10 {
            assert_eq!(web.call(get(HOST, "/bad/1")).await.status(), 500);
        }
        for _ in 0..5 {
            let reply = web.call(get(HOST, "/bad/2")).await;
            assert_eq!(reply.status(), 503);
            assert_eq!(mesh_error(&reply), Some("circuit-open"));
        }
        assert_eq!(asked.get(), 10);
        assert_eq!(acted(&client, "opened"), 1.0);
        assert_eq!(ended(&client, "client", "circuit-open"), 5.0);
        assert_eq!(web.call(get(HOST, "/other")).await.status(), 500);
        // A plan that says the same keeps it open.
        client.apply(&plan.replace("\"revision\": 1", "\"revision\": 2"));
        assert_eq!(web.call(get(HOST, "/bad/2")).await.status(), 503);
        status.set(200);
        tokio::time::advance(Duration::from_secs(5)).await;
        for _ in 0..10 {
            assert_eq!(web.call(get(HOST, "/bad/3")).await.status(), 200);
        }
        assert_eq!(acted(&client, "closed"), 1.0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_switch_refuses_or_gives_a_fixed_reply_from_the_next_call_on() {
    run(async {
        let net = Net::default();
        let _servers = providers(&net, "http", &[(A, APP_A)]);
        let asked = answering(&net, APP_A, &Rc::new(Cell::new(200)));
        let client = Agent::start(&net, None, &caller("http", &[A], 1000));
        let mut web = web(&client).await;
        let mut motan = client.motan();
        assert_eq!(web.call(get(HOST, "/")).await.status(), 200);
        client.apply(&says("http", &[A], r#""degrade": {"message": "closed tonight"}"#));
        let reply = web.call(get(HOST, "/")).await;
        assert_eq!(
            (reply.status().as_u16(), mesh_error(&reply)),
            (503, Some("degraded"))
        );
        assert_eq!(reply.body(), "closed tonight\n");
        let refused = motan.call(&request(1, "demo.User", "/", b"")).await.exception();
        assert_eq!((refused.code, &*refused.words), (503, "closed tonight"));

        let degrade =
            r#""degrade": {"message": "m", "reply": {"status": 203, "json": "{\"users\": \"none\"}"}}"#;
        client.apply(&says("http", &[A], degrade));
        let reply = web.call(get(HOST, "/")).await;
        assert_eq!((reply.status().as_u16(), mesh_error(&reply)), (203, None));
        assert_eq!(reply.headers()["content-type"], "application/json");
        assert_eq!(reply.body(), r#"{"users": "none"}"#);
        let given = motan.call(&request(2, "demo.User", "/", b"")).await;
        assert_eq!(given.header.status, 0);
        let value = Values::new(&given.body).next().unwrap().unwrap();
        assert!(matches!(value, Value::StringMap(_)), "{value:?}");
        // A large request goes as a stream, and meets the same switch.
        let mut large = get(HOST, "/").map(|_| Bytes::from(vec![1; 100_000]));
        *large.method_mut() = hyper::Method::POST;
        assert_eq!(web.call(large).await.status(), 203);
        assert_eq!((asked.get(), acted(&client, "given")), (1, 3.0));
        client.apply(&caller("http", &[A], 1000));
        // The connection was closed: nobody has read the large body.
        let mut web = self::web(&client).await;
        assert_eq!(web.call(get(HOST, "/")).await.status(), 200);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn faults_delay_and_abort_calls_of_those_who_are_meant() {
    run(async {
        let net = Net::default();
        let _servers = providers(&net, "http", &[(A, APP_A)]);
        let asked = answering(&net, APP_A, &Rc::new(Cell::new(200)));
        let policy = r#""faults": [{"percent": 100, "delayMs": 200, "callers": ["we*"]},
            {"percent": 100, "abort": {"status": 418, "message": "teapot"}, "callers": ["cron"]}]"#;
        let client = Agent::start(&net, None, &says("http", &[A], policy));
        let mut web = web(&client).await;
        let started = Instant::now();
        assert_eq!(web.call(get(HOST, "/")).await.status(), 200);
        assert_eq!(started.elapsed(), Duration::from_millis(200));
        let policy = policy.replace("cron", "web");
        client.apply(&says("http", &[A], &policy));
        let started = Instant::now();
        let reply = web.call(get(HOST, "/")).await;
        assert_eq!(
            (reply.status().as_u16(), mesh_error(&reply)),
            (418, Some("injected"))
        );
        assert_eq!(started.elapsed(), Duration::from_millis(200));
        let failed = client.motan().call(&request(1, "demo.User", "/", b"")).await;
        assert_eq!(failed.exception().code, 418);
        assert_eq!((asked.get(), acted(&client, "delayed")), (1, 3.0));
        // Nobody waits longer than a call may take.
        client.apply(&says(
            "http",
            &[A],
            r#""faults": [{"percent": 100, "delayMs": 5000}]"#,
        ));
        let mut large = get(HOST, "/").map(|_| Bytes::from(vec![1; 100_000]));
        *large.method_mut() = hyper::Method::POST;
        for request in [get(HOST, "/"), large] {
            let started = Instant::now();
            let reply = web.call(request).await;
            assert_eq!(
                (reply.status().as_u16(), mesh_error(&reply)),
                (504, Some("timeout"))
            );
            assert_eq!(started.elapsed(), Duration::from_secs(1));
        }
        let mut web = self::web(&client).await;
        // Half of the calls, about.
        let policy = r#""faults": [{"percent": 50, "abort": {"status": 500, "message": "m"}}]"#;
        client.apply(&says("http", &[A], policy));
        let mut aborted = 0;
        for _ in 0..400 {
            aborted += u32::from(web.call(get(HOST, "/")).await.status() == 500);
        }
        assert!((120..280).contains(&aborted), "{aborted}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_rate_refuses_what_comes_too_fast_by_service_method_and_caller() {
    run(async {
        let net = Net::default();
        let limits = r#"{"rate": {"perSecond": 10, "burst": 5},
            "methods": [{"match": "/slow", "rate": {"perSecond": 1, "burst": 1}}]}"#;
        let server = Agent::start(&net, Some(A), &limited("http", limits));
        let asked = answering(&net, APP_A, &Rc::new(Cell::new(200)));
        let client = Agent::start(&net, None, &says("http", &[A], r#""retries": {"attempts": 0}"#));
        let mut web = web(&client).await;
        assert_eq!(web.call(get(HOST, "/slow")).await.status(), 200);
        let reply = web.call(get(HOST, "/slow")).await;
        assert_eq!(
            (reply.status().as_u16(), mesh_error(&reply)),
            (429, Some("rate-limited"))
        );
        assert_eq!(reply.headers()["retry-after"], "1");
        let mut passed = 0;
        for _ in 0..10 {
            passed += u32::from(web.call(get(HOST, "/")).await.status() == 200);
        }
        assert_eq!((passed, asked.get()), (4, 5));
        let refused = client
            .motan()
            .call(&request(1, "demo.User", "/", b""))
            .await
            .exception();
        assert_eq!(refused.code, 503);
        assert!(refused.words.contains("10 a second"), "{}", refused.words);
        assert_eq!(ended(&server, "server", "rate-limited"), 8.0);
        // After a second there is room for as many as come at once, and no more.
        tokio::time::advance(Duration::from_secs(1)).await;
        let mut large = get(HOST, "/").map(|_| Bytes::from(vec![1; 100_000]));
        *large.method_mut() = hyper::Method::POST;
        let mut passed = 0;
        for _ in 0..10 {
            passed += u32::from(web.call(large.clone()).await.status() == 200);
        }
        assert_eq!(passed, 5);

        let limits = r#"{"perCaller": {"perSecond": 1, "burst": 1}}"#;
        server.apply(&limited("http", limits));
        let other =
            caller("http", &[A], 1000).replace("\"application\": \"web\"", "\"application\": \"cron\"");
        let other = Agent::start(&net, None, &other);
        assert_eq!(web.call(get(HOST, "/")).await.status(), 200);
        assert_eq!(web.call(get(HOST, "/")).await.status(), 429);
        let mut cron = self::web(&other).await;
        assert_eq!(cron.call(get(HOST, "/")).await.status(), 200);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn calls_over_those_at_once_are_refused_or_wait_in_a_bounded_queue() {
    run(async {
        let net = Net::default();
        let server = Agent::start(
            &net,
            Some(A),
            &limited("motan2", r#"{"concurrency": {"atOnce": 1}}"#),
        );
        let mut asked = motan_program(&net, APP_A);
        let client = Agent::start(&net, None, &says("motan2", &[A], r#""retries": {"attempts": 0}"#));
        let mut program = client.motan();
        program.send(&request(1, "demo.User", "hello", b"1")).await;
        let first = asked.recv().await.unwrap();
        let refused = program
            .call(&request(2, "demo.User", "hello", b"2"))
            .await
            .exception();
        assert_eq!(refused.code, 503);
        assert!(
            refused.words.contains("busy with 1 calls at once"),
            "{}",
            refused.words
        );
        first.answer(b"done").await;
        assert_eq!(program.reader.next().await.unwrap().body, b"done");

        let queue = r#"{"concurrency": {"atOnce": 1, "queue": {"length": 1, "timeoutMs": 300}}}"#;
        server.apply(&limited("motan2", queue));
        for id in 3..=5 {
            program.send(&request(id, "demo.User", "hello", b"x")).await;
        }
        let third = asked.recv().await.unwrap();
        // The queue has one place: the other one is refused at once.
        let refused = program.reader.next().await.unwrap();
        assert_eq!((refused.header.id, refused.exception().code), (5, 503));
        third.answer(b"3").await;
        assert_eq!(program.reader.next().await.unwrap().header.id, 3);
        let fourth = asked.recv().await.unwrap();
        // Who waits too long is told so, and never reaches the program.
        let started = Instant::now();
        let late = program.call(&request(6, "demo.User", "hello", b"x")).await;
        assert_eq!((late.header.id, late.exception().code), (6, 503));
        assert_eq!(started.elapsed(), Duration::from_millis(300));
        fourth.answer(b"4").await;
        assert_eq!(program.reader.next().await.unwrap().header.id, 4);
        assert!(asked.try_recv().is_err());
        assert_eq!(acted(&server, "queued"), 2.0);
        assert_eq!(server.metric("motanmesh_calls_in_flight", &[]), 0.0);
    })
    .await;
}

/// A call by gRPC with one message.
pub(crate) async fn grpc(agent: &Agent) -> String {
    let mut caller = Client2::new(agent.connect(ListenerKind::Http)).await;
    let (sender, body) = pieces();
    sender
        .send(Frame::data(Bytes::from_static(b"\0\0\0\0\x02hi")))
        .unwrap();
    drop(sender);
    let request = Request::post(format!("http://{HOST}/demo.User/Hello"));
    let request = request.header("content-type", "application/grpc").body(body);
    let response = caller.open(request.unwrap()).await.unwrap();
    let status = response.headers()["grpc-status"].to_str().unwrap().to_owned();
    rest(response.into_body()).await;
    status
}

/// A gRPC program that ends every call with this status; with none it never answers.
pub(crate) fn grpc_program(net: &Net, at: &str, status: Option<&'static str>) -> Rc<Cell<u32>> {
    let asked = Rc::new(Cell::new(0));
    let count = Rc::clone(&asked);
    streaming(net, at, Speaks::Http2, move |request| {
        count.set(count.get() + 1);
        async move {
            let (_, _) = rest(request.into_body()).await;
            let Some(status) = status else {
                return std::future::pending().await;
            };
            let mut answer = whole("");
            let headers = answer.headers_mut();
            headers.insert("content-type", "application/grpc".parse().unwrap());
            headers.insert("grpc-status", status.parse().unwrap());
            answer
        }
    });
    asked
}

#[tokio::test(start_paused = true)]
async fn streams_are_repeated_by_the_same_rules() {
    run(async {
        for (first, on, more) in [
            (Some("14"), "status5xx", ""),
            (None, "timeout", ", \"attemptTimeoutMs\": 100"),
        ] {
            let net = Net::default();
            let _servers = providers(&net, "grpc", &[(A, APP_A), (B, APP_B)]);
            let asked = grpc_program(&net, APP_A, first);
            grpc_program(&net, APP_B, Some("0"));
            let retries = format!(
                r#""retries": {{"on": ["{on}"]{more}}}, "health": "off", "balance": {{"mode": "roundRobin"}}"#
            );
            let policy = format!("\"idempotent\": true, {retries}");
            let client = Agent::start(&net, None, &says("grpc", &[A, B], &policy));
            for _ in 0..6 {
                assert_eq!(grpc(&client).await, "0", "{on}");
            }
            assert!(asked.get() >= 1);
            let repeated = client.metric("motanmesh_retries_total", &[]);
            assert_eq!(repeated, f64::from(asked.get()), "{on}");
            // Without the word nothing is sent twice.
            client.apply(&says("grpc", &[A, B], &retries));
            let mut failed = 0;
            for _ in 0..6 {
                failed += u32::from(grpc(&client).await != "0");
            }
            assert_eq!(failed, 3, "{on}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_repeated_is_answered_as_the_program_said() {
    run(async {
        let net = Net::default();
        let _servers = providers(&net, "http", &[(A, APP_A)]);
        streaming(&net, APP_A, Speaks::Http1, |_| async {
            let (sender, body) = pieces();
            spawn_local(async move {
                for _ in 0..20 {
                    sender.send(Frame::data(Bytes::from(vec![7; 10_000]))).unwrap();
                    tokio::task::yield_now().await;
                }
            });
            let mut answer = Response::new(body);
            *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            answer
        });
        let client = Agent::start(&net, None, &caller("http", &[A], 1000));
        // Whole, it says where the rest of its answer is to be fetched.
        let reply = web(&client).await.call(get(HOST, "/")).await;
        assert_eq!((reply.status().as_u16(), reply.body().len()), (503, 200_000));
        let mut motan = client.motan();
        let reply = motan.call(&request(1, "demo.User", "/", b"")).await;
        assert_eq!(reply.get("x-forwarded-for"), A);
    })
    .await;
}

/// How many of `count` calls each of three providers gets.
async fn shares(policy: &str, count: u64, key: impl Fn(u64) -> String) -> Vec<usize> {
    let net = Net::default();
    let _servers = providers(&net, "motan2", &[(A, APP_A), (B, APP_B), (C, APP_C)]);
    for (at, name) in [(APP_A, "a"), (APP_B, "b"), (APP_C, "c")] {
        echo(&net, at, name, PROMPT);
    }
    let plan = says("motan2", &[A, B, C], policy);
    let plan = plan.replace(&format!("\"{C}\""), &format!("\"{C}\", \"weight\": 100"));
    let client = Agent::start(&net, None, &plan);
    let mut program = client.motan();
    let counts = RefCell::new(vec![0; 3]);
    for id in 1..=count + 20 {
        let mut call = request(id, "demo.User", "hello", b"");
        call.meta.insert("uid".to_owned(), key(id));
        let reply = program.call(&call).await;
        if id > 20 {
            // The first ones go where a connection is already there.
            counts.borrow_mut()[usize::from(reply.body[0] - b'a')] += 1;
        }
    }
    counts.into_inner()
}

#[tokio::test(start_paused = true)]
async fn endpoints_are_balanced_as_the_policy_says() {
    run(async {
        let any = |id: u64| id.to_string();
        let even = shares(r#""balance": {"mode": "roundRobin"}"#, 300, any).await;
        assert_eq!(even, [100, 100, 100]);
        for mode in ["random", "leastRequest"] {
            let shares = shares(&format!(r#""balance": {{"mode": "{mode}"}}"#), 900, any).await;
            assert!(
                shares.iter().all(|share| (200..400).contains(share)),
                "{mode} {shares:?}"
            );
        }
        let weighted = shares(r#""balance": {"mode": "weighted"}"#, 1200, any).await;
        assert!((900..1100).contains(&weighted[2]), "{weighted:?}");
        let hashed = r#""balance": {"mode": "consistentHash", "hash": {"metadata": "uid"}}"#;
        let one = shares(hashed, 50, |_| "7".to_owned()).await;
        assert_eq!(one.iter().filter(|share| **share > 0).count(), 1, "{one:?}");
        let many = shares(hashed, 300, any).await;
        assert!(many.iter().all(|share| *share > 50), "{many:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_slower_endpoint_gets_less_by_its_latency() {
    run(async {
        let net = Net::default();
        let _servers = providers(&net, "motan2", &[(A, APP_A), (B, APP_B), (C, APP_C)]);
        echo(&net, APP_A, "a", Duration::from_millis(1));
        echo(&net, APP_B, "b", Duration::from_millis(1));
        echo(&net, APP_C, "c", Duration::from_millis(100));
        let policy = r#""balance": {"mode": "peakEwma"}"#;
        let client = Agent::start(&net, None, &says("motan2", &[A, B, C], policy));
        let mut program = client.motan();
        let mut slow = 0;
        for id in 1..=500 {
            let reply = program.call(&request(id, "demo.User", "hello", b"")).await;
            slow += u32::from(reply.body[0] == b'c');
        }
        assert!(slow <= 10, "{slow}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn calls_stay_in_the_zone_while_somebody_answers_there_and_is_not_too_busy() {
    run(async {
        let near = r#""balance": {"locality": {"spillAbove": 2}}, "health": {"consecutiveFailures": 1}"#;
        let zoned = |plan: String| {
            let at = |zone: &str, place: &str| format!("\"address\": \"{place}\", \"zone\": \"{zone}\"");
            let mut plan = plan.replace(
                "\"application\": \"web\"",
                "\"application\": \"web\", \"zone\": \"n\"",
            );
            for (place, zone) in [(A, "n"), (B, "f"), (C, "f")] {
                plan = plan.replace(&format!("\"address\": \"{place}\""), &at(zone, place));
            }
            plan
        };
        let net = Net::default();
        let _servers = providers(&net, "motan2", &[(A, APP_A), (B, APP_B), (C, APP_C)]);
        for (at, name) in [(APP_A, "a"), (APP_B, "b"), (APP_C, "c")] {
            echo(&net, at, name, Duration::from_millis(10));
        }
        let client = Agent::start(&net, None, &zoned(says("motan2", &[A, B, C], near)));
        let mut program = client.motan();
        for id in 1..=60 {
            let reply = program.call(&request(id, "demo.User", "hello", b"")).await;
            assert!(id <= 20 || reply.body[0] == b'a', "{id}: one at a time, all stay");
        }

        // Twenty at once are too many for one, by twice of what each of the others has; the first of them have the others
        // connected to.
        let mut flood = [0; 3];
        for first in [61, 81] {
            flood = [0; 3];
            for id in first..first + 20 {
                program.send(&request(id, "demo.User", "hello", b"")).await;
            }
            for _ in 0..20 {
                flood[usize::from(program.reader.next().await.unwrap().body[0] - b'a')] += 1;
            }
        }
        assert!((6..=12).contains(&flood[0]), "{flood:?}");

        // Nobody is left in the zone.
        net.kill(A);
        let mut elsewhere = 0;
        for id in 101..=120 {
            let reply = program.call(&request(id, "demo.User", "hello", b"")).await;
            elsewhere += u32::from(reply.header.status == 0 && reply.body[0] != b'a');
        }
        assert!(elsewhere >= 19, "{elsewhere}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_much_slower_than_the_others_is_ejected() {
    run(async {
        let net = Net::default();
        let _servers = providers(&net, "motan2", &[(A, APP_A), (B, APP_B), (C, APP_C)]);
        echo(&net, APP_A, "a", Duration::from_millis(5));
        echo(&net, APP_B, "b", Duration::from_millis(5));
        echo(&net, APP_C, "c", Duration::from_millis(100));
        let policy =
            r#""balance": {"mode": "roundRobin"}, "health": {"latencyPercent": 300, "minCalls": 10, "baseEjectionMs": 60000, "maxEjectionMs": 60000}"#;
        let client = Agent::start(&net, None, &says("motan2", &[A, B, C], policy));
        let mut program = client.motan();
        let mut last = Vec::new();
        for id in 1..=200 {
            let reply = program.call(&request(id, "demo.User", "hello", b"")).await;
            last.push(reply.body[0]);
        }
        assert_eq!(acted(&client, "ejected"), 1.0);
        assert!(last[..60].contains(&b'c') && !last[150..].contains(&b'c'), "{last:?}");
    })
    .await;
}
