//! Connections that become something else, and what else HTTP/1.1 has beside requests and responses.

use std::convert::Infallible;

use agent::worker::ListenerKind;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Frame;
use hyper::header::{CONNECTION, UPGRADE};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::spawn_local;

use crate::mesh::{Agent, caller, provider, run};
use crate::net::Net;
use crate::web::{Client, Client2, Speaks, mesh_error, pieces, program, rest, streaming, whole};

const A: &str = "10.0.0.1:9982";
const APP_A: &str = "127.0.0.1:8001";
const HOST: &str = "user.shop.mesh";

fn pair(net: &Net) -> (Agent, Agent) {
    let server = Agent::start(net, Some(A), &provider("http", APP_A));
    let client = Agent::start(net, None, &caller("http", &[A], 1000));
    (client, server)
}

/// A program that changes its connections to `shout` and then gives back what it reads in capitals.
fn shouting(net: &Net) {
    let mut accepted = net.listen(APP_A);
    spawn_local(async move {
        while let Some(io) = accepted.recv().await {
            let service = service_fn(|mut request: Request<hyper::body::Incoming>| async move {
                assert_eq!(request.headers()[CONNECTION], "upgrade");
                let mut response = Response::new(Empty::<Bytes>::new());
                if request.headers()[UPGRADE] != "shout" {
                    *response.status_mut() = StatusCode::BAD_REQUEST;
                    return Ok::<_, Infallible>(response);
                }
                let upgrading = hyper::upgrade::on(&mut request);
                spawn_local(async move {
                    let mut io = TokioIo::new(upgrading.await.unwrap());
                    let mut read = [0; 1024];
                    while let Ok(count @ 1..) = io.read(&mut read).await {
                        io.write_all(&read[..count].to_ascii_uppercase()).await.unwrap();
                    }
                    io.shutdown().await.unwrap();
                });
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                let headers = response.headers_mut();
                headers.insert(CONNECTION, "upgrade".parse().unwrap());
                headers.insert(UPGRADE, "shout".parse().unwrap());
                headers.insert("sec-websocket-accept", "yes".parse().unwrap());
                Ok(response)
            });
            spawn_local(async move {
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(io), service)
                    .with_upgrades()
                    .await;
            });
        }
    });
}

/// Sends text, and reads a head.
async fn say(io: &mut DuplexStream, text: &str) -> String {
    let _ = io.write_all(text.as_bytes()).await; // what is too much is not read to its end
    head(io).await
}

async fn head(io: &mut DuplexStream) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        read.push(io.read_u8().await.unwrap());
    }
    String::from_utf8(read).unwrap().to_ascii_lowercase()
}

async fn exactly(io: &mut DuplexStream, count: usize) -> String {
    let mut read = vec![0; count];
    io.read_exact(&mut read).await.unwrap();
    String::from_utf8(read).unwrap()
}

async fn all(io: &mut DuplexStream) -> String {
    let mut read = Vec::new();
    io.read_to_end(&mut read).await.unwrap();
    String::from_utf8_lossy(&read).into_owned()
}

fn asking(upgrade: &str) -> String {
    format!("GET /chat HTTP/1.1\r\nhost: {HOST}\r\nconnection: Upgrade\r\nupgrade: {upgrade}\r\n\r\n")
}

#[tokio::test(start_paused = true)]
async fn an_upgraded_connection_carries_bytes_both_ways_until_it_is_closed() {
    run(async {
        let net = Net::default();
        let (client, server) = pair(&net);
        shouting(&net);
        let mut io = client.connect(ListenerKind::Http);
        let answer = say(&mut io, &asking("shout")).await;
        assert!(answer.starts_with("http/1.1 101 "), "{answer}");
        for line in [
            "upgrade: shout",
            "connection: upgrade",
            "sec-websocket-accept: yes",
        ] {
            assert!(answer.contains(line), "{answer}");
        }
        for words in ["hello", "again"] {
            // Longer than a call may take.
            tokio::time::sleep(std::time::Duration::from_secs(10)).await;
            io.write_all(words.as_bytes()).await.unwrap();
            assert_eq!(exactly(&mut io, words.len()).await, words.to_ascii_uppercase());
        }
        io.write_all(b"last").await.unwrap();
        io.shutdown().await.unwrap();
        assert_eq!(all(&mut io).await, "LAST");
        while (client.worker.in_flight(), server.worker.in_flight()) != (0, 0) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_program_that_does_not_change_its_connection_answers_as_ever() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net);
        shouting(&net);
        let mut io = client.connect(ListenerKind::Http);
        let answer = say(&mut io, &asking("other")).await;
        assert!(answer.starts_with("http/1.1 400 "), "{answer}");
        let answer = say(&mut io, &asking("shout")).await;
        assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_to_a_declared_host_carries_http_of_both_versions() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net);
        program(&net, APP_A, |request| async move {
            whole(format!(
                "{} {}",
                request.headers()["host"].to_str().unwrap(),
                request.uri()
            ))
        });
        let open = async || {
            let mut io = client.connect(ListenerKind::Http);
            let answer = say(
                &mut io,
                &format!("CONNECT {HOST}:443 HTTP/1.1\r\nhost: {HOST}:443\r\n\r\n"),
            )
            .await;
            assert!(answer.starts_with("http/1.1 200 "), "{answer}");
            io
        };
        let request = crate::web::get(HOST, "/inside");
        let reply = Client::new(open().await).await.call(request).await;
        assert_eq!(reply.body(), &format!("{HOST} /inside"));
        let request = Request::get(format!("http://{HOST}/inside"));
        let request = request.body(Full::new(Bytes::new()).boxed()).unwrap();
        let response = Client2::new(open().await).await.open(request).await.unwrap();
        assert_eq!(rest(response.into_body()).await.0, format!("{HOST} /inside"));
        // TLS is told in its own words that it is not spoken here.
        let mut io = open().await;
        io.write_all(b"\x16\x03\x01\x00\x05hello").await.unwrap();
        let mut alert = Vec::new();
        io.read_to_end(&mut alert).await.unwrap();
        assert_eq!(alert, [21, 3, 3, 0, 2, 2, 49]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn http_2_asked_for_in_http_1_begins_with_the_answer_to_that_request() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net);
        program(&net, APP_A, |request| async move {
            whole(format!("{} {}", request.uri(), request.headers()["x-long"].len()))
        });
        let mut io = client.connect(ListenerKind::Http);
        let long = "l".repeat(20_000);
        let answer = say(
            &mut io,
            &format!(
                "GET /first HTTP/1.1\r\nhost: {HOST}\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n\
                 http2-settings: AAMAAABkAAQAAP__\r\nx-long: {long}\r\n\r\n"
            ),
        )
        .await;
        assert!(answer.starts_with("http/1.1 101 ") && answer.contains("upgrade: h2c"), "{answer}");
        // As a client does: its preface, empty SETTINGS, and the ack of the server's.
        io.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        io.write_all(b"\0\0\0\x04\x01\0\0\0\0").await.unwrap();
        let (mut status, mut body) = (None, Vec::new());
        loop {
            let mut frame = [0; 9];
            io.read_exact(&mut frame).await.unwrap();
            let length = u32::from_be_bytes([0, frame[0], frame[1], frame[2]]) as usize;
            let mut payload = vec![0; length];
            io.read_exact(&mut payload).await.unwrap();
            let stream = u32::from_be_bytes([frame[5], frame[6], frame[7], frame[8]]);
            match frame[3] {
                1 => {
                    assert_eq!(stream, 1);
                    status = Some(payload[0]);
                }
                0 => body.extend_from_slice(&payload),
                _ => continue,
            }
            if frame[4] & 1 == 1 {
                break;
            }
        }
        assert_eq!(status, Some(0x88)); // :status 200, of the static table
        assert_eq!(String::from_utf8(body).unwrap(), "/first 20000");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_waits_to_be_asked_for_is_asked_for() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net);
        program(&net, APP_A, |request| async move {
            assert!(!request.headers().contains_key("expect"));
            whole(request.into_body())
        });
        for size in [5, 100_000] {
            let mut io = client.connect(ListenerKind::Http);
            let text = format!(
                "POST / HTTP/1.1\r\nhost: {HOST}\r\nexpect: 100-continue\r\ncontent-length: {size}\r\n\r\n"
            );
            assert_eq!(say(&mut io, &text).await, "http/1.1 100 continue\r\n\r\n");
            let body = "b".repeat(size);
            let answer = say(&mut io, &body).await;
            assert!(answer.starts_with("http/1.1 200 "), "{answer}");
            assert!(exactly(&mut io, size).await == body);
            // Where nobody wants it, it is not asked for.
            let text = text.replace(HOST, "other.mesh");
            let answer = say(&mut io, &text).await;
            assert!(answer.starts_with("http/1.1 404 "), "{answer}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_of_http_1_0_gets_streams_until_the_connection_ends() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net);
        streaming(&net, APP_A, Speaks::Http1, |request| async move {
            assert_eq!(request.headers()["via"], "1.0 motanmesh");
            let (sender, body) = pieces();
            spawn_local(async move {
                for piece in ["one ", "two"] {
                    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
                    sender.send(Frame::data(Bytes::from(piece))).unwrap();
                }
            });
            Response::new(body)
        });
        let mut io = client.connect(ListenerKind::Http);
        let answer = say(&mut io, &format!("GET / HTTP/1.0\r\nhost: {HOST}\r\n\r\n")).await;
        assert!(answer.starts_with("http/1.0 200 "), "{answer}");
        assert!(!answer.contains("transfer-encoding"), "{answer}");
        assert_eq!(all(&mut io).await, "one two");
    })
    .await;
}

fn trailers(name: &'static str, value: &'static str) -> Frame<Bytes> {
    Frame::trailers(HeaderMap::from_iter([(
        name.parse().unwrap(),
        value.parse().unwrap(),
    )]))
}

#[tokio::test(start_paused = true)]
async fn trailers_pass_both_ways_over_http_1() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net);
        streaming(&net, APP_A, Speaks::Http1, |request| async move {
            assert_eq!(request.headers()["te"], "trailers");
            let (body, asked) = rest(request.into_body()).await;
            let (sender, answer) = pieces();
            sender.send(Frame::data(body)).unwrap();
            let sum = asked.unwrap()["x-sum"].to_str().unwrap().to_owned();
            assert_eq!(sum, "42");
            sender.send(trailers("x-total", "43")).unwrap();
            Response::builder()
                .header("trailer", "x-total")
                .body(answer)
                .unwrap()
        });
        let (sender, body): (_, BoxBody<Bytes, Infallible>) = pieces();
        sender.send(Frame::data(Bytes::from("body"))).unwrap();
        sender.send(trailers("x-sum", "42")).unwrap();
        drop(sender);
        let request = Request::post("/").header("host", HOST);
        let request = request
            .header("te", "trailers")
            .header("connection", "te")
            .header("trailer", "x-sum")
            .body(body);
        let mut web = Client::new(client.connect(ListenerKind::Http)).await;
        let response = web.open(request.unwrap()).await.unwrap();
        let (body, trailers) = rest(response.into_body()).await;
        assert_eq!(
            (&body[..], &trailers.unwrap()["x-total"]),
            (&b"body"[..], &"43".parse().unwrap())
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn heads_over_the_limits_are_refused_with_what_is_wrong() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net);
        let mut io = client.connect(ListenerKind::Http);
        let large = "x".repeat(80_000);
        let answer = say(
            &mut io,
            &format!("GET / HTTP/1.1\r\nhost: {HOST}\r\nx-large: {large}\r\n\r\n"),
        )
        .await;
        assert!(answer.starts_with("http/1.1 431 "), "{answer}");
        let mut io = client.connect(ListenerKind::Http);
        let many = "x: y\r\n".repeat(300);
        let answer = say(&mut io, &format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n{many}\r\n")).await;
        assert!(answer.starts_with("http/1.1 431 "), "{answer}");
        let mut web = Client::new(client.connect(ListenerKind::Http)).await;
        let reply = web.call(crate::web::get(HOST, "/")).await;
        assert_eq!(mesh_error(&reply), Some("unavailable"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_to_its_end_ends_its_connection() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net);
        program(&net, APP_A, |_| async { whole("done") });
        let mut io = client.connect(ListenerKind::Http);
        io.write_all(b"GET / HTTP/1.1\r\nhost: us").await.unwrap();
        assert_eq!(all(&mut io).await, "");
        // One that rests after a request, or before any, is left alone.
        let mut io = client.connect(ListenerKind::Http);
        tokio::time::sleep(std::time::Duration::from_secs(15)).await;
        for _ in 0..2 {
            let answer = say(&mut io, &format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n")).await;
            assert!(answer.starts_with("http/1.1 200 "), "{answer}");
            assert_eq!(exactly(&mut io, 4).await, "done");
            tokio::time::sleep(std::time::Duration::from_secs(15)).await;
        }
    })
    .await;
}
