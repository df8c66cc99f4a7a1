//! HTTP and JSON → a program that speaks gRPC, by the descriptors of its service.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use agent::worker::ListenerKind;
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use hyper::body::Frame;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::{Value as Json, json};

use crate::mesh::{Agent, caller, provider, run};
use crate::net::Net;
use crate::web::{Client, Speaks, get, mesh_error, pieces, streaming};

const A: &str = "10.0.0.1:9982";
const APP: &str = "127.0.0.1:8001";
const HOST: &str = "user.shop.mesh";
/// `demo.Users`: `Get` at `GET /users/{id}`, `Add` at `POST /users` with `body: "*"`, `Watch` (a stream) as it is; each
/// from and to `User {string name = 1; int64 id = 2; bytes image = 3;}`.
const USERS: &str = include_str!("users.pb.b64");

fn pair(net: &Net) -> (Agent, Agent) {
    let grpc = format!(
        "\"grpc\": {{\"descriptorSet\": \"{}\"}}, \"backend\"",
        USERS.trim()
    );
    let server = Agent::start(net, Some(A), &provider("grpc", APP).replace("\"backend\"", &grpc));
    let client = Agent::start(net, None, &caller("grpc", &[A], 3000));
    (client, server)
}

async fn connect(agent: &Agent) -> Client {
    Client::new(agent.connect(ListenerKind::Http)).await
}

/// A message with its prefix.
fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], message].concat().into()
}

fn answer(
    messages: &[&[u8]],
    status: &[(&'static str, &'static str)],
) -> Response<BoxBody<Bytes, Infallible>> {
    let (sender, body) = pieces();
    for message in messages {
        sender.send(Frame::data(framed(message))).unwrap();
    }
    let pairs = status
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    sender.send(Frame::trailers(HeaderMap::from_iter(pairs))).unwrap();
    Response::builder()
        .header("content-type", "application/grpc")
        .body(body)
        .unwrap()
}

/// A program that answers each path of its own, and what it was asked.
fn users(net: &Net) -> Rc<RefCell<Vec<(String, HeaderMap, Bytes)>>> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&seen);
    streaming(net, APP, Speaks::Http2, move |request| {
        let log = Rc::clone(&log);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let path = parts.uri.path().to_owned();
            let sent = body.clone();
            log.borrow_mut().push((path.clone(), parts.headers, body));
            match path.as_str() {
                "/demo.Users/Get" if sent[..] == framed(b"\x10\x09")[..] => std::future::pending().await,
                "/demo.Users/Get" if sent[..] == framed(b"\x10\x08")[..] => {
                    answer(&[], &[("grpc-status", "5"), ("grpc-message", "no user%20eight")])
                }
                "/demo.Users/Get" => answer(&[b"\x0a\x03Ann\x10\x07"], &[("grpc-status", "0")]),
                "/demo.Users/Add" => answer(&[&sent[5..]], &[("grpc-status", "0")]),
                _ => answer(&[b"\x10\x01", b"\x10\x02"], &[("grpc-status", "0")]),
            }
        }
    });
    seen
}

fn json_of(response: &Response<Bytes>) -> Json {
    serde_json::from_slice(response.body()).unwrap()
}

fn post(path: &str, body: impl Into<Bytes>) -> Request<Bytes> {
    let mut request = get(HOST, path).map(|_| body.into());
    *request.method_mut() = Method::POST;
    request
}

#[tokio::test(start_paused = true)]
async fn a_request_becomes_a_unary_call_and_its_message_json() {
    run(async {
        let net = Net::default();
        let (client, server) = pair(&net);
        let seen = users(&net);
        let mut caller = connect(&client).await;
        let mut request = get(HOST, "/users/7?name=Bob");
        request
            .headers_mut()
            .insert("authorization", "Bearer x".parse().unwrap());
        let reply = caller.call(request).await;
        assert_eq!(
            (reply.status(), json_of(&reply)),
            (StatusCode::OK, json!({"name": "Ann", "id": "7"}))
        );
        assert_eq!(mesh_error(&reply), None);
        {
            let seen = seen.borrow();
            let (path, headers, body) = &seen[0];
            assert_eq!(
                (path.as_str(), body),
                ("/demo.Users/Get", &framed(b"\x0a\x03Bob\x10\x07"))
            );
            let header = |name: &str| headers[name].to_str().unwrap();
            assert_eq!(
                (header("content-type"), header("te")),
                ("application/grpc", "trailers")
            );
            assert_eq!(header("authorization"), "Bearer x");
            assert!(
                header("grpc-timeout").ends_with('u'),
                "the program is told what time is left"
            );
            assert!(headers.keys().all(|name| !name.as_str().starts_with("x-mesh-")));
        }
        let reply = caller
            .call(post("/users", r#"{"name":"Eve","id":9007199254740993}"#))
            .await;
        assert_eq!(json_of(&reply), json!({"name": "Eve", "id": "9007199254740993"}));
        assert_eq!(
            server.metric("motanmesh_calls_total", &["outcome=\"ok\"", "role=\"server\""]),
            2.0
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_large_body_comes_as_a_stream_and_is_one_message_all_the_same() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net);
        let _seen = users(&net);
        let mut caller = connect(&client).await;
        let image = "A".repeat(400_000);
        let reply = caller
            .call(post("/users", format!(r#"{{"image":"{image}"}}"#)))
            .await;
        assert_eq!(
            (reply.status(), json_of(&reply)),
            (StatusCode::OK, json!({"image": image}))
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_is_a_problem() {
    run(async {
        let net = Net::default();
        let (client, server) = pair(&net);
        let _seen = users(&net);
        let mut caller = connect(&client).await;
        let rows = [
            (get(HOST, "/none"), 404, "no-route"),
            (get(HOST, "/users/x"), 400, "bad-argument"),
            (post("/users", r#"{"age":1}"#), 400, "bad-argument"),
            (get(HOST, "/users/8"), 404, "grpc-status"),
            // The program does not answer, and the server agent's own limit is a second.
            (get(HOST, "/users/9"), 504, "timeout"),
        ];
        for (request, status, kind) in rows {
            let reply = caller.call(request).await;
            assert_eq!(reply.status().as_u16(), status, "{kind}");
            assert_eq!(reply.headers()["content-type"], "application/problem+json");
            assert_eq!(json_of(&reply)["type"], format!("urn:motanmesh:problem:{kind}"));
        }
        let reply = caller.call(get(HOST, "/users/8")).await;
        let problem = json_of(&reply);
        assert_eq!(
            (&problem["code"], &problem["detail"]),
            (&json!(5), &json!("no user eight"))
        );
        assert_eq!(
            server.metric("motanmesh_calls_total", &["outcome=\"timeout\""]),
            1.0
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_answers_is_lines_and_the_document_is_served() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net);
        let _seen = users(&net);
        let mut caller = connect(&client).await;
        let reply = caller.call(post("/demo.Users/Watch", "{}")).await;
        assert_eq!(reply.headers()["content-type"], "application/x-ndjson");
        assert_eq!(reply.body(), "{\"id\":\"1\"}\n{\"id\":\"2\"}\n");
        let document = json_of(&caller.call(get(HOST, "/.mesh/openapi.json")).await);
        assert!(document["paths"]["/users/{id}"]["get"].is_object());
        assert!(document["components"]["schemas"]["demo.User"].is_object());
    })
    .await;
}
