//! Streams through real sidecars: events, large bodies, gRPC, upgrades, and what becomes of them when a sidecar ends.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::StreamExt;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::{CONNECTION, UPGRADE};
use hyper::server::conn as server;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::world::{PATIENCE, Pod, World, eventually};

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A large body: pieces, and the size of each in bytes. 64 MiB.
const PIECES: usize = 1024;
const PIECE: usize = 64 * 1024;
/// What one sidecar may hold of it, beside what it is by itself, in bytes.
const HELD: u64 = 24 << 20;

/// A body that is written piece by piece.
fn pieces() -> (mpsc::UnboundedSender<Frame<Bytes>>, Body) {
    let (sender, mut pieces) = mpsc::unbounded_channel();
    let pieces = futures::stream::poll_fn(move |context| pieces.poll_recv(context));
    (sender, StreamBody::new(pieces.map(Ok)).boxed_unsync())
}

fn data(text: &str) -> Frame<Bytes> {
    Frame::data(Bytes::copy_from_slice(text.as_bytes()))
}

/// What the program in these tests does, by path.
async fn answer(mut request: Request<Incoming>, taken: Arc<AtomicUsize>) -> Response<Body> {
    match request.uri().path() {
        "/large" => {
            let pieces = futures::stream::iter(0..PIECES).map(move |_| {
                taken.fetch_add(1, Ordering::Relaxed);
                Ok(Frame::data(Bytes::from(vec![b'x'; PIECE])))
            });
            Response::new(StreamBody::new(pieces).boxed_unsync())
        }
        "/count" => {
            let body = request
                .into_body()
                .collect()
                .await
                .map(|body| body.to_bytes().len());
            let count = body.unwrap_or_default().to_string();
            Response::new(Full::new(Bytes::from(count)).boxed_unsync())
        }
        "/begin" => {
            let (sender, body) = pieces();
            let _ = sender.send(data("begun"));
            tokio::spawn(async move { sender.closed().await });
            Response::new(body)
        }
        "/shout" => {
            let upgrading = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut io = TokioIo::new(upgrading.await.unwrap());
                let mut read = [0; 1024];
                while let Ok(count @ 1..) = io.read(&mut read).await {
                    io.write_all(&read[..count].to_ascii_uppercase()).await.unwrap();
                }
            });
            let response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
            let response = response.header(CONNECTION, "upgrade").header(UPGRADE, "shout");
            response.body(Full::new(Bytes::new()).boxed_unsync()).unwrap()
        }
        // Gives back what comes, as it comes; a gRPC caller gets its status at the end.
        _ => {
            let (sender, body) = pieces();
            tokio::spawn(async move {
                let mut asked = request.into_body();
                while let Some(Ok(frame)) = asked.frame().await {
                    let _ = sender.send(frame);
                }
                let status = [("grpc-status".parse().unwrap(), "0".parse().unwrap())];
                let _ = sender.send(Frame::trailers(HeaderMap::from_iter(status)));
            });
            Response::new(body)
        }
    }
}

/// Which HTTP a program speaks.
#[derive(Clone, Copy)]
enum Speaks {
    Http1,
    Http2,
}

/// A program; gives how many pieces of large bodies were taken from it.
async fn program(at: SocketAddr, speaks: Speaks) -> Arc<AtomicUsize> {
    let listener = TcpListener::bind(at).await.unwrap();
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let count = Arc::clone(&count);
            let service = service_fn(move |request| {
                let answering = answer(request, Arc::clone(&count));
                async { Ok::<_, Infallible>(answering.await) }
            });
            let io = TokioIo::new(socket);
            tokio::spawn(async move {
                match speaks {
                    Speaks::Http1 => {
                        let server = server::http1::Builder::new();
                        let _ = server.serve_connection(io, service).with_upgrades().await;
                    }
                    Speaks::Http2 => {
                        let server = server::http2::Builder::new(TokioExecutor::new());
                        let _ = server.serve_connection(io, service).await;
                    }
                }
            });
        }
    });
    taken
}

/// Two pods with sidecars: one calls `user.shop.mesh` (HTTP) and `chat.shop.mesh` (gRPC), which the other provides.
async fn pair(world: &World) -> (Pod, Pod, Arc<AtomicUsize>) {
    pair_with(world, &[]).await
}

/// The same with these flags of the sidecars.
async fn pair_with(world: &World, flags: &[&str]) -> (Pod, Pod, Arc<AtomicUsize>) {
    let mut user = world.pod("user");
    user.flags = flags.iter().map(Into::into).collect();
    let taken = program(user.at(8080), Speaks::Http1).await;
    program(user.at(8081), Speaks::Http2).await;
    let policy = json!({"timeoutMs": 5_000});
    let export = |name: &str, protocol: &str, port: u16| {
        json!({"name": format!("shop/{name}"), "path": format!("{name}.shop"), "group": "shop",
            "protocol": protocol, "backend": user.at(port).to_string(), "policy": policy})
    };
    let exports = json!([export("chat", "grpc", 8081), export("user", "http", 8080)]);
    user.plan(&[], &exports);
    user.start_sidecar();
    user.ready().await;
    let mut web = world.pod("web");
    web.flags.clone_from(&user.flags);
    let service = |name: &str, protocol: &str| -> Value {
        json!({"name": format!("shop/{name}"), "path": format!("{name}.shop"), "group": "shop",
            "protocol": protocol, "hosts": [format!("{name}.shop.mesh")], "policy": policy,
            "seeds": [{"address": user.at(9982).to_string()}]})
    };
    web.plan(&[service("chat", "grpc"), service("user", "http")], &json!([]));
    web.start_sidecar();
    web.ready().await;
    (web, user, taken)
}

async fn connect(web: &Pod) -> http1::SendRequest<Body> {
    let socket = TcpStream::connect(web.at(9983)).await.unwrap();
    let (sender, connection) = http1::handshake(TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn request(path: &str, body: Body) -> Request<Body> {
    let request = Request::post(path).header("host", "user.shop.mesh");
    request.body(body).unwrap()
}

async fn next(body: &mut Incoming) -> Bytes {
    let frame = timeout(PATIENCE, body.frame()).await.expect("in time");
    frame.unwrap().unwrap().into_data().unwrap()
}

#[tokio::test]
async fn a_large_download_passes_and_a_slow_reader_costs_little_memory() {
    let world = World::new();
    let (web, user, taken) = pair(&world).await;
    let mut sender = connect(&web).await;
    let before = web.resident().max(user.resident());
    let empty = Full::new(Bytes::new()).boxed_unsync();
    let response = sender.send_request(request("/large", empty)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    // Nobody reads: no more is taken from the program after a while.
    let seen = AtomicUsize::new(0);
    eventually("nothing moves any more", async || {
        let now = taken.load(Ordering::Relaxed);
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let is_still = taken.load(Ordering::Relaxed) == now && seen.load(Ordering::Relaxed) == now;
        seen.store(now, Ordering::Relaxed);
        now > 0 && is_still
    })
    .await;
    assert!(
        taken.load(Ordering::Relaxed) < PIECES,
        "the program was not held back"
    );
    let body = timeout(PATIENCE, response.into_body().collect())
        .await
        .expect("in time");
    assert_eq!(body.unwrap().to_bytes().len(), PIECES * PIECE);
    for pod in [&web, &user] {
        let held = pod.resident().saturating_sub(before);
        assert!(held < HELD, "{} holds {held} bytes", pod.name);
    }
}

#[tokio::test]
async fn a_large_upload_without_a_length_arrives_whole() {
    let world = World::new();
    let (web, _user, _) = pair(&world).await;
    let pieces = futures::stream::iter(0..PIECES).map(|_| Ok(Frame::data(Bytes::from(vec![b'x'; PIECE]))));
    let body = StreamBody::new(pieces).boxed_unsync();
    let mut sender = connect(&web).await;
    let response = sender.send_request(request("/count", body));
    let response = timeout(PATIENCE, response).await.expect("in time").unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, (PIECES * PIECE).to_string());
}

#[tokio::test]
async fn a_grpc_call_talks_both_ways_and_ends_with_its_status() {
    let world = World::new();
    let (web, user, _) = pair(&world).await;
    let socket = TcpStream::connect(web.at(9983)).await.unwrap();
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
        .await
        .unwrap();
    tokio::spawn(connection);
    let (say, body) = pieces();
    let request = Request::post("http://chat.shop.mesh/demo.Chat/Talk")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "20S");
    let response = sender.send_request(request.body(body).unwrap()).await.unwrap();
    let mut body = response.into_body();
    for words in ["one", "two", "three"] {
        say.send(data(words)).unwrap();
        assert_eq!(next(&mut body).await, words);
    }
    drop(say);
    let rest = timeout(PATIENCE, body.collect()).await.expect("in time").unwrap();
    assert_eq!(rest.trailers().unwrap()["grpc-status"], "0");
    let ok = ["service=\"shop/chat\"", "outcome=\"ok\""];
    for pod in [&web, &user] {
        eventually("it is counted", async || {
            pod.metric("motanmesh_calls_total", &ok).await == 1
        })
        .await;
    }
}

#[tokio::test]
async fn an_upgraded_connection_passes_bytes() {
    let world = World::new();
    let (web, _user, _) = pair(&world).await;
    let mut socket = TcpStream::connect(web.at(9983)).await.unwrap();
    let head = "GET /shout HTTP/1.1\r\nhost: user.shop.mesh\r\nconnection: upgrade\r\nupgrade: shout\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        let byte = timeout(PATIENCE, socket.read_u8()).await.expect("in time");
        read.push(byte.unwrap());
    }
    assert!(
        read.starts_with(b"HTTP/1.1 101 "),
        "{}",
        String::from_utf8_lossy(&read)
    );
    for words in ["hello", "again"] {
        socket.write_all(words.as_bytes()).await.unwrap();
        let mut answer = vec![0; words.len()];
        timeout(PATIENCE, socket.read_exact(&mut answer))
            .await
            .expect("in time")
            .unwrap();
        assert_eq!(answer, words.to_ascii_uppercase().as_bytes());
    }
}

#[tokio::test]
async fn a_stream_under_way_goes_on_while_its_server_agent_ends() {
    let world = World::new();
    let (web, mut user, _) = pair(&world).await;
    let mut sender = connect(&web).await;
    let (say, body) = pieces();
    say.send(data("before")).unwrap();
    let response = sender.send_request(request("/talk", body)).await.unwrap();
    let mut body = response.into_body();
    assert_eq!(next(&mut body).await, "before");
    user.signal_sidecar(Signal::TERM);
    eventually("it is not ready any more", async || {
        user.page("GET", 9990, "/ready").await.0 != 200
    })
    .await;
    for words in ["while", "it", "ends"] {
        say.send(data(words)).unwrap();
        assert_eq!(next(&mut body).await, words);
    }
    drop(say);
    let rest = timeout(PATIENCE, body.collect()).await.expect("in time");
    assert_eq!(rest.unwrap().to_bytes(), "");
    assert!(user.end_sidecar().await);
}

#[tokio::test]
async fn a_stream_that_outlives_the_drain_deadline_is_told_and_then_cut() {
    for ends in ["the caller's", "the provider's"] {
        let world = World::new();
        let (mut web, mut user, _) = pair_with(&world, &["--drain-deadline", "3s"]).await;
        let socket = TcpStream::connect(web.at(9983)).await.unwrap();
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
            .await
            .unwrap();
        let connection = tokio::spawn(connection);
        let (say, body) = pieces();
        say.send(data("before")).unwrap();
        let request = Request::post("http://user.shop.mesh/talk").body(body).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let mut body = response.into_body();
        assert_eq!(next(&mut body).await, "before");
        let leaving = if ends == "the caller's" {
            &mut web
        } else {
            &mut user
        };
        leaving.signal_sidecar(Signal::TERM);
        if ends == "the caller's" {
            // GOAWAY: no further stream may be begun here, while this one goes on.
            eventually("the caller is told", async || {
                let empty = Full::new(Bytes::new()).boxed_unsync();
                let more = Request::post("http://user.shop.mesh/count").body(empty).unwrap();
                sender.clone().send_request(more).await.is_err()
            })
            .await;
        } else {
            eventually("it is not ready any more", async || {
                leaving.page("GET", 9990, "/ready").await.0 != 200
            })
            .await;
        }
        say.send(data("while it ends")).unwrap();
        assert_eq!(next(&mut body).await, "while it ends");
        // Nobody ends it: then the sidecar does.
        let cut = timeout(PATIENCE, body.frame()).await.expect("in time");
        assert!(cut.is_none_or(|frame| frame.is_err()), "{ends}");
        assert!(leaving.end_sidecar().await, "{ends}");
        connection.abort();
    }
}

#[tokio::test]
async fn a_caller_by_http_1_is_told_to_close_before_its_stream_is_cut() {
    let world = World::new();
    let (mut web, _user, _) = pair_with(&world, &["--drain-deadline", "3s"]).await;
    let mut under_way = connect(&web).await;
    let (say, body) = pieces();
    say.send(data("before")).unwrap();
    let response = under_way.send_request(request("/talk", body)).await.unwrap();
    let mut body = response.into_body();
    assert_eq!(next(&mut body).await, "before");
    // Half of a request is there.
    let mut half = TcpStream::connect(web.at(9983)).await.unwrap();
    let head = "POST /count HTTP/1.1\r\nhost: user.shop.mesh\r\ncontent-length: 2\r\n\r\n1";
    half.write_all(head.as_bytes()).await.unwrap();
    web.signal_sidecar(Signal::TERM);
    eventually("it is not ready any more", async || {
        web.page("GET", 9990, "/ready").await.0 != 200
    })
    .await;
    half.write_all(b"2").await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, half.read_to_string(&mut answer))
        .await
        .expect("in time")
        .unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n2"),
        "{answer}"
    );
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    say.send(data("while it ends")).unwrap();
    assert_eq!(next(&mut body).await, "while it ends");
    let cut = timeout(PATIENCE, body.frame()).await.expect("in time");
    assert!(cut.is_none_or(|frame| frame.is_err()));
    assert!(web.end_sidecar().await);
}

#[tokio::test]
async fn a_body_that_was_handed_over_comes_whichever_worker_asks_for_it() {
    let world = World::new();
    let (web, _user, _) = pair_with(&world, &["--workers", "2"]).await;
    // A connection goes to the worker that has the fewest: callers to both of this sidecar, and of each of these the link
    // that brings the head to another of the other sidecar than the connection that fetches the body.
    let mut talks = Vec::new();
    for number in 0..8 {
        let mut sender = connect(&web).await;
        // Whole when it is asked, a stream when it is answered: the answer begins and does not end.
        let request = Request::get("/begin").header("host", "user.shop.mesh");
        let request = request.body(Full::new(Bytes::new()).boxed_unsync()).unwrap();
        let response = timeout(PATIENCE, sender.send_request(request)).await;
        let response = response.expect("in time").unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{number}");
        let mut body = response.into_body();
        assert_eq!(next(&mut body).await, "begun", "{number}");
        talks.push((sender, body));
    }
    let (_, links) = web.page("GET", 8002, "/links").await;
    let links: Value = serde_json::from_str(&links).unwrap();
    let workers = links.as_array().unwrap().iter().map(|link| &link["worker"]);
    let workers: std::collections::HashSet<_> = workers.filter_map(Value::as_u64).collect();
    assert_eq!(workers.len(), 2, "{links}");
}
