//! Copies of calls: who gets them, and that the call itself never notices.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use agent::worker::ListenerKind;
use bytes::Bytes;
use hyper::{HeaderMap, Method, Request, StatusCode};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use crate::mesh::{Agent, provider, run};
use crate::motan::{self, Asked, Message, echo, request};
use crate::net::Net;
use crate::web::{self, Client, get, whole};

const A: &str = "10.0.0.1:9982";
const B: &str = "10.0.0.2:9982";
const APP_A: &str = "127.0.0.1:8001";
const APP_B: &str = "127.0.0.1:8002";
const HOST: &str = "user.shop.mesh";
const TO_SHADOW: &str = r#""mirror": {"to": {"service": "shop/shadow"}, "percent": 100}"#;
/// Copies of one worker that may be under way.
const MOST: usize = 256;

/// The plan of one that calls `shop/user` at A by this policy, and may copy calls to `shop/shadow`, which is at B.
fn plan(revision: u32, protocol: &str, policy: &str) -> String {
    format!(
        r#"{{"revision": {revision}, "workload": {{"namespace": "shop", "pod": "web-1", "application": "web"}}, "services": [
        {{"name": "shop/user", "path": "demo.User", "group": "g1", "protocol": "{protocol}", "hosts": ["{HOST}"],
          "policy": {{"timeoutMs": 1000, {policy}}}, "seeds": [{{"address": "{A}"}}]}},
        {{"name": "shop/shadow", "path": "demo.Shadow", "group": "g9", "protocol": "{protocol}", "indirect": true,
          "policy": {{"timeoutMs": 1000}}, "seeds": [{{"address": "{B}"}}]}}]}}"#
    )
}

/// Both providers, and one that calls.
fn start(net: &Net, protocol: &str, policy: &str) -> (Agent, [Agent; 2]) {
    let shadow = provider(protocol, APP_B)
        .replace("shop/user", "shop/shadow")
        .replace("demo.User", "demo.Shadow")
        .replace("\"g1\"", "\"g9\"");
    let servers = [
        Agent::start(net, Some(A), &provider(protocol, APP_A)),
        Agent::start(net, Some(B), &shadow),
    ];
    (Agent::start(net, None, &plan(1, protocol, policy)), servers)
}

fn acted(agent: &Agent, action: &str) -> f64 {
    let labels = [&*format!("action=\"{action}\""), "service=\"shop/user\""];
    agent.metric("motanmesh_policy_actions_total", &labels)
}

/// Calls that this agent has counted as its program's own.
fn counted(agent: &Agent) -> f64 {
    agent.metric("motanmesh_calls_total", &["role=\"client\""])
}

fn hello(id: u64) -> Message {
    request(id, "demo.User", "hello", b"x")
}

/// As many calls, each of which must be answered at once by the service itself.
async fn calls(program: &mut motan::Client, ids: std::ops::RangeInclusive<u64>) {
    for id in ids {
        let started = Instant::now();
        let reply = program.call(&hello(id)).await;
        assert_eq!((&*reply.body, reply.header.id), (&b"a:x"[..], id));
        assert_eq!(started.elapsed(), Duration::ZERO, "it waited for its copy");
    }
}

/// Lets everything that is ready run.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

fn all(asked: &mut UnboundedReceiver<Asked>) -> Vec<Asked> {
    std::iter::from_fn(|| asked.try_recv().ok()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_share_of_calls_is_copied_and_the_answers_are_thrown_away() {
    run(async {
        let net = Net::default();
        let policy = TO_SHADOW.replace("100", "20");
        let (client, [_user, shadow]) = start(&net, "motan2", &policy);
        echo(&net, APP_A, "a", Duration::ZERO);
        echo(&net, APP_B, "b", Duration::ZERO);
        let mut program = client.motan();
        calls(&mut program, 1..=1000).await;
        settle().await;
        let mirrored = acted(&client, "mirrored");
        assert!((140.0..=260.0).contains(&mirrored), "{mirrored}");
        assert_eq!(acted(&client, "mirror-dropped"), 0.0);
        // They are calls of the one that gets them, and none of the program that calls.
        assert_eq!(
            shadow.metric("motanmesh_calls_total", &["role=\"server\""]),
            mirrored
        );
        assert_eq!(counted(&client), 1000.0);
        assert_eq!(client.metric("motanmesh_calls_in_flight", &[]), 0.0);
        assert_eq!(client.worker.in_flight(), 0);
        // A change ends it.
        client.apply(&plan(2, "motan2", r#""idempotent": true"#));
        calls(&mut program, 1001..=1200).await;
        assert_eq!(acted(&client, "mirrored"), mirrored);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn whoever_gets_a_copy_is_told_so_and_asked_by_its_own_name() {
    run(async {
        let net = Net::default();
        let (client, _servers) = start(&net, "motan2", TO_SHADOW);
        let mut user = motan::program(&net, APP_A);
        let mut shadow = motan::program(&net, APP_B);
        let mut program = client.motan();
        let mut message = hello(7);
        for (key, value) in [("M_rid", "77"), ("x-user", "ray"), ("x-mesh-mirror", "forged")] {
            message.meta.insert(key.to_owned(), value.to_owned());
        }
        program.send(&message).await;
        let original = user.recv().await.unwrap().message;
        let copy = shadow.recv().await.unwrap().message;
        assert_eq!(
            (original.get("M_p"), original.get("x-mesh-mirror")),
            ("demo.User", "")
        );
        assert_eq!((copy.get("M_p"), copy.get("M_g")), ("demo.Shadow", "g9"));
        assert_eq!(copy.get("x-mesh-mirror"), "true");
        for key in ["M_m", "M_rid", "M_tmo", "x-user"] {
            assert_eq!(copy.get(key), original.get(key), "{key}");
        }
        assert_eq!(copy.body, original.body);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_target_that_hangs_costs_the_calls_nothing_and_holds_a_bounded_number_of_copies() {
    run(async {
        let net = Net::default();
        let (client, _servers) = start(&net, "motan2", TO_SHADOW);
        echo(&net, APP_A, "a", Duration::ZERO);
        let mut silent = motan::program(&net, APP_B);
        let mut program = client.motan();
        calls(&mut program, 1..=1000).await;
        settle().await;
        assert_eq!(all(&mut silent).len(), MOST);
        assert_eq!(acted(&client, "mirrored"), 256.0);
        assert_eq!(acted(&client, "mirror-dropped"), 744.0);
        assert_eq!(
            client.worker.in_flight(),
            0,
            "nobody waits for copies, a stop neither"
        );
        assert_eq!(
            client.metric("motanmesh_calls_in_flight", &["role=\"client\""]),
            0.0
        );
        // They end with the time of their calls, and are not sent again.
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(all(&mut silent).len(), 0);
        calls(&mut program, 1001..=1001).await;
        settle().await;
        assert_eq!(all(&mut silent).len(), 1);
        assert_eq!(client.metric("motanmesh_retries_total", &[]), 0.0);
        assert_eq!(acted(&client, "retry-denied"), 0.0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_target_that_refuses_or_is_deaf_or_missing_costs_the_calls_nothing() {
    run(async {
        let net = Net::default();
        let (client, _servers) = start(&net, "motan2", TO_SHADOW);
        echo(&net, APP_A, "a", Duration::ZERO);
        let mut program = client.motan();
        net.kill(B);
        calls(&mut program, 1..=100).await;
        settle().await;
        assert_eq!(
            (acted(&client, "mirrored"), acted(&client, "mirror-dropped")),
            (0.0, 100.0)
        );
        let nobody = r#""mirror": {"to": {"subset": "none"}, "percent": 100}"#;
        client.apply(&plan(2, "motan2", nobody));
        calls(&mut program, 101..=200).await;
        assert_eq!(
            (acted(&client, "mirrored"), acted(&client, "mirror-dropped")),
            (0.0, 200.0)
        );
        net.deafen(B);
        client.apply(&plan(3, "motan2", TO_SHADOW));
        tokio::time::sleep(Duration::from_secs(10)).await;
        calls(&mut program, 201..=300).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(
            (acted(&client, "mirrored"), acted(&client, "mirror-dropped")),
            (0.0, 300.0)
        );
        assert_eq!((counted(&client), client.worker.in_flight()), (300.0, 0));
        assert_eq!(client.metric("motanmesh_retries_total", &[]), 0.0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_waits_for_a_connection_never_goes_to_the_service_itself() {
    run(async {
        let net = Net::default();
        let (client, _servers) = start(&net, "motan2", TO_SHADOW);
        let mut user = motan::program(&net, APP_A);
        net.deafen(B);
        let mut program = client.motan();
        program.send(&hello(1)).await;
        user.recv().await.unwrap().answer(b"a:x").await;
        // The plan that comes meanwhile knows of no mirror.
        client.apply(&plan(2, "motan2", r#""idempotent": true"#));
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(all(&mut user).len(), 0);
        assert_eq!(
            (acted(&client, "mirrored"), acted(&client, "mirror-dropped")),
            (0.0, 1.0)
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_the_policy_keeps_from_its_service_is_not_copied() {
    run(async {
        let net = Net::default();
        let fault = r#""faults": [{"percent": 100, "abort": {"status": 503, "message": "no"}}]"#;
        let (client, _servers) = start(&net, "motan2", &format!("{TO_SHADOW}, {fault}"));
        let mut program = client.motan();
        for id in 1..=10 {
            assert_ne!(program.call(&hello(id)).await.header.status, 0);
        }
        assert_eq!(
            (acted(&client, "mirrored"), acted(&client, "mirror-dropped")),
            (0.0, 0.0)
        );
    })
    .await;
}

/// What an HTTP program was asked.
type Seen = Rc<RefCell<Vec<Request<Bytes>>>>;

/// A program that answers copies with the one status and others with the other.
fn seeing(net: &Net, at: &str, copies: StatusCode, others: StatusCode) -> Seen {
    let seen = Seen::default();
    let kept = Rc::clone(&seen);
    web::program(net, at, move |request| {
        let mut answer = whole("body");
        *answer.status_mut() = if is_copy(request.headers()) {
            copies
        } else {
            others
        };
        kept.borrow_mut().push(request);
        async move { answer }
    });
    seen
}

fn is_copy(headers: &HeaderMap) -> bool {
    headers.get("x-mesh-mirror").is_some_and(|mark| mark == "true")
}

#[tokio::test(start_paused = true)]
async fn whole_requests_of_http_are_copied_with_their_bodies_and_streams_are_not() {
    run(async {
        let net = Net::default();
        let (client, _servers) = start(&net, "http", TO_SHADOW);
        let user = seeing(&net, APP_A, StatusCode::OK, StatusCode::OK);
        let shadow = seeing(&net, APP_B, StatusCode::INTERNAL_SERVER_ERROR, StatusCode::OK);
        let mut caller = Client::new(client.connect(ListenerKind::Http)).await;
        let mut post = get(HOST, "/users?x=1");
        *post.method_mut() = Method::POST;
        post.headers_mut()
            .insert("x-mesh-mirror", "forged".parse().unwrap());
        post.headers_mut().insert("x-user", "ray".parse().unwrap());
        *post.body_mut() = Bytes::from_static(b"new");
        assert_eq!(caller.call(post).await.status(), 200);
        settle().await;
        let original = user.borrow_mut().pop().unwrap();
        let copy = shadow.borrow_mut().pop().unwrap();
        assert!(original.headers().get("x-mesh-mirror").is_none());
        assert!(is_copy(copy.headers()), "{copy:?}");
        assert_eq!(
            (copy.method(), copy.uri(), copy.body()),
            (original.method(), original.uri(), original.body())
        );
        for (name, value) in [("x-user", "ray"), ("motan-p", "demo.Shadow")] {
            assert_eq!(copy.headers()[name], value, "{name}");
        }
        assert_eq!((acted(&client, "mirrored"), counted(&client)), (1.0, 1.0));
        // A body that is too large to travel whole goes as a stream.
        let mut large = get(HOST, "/");
        *large.method_mut() = Method::POST;
        *large.body_mut() = Bytes::from(vec![b'x'; 64 * 1024 + 1]);
        assert_eq!(caller.call(large).await.status(), 200);
        settle().await;
        assert_eq!(user.borrow().len(), 1);
        assert_eq!((shadow.borrow().len(), acted(&client, "mirrored")), (0, 1.0));
        assert_eq!(acted(&client, "mirror-dropped"), 0.0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn no_endpoint_is_judged_by_what_becomes_of_copies() {
    run(async {
        let net = Net::default();
        let policy = r#""mirror": {"to": {"subset": "v2"}, "percent": 100}, "health": {"consecutiveFailures": 1},
            "balance": {"mode": "roundRobin"}"#;
        let plan = plan(1, "http", policy).replacen(
            &format!(r#"[{{"address": "{A}"}}]"#),
            &format!(r#"[{{"address": "{A}"}}, {{"address": "{B}", "subsets": ["v2"]}}]"#),
            1,
        );
        let _servers = [(A, APP_A), (B, APP_B)]
            .map(|(address, app)| Agent::start(&net, Some(address), &provider("http", app)));
        let client = Agent::start(&net, None, &plan);
        let stable = seeing(&net, APP_A, StatusCode::OK, StatusCode::OK);
        let canary = seeing(&net, APP_B, StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK);
        let mut caller = Client::new(client.connect(ListenerKind::Http)).await;
        for _ in 0..40 {
            assert_eq!(caller.call(get(HOST, "/")).await.status(), 200);
        }
        settle().await;
        assert_eq!(acted(&client, "ejected"), 0.0);
        assert_eq!(acted(&client, "mirrored"), 40.0);
        let copies = |seen: &Seen| seen.borrow().iter().filter(|asked| is_copy(asked.headers())).count();
        assert_eq!((copies(&stable), copies(&canary)), (0, 40));
        assert!(canary.borrow().len() > 50, "calls go there still: {}", canary.borrow().len());
        assert_eq!(stable.borrow().len() + canary.borrow().len(), 80);
    })
    .await;
}
