//! Requests and responses that are streams: HTTP/1.1 and HTTP/2 callers, two agents, a program.

use std::convert::Infallible;

use agent::worker::ListenerKind;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Frame;
use hyper::{Request, Response, StatusCode, Version};

use crate::mesh::{Agent, caller, provider, run};
use crate::net::Net;
use crate::web::{Client, Client2, Speaks, next, pieces, program, rest, streaming, whole};

const A: &str = "10.0.0.1:9982";
const APP_A: &str = "127.0.0.1:8001";
const HOST: &str = "user.shop.mesh";

fn pair(net: &Net, timeout_ms: u32) -> (Agent, Agent) {
    let server = Agent::start(net, Some(A), &provider("http", APP_A));
    let client = Agent::start(net, None, &caller("http", &[A], timeout_ms));
    (client, server)
}

async fn one(agent: &Agent) -> Client {
    Client::new(agent.connect(ListenerKind::Http)).await
}

async fn two(agent: &Agent) -> Client2 {
    Client2::new(agent.connect(ListenerKind::Http)).await
}

fn post(body: BoxBody<Bytes, Infallible>) -> Request<BoxBody<Bytes, Infallible>> {
    Request::post(format!("http://{HOST}/upload"))
        .header("host", HOST)
        .body(body)
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_request_by_http_2_reaches_a_program_that_speaks_http_1() {
    run(async {
        let net = Net::default();
        let (client, server) = pair(&net, 1000);
        program(&net, APP_A, |request| async move {
            assert_eq!(request.version(), Version::HTTP_11);
            let host = request.headers()["host"].to_str().unwrap().to_owned();
            let cookies: Vec<_> = request.headers().get_all("cookie").iter().collect();
            assert_eq!(cookies, ["a=1; b=2"]);
            whole(format!("{host} {} {}", request.uri(), request.body().len()))
        });
        let mut web = two(&client).await;
        for size in [0, 10, 200_000] {
            let mut request = post(Full::new(Bytes::from(vec![1; size])).boxed());
            request.headers_mut().remove("host");
            request.headers_mut().append("cookie", "a=1".parse().unwrap());
            request.headers_mut().append("cookie", "b=2".parse().unwrap());
            let response = web.open(request).await.unwrap();
            assert_eq!(
                (response.status(), response.version()),
                (StatusCode::OK, Version::HTTP_2)
            );
            let (body, _) = rest(response.into_body()).await;
            assert_eq!(body, format!("{HOST} /upload {size}"));
        }
        for (agent, role) in [(&client, "role=\"client\""), (&server, "role=\"server\"")] {
            assert_eq!(
                agent.metric("motanmesh_calls_total", &[role, "outcome=\"ok\""]),
                3.0
            );
            assert_eq!(agent.metric("motanmesh_calls_in_flight", &[]), 0.0);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn pieces_pass_both_ways_while_neither_body_has_ended() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 1000);
        streaming(&net, APP_A, Speaks::Http1, |request| async move {
            assert!(
                request
                    .headers()
                    .keys()
                    .all(|name| !name.as_str().starts_with("x-mesh-"))
            );
            Response::new(request.into_body().map_err(|_| unreachable!()).boxed())
        });
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let (sender, body) = pieces();
            let mut request = post(body);
            request
                .headers_mut()
                .insert("x-mesh-error", "timeout".parse().unwrap());
            sender.send(Frame::data(Bytes::from("first"))).unwrap();
            let response = match version {
                Version::HTTP_2 => two(&client).await.open(request).await,
                _ => one(&client).await.open(request).await,
            };
            let mut body = response.unwrap().into_body();
            assert_eq!(next(&mut body).await, "first");
            for piece in ["second", "third"] {
                sender.send(Frame::data(Bytes::from(piece))).unwrap();
                assert_eq!(next(&mut body).await, piece);
            }
            drop(sender);
            assert_eq!(rest(body).await, (Bytes::new(), None));
        }
    })
    .await;
}
