//! Places in a program: who gets one where not all can, how long it is kept, and how many there turn out to be.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use agent::worker::ListenerKind;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_local;

use crate::governed::{grpc, grpc_program};
use crate::mesh::{Agent, caller, provider, run};
use crate::motan::{program as motan_program, request};
use crate::net::Net;
use crate::web::{Client, Speaks, get, mesh_error, pieces, program, rest, streaming, whole};

const A: &str = "10.0.0.1:9982";
const APP: &str = "127.0.0.1:8001";
const HOST: &str = "user.shop.mesh";
/// The last fifth of five places is not for batches.
const FIVE: &str =
    r#"{"concurrency": {"atOnce": 5}, "priorities": [{"callers": ["batch*"], "priority": "low"}]}"#;

fn limited(protocol: &str, limits: &str) -> String {
    provider(protocol, APP).replace("\"policy\"", &format!("\"limits\": {limits}, \"policy\""))
}

/// A sidecar beside a program of this application, which tries nothing again.
fn of(net: &Net, protocol: &str, application: &str) -> Agent {
    let plan = caller(protocol, &[A], 1000)
        .replace(
            "\"timeoutMs\": 1000",
            "\"timeoutMs\": 1000, \"retries\": {\"attempts\": 0}",
        )
        .replace(
            "\"application\": \"web\"",
            &format!("\"application\": \"{application}\""),
        );
    Agent::start(net, None, &plan)
}

async fn web(agent: &Agent) -> Client {
    Client::new(agent.connect(ListenerKind::Http)).await
}

fn acted(agent: &Agent, action: &str) -> f64 {
    agent.metric(
        "motanmesh_policy_actions_total",
        &[&format!("action=\"{action}\"")],
    )
}

async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_matters_more_is_served_first_and_who_matters_least_is_shed() {
    run(async {
        let net = Net::default();
        let limits = r#"{"concurrency": {"atOnce": 1, "queue": {"length": 2, "timeoutMs": 900}},
            "priorities": [{"methods": ["export*"], "priority": "low"}, {"methods": ["pay"], "priority": "critical"}]}"#;
        let server = Agent::start(&net, Some(A), &limited("motan2", limits));
        let mut asked = motan_program(&net, APP);
        let client = of(&net, "motan2", "web");
        let mut program = client.motan();
        program.send(&request(1, "demo.User", "hello", b"1")).await;
        let first = asked.recv().await.unwrap();
        for (id, method) in [(2, "exportAll"), (3, "hello"), (4, "pay")] {
            program.send(&request(id, "demo.User", method, b"x")).await;
        }
        // The queue has two places: the export has given its one up.
        let shed = program.reader.next().await.unwrap();
        assert_eq!((shed.header.id, shed.exception().code), (2, 503));
        let lowest = program.call(&request(5, "demo.User", "exportAll", b"x")).await;
        assert_eq!((lowest.header.id, lowest.exception().code), (5, 503));
        first.answer(b"1").await;
        for (id, method) in [(1, "pay"), (4, "hello")] {
            let next = asked.recv().await.unwrap();
            assert_eq!(program.reader.next().await.unwrap().header.id, id);
            assert_eq!(next.message.get("M_m"), method);
            next.answer(b"x").await;
        }
        assert_eq!(program.reader.next().await.unwrap().header.id, 3);
        assert_eq!((acted(&server, "shed-low"), acted(&server, "queued")), (2.0, 3.0));
        assert_eq!((acted(&server, "shed-normal"), acted(&server, "shed-critical")), (0.0, 0.0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_last_places_are_not_for_batches_by_http_whole_and_streamed() {
    run(async {
        let net = Net::default();
        let server = Agent::start(&net, Some(A), &limited("http", FIVE));
        let held = Rc::new(Cell::new(0));
        let count = Rc::clone(&held);
        program(&net, APP, move |request| {
            let holds = request.uri().path() == "/hold";
            count.set(count.get() + u32::from(holds));
            async move {
                if holds {
                    std::future::pending::<()>().await;
                }
                whole("body")
            }
        });
        assert_eq!(
            server.metric("motanmesh_concurrency_limit", &["service=\"shop/user\""]),
            5.0
        );
        let (batch, web_agent) = (of(&net, "http", "batch-1"), of(&net, "http", "web"));
        for _ in 0..4 {
            let mut one = web(&batch).await;
            spawn_local(async move { one.call(get(HOST, "/hold")).await });
        }
        until(|| held.get() == 4).await;
        let large = || {
            let mut large = get(HOST, "/").map(|_| Bytes::from(vec![1; 100_000]));
            *large.method_mut() = hyper::Method::POST;
            large
        };
        for request in [get(HOST, "/"), large()] {
            let refused = web(&batch).await.call(request).await;
            assert_eq!(
                (refused.status().as_u16(), mesh_error(&refused)),
                (503, Some("overloaded"))
            );
        }
        for request in [get(HOST, "/"), large()] {
            assert_eq!(web(&web_agent).await.call(request).await.status(), 200);
        }
        assert_eq!(acted(&server, "shed-low"), 2.0);
        // Without a limit there is nothing to show.
        server.apply(&provider("http", APP));
        assert_eq!(server.metric("motanmesh_concurrency_limit{", &[]), 0.0);
        assert_eq!(web(&batch).await.call(get(HOST, "/")).await.status(), 200);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_last_places_are_not_for_batches_by_grpc() {
    run(async {
        let net = Net::default();
        let server = Agent::start(&net, Some(A), &limited("grpc", FIVE));
        let asked = grpc_program(&net, APP, None);
        let (batch, web) = (Rc::new(of(&net, "grpc", "batch-1")), of(&net, "grpc", "web"));
        for _ in 0..4 {
            let batch = Rc::clone(&batch);
            spawn_local(async move { grpc(&batch).await });
        }
        until(|| asked.get() == 4).await;
        assert_eq!(grpc(&batch).await, "8"); // RESOURCE_EXHAUSTED
        assert_eq!(asked.get(), 4);
        assert_eq!(grpc(&web).await, "4"); // it came to the program, which never answers
        assert_eq!((asked.get(), acted(&server, "shed-low")), (5, 1.0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_place_is_kept_until_the_end_of_a_body_that_is_handed_over() {
    run(async {
        let net = Net::default();
        let server = Agent::start(
            &net,
            Some(A),
            &limited("http", r#"{"concurrency": {"atOnce": 1}}"#),
        );
        let (streams, mut begun) = mpsc::unbounded_channel();
        streaming(&net, APP, Speaks::Http1, move |_| {
            let (sender, body) = pieces();
            streams.send(sender).unwrap();
            async move { Response::new(body) }
        });
        let client = of(&net, "http", "web");
        let ask = || {
            let request = Request::builder().uri("/events").header("host", HOST);
            request.body(Empty::new().boxed()).unwrap()
        };
        let head = web(&client).await.open(ask()).await.unwrap();
        let sender = begun.recv().await.unwrap();
        let refused = web(&client).await.open(ask()).await.unwrap();
        assert_eq!((head.status().as_u16(), refused.status().as_u16()), (200, 503));
        drop(sender);
        rest(head.into_body()).await;
        until(|| server.worker.in_flight() == 0).await;
        let again = web(&client).await.open(ask()).await.unwrap();
        assert_eq!(again.status(), 200);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn as_many_come_in_as_the_program_does_well() {
    run(async {
        let net = Net::default();
        let limits = r#"{"adaptive": {"min": 1, "max": 100}}"#;
        let server = Agent::start(&net, Some(A), &limited("http", limits));
        // Two hands, 10 ms of work: two hundred calls a second.
        let hands = Rc::new(Semaphore::new(2));
        program(&net, APP, move |_| {
            let hands = Rc::clone(&hands);
            async move {
                let _hand = hands.acquire().await.unwrap();
                tokio::time::sleep(Duration::from_millis(10)).await;
                whole("body")
            }
        });
        let client = of(&net, "http", "web");
        assert_eq!(server.metric("motanmesh_concurrency_limit{", &[]), 10.0);
        let answered = Rc::new(Cell::new(0));
        for _ in 0..20 {
            let (mut web, answered) = (web(&client).await, Rc::clone(&answered));
            spawn_local(async move {
                loop {
                    let reply = web.call(get(HOST, "/")).await;
                    answered.set(answered.get() + u32::from(reply.status() == 200));
                    if reply.status() != 200 {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
            });
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        let before = answered.get();
        tokio::time::sleep(Duration::from_secs(5)).await;
        let done = answered.get() - before;
        let limit = server.metric("motanmesh_concurrency_limit{", &[]);
        // Fewer than the twenty who ask, though it has begun with a load that was too much already.
        assert!((1.0..=15.0).contains(&limit), "{limit}");
        assert!(done >= 900, "{done} of the 1000 that it can do");
        assert!(acted(&server, "shed-normal") > 0.0);
    })
    .await;
}
