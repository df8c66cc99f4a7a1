//! Requests and responses that are streams: HTTP/1.1 and HTTP/2 callers, two agents, a program.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agent::worker::ListenerKind;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::{Request, Response, StatusCode, Version};

use crate::mesh::{Agent, caller, provider, run};
use crate::net::Net;
use crate::web::{Client, Client2, Speaks, get, mesh_error, next, pieces, program, rest, streaming, whole};

const A: &str = "10.0.0.1:9982";
const APP_A: &str = "127.0.0.1:8001";
const B: &str = "10.0.0.2:9982";
const APP_B: &str = "127.0.0.1:8002";
const HOST: &str = "user.shop.mesh";
/// Pieces of a large body, and the size of each in bytes: 50 MiB.
const PIECES: usize = 800;
const PIECE: usize = 64 * 1024;
/// What may be under way between two programs that do not read, in bytes: windows, pipes and buffers of two agents.
const UNDER_WAY: usize = 6 << 20;

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

/// 50 MiB without a length; counts the pieces that were taken.
fn large() -> (Arc<AtomicUsize>, BoxBody<Bytes, Infallible>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    let pieces = futures::stream::iter(0..PIECES);
    let pieces = futures::StreamExt::map(pieces, move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(Frame::data(Bytes::from(vec![7; PIECE])))
    });
    (taken, StreamBody::new(pieces).boxed())
}

/// Waits until no more pieces are taken, and gives how many were.
async fn settled(taken: &AtomicUsize) -> usize {
    loop {
        let before = taken.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(1)).await; // of the held clock
        if before > 0 && taken.load(Ordering::Relaxed) == before {
            return before;
        }
    }
}

fn fetch(path: &str) -> Request<BoxBody<Bytes, Infallible>> {
    get(HOST, &format!("http://{HOST}{path}")).map(|body| Full::new(body).boxed())
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

#[tokio::test(start_paused = true)]
async fn the_first_event_arrives_before_the_response_ends() {
    run(async {
        let net = Net::default();
        let (client, server) = pair(&net, 1000);
        let (events, stream) = tokio::sync::mpsc::unbounded_channel();
        streaming(&net, APP_A, Speaks::Http1, move |_| {
            let (sender, body) = pieces();
            events.send(sender).unwrap();
            let response = Response::builder().header("content-type", "text/event-stream");
            async move { response.body(body).unwrap() }
        });
        let mut stream = stream;
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let response = match version {
                Version::HTTP_2 => two(&client).await.open(fetch("/events")).await.unwrap(),
                _ => one(&client).await.open(fetch("/events")).await.unwrap(),
            };
            assert_eq!(response.headers()["content-type"], "text/event-stream");
            assert!(!response.headers().contains_key("content-length"));
            let sender = stream.recv().await.unwrap();
            let mut body = response.into_body();
            for event in ["data: 1\n\n", "data: 2\n\n"] {
                // Longer than a call may take.
                tokio::time::sleep(Duration::from_secs(10)).await;
                sender.send(Frame::data(Bytes::from(event))).unwrap();
                assert_eq!(next(&mut body).await, event);
            }
            assert_eq!((client.worker.in_flight(), server.worker.in_flight()), (1, 1));
            // The caller hangs up: the program hears of it.
            drop(body);
            sender.closed().await;
        }
        // Nothing of it stays.
        while (client.worker.in_flight(), server.worker.in_flight()) != (0, 0) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_large_download_waits_for_a_slow_reader() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 1000);
        let (responses, mut taken) = tokio::sync::mpsc::unbounded_channel();
        streaming(&net, APP_A, Speaks::Http1, move |_| {
            let (taken, body) = large();
            responses.send(taken).unwrap();
            async move { Response::new(body) }
        });
        let response = one(&client).await.open(fetch("/large")).await.unwrap();
        let taken = taken.recv().await.unwrap();
        let before = settled(&taken).await;
        assert!(before * PIECE <= UNDER_WAY, "{before} pieces");
        let (body, _) = rest(response.into_body()).await;
        assert_eq!(body.len(), PIECES * PIECE);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_large_upload_waits_for_a_slow_program() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 60_000);
        let (go, wait) = tokio::sync::watch::channel(false);
        streaming(&net, APP_A, Speaks::Http1, move |request| {
            let mut wait = wait.clone();
            async move {
                wait.wait_for(|go| *go).await.unwrap();
                let (body, _) = rest(request.into_body()).await;
                whole(body.len().to_string())
            }
        });
        let (taken, body) = large();
        let mut web = one(&client).await;
        let read = async {
            let before = settled(&taken).await;
            assert!(before * PIECE <= UNDER_WAY, "{before} pieces");
            go.send(true).unwrap();
        };
        let (reply, ()) = tokio::join!(web.send(post(body)), read);
        assert_eq!(reply.body(), &(PIECES * PIECE).to_string());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_time_for_an_answer_begins_when_the_request_has_ended() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 1000);
        streaming(&net, APP_A, Speaks::Http1, |request| async move {
            let (_, _) = rest(request.into_body()).await;
            std::future::pending().await
        });
        let (sender, body) = pieces();
        let mut web = one(&client).await;
        let slow = async {
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                sender.send(Frame::data(Bytes::from("piece"))).unwrap();
            }
            drop(sender);
            tokio::time::Instant::now()
        };
        let (reply, ended) = tokio::join!(web.send(post(body)), slow);
        assert_eq!(
            (reply.status(), mesh_error(&reply)),
            (StatusCode::GATEWAY_TIMEOUT, Some("timeout"))
        );
        assert!(
            ended.elapsed() < Duration::from_millis(1100),
            "{:?}",
            ended.elapsed()
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_not_begun_goes_to_another_endpoint() {
    run(async {
        // Whether nobody is there, the agent there takes no more calls, or its program is away.
        for case in ["nobody", "refusing", "no program"] {
            let net = Net::default();
            let agent = (case != "nobody").then(|| Agent::start(&net, Some(A), &provider("http", APP_A)));
            if case == "refusing" {
                program(&net, APP_A, |_| async { whole("not here") });
                agent.as_ref().unwrap().worker.refuse_new();
            }
            let _b = Agent::start(&net, Some(B), &provider("http", APP_B));
            program(&net, APP_B, |request| async move { whole(request.into_body()) });
            let client = Agent::start(&net, None, &caller("http", &[A, B], 2000));
            let mut web = one(&client).await;
            for _ in 0..8 {
                let (sender, body) = pieces();
                for piece in ["one ", "two ", "three"] {
                    sender.send(Frame::data(Bytes::from(piece))).unwrap();
                }
                drop(sender);
                let reply = web.send(post(body)).await;
                assert_eq!(
                    (reply.status(), &reply.body()[..]),
                    (StatusCode::OK, &b"one two three"[..]),
                    "{case}"
                );
            }
            assert_eq!(client.metric("motanmesh_calls_total", &["outcome=\"ok\""]), 8.0);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_goes_away_keeps_its_streams_and_gets_no_new_ones() {
    run(async {
        let net = Net::default();
        let a = Agent::start(&net, Some(A), &provider("http", APP_A));
        let client = Agent::start(&net, None, &caller("http", &[A], 1000));
        let answer = |name: &'static str| {
            move |request: Request<hyper::body::Incoming>| async move {
                let mut response = Response::new(request.into_body().map_err(|_| unreachable!()).boxed());
                response.headers_mut().insert("x-from", name.parse().unwrap());
                response
            }
        };
        streaming(&net, APP_A, Speaks::Http1, answer("a"));
        streaming(&net, APP_B, Speaks::Http1, answer("b"));
        let mut web = two(&client).await;
        let (sender, body) = pieces();
        sender.send(Frame::data(Bytes::from("1"))).unwrap();
        let response = web.open(post(body)).await.unwrap();
        assert_eq!(response.headers()["x-from"], "a");
        let mut under_way = response.into_body();
        assert_eq!(next(&mut under_way).await, "1");

        let _b = Agent::start(&net, Some(B), &provider("http", APP_B));
        client.apply(&caller("http", &[A, B], 1000));
        a.worker.announce_drain();
        // The word is on its way.
        tokio::time::sleep(Duration::from_millis(10)).await;
        for _ in 0..8 {
            let (sender, body) = pieces();
            sender.send(Frame::data(Bytes::from("new"))).unwrap();
            drop(sender);
            let response = web.open(post(body)).await.unwrap();
            assert_eq!(response.headers()["x-from"], "b");
            assert_eq!(rest(response.into_body()).await.0, "new");
        }
        sender.send(Frame::data(Bytes::from("2"))).unwrap();
        assert_eq!(next(&mut under_way).await, "2");
        drop(sender);
        assert_eq!(rest(under_way).await.0, "");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_listener_of_one_service_takes_any_host() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 1000);
        program(&net, APP_A, |request| async move {
            whole(request.headers()["host"].to_str().unwrap().to_owned())
        });
        let name = Arc::new(plan::ServiceName::of("shop", "user").unwrap());
        let bound = || client.connect(ListenerKind::Service(Arc::clone(&name)));
        let mut web = Client::new(bound()).await;
        assert_eq!(web.call(get("any.example", "/")).await.body(), "any.example");
        let mut request = fetch("/");
        *request.uri_mut() = "http://any.example:81/".parse().unwrap();
        let response = Client2::new(bound()).await.open(request).await.unwrap();
        assert_eq!(rest(response.into_body()).await.0, "any.example:81");
        client.apply(&caller("http", &[A], 1000).replace("shop/user", "shop/other"));
        let reply = web.call(get("any.example", "/")).await;
        assert_eq!(
            (reply.status(), mesh_error(&reply)),
            (StatusCode::NOT_FOUND, Some("undeclared"))
        );
    })
    .await;
}

/// An agent that does nothing but refuse every stream.
fn refusing(net: &Net, address: &str) {
    let mut accepted = net.listen(address);
    tokio::task::spawn_local(async move {
        while let Some(io) = accepted.recv().await {
            tokio::task::spawn_local(async move {
                let mut connection = h2::server::handshake(io).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    respond.send_reset(h2::Reason::REFUSED_STREAM);
                }
            });
        }
    });
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_an_agent_refuses_goes_to_another_one() {
    run(async {
        let net = Net::default();
        refusing(&net, A);
        let _b = Agent::start(&net, Some(B), &provider("http", APP_B));
        program(&net, APP_B, |request| async move { whole(request.into_body()) });
        let client = Agent::start(&net, None, &caller("http", &[A, B], 2000));
        let mut web = one(&client).await;
        for _ in 0..8 {
            let (sender, body) = pieces();
            sender.send(Frame::data(Bytes::from("once"))).unwrap();
            drop(sender);
            let reply = web.send(post(body)).await;
            assert_eq!(
                (reply.status(), &reply.body()[..]),
                (StatusCode::OK, &b"once"[..])
            );
        }
        assert!(client.metric("motanmesh_retries_total", &["role=\"client\""]) > 0.0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_has_fallen_silent_is_given_up() {
    run(async {
        let net = Net::default();
        let mut accepted = net.listen(A);
        let client = Agent::start(&net, None, &caller("http", &[A], 3_600_000));
        let (sender, body) = pieces();
        sender.send(Frame::data(Bytes::from("piece"))).unwrap();
        let mut web = one(&client).await;
        let (reply, silent) = tokio::join!(web.send(post(body)), accepted.recv());
        assert_eq!(
            (reply.status(), mesh_error(&reply)),
            (StatusCode::BAD_GATEWAY, Some("unavailable"))
        );
        drop((sender, silent));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_by_http_2_is_told_to_go_on_before_it_sends_its_body() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 1000);
        program(&net, APP_A, |request| async move {
            assert!(!request.headers().contains_key("expect"));
            assert!(!request.headers().contains_key("x-mesh-stream"));
            whole(request.into_body())
        });
        let (sender, connection) = h2::client::handshake(client.connect(ListenerKind::Http))
            .await
            .unwrap();
        tokio::task::spawn_local(async { connection.await.unwrap() });
        let mut sender = sender.ready().await.unwrap();
        // Whole in a frame, or a stream; several at once, with others that do not wait.
        let mut waiting = Vec::new();
        for size in [5, 100_000, 7] {
            let request = Request::post(format!("http://{HOST}/upload"))
                .header("expect", "100-continue")
                .header("content-length", size)
                // Nothing that a caller writes says which stream it is.
                .header("x-mesh-stream", "77")
                .body(())
                .unwrap();
            let plain = Request::post(format!("http://{HOST}/upload")).body(()).unwrap();
            waiting.push((size, sender.send_request(request, false).unwrap()));
            let (response, mut body) = sender.send_request(plain, false).unwrap();
            body.send_data(Bytes::from("plain"), true).unwrap();
            assert_eq!(read(response.await.unwrap()).await, "plain");
        }
        for (size, (mut response, mut body)) in waiting {
            let interim = futures::future::poll_fn(|context| response.poll_informational(context)).await;
            assert_eq!(interim.unwrap().unwrap().status(), StatusCode::CONTINUE);
            let sent = Bytes::from(vec![b'x'; size]);
            body.send_data(sent.clone(), true).unwrap();
            assert_eq!(read(response.await.unwrap()).await, sent);
        }
        // Where the answer is no already, it comes at once.
        let nobody = Request::post("http://nobody.shop.mesh/")
            .header("expect", "100-continue")
            .body(())
            .unwrap();
        let (response, _body) = sender.send_request(nobody, false).unwrap();
        assert_eq!(response.await.unwrap().status(), StatusCode::NOT_FOUND);
    })
    .await;
}

async fn read(response: Response<h2::RecvStream>) -> Bytes {
    let mut body = response.into_body();
    let mut read = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        read.extend(data);
    }
    Bytes::from(read)
}
