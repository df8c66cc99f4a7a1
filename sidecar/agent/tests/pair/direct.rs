//! Providers without a sidecar: the caller's agent calls the program itself, in the program's own protocol.

use std::time::Duration;

use agent::worker::ListenerKind;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Frame;
use hyper::{HeaderMap, Request, Response, StatusCode};
use wire::motan2::bits;
use wire::value::{Value, Values};

use crate::mesh::{Agent, caller, provider, run};
use crate::motan::{self, echo, request};
use crate::net::Net;
use crate::web::{Client, Client2, Speaks, get, mesh_error, next, pieces, program, rest, streaming, whole};

const A: &str = "10.0.0.1:9982";
const APP_A: &str = "127.0.0.1:8001";
const BARE: &str = "10.0.0.2:8080";
const HOST: &str = "user.shop.mesh";

/// A caller of these endpoints, of which [`BARE`] has no agent.
fn bare(protocol: &str, endpoints: &[&str]) -> String {
    let seed = |more: &str| format!("{{\"address\": \"{BARE}\"{more}}}");
    caller(protocol, endpoints, 1000).replace(&seed(""), &seed(", \"direct\": true"))
}

async fn web(agent: &Agent) -> Client {
    Client::new(agent.connect(ListenerKind::Http)).await
}

fn ok(agent: &Agent) -> f64 {
    let labels = ["role=\"client\"", "outcome=\"ok\""];
    agent.metric("motanmesh_calls_total", &labels)
}

#[tokio::test(start_paused = true)]
async fn an_http_program_without_an_agent_gets_the_request_itself() {
    run(async {
        let net = Net::default();
        let client = Agent::start(&net, None, &bare("http", &[BARE]));
        program(&net, BARE, |request| async move {
            let host = request.headers()["host"].to_str().unwrap().to_owned();
            let ours = request
                .headers()
                .keys()
                .filter(|name| name.as_str().starts_with("x-mesh"));
            assert_eq!(ours.count(), 0);
            let mut answer = whole(format!(
                "{} {host} {} {}",
                request.method(),
                request.uri(),
                request.body().len()
            ));
            answer.headers_mut().insert("x-kept", "1".parse().unwrap());
            *answer.status_mut() = StatusCode::CREATED;
            answer
        });
        let mut web = web(&client).await;
        for size in [0, 10, 200_000] {
            let request = Request::post("/users/1?q=1").header("host", HOST);
            let response = web.call(request.body(Bytes::from(vec![1; size])).unwrap()).await;
            assert_eq!(response.status(), StatusCode::CREATED);
            assert_eq!(response.headers()["x-kept"], "1");
            assert_eq!(response.body(), &format!("POST {HOST} /users/1?q=1 {size}"));
        }
        assert_eq!(ok(&client), 3.0);
        assert_eq!(client.metric("motanmesh_calls_in_flight", &[]), 0.0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn rewrites_and_exceptions_of_a_service_count_where_no_agent_of_its_own_is() {
    run(async {
        let net = Net::default();
        let more = r#""httpException": true, "rewrites": [{"match": "/", "type": "start", "pattern": "^/old/(.*)",
            "replacement": "/new/$1"}], "policy""#;
        let plan = bare("http", &[BARE]).replace("\"policy\"", more);
        let client = Agent::start(&net, None, &plan);
        program(&net, BARE, |request| async move {
            let mut answer = whole(request.uri().to_string());
            if request.uri().path() == "/new/gone" {
                *answer.status_mut() = StatusCode::GONE;
            }
            answer
        });
        let mut web = web(&client).await;
        assert_eq!(web.call(get(HOST, "/old/a?b=c")).await.body(), "/new/a?b=c");
        let upload = get(HOST, "/old/b").map(|_| Bytes::from(vec![1; 200_000]));
        assert_eq!(web.call(upload).await.body(), "/new/b");
        assert_eq!(web.call(get(HOST, "/other")).await.body(), "/other");
        let reply = client.motan().call(&request(1, "demo.User", "/old/gone", b"")).await;
        assert_eq!(reply.exception().code, 410);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn pieces_of_a_body_pass_to_a_program_without_an_agent_before_it_ends() {
    run(async {
        let net = Net::default();
        let client = Agent::start(&net, None, &bare("http", &[BARE]));
        streaming(&net, BARE, Speaks::Http1, |request| async move {
            let (sender, body) = pieces();
            tokio::task::spawn_local(async move {
                let mut asked = request.into_body();
                while let Some(Ok(frame)) = asked.frame().await {
                    sender.send(frame).unwrap();
                }
            });
            Response::new(body)
        });
        let (sender, body) = pieces();
        let request = Request::post("/upload").header("host", HOST).body(body).unwrap();
        let mut web = web(&client).await;
        sender.send(Frame::data(Bytes::from("one"))).unwrap();
        let mut body = web.open(request).await.unwrap().into_body();
        assert_eq!(next(&mut body).await, "one");
        sender.send(Frame::data(Bytes::from("two"))).unwrap();
        assert_eq!(next(&mut body).await, "two");
        drop(sender);
        assert_eq!(rest(body).await.0, "");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_grpc_program_without_an_agent_is_called_by_http_2() {
    run(async {
        let net = Net::default();
        let client = Agent::start(&net, None, &bare("grpc", &[BARE]));
        streaming(&net, BARE, Speaks::Http2, |request| async move {
            assert_eq!(request.uri().authority().unwrap(), HOST);
            assert_eq!(request.headers()["te"], "trailers");
            assert!(!request.headers().contains_key("x-mesh-service"));
            let (sender, body) = pieces();
            let asked = request.into_body().collect().await.unwrap().to_bytes();
            sender.send(Frame::data(asked)).unwrap();
            let trailers = [("grpc-status".parse().unwrap(), "0".parse().unwrap())];
            sender
                .send(Frame::trailers(HeaderMap::from_iter(trailers)))
                .unwrap();
            let response = Response::builder().header("content-type", "application/grpc");
            response.body(body).unwrap()
        });
        let mut web = Client2::new(client.connect(ListenerKind::Http)).await;
        let call = Request::post(format!("http://{HOST}/demo.User/Say"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(Bytes::from("hello")).boxed())
            .unwrap();
        let response = web.open(call).await.unwrap();
        let (body, trailers) = rest(response.into_body()).await;
        assert_eq!(
            (body, &trailers.unwrap()["grpc-status"]),
            ("hello".into(), &"0".parse().unwrap())
        );
        assert_eq!(ok(&client), 1.0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn providers_with_and_without_an_agent_are_one_set() {
    run(async {
        let net = Net::default();
        let _server = Agent::start(&net, Some(A), &provider("http", APP_A));
        let client = Agent::start(&net, None, &bare("http", &[A, BARE]));
        program(&net, APP_A, |_| async { whole("meshed") });
        program(&net, BARE, |_| async { whole("bare") });
        let mut web = web(&client).await;
        let mut seen = Vec::new();
        for _ in 0..64 {
            let response = web.call(get(HOST, "/")).await;
            assert_eq!(response.status(), StatusCode::OK);
            seen.push(response.into_body());
        }
        for name in ["meshed", "bare"] {
            let count = seen.iter().filter(|body| body == &name).count();
            assert!(count > 8, "{name}: {count} of 64");
        }

        // The one that dies is left alone; nothing is lost to a call that may go elsewhere.
        net.kill(BARE);
        let before = net.connects(BARE);
        for _ in 0..64 {
            let response = web.call(get(HOST, "/")).await;
            assert_eq!(
                (response.status(), response.body().as_ref()),
                (StatusCode::OK, b"meshed".as_slice())
            );
        }
        assert!(net.connects(BARE) - before < 4, "it is not tried for every call");
        tokio::time::advance(Duration::from_secs(2)).await;
        program(&net, BARE, |_| async { whole("bare") });
        let mut back = false;
        for _ in 0..64 {
            back |= web.call(get(HOST, "/")).await.body() == "bare";
        }
        assert!(back, "it is called again once it is back");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_program_without_an_agent_that_can_not_be_reached_is_told() {
    run(async {
        let net = Net::default();
        let client = Agent::start(&net, None, &bare("http", &[BARE]));
        let response = web(&client).await.call(get(HOST, "/")).await;
        assert_eq!(mesh_error(&response), Some("unavailable"), "{response:?}");
        net.deafen(BARE);
        let response = web(&client).await.call(get(HOST, "/")).await;
        assert!(response.status().is_server_error(), "{response:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_attempt_at_a_program_without_an_agent_has_its_own_time() {
    run(async {
        let net = Net::default();
        let _server = Agent::start(&net, Some(A), &provider("http", APP_A));
        let retries = r#""retries": {"attempts": 1, "on": ["timeout"], "attemptTimeoutMs": 100}, "balance": {"mode": "roundRobin"}"#;
        let plan = bare("http", &[A, BARE]);
        let client = Agent::start(&net, None, &plan.replace("\"timeoutMs\": 1000", &format!("\"timeoutMs\": 1000, {retries}")));
        program(&net, APP_A, |_| async { whole("meshed") });
        // A program that is stopped: what is asked stays unanswered.
        program(&net, BARE, |_| std::future::pending());
        let mut web = web(&client).await;
        for _ in 0..8 {
            let response = web.call(get(HOST, "/")).await;
            assert_eq!(
                (response.status(), response.body().as_ref()),
                (StatusCode::OK, b"meshed".as_slice())
            );
        }
        let slow = client.metric("motanmesh_policy_actions_total", &["action=\"attempt-timeout\""]);
        assert!(slow >= 1.0, "{slow}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_motan_caller_calls_an_http_program_without_an_agent() {
    run(async {
        let net = Net::default();
        let client = Agent::start(&net, None, &bare("http", &[BARE]));
        program(&net, BARE, |request| async move {
            whole(format!("{} {}", request.method(), request.uri()))
        });
        let mut call = request(7, "demo.User", "/users/1", b"");
        call.meta.insert("HTTP_QueryString".into(), "q=1".into());
        let reply = client.motan().call(&call).await;
        assert_eq!((reply.header.id, reply.header.status), (7, 0), "{reply:?}");
        let value = Values::new(&reply.body).next().unwrap().unwrap();
        assert!(matches!(value, Value::Bytes(b"GET /users/1?q=1")), "{value:?}");
        assert_eq!(reply.get("upstreamCode"), "200");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_motan_program_without_an_agent_is_called_in_plain_motan() {
    run(async {
        let net = Net::default();
        let client = Agent::start(&net, None, &bare("motan2", &[BARE]));
        let mut asked = motan::program(&net, BARE);
        let mut caller = client.motan();
        let mut call = request(9, "demo.User", "hello", &[]);
        wire::gzip::deflate(b"packed", &mut call.body);
        call.header.kind |= bits::GZIP;
        caller.send(&call).await;
        let seen = asked.recv().await.unwrap();
        assert!(!seen.message.header.is_heartbeat(), "it is greeted by nobody");
        assert_eq!(seen.message.body, b"packed", "whether it inflates nobody knows");
        assert_eq!(
            (seen.message.get("M_p"), seen.message.get("M_g")),
            ("demo.User", "g1")
        );
        seen.answer(b"fine").await;
        let reply = caller.reader.next().await.unwrap();
        assert_eq!((reply.header.id, reply.body.as_slice()), (9, b"fine".as_slice()));
        assert_eq!(ok(&client), 1.0);

        // HTTP can't be said to it; an agent would know how.
        let response = web(&client).await.call(get(HOST, "/")).await;
        assert_eq!(mesh_error(&response), Some("unsupported"));
        assert!(String::from_utf8_lossy(response.body()).contains("motanmesh.io/inject: enabled"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn motan_providers_with_and_without_an_agent_are_one_set() {
    run(async {
        let net = Net::default();
        let _server = Agent::start(&net, Some(A), &provider("motan2", APP_A));
        let client = Agent::start(&net, None, &bare("motan2", &[A, BARE]));
        echo(&net, APP_A, "meshed", Duration::ZERO);
        echo(&net, BARE, "bare", Duration::ZERO);
        let mut caller = client.motan();
        let mut seen = Vec::new();
        for id in 0..64 {
            let reply = caller.call(&request(id, "demo.User", "hello", b"x")).await;
            seen.push(String::from_utf8(reply.body).unwrap());
        }
        for name in ["meshed:x", "bare:x"] {
            assert!(
                seen.iter().filter(|body| *body == name).count() > 8,
                "{name}: {seen:?}"
            );
        }
    })
    .await;
}
