//! gRPC: every kind of streaming, trailers, deadlines, cancellation, and what the mesh says itself.

use std::convert::Infallible;
use std::time::Duration;

use agent::worker::ListenerKind;
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use hyper::body::Frame;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};

use crate::mesh::{Agent, caller, provider, run};
use crate::net::Net;
use crate::web::{Client, Client2, Speaks, get, mesh_error, next, pieces, rest, streaming, whole};

const A: &str = "10.0.0.1:9982";
const APP_A: &str = "127.0.0.1:8001";
const HOST: &str = "user.shop.mesh";

fn pair(net: &Net, protocol: &str, timeout_ms: u32) -> (Agent, Agent) {
    let server = Agent::start(net, Some(A), &provider(protocol, APP_A));
    let client = Agent::start(net, None, &caller(protocol, &[A], timeout_ms));
    (client, server)
}

async fn connect(agent: &Agent) -> Client2 {
    Client2::new(agent.connect(ListenerKind::Http)).await
}

fn call(host: &str, body: BoxBody<Bytes, Infallible>) -> Request<BoxBody<Bytes, Infallible>> {
    Request::post(format!("http://{host}/demo.User/Chat"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .unwrap()
}

fn status(code: &'static str) -> Frame<Bytes> {
    Frame::trailers(HeaderMap::from_iter([(
        "grpc-status".parse().unwrap(),
        code.parse().unwrap(),
    )]))
}

fn answer(body: BoxBody<Bytes, Infallible>) -> Response<BoxBody<Bytes, Infallible>> {
    let response = Response::builder().header("content-type", "application/grpc");
    response.body(body).unwrap()
}

#[tokio::test(start_paused = true)]
async fn messages_of_both_sides_interleave_and_trailers_end_the_call() {
    run(async {
        for protocol in ["grpc", "http"] {
            let net = Net::default();
            let (client, server) = pair(&net, protocol, 1000);
            streaming(&net, APP_A, Speaks::Http2, |request| async move {
                assert_eq!(request.headers()["te"], "trailers");
                assert_eq!(request.uri().authority().unwrap(), HOST);
                let (sender, body) = pieces();
                tokio::task::spawn_local(async move {
                    let mut asked = request.into_body();
                    while let Some(Ok(frame)) = asked.frame().await {
                        sender.send(frame).unwrap();
                    }
                    sender.send(status("0")).unwrap();
                });
                answer(body)
            });
            let (sender, body) = pieces();
            let response = connect(&client).await.open(call(HOST, body)).await.unwrap();
            let mut body = response.into_body();
            for piece in ["one", "two", "three"] {
                sender.send(Frame::data(Bytes::from(piece))).unwrap();
                assert_eq!(next(&mut body).await, piece);
            }
            drop(sender);
            let (_, trailers) = rest(body).await;
            assert_eq!(trailers.unwrap()["grpc-status"], "0");
            for agent in [&client, &server] {
                assert_eq!(agent.metric("motanmesh_calls_total", &["outcome=\"ok\""]), 1.0);
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_the_mesh_refuses_is_a_status_without_a_body() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, "grpc", 1000);
        let refused = async |agent: &Agent, host: &str| {
            let (sender, body) = pieces();
            sender.send(Frame::data(Bytes::from("one"))).unwrap();
            drop(sender);
            let response = connect(agent).await.open(call(host, body)).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.headers()["content-type"], "application/grpc");
            let of = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
            let words = of("grpc-message");
            assert!(!words.is_empty());
            (of("grpc-status"), of("x-mesh-error"))
        };
        let is = |code: &str, word: &str| (code.to_owned(), word.to_owned());
        assert_eq!(refused(&client, "other.mesh").await, is("12", "undeclared"));
        // Nobody listens there.
        assert_eq!(refused(&client, HOST).await, is("14", "unavailable"));
        let lonely = Agent::start(&net, None, &caller("grpc", &[], 1000));
        assert_eq!(refused(&lonely, HOST).await, is("14", "no-endpoint"));
        let other = Agent::start(&net, Some("10.0.0.2:9982"), &provider("motan", APP_A));
        let motan = Agent::start(&net, None, &caller("motan", &["10.0.0.2:9982"], 1000));
        assert_eq!(refused(&motan, HOST).await, is("12", "unsupported"));
        drop(other);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_grpc_is_refused_with_the_mend_where_no_descriptors_are() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, "grpc", 1000);
        streaming(&net, APP_A, Speaks::Http2, |_| async { whole("as it is") });
        let mut web = Client::new(client.connect(ListenerKind::Http)).await;
        // Whole in a frame, and as a stream.
        for size in [0, 100_000] {
            let ask = |kind: &str| {
                let mut request = get(HOST, "/users/7").map(|_| Bytes::from(vec![b' '; size]));
                *request.method_mut() = Method::POST;
                request
                    .headers_mut()
                    .insert("content-type", kind.parse().unwrap());
                request
            };
            let reply = web.call(ask("application/json")).await;
            assert_eq!(
                (reply.status(), mesh_error(&reply)),
                (StatusCode::NOT_IMPLEMENTED, Some("unsupported"))
            );
            let words = String::from_utf8(reply.body().to_vec()).unwrap();
            assert!(words.contains("spec.grpc.descriptorSet"), "{words}");
            // The program may know what else is called so.
            assert_eq!(
                web.call(ask("application/grpc-web+proto")).await.body(),
                "as it is"
            );
        }
        assert_eq!(net.connects(APP_A), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_handed_on_and_ends_the_call_on_every_side() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, "grpc", 60_000);
        let (seen, mut told) = tokio::sync::mpsc::unbounded_channel();
        streaming(&net, APP_A, Speaks::Http2, move |request| {
            let seen = seen.clone();
            async move {
                let left = request.headers()["grpc-timeout"].to_str().unwrap().to_owned();
                let speaks = request.uri().path() == "/demo.User/Speak";
                let (sender, body) = pieces();
                if speaks {
                    sender.send(Frame::data(Bytes::from("early"))).unwrap();
                }
                seen.send((left, sender)).unwrap();
                if !speaks {
                    std::future::pending::<()>().await;
                }
                answer(body)
            }
        });
        for path in ["/demo.User/Silent", "/demo.User/Speak"] {
            let (_sender, body) = pieces();
            let mut request = call(HOST, body);
            *request.uri_mut() = format!("http://{HOST}{path}").parse().unwrap();
            request
                .headers_mut()
                .insert("grpc-timeout", "300m".parse().unwrap());
            let started = tokio::time::Instant::now();
            let response = connect(&client).await.open(request).await.unwrap();
            let (left, program) = told.recv().await.unwrap();
            let micros: u64 = left.strip_suffix('u').unwrap().parse().unwrap();
            assert!(micros <= 300_000 && micros > 200_000, "{left}");
            let head = response.headers().clone();
            let (body, trailers) = rest(response.into_body()).await;
            let said = trailers.unwrap_or(head);
            let of = |name: &str| said[name].to_str().unwrap();
            assert_eq!(
                (of("grpc-status"), of("x-mesh-error")),
                ("4", "timeout"),
                "{path}"
            );
            assert_eq!(body, if path.ends_with("Speak") { "early" } else { "" });
            assert!(
                started.elapsed() < Duration::from_millis(400),
                "{:?}",
                started.elapsed()
            );
            program.closed().await;
            assert!(
                started.elapsed() < Duration::from_millis(400),
                "{:?}",
                started.elapsed()
            );
        }
        assert_eq!(
            client.metric("motanmesh_calls_total", &["outcome=\"timeout\""]),
            2.0
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_its_caller_cancels_is_cancelled_in_the_program() {
    run(async {
        let net = Net::default();
        let (client, server) = pair(&net, "grpc", 60_000);
        let (seen, mut told) = tokio::sync::mpsc::unbounded_channel();
        streaming(&net, APP_A, Speaks::Http2, move |request| {
            let seen = seen.clone();
            let (sender, body) = pieces();
            sender.send(Frame::data(Bytes::from("hello"))).unwrap();
            seen.send((request.into_body(), sender)).unwrap();
            async move { answer(body) }
        });
        let (_asking, body) = pieces();
        let response = connect(&client).await.open(call(HOST, body)).await.unwrap();
        let mut body = response.into_body();
        assert_eq!(next(&mut body).await, "hello");
        let (mut asked, sender) = told.recv().await.unwrap();
        drop(body); // resets the stream
        drop(_asking);
        sender.closed().await;
        let end = asked.frame().await;
        assert!(!matches!(end, Some(Ok(_))), "{end:?}");
        for agent in [&client, &server] {
            while agent.metric("motanmesh_calls_total", &["outcome=\"cancelled\""]) < 1.0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(agent.worker.in_flight(), 0);
        }
    })
    .await;
}
