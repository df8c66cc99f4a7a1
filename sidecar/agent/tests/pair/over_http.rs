//! HTTP → Motan → HTTP.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use agent::worker::ListenerKind;
use bytes::Bytes;
use futures::StreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::{Method, Request, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::mesh::{Agent, caller, plain, provider, run};
use crate::motan::{Client as MotanClient, echo};
use crate::net::Net;
use crate::web::{Answer, Client, get, mesh_error, program, whole};

const A: &str = "10.0.0.1:9982";
const B: &str = "10.0.0.2:9982";
const APP_A: &str = "127.0.0.1:8001";
const APP_B: &str = "127.0.0.1:8002";
const HOST: &str = "user.shop.mesh";

fn pair(net: &Net, timeout_ms: u32) -> (Agent, Agent) {
    let server = Agent::start(net, Some(A), &provider("http", APP_A));
    let client = Agent::start(net, None, &caller("http", &[A], timeout_ms));
    (client, server)
}

async fn connect(agent: &Agent) -> Client {
    Client::new(agent.connect(ListenerKind::Http)).await
}

#[tokio::test(start_paused = true)]
async fn a_request_goes_through_both_agents_and_back() {
    run(async {
        let net = Net::default();
        let (client, server) = pair(&net, 1000);
        let seen = Rc::new(RefCell::new(Vec::new()));
        let log = Rc::clone(&seen);
        program(&net, APP_A, move |request| {
            log.borrow_mut().push(request);
            async {
                let mut answer = whole("resp-body");
                *answer.status_mut() = StatusCode::CREATED;
                let headers = answer.headers_mut();
                headers.append("set-cookie", "a=1".parse().unwrap());
                headers.append("set-cookie", "b=2".parse().unwrap());
                headers.insert("keep-alive", "timeout=5".parse().unwrap());
                answer
            }
        });
        let mut request = get("User.Shop.Mesh:80", "/test/%7Ea//b?x=1&y=%20").map(|_| Bytes::from("{}"));
        *request.method_mut() = Method::POST;
        let headers = request.headers_mut();
        headers.insert("content-type", "application/json".parse().unwrap());
        headers.append("x-twice", "1".parse().unwrap());
        headers.append("x-twice", "2".parse().unwrap());
        headers.insert("connection", "keep-alive, x-private".parse().unwrap());
        headers.insert("x-private", "for the next hop only".parse().unwrap());
        let reply = connect(&client).await.call(request).await;

        assert_eq!(reply.status(), StatusCode::CREATED);
        assert_eq!(reply.body(), "resp-body");
        let cookies: Vec<_> = reply.headers().get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["a=1", "b=2"]);
        assert!(!reply.headers().contains_key("keep-alive"));
        assert_eq!(mesh_error(&reply), None);

        let seen = seen.borrow();
        let asked = &seen[0];
        assert_eq!(asked.method(), Method::POST);
        assert_eq!(asked.uri(), "/test/%7Ea//b?x=1&y=%20");
        assert_eq!(asked.body(), "{}");
        let header = |name: &str| {
            asked
                .headers()
                .get(name)
                .map_or("", |value| value.to_str().unwrap())
        };
        assert_eq!(header("host"), "User.Shop.Mesh:80");
        assert_eq!(
            (header("content-type"), header("content-length")),
            ("application/json", "2")
        );
        assert_eq!(
            (header("motan-p"), header("motan-m"), header("motan-g")),
            ("demo.User", "/test/~a/b", "g1")
        );
        assert_eq!(
            (header("motan-s"), header("motan-pp"), header("motan-tmo")),
            ("web", "motan2", "1000")
        );
        assert_eq!(header("x-forwarded-for"), "10.0.0.9");
        let twice: Vec<_> = asked.headers().get_all("x-twice").iter().collect();
        assert_eq!(twice, ["1", "2"]);
        assert_eq!((header("connection"), header("x-private")), ("", ""));
        for (agent, role) in [(&client, "client"), (&server, "server")] {
            let labels = [
                role,
                "service=\"shop/user\"",
                "protocol=\"http\"",
                "outcome=\"ok\"",
            ];
            assert_eq!(agent.metric("motanmesh_calls_total", &labels), 1.0);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn statuses_and_bodies_of_every_shape_survive() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 1000);
        program(&net, APP_A, |request| async move { shape(request.uri().path()) });
        let mut web = connect(&client).await;
        // Method, path, status, body, content-length.
        let rows = [
            ("GET", "/whole", 200, "hello", Some("5")),
            ("HEAD", "/whole", 200, "", Some("5")),
            ("GET", "/chunked", 200, "one two ", Some("8")),
            ("GET", "/empty", 200, "", Some("0")),
            ("DELETE", "/204", 204, "", None),
            ("GET", "/304", 304, "", None),
            ("GET", "/404", 404, "not here", Some("8")),
            ("OPTIONS", "/599", 599, "own", Some("3")),
        ];
        for (method, path, status, body, length) in rows {
            let mut request = get(HOST, path);
            *request.method_mut() = method.parse().unwrap();
            let reply = web.call(request).await;
            assert_eq!(reply.status(), status, "{method} {path}");
            assert_eq!(reply.body(), body, "{method} {path}");
            let shown = reply
                .headers()
                .get("content-length")
                .map(|value| value.to_str().unwrap());
            assert_eq!(shown, length, "{method} {path}");
            assert!(
                !reply.headers().contains_key("transfer-encoding"),
                "{method} {path}"
            );
        }
        assert_eq!(
            net.connects(APP_A),
            1,
            "the connection to the program is kept alive"
        );
        assert_eq!(
            client.metric("motanmesh_calls_total", &["outcome=\"app-error\""]),
            1.0
        );
    })
    .await;
}

fn shape(path: &str) -> Answer {
    let mut answer = match path {
        "/whole" => whole("hello"),
        "/chunked" => {
            let parts = ["one ", "two "].map(|part| Ok(Frame::data(Bytes::from(part))));
            Response::new(BodyExt::boxed(StreamBody::new(futures::stream::iter(parts))))
        }
        "/404" => whole("not here"),
        "/599" => whole("own"),
        _ => whole(""),
    };
    if let Ok(status) = path[1..].parse() {
        *answer.status_mut() = status;
    }
    answer
}

#[tokio::test(start_paused = true)]
async fn large_bodies_pass_both_ways() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 5000);
        program(&net, APP_A, |request| async move { whole(request.into_body()) });
        let mut web = connect(&client).await;
        let body: Bytes = (0..=255).cycle().take(9 << 20).collect();
        let post = |body: Bytes| {
            let mut request = get(HOST, "/").map(|_| body);
            *request.method_mut() = Method::POST;
            request
        };
        let reply = web.call(post(body.clone())).await;
        assert!(
            reply.body() == &body,
            "{} bytes: {:?}",
            reply.body().len(),
            reply.status()
        );
        // In pieces, without a length.
        let pieces: Vec<_> = body.chunks(100_000).map(Bytes::copy_from_slice).collect();
        let pieces = futures::stream::iter(pieces).map(|piece| Ok(Frame::data(piece)));
        let request = post(Bytes::new()).map(|_| BodyExt::boxed(StreamBody::new(pieces)));
        assert!(web.send(request).await.body() == &body);

        // More than a frame takes.
        let body = Bytes::from(vec![7; 11 << 20]);
        let reply = connect(&client).await.call(post(body.clone())).await;
        assert!(reply.body() == &body);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_no_frame_takes_arrives_all_the_same() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 5000);
        program(&net, APP_A, |_| async { whole(vec![0; 11 << 20]) });
        let reply = connect(&client).await.call(get(HOST, "/")).await;
        assert_eq!(reply.headers()["content-length"], (11 << 20).to_string());
        assert!(reply.body() == &vec![0; 11 << 20]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_called_is_refused_with_the_mend() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 1000);
        let mut web = connect(&client).await;
        let reply = web.call(get("other.mesh", "/")).await;
        assert_eq!(
            (reply.status(), mesh_error(&reply)),
            (StatusCode::NOT_FOUND, Some("undeclared"))
        );
        let words = String::from_utf8(reply.body().to_vec()).unwrap();
        assert!(
            words.contains("MeshDependency") && words.contains("other.mesh"),
            "{words}"
        );

        let reply = web.call(get("x", "http://other.mesh/")).await;
        assert_eq!(
            (reply.status(), mesh_error(&reply)),
            (StatusCode::FORBIDDEN, Some("undeclared"))
        );

        let tunnel = Request::builder()
            .method("CONNECT")
            .uri("other.mesh:443")
            .body(Bytes::new());
        let reply = web.call(tunnel.unwrap()).await;
        assert_eq!(
            (reply.status(), mesh_error(&reply)),
            (StatusCode::FORBIDDEN, Some("undeclared"))
        );

        assert_eq!(net.connects(A), 0);
        let _motan = Agent::start(&net, Some(B), &provider("motan2", APP_B));
        let motan = Agent::start(&net, None, &caller("motan2", &[B], 1000));
        for size in [0, 100_000] {
            let mut request = get(HOST, "/").map(|_| Bytes::from(vec![0; size]));
            *request.method_mut() = Method::POST;
            let reply = connect(&motan).await.call(request).await;
            assert_eq!(
                (reply.status(), mesh_error(&reply)),
                (StatusCode::NOT_IMPLEMENTED, Some("unsupported"))
            );
            let words = String::from_utf8(reply.body().to_vec()).unwrap();
            assert!(words.contains("spec.http"), "{words}");
        }
        assert_eq!(net.connects(APP_B), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_reads_json_is_told_of_failures_in_a_problem() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 1000);
        let mut web = connect(&client).await;
        let mut ask = async |host: &str, accept: &str| {
            let mut request = get(host, "/users/7?a=b");
            request.headers_mut().insert("accept", accept.parse().unwrap());
            let reply = web.call(request).await;
            let media = reply.headers()["content-type"].to_str().unwrap().to_owned();
            (reply.status(), media, reply.into_body())
        };
        let (_, media, words) = ask("other.mesh", "text/html, */*").await;
        assert_eq!(media, "text/plain; charset=utf-8");
        let words = String::from_utf8(words.to_vec()).unwrap();
        let rows = [
            ("other.mesh", 404, "undeclared", Some(words.trim_end())),
            (HOST, 502, "unavailable", None), // nobody listens there
        ];
        for (host, status, kind, detail) in rows {
            let (got, media, body) = ask(host, "application/json, */*").await;
            assert_eq!(
                (got.as_u16(), media.as_str()),
                (status, "application/problem+json")
            );
            let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(problem["type"], format!("urn:motanmesh:problem:{kind}"));
            assert_eq!(problem["status"], status);
            assert_eq!(problem["instance"], "/users/7");
            assert!(
                detail.is_none_or(|detail| problem["detail"] == detail),
                "{problem}"
            );
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_proxied_request_reaches_its_declared_host() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 1000);
        program(&net, APP_A, |request| async move {
            let host = request.headers()["host"].to_str().unwrap();
            whole(format!("{host} {}", request.uri()))
        });
        let reply = connect(&client)
            .await
            .call(get("ignored", "http://user.shop.mesh:80/a?b=c"))
            .await;
        assert_eq!(reply.body(), "user.shop.mesh:80 /a?b=c");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn heads_that_are_too_large_or_no_http_end_their_connection_only() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 1000);
        program(&net, APP_A, |_| async { whole("fine") });
        let mut web = connect(&client).await;
        assert_eq!(web.call(get(HOST, "/")).await.body(), "fine");
        let large = format!(
            "GET / HTTP/1.1\r\nhost: {HOST}\r\nx: {}\r\n\r\n",
            "y".repeat(70_000)
        );
        for (bytes, status) in [(large.as_str(), "431"), ("\u{1}\u{2}nonsense\r\n\r\n", "400")] {
            let mut raw = client.connect(ListenerKind::Http);
            let _ = raw.write_all(bytes.as_bytes()).await;
            let mut answer = Vec::new();
            let _ = raw.read_to_end(&mut answer).await;
            let answer = String::from_utf8(answer).unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        }
        assert_eq!(web.call(get(HOST, "/")).await.body(), "fine");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn every_head_that_has_begun_must_come_to_its_end_and_a_connection_may_rest() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 1000);
        program(&net, APP_A, |request| async move { whole(request.into_body()) });
        let whole_request = format!("POST / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 2\r\n\r\nhi");
        let cut_after = async |before: usize| {
            let mut raw = client.connect(ListenerKind::Http);
            for _ in 0..before {
                raw.write_all(whole_request.as_bytes()).await.unwrap();
                let mut answer = Vec::new();
                while !answer.ends_with(b"\r\n\r\nhi") {
                    assert!(raw.read_buf(&mut answer).await.unwrap() > 0);
                }
                raw.write_all(b"\r\n").await.unwrap();
                tokio::time::sleep(Duration::from_secs(15)).await;
            }
            raw.write_all(b"GET / HTTP/1.1\r\nhost: ").await.unwrap();
            let begun = tokio::time::Instant::now();
            let mut rest = Vec::new();
            let _ = raw.read_to_end(&mut rest).await;
            let took = begun.elapsed();
            assert!(
                took >= Duration::from_secs(9) && took < Duration::from_secs(21),
                "{took:?}"
            );
            assert_eq!(rest, b"", "after {before}");
        };
        // At once, each on its own connection.
        futures::future::join_all([0, 1, 2].map(cut_after)).await;
        assert_eq!(
            client.metric("motanmesh_connections_broken_total", &["\"http\""]),
            3.0
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_may_take_longer_than_a_head() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 1000);
        program(&net, APP_A, |request| async move { whole(request.into_body()) });
        let mut raw = client.connect(ListenerKind::Http);
        let head = format!("POST / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 4\r\n\r\n");
        raw.write_all(head.as_bytes()).await.unwrap();
        for byte in [b"s", b"l", b"o", b"w"] {
            tokio::time::sleep(Duration::from_secs(12)).await;
            raw.write_all(byte).await.unwrap();
        }
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nslow") {
            assert!(raw.read_buf(&mut answer).await.unwrap() > 0);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn failures_of_the_mesh_carry_their_kind() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 300);
        // Nothing listens at the program's port.
        let reply = connect(&client).await.call(get(HOST, "/")).await;
        assert_eq!(mesh_error(&reply), Some("unavailable"));
        assert_eq!(reply.status(), StatusCode::BAD_GATEWAY);

        program(&net, APP_A, |_| async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            whole("late")
        });
        let reply = connect(&client).await.call(get(HOST, "/")).await;
        assert_eq!(
            (reply.status(), mesh_error(&reply)),
            (StatusCode::GATEWAY_TIMEOUT, Some("timeout"))
        );

        let none = Agent::start(&net, None, &caller("http", &[], 300));
        let reply = connect(&none).await.call(get(HOST, "/")).await;
        assert_eq!(
            (reply.status(), mesh_error(&reply)),
            (StatusCode::SERVICE_UNAVAILABLE, Some("no-endpoint"))
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_unsent_request_of_any_method_goes_to_another_endpoint() {
    run(async {
        let net = Net::default();
        let _a = Agent::start(&net, Some(A), &provider("http", APP_A));
        let _b = Agent::start(&net, Some(B), &provider("http", APP_B));
        let client = Agent::start(&net, None, &caller("http", &[A, B], 1000));
        program(&net, APP_B, |request| async move { whole(request.into_body()) });
        let mut web = connect(&client).await;
        for _ in 0..20 {
            let mut request = get(HOST, "/").map(|_| Bytes::from("body"));
            *request.method_mut() = Method::POST;
            let reply = web.call(request).await;
            assert_eq!(
                (reply.status(), &reply.body()[..]),
                (StatusCode::OK, &b"body"[..])
            );
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_request_is_repeated_only_where_its_method_allows() {
    // Whether its server agent is lost or the program behind it.
    for (killed, method, status) in [
        (A, "GET", StatusCode::OK),
        (A, "POST", StatusCode::BAD_GATEWAY),
        (APP_A, "GET", StatusCode::OK),
        (APP_A, "POST", StatusCode::BAD_GATEWAY),
    ] {
        run(async {
            let net = Net::default();
            let _a = Agent::start(&net, Some(A), &provider("http", APP_A));
            let _b = Agent::start(&net, Some(B), &provider("http", APP_B));
            let client = Agent::start(&net, None, &caller("http", &[A], 2000));
            program(&net, APP_A, |_| async { std::future::pending().await });
            program(&net, APP_B, |_| async { whole("done") });
            let mut web = connect(&client).await;
            let mut request = get(HOST, "/");
            *request.method_mut() = method.parse().unwrap();
            let cut = async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                client.apply(&caller("http", &[A, B], 2000));
                net.kill(killed);
            };
            let (reply, ()) = tokio::join!(web.call(request), cut);
            assert_eq!(reply.status(), status, "{method} while {killed} is killed");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_that_the_program_closed_is_no_failure() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 1000);
        program(&net, APP_A, |_| async { whole("fine") });
        let mut web = connect(&client).await;
        for round in 0..5 {
            let mut request = get(HOST, "/");
            *request.method_mut() = Method::POST;
            assert_eq!(web.call(request).await.body(), "fine", "round {round}");
            net.cut(APP_A);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn concurrent_requests_wait_in_the_same_slab_as_motan_calls() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 1000);
        program(&net, APP_A, |request| async move {
            let pause: u64 = request.uri().path()[1..].parse().unwrap();
            tokio::time::sleep(Duration::from_millis(pause)).await;
            whole(pause.to_string())
        });
        let calls = (0..50u64).rev().map(|pause| {
            let io = client.connect(ListenerKind::Http);
            async move {
                let path = format!("/{pause}");
                let reply = Client::new(io).await.call(get(HOST, &path)).await;
                assert_eq!(reply.body(), &pause.to_string());
            }
        });
        futures::future::join_all(calls).await;
        assert_eq!(net.connects(A), 1, "one link carries them all");
        assert_eq!(client.worker.in_flight(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_hangs_up_leaves_one_cancelled_call() {
    run(async {
        let net = Net::default();
        let (client, server) = pair(&net, 1000);
        program(&net, APP_A, |_| async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            whole("nobody reads this")
        });
        let mut raw = client.connect(ListenerKind::Http);
        raw.write_all(format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n").as_bytes())
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
        drop(raw);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(
            client.metric("motanmesh_calls_total", &["outcome=\"cancelled\""]),
            1.0
        );
        assert_eq!(client.metric("motanmesh_calls_total", &[]), 1.0);
        assert_eq!(server.metric("motanmesh_calls_total", &["outcome=\"ok\""]), 1.0);
        assert_eq!((client.worker.in_flight(), server.worker.in_flight()), (0, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_existing_agent_may_call_with_the_same_frame() {
    run(async {
        let net = Net::default();
        let _server = Agent::start(&net, Some(A), &plain(&provider("http", APP_A)));
        program(&net, APP_A, |request| async move {
            whole(format!(
                "{} {}",
                request.uri(),
                request.headers()["motan-m"].to_str().unwrap()
            ))
        });
        let mut call = crate::motan::request(7, "demo.User", "/test/rw/b", b"");
        call.meta.insert("HTTP_PROXY".into(), "true".into());
        call.meta.insert("M_g".into(), "g1".into());
        let head = b"POST /test/rw/b?x=1 HTTP/1.1\r\nHost: test.domain\r\nContent-Length: 2\r\n\r\n";
        wire::value::write_bytes(&mut call.body, head);
        wire::value::write_bytes(&mut call.body, b"{}");
        let mut foreign = MotanClient::new(net.dial(A));
        let reply = foreign.call(&call).await;
        assert_eq!((reply.header.id, reply.get("upstreamCode")), (7, "200"));
        let mut values = wire::value::Values::new(&reply.body);
        let Ok(Some(wire::value::Value::Array(parts))) = values.next() else {
            panic!("{reply:?}");
        };
        assert!(parts[0].bytes().unwrap().starts_with(b"HTTP/1.1 200 OK\r\n"));
        assert_eq!(parts[1].bytes().unwrap(), b"/test/rw/b?x=1 /test/rw/b");

        // Without the mark that it is HTTP these are two parameters; and no frame that could be a request.
        call.meta.remove("HTTP_PROXY");
        assert_eq!(foreign.call(&call).await.exception().code, 400);
        call.meta.insert("HTTP_PROXY".into(), "true".into());
        call.body = b"\x01".to_vec();
        assert_eq!(foreign.call(&call).await.exception().code, 400);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_is_no_http_response_is_a_bad_gateway() {
    run(async {
        let net = Net::default();
        let client = Agent::start(&net, None, &caller("http", &[A], 1000));
        echo(&net, A, "motan", Duration::ZERO);
        let reply = connect(&client).await.call(get(HOST, "/")).await;
        assert_eq!(
            (reply.status(), mesh_error(&reply)),
            (StatusCode::BAD_GATEWAY, Some("unavailable"))
        );
    })
    .await;
}
