//! Any caller, any service: callers and services of different protocols (the table of the readme).

use std::cell::RefCell;
use std::rc::Rc;

use agent::worker::ListenerKind;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use wire::error::ErrorType;
use wire::motan2::SIMPLE;
use wire::value::{Value, Values, write};

use crate::mesh::{Agent, caller, plain, provider, run};
use crate::motan::{Client, Message, program as motan_program, request};
use crate::net::Net;
use crate::web::{Answer, Client2, Speaks, program, rest, streaming, whole};

const A: &str = "10.0.0.1:9982";
const APP: &str = "127.0.0.1:8001";

fn simple(value: &Value<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    write(&mut body, value);
    body
}

fn bytes(reply: &Message) -> Vec<u8> {
    assert_eq!(reply.header.status, 0, "{reply:?}");
    let value = Values::new(&reply.body).next().unwrap().unwrap();
    assert!(matches!(value, Value::Bytes(_)), "{value:?}");
    value.bytes().unwrap().to_vec()
}

fn http_pair(net: &Net, more: &str) -> (Agent, Agent) {
    let plan = provider("http", APP).replace("\"backend\"", &format!("{more}\"backend\""));
    let server = Agent::start(net, Some(A), &plan);
    let client = Agent::start(net, None, &caller("http", &[A], 1000));
    (client, server)
}

#[tokio::test(start_paused = true)]
async fn a_motan_2_caller_calls_an_http_service() {
    run(async {
        let net = Net::default();
        let (client, server) = http_pair(&net, "");
        let seen = Rc::new(RefCell::new(Vec::new()));
        let log = Rc::clone(&seen);
        program(&net, APP, move |request| {
            log.borrow_mut().push(request);
            async {
                let mut answer = whole("hello Ray");
                *answer.status_mut() = StatusCode::NOT_FOUND;
                let headers = answer.headers_mut();
                headers.append("set-cookie", "a=1".parse().unwrap());
                headers.append("set-cookie", "b=2".parse().unwrap());
                answer
            }
        });
        let mut call = request(u64::MAX, "demo.User", "/users/1", &simple(&Value::String(b"{}")));
        for (key, value) in [
            ("HTTP_Method", "POST"),
            ("HTTP_QueryString", "q=1"),
            ("http_X-Token", "secret"),
            ("Content-Type", "application/json"),
        ] {
            call.meta.insert(key.into(), value.into());
        }
        let reply = client.motan().call(&call).await;
        assert_eq!(bytes(&reply), b"hello Ray");
        assert_eq!(reply.header.id, u64::MAX);
        assert_eq!(reply.header.serialization(), SIMPLE);
        assert_eq!(
            (reply.get("upstreamCode"), reply.get("Set-Cookie")),
            ("404", "b=2")
        );
        assert_eq!((reply.get("M_pt"), reply.get("x-forwarded-for")), ("0", A));

        let seen = seen.borrow();
        let asked = &seen[0];
        assert_eq!(
            (asked.method(), asked.uri().to_string().as_str()),
            (&Method::POST, "/users/1?q=1")
        );
        assert_eq!(asked.body(), "{}");
        let header = |name: &str| {
            asked
                .headers()
                .get(name)
                .map_or("", |value| value.to_str().unwrap())
        };
        assert_eq!(
            (header("x-token"), header("content-type")),
            ("secret", "application/json")
        );
        assert_eq!(
            (header("motan-p"), header("motan-s"), header("host")),
            ("demo.User", "web", "user.shop.mesh")
        );
        assert_eq!(
            (header("x-forwarded-for"), header("content-length")),
            ("10.0.0.9", "2")
        );
        for (agent, role) in [(&client, "client"), (&server, "server")] {
            let labels = [role, "service=\"shop/user\"", "outcome=\"ok\""];
            assert_eq!(agent.metric("motanmesh_calls_total", &labels), 1.0);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_http_status_is_an_exception_to_motan_callers_where_the_service_says_so() {
    run(async {
        let net = Net::default();
        let (client, _server) = http_pair(&net, "\"httpException\": true, ");
        program(&net, APP, |request| async move {
            let mut answer = whole("no such user");
            if request.uri() != "/there" {
                *answer.status_mut() = StatusCode::NOT_FOUND;
            }
            answer
        });
        let mut motan = client.motan();
        let there = motan.call(&request(1, "demo.User", "/there", b"")).await;
        assert_eq!(bytes(&there), b"no such user");
        let reply = motan.call(&request(2, "demo.User", "/away", b"")).await;
        let exception = reply.exception();
        assert_eq!(
            (exception.code, exception.kind, exception.words.as_str()),
            (404, ErrorType::Biz, "no such user")
        );
        assert_eq!(
            (reply.get("upstreamCode"), reply.get("x-mesh-error")),
            ("404", "")
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_fails_on_the_way_to_an_http_service_has_the_codes_of_the_existing_agent() {
    run(async {
        let net = Net::default();
        // One that calls without an agent of ours sees the codes as they are made.
        let _server = Agent::start(&net, Some(A), &plain(&provider("http", APP)));
        let mut foreign = Client::new(net.dial(A));
        let mut call = request(1, "demo.User", "/x", b"");
        call.meta.insert("M_g".into(), "g1".into());
        let exception = foreign.call(&call).await.exception();
        assert_eq!((exception.code, exception.kind), (503, ErrorType::Biz));
        assert!(
            exception
                .words
                .contains("can't be connected to at 127.0.0.1:8001"),
            "{}",
            exception.words
        );

        program(&net, APP, |_| async { whole("fine") });
        call.body = [simple(&Value::String(b"a")), simple(&Value::String(b"b"))].concat();
        let exception = foreign.call(&call).await.exception();
        assert_eq!((exception.code, exception.kind), (400, ErrorType::Biz));
        assert!(
            exception.words.contains("more than one parameter"),
            "{}",
            exception.words
        );
        call.body.clear();
        assert_eq!(bytes(&foreign.call(&call).await), b"fine");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_compressed_request_reaches_an_http_service_inflated_and_its_answer_comes_back_so() {
    run(async {
        let net = Net::default();
        let (client, _server) = http_pair(&net, "");
        program(&net, APP, |request| async move { whole(request.into_body()) });
        let text = [b'a'; 5000];
        let mut call = request(1, "demo.User", "/echo", &[]);
        wire::gzip::deflate(&simple(&Value::Bytes(&text)), &mut call.body);
        call.header.kind |= wire::motan2::bits::GZIP;
        let reply = client.motan().call(&call).await;
        assert_eq!(bytes(&reply), text);
        assert_eq!(reply.header.kind & wire::motan2::bits::GZIP, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn java_and_breeze_callers_get_bytes_in_their_own_serialization() {
    run(async {
        let net = Net::default();
        let (client, _server) = http_pair(&net, "");
        program(&net, APP, |request| async move { whole(request.into_body()) });
        let mut motan = client.motan();
        for (serialization, asked, answered) in [
            (0, &b"\x03Ray"[..], &b"\x23Ray"[..]),
            (8, b"\x03Ray", b"\x9d\0\0\0\x03Ray"),
        ] {
            let mut call = request(1, "demo.User", "/echo", asked);
            call.header.serialization = serialization << 3;
            let reply = motan.call(&call).await;
            assert_eq!(
                (reply.header.serialization(), reply.body.as_slice()),
                (serialization, answered)
            );
        }
        let mut call = request(1, "demo.User", "/echo", b"[]");
        call.header.serialization = 2 << 3;
        let exception = motan.call(&call).await.exception();
        assert_eq!(exception.code, 501);
        assert!(
            exception.words.contains("serialization 2 is not read here"),
            "{}",
            exception.words
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_motan_caller_may_name_an_http_service_by_its_host() {
    run(async {
        let net = Net::default();
        let (client, _server) = http_pair(&net, "");
        program(&net, APP, |request| async move {
            let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
            whole(format!(
                "{} {} {}",
                request.uri(),
                header("host"),
                header("motan-p")
            ))
        });
        let mut motan = client.motan();
        let mut call = request(1, "User.Shop.mesh", "/x", b"");
        call.meta.insert("M_g".into(), "whatever".into());
        assert_eq!(bytes(&motan.call(&call).await), b"/x User.Shop.mesh demo.User");
        call.meta.insert("http_Host".into(), "another.example.com".into());
        assert_eq!(
            bytes(&motan.call(&call).await),
            b"/x another.example.com demo.User"
        );

        // What is no host of the plan, and what is no path, is as undeclared as ever.
        for (path, method) in [("www.example.com", "/x"), ("user.shop.mesh", "x")] {
            let exception = motan.call(&request(2, path, method, b"")).await.exception();
            assert_eq!(exception.code, 400);
            let words = format!("cluster not found. cluster: cluster not found. service: {path}");
            assert!(exception.words.starts_with(&words), "{}", exception.words);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_host_of_a_motan_service_is_no_name_for_motan_callers() {
    run(async {
        let net = Net::default();
        let client = Agent::start(&net, None, &caller("motan2", &[A], 1000));
        let call = request(1, "user.shop.mesh", "/x", b"");
        let exception = client.motan().call(&call).await.exception();
        assert_eq!(exception.code, 400);
        let words = "is a host of shop/user, which speaks motan2: call it by its path demo.User";
        assert!(exception.words.contains(words), "{}", exception.words);
    })
    .await;
}

/// The message of field 1 with the text "a".
const MESSAGE: &[u8] = b"\x0a\x01a";
const GRPC_MESSAGE: &[u8] = b"\0\0\0\0\x03\x0a\x01a";

/// A gRPC answer of these pieces.
fn grpc_answer(message: Option<Bytes>, trailers: &[(&'static str, &str)]) -> Answer {
    let trailers = trailers.iter().map(|(name, value)| {
        let name = hyper::header::HeaderName::from_static(name);
        (name, value.parse().unwrap())
    });
    let trailers: HeaderMap = trailers.collect();
    let pieces = message
        .map(Frame::data)
        .into_iter()
        .chain([Frame::trailers(trailers)]);
    let pieces = futures::stream::iter(pieces.map(Ok));
    let response = Response::builder().header("content-type", "application/grpc");
    response.body(StreamBody::new(pieces).boxed()).unwrap()
}

fn grpc_pair(net: &Net, protocol: &str) -> (Agent, Agent) {
    let server = Agent::start(net, Some(A), &provider(protocol, APP));
    let client = Agent::start(net, None, &caller(protocol, &[A], 1000));
    (client, server)
}

fn in_protobuf(mut call: Message, serialization: u8) -> Message {
    call.header.serialization = serialization << 3;
    call
}

#[tokio::test(start_paused = true)]
async fn a_motan_2_caller_calls_a_grpc_service() {
    run(async {
        let net = Net::default();
        let (client, server) = grpc_pair(&net, "grpc");
        streaming(&net, APP, Speaks::Http2, |request| async move {
            assert_eq!(request.uri().path(), "/demo.User/Get");
            assert_eq!(request.headers()["content-type"], "application/grpc");
            assert_eq!(
                (
                    request.headers()["m_s"].as_bytes(),
                    request.headers()["custom"].as_bytes()
                ),
                (&b"web"[..], &b"1"[..])
            );
            assert_eq!(request.headers()["grpc-timeout"], "1000000u");
            let body = request.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, GRPC_MESSAGE);
            grpc_answer(Some(body), &[("grpc-status", "0"), ("x-end", "2")])
        });
        let mut motan = client.motan();
        for (serialization, body) in [(1, MESSAGE), (5, b"\0\x03\x0a\x01a")] {
            let mut call = in_protobuf(request(7, "demo.User", "Get", body), serialization);
            call.meta.insert("Custom".into(), "1".into());
            let reply = motan.call(&call).await;
            assert_eq!(
                (reply.header.status, reply.header.serialization()),
                (0, serialization),
                "{reply:?}"
            );
            assert_eq!((reply.header.id, reply.body.as_slice()), (7, body));
            assert_eq!((reply.get("x-end"), reply.get("grpc-status")), ("2", ""));
        }
        for agent in [&client, &server] {
            assert_eq!(agent.metric("motanmesh_calls_total", &["outcome=\"ok\""]), 2.0);
        }
        let exception = motan.call(&request(8, "demo.User", "Get", b"")).await.exception();
        assert_eq!(exception.code, 501);
        assert!(
            exception
                .words
                .contains("in serialization grpc-pb (1) or protobuf (5), not 6"),
            "{}",
            exception.words
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_grpc_status_is_an_exception_to_motan_callers() {
    run(async {
        let net = Net::default();
        let (client, _server) = grpc_pair(&net, "grpc");
        streaming(&net, APP, Speaks::Http2, |_| async {
            grpc_answer(None, &[("grpc-status", "5"), ("grpc-message", "no %C3%BCser")])
        });
        let call = in_protobuf(request(1, "demo.User", "Get", MESSAGE), 1);
        let exception = client.motan().call(&call).await.exception();
        assert_eq!(
            (exception.code, exception.kind, exception.words.as_str()),
            (5, ErrorType::Biz, "no üser")
        );
    })
    .await;
}

/// A unary call, and what comes of it: message, status and words.
async fn unary(agent: &Agent, message: &'static [u8]) -> (Bytes, String, String) {
    let mut client = Client2::new(agent.connect(ListenerKind::Http)).await;
    let request = Request::post("http://user.shop.mesh/demo.User/Get")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("custom", "kept")
        .body(Full::new(Bytes::from_static(message)).boxed())
        .unwrap();
    let response = client.open(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/grpc");
    let (parts, body) = response.into_parts();
    let (body, trailers) = rest(body).await;
    let trailers = trailers.unwrap_or_default();
    let of = |name: &str| {
        let value = trailers.get(name).or_else(|| parts.headers.get(name));
        value.map_or("", |value| value.to_str().unwrap()).to_owned()
    };
    (body, of("grpc-status"), of("grpc-message"))
}

#[tokio::test(start_paused = true)]
async fn a_grpc_caller_calls_a_motan_2_service() {
    run(async {
        let net = Net::default();
        let (client, server) = grpc_pair(&net, "motan2");
        let mut asked = motan_program(&net, APP);
        tokio::task::spawn_local(async move {
            while let Some(asked) = asked.recv().await {
                let message = &asked.message;
                let meta = ["M_p", "M_m", "M_g", "M_s", "custom", "x-mesh-peer"].map(|key| message.get(key));
                assert_eq!(meta, ["demo.User", "Get", "g1", "web", "kept", ""]);
                assert_eq!(message.header.serialization(), 1);
                asked.answer(&message.body).await;
            }
        });
        let (body, status, _) = unary(&client, GRPC_MESSAGE).await;
        assert_eq!((body.as_ref(), status.as_str()), (GRPC_MESSAGE, "0"));
        for agent in [&client, &server] {
            assert_eq!(agent.metric("motanmesh_calls_total", &["outcome=\"ok\""]), 1.0);
            assert_eq!(agent.metric("motanmesh_calls_in_flight", &[]), 0.0);
        }
        // Two messages are a stream.
        let (_, status, words) = unary(&client, b"\0\0\0\0\x01a\0\0\0\0\x01b").await;
        assert_eq!(status, "12");
        assert!(
            words.contains("there is more than one message, and streams have no place in Motan"),
            "{words}"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_exception_of_a_motan_service_is_a_status_to_grpc_callers() {
    run(async {
        let net = Net::default();
        let (client, _server) = grpc_pair(&net, "motan2");
        let mut asked = motan_program(&net, APP);
        tokio::task::spawn_local(async move {
            while let Some(asked) = asked.recv().await {
                asked
                    .answer_exception(r#"{"errcode":30001,"errmsg":"no üser","errtype":2}"#)
                    .await;
            }
        });
        let (body, status, words) = unary(&client, GRPC_MESSAGE).await;
        assert_eq!(
            (body.len(), status.as_str(), words.as_str()),
            (0, "2", "no %C3%BCser")
        );
        net.kill(APP);
        let (_, status, words) = unary(&client, GRPC_MESSAGE).await;
        assert_eq!(status, "14", "{words}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_shell_calls_a_motan_service_with_one_string() {
    run(async {
        let net = Net::default();
        let (client, _server) = grpc_pair(&net, "motan2");
        let mut asked = motan_program(&net, APP);
        tokio::task::spawn_local(async move {
            while let Some(asked) = asked.recv().await {
                let meta =
                    ["M_p", "M_m", "M_g", "M_s", "x-trace"].map(|key| asked.message.get(key).to_owned());
                assert_eq!(meta, ["demo.User", "hello", "g1", "web", "t"]);
                if asked.message.body.is_empty() {
                    asked
                        .answer_exception(r#"{"errcode":30001,"errmsg":"who?","errtype":2}"#)
                        .await;
                } else {
                    asked.answer(&asked.message.body).await;
                }
            }
        });
        let mut shell = crate::web::Client::new(client.connect(ListenerKind::Http)).await;
        let mut ask = async |query: &str| {
            let mut request = crate::web::get("127.0.0.1:9983", &format!("/proxy_to_rpc?{query}"));
            request.headers_mut().insert("x-trace", "t".parse().unwrap());
            let reply = shell.call(request).await;
            let kind = reply
                .headers()
                .get("k1")
                .map(|value| value.to_str().unwrap().to_owned());
            (
                reply.status().as_u16(),
                String::from_utf8(reply.body().to_vec()).unwrap(),
                kind,
            )
        };
        let called = "service=demo.User&method=hello";
        let fine = ask(&format!("{called}&arg_type=string&arg=Ray+B")).await;
        assert_eq!(fine, (200, "Ray B".to_owned(), Some("v1".to_owned())));
        assert_eq!(ask(called).await, (502, "who?\n".to_owned(), None));
        let (status, words, _) = ask("service=demo.User").await;
        assert_eq!(status, 400);
        assert!(words.starts_with("method is missing"), "{words}");
        let (status, words, _) = ask("service=demo.Other&method=hello").await;
        assert_eq!(status, 404);
        assert!(words.contains("service: demo.Other"), "{words}");
    })
    .await;
}
