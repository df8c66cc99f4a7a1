//! How many streams at once and how long a body may stand still or wait; requests in HTTP/2 that are none.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use agent::worker::ListenerKind;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Frame;
use hyper::{Request, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::LocalSet;
use tokio::time::Instant;
use wire::motan2::{Header, SIMPLE};
use wire::value::{Value, Values};

use crate::mesh::{Agent, caller, provider, run};
use crate::motan;
use crate::net::Net;
use crate::web::{Client2, Speaks, get, mesh_error, next, pieces, program, rest, streaming, whole};

const A: &str = "10.0.0.1:9982";
const APP: &str = "127.0.0.1:8001";
const HOST: &str = "user.shop.mesh";
/// How long a body may stand still.
const IDLE: Duration = Duration::from_secs(300);
/// Streams at a time on one connection.
const STREAMS: usize = 256;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const DATA: u8 = 0;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// What an agent of ours says first.
const HELLO: (&str, &str) = ("x-mesh-peer", "motanmesh/1");

fn pair(net: &Net) -> (Agent, Agent) {
    let server = Agent::start(net, Some(A), &provider("http", APP));
    let client = Agent::start(net, None, &caller("http", &[A], 1000));
    (client, server)
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A header block of literals, each as it is written here.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// What came of a request.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    /// The block of a response's head.
    Head(Vec<u8>),
    /// An error of the stream, or of the connection.
    Error(u32),
    /// The end of the connection.
    End,
}

/// A caller that writes its own frames.
struct Raw(DuplexStream);

impl Raw {
    async fn new(mut io: DuplexStream) -> Self {
        io.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat())
            .await
            .unwrap();
        Self(io)
    }

    async fn send(&mut self, frame: &[u8]) {
        self.0.write_all(frame).await.unwrap();
    }

    /// The next that matters, and its stream.
    async fn next(&mut self) -> (u32, Came) {
        loop {
            let mut head = [0; 9];
            if self.0.read_exact(&mut head).await.is_err() {
                return (0, Came::End);
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            self.0.read_exact(&mut payload).await.unwrap();
            let code = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
            match head[3] {
                HEADERS => return (stream, Came::Head(payload)),
                RESET => return (stream, Came::Error(code(0))),
                GOAWAY => return (stream, Came::Error(code(4))),
                _ => {}
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_request_in_http_2_reaches_no_program() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net);
        let seen = Rc::new(RefCell::new(Vec::new()));
        let log = Rc::clone(&seen);
        program(&net, APP, move |request| {
            let log = Rc::clone(&log);
            async move {
                log.borrow_mut()
                    .push(format!("{} {}", request.method(), request.uri()));
                whole("seen")
            }
        });
        let head = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", HOST),
            (":path", "/a"),
        ];
        let but = |name: &str| -> Vec<_> { head.into_iter().filter(|(other, _)| *other != name).collect() };
        let with = |more: &[(&'static str, &'static str)]| [&head[..], more].concat();
        let rows = [
            ("as it should be", with(&[("te", "trailers")]), true),
            ("no :path", but(":path"), false),
            (
                "an empty :path",
                [&but(":path")[..], &[(":path", "")]].concat(),
                false,
            ),
            ("no :method", but(":method"), false),
            ("no :scheme", but(":scheme"), false),
            ("two :method", with(&[(":method", "GET")]), false),
            ("two :path", with(&[(":path", "/b")]), false),
            ("two :authority", with(&[(":authority", "other.mesh")]), false),
            (
                ":path after others",
                [&but(":path")[..], &[("a", "b"), (":path", "/a")]].concat(),
                false,
            ),
            ("one of a response", with(&[(":status", "200")]), false),
            ("one that is not known", with(&[(":other", "x")]), false),
            ("connection", with(&[("connection", "close")]), false),
            ("keep-alive", with(&[("keep-alive", "timeout=5")]), false),
            ("proxy-connection", with(&[("proxy-connection", "close")]), false),
            (
                "transfer-encoding",
                with(&[("transfer-encoding", "chunked")]),
                false,
            ),
            ("upgrade", with(&[("upgrade", "websocket")]), false),
            ("te: gzip", with(&[("te", "gzip")]), false),
            ("a name in capitals", with(&[("X-Name", "x")]), false),
            ("a name with a space", with(&[("x name", "x")]), false),
            ("a line end in a value", with(&[("x", "a\r\nhost: b")]), false),
            (
                "a length that is more than comes",
                with(&[("content-length", "9")]),
                false,
            ),
            (
                "a length that is less than comes",
                with(&[("content-length", "2")]),
                false,
            ),
            (
                "two lengths",
                with(&[("content-length", "4"), ("content-length", "5")]),
                false,
            ),
            (
                "two hosts",
                with(&[("host", "other.mesh"), ("host", HOST)]),
                false,
            ),
        ];
        let mut wrong = Vec::new();
        for (case, fields, passes) in rows {
            let mut raw = Raw::new(client.connect(ListenerKind::Http)).await;
            raw.send(&frame(HEADERS, END_HEADERS, 1, &block(&fields))).await;
            raw.send(&frame(DATA, END_STREAM, 1, b"body")).await;
            let came = tokio::time::timeout(Duration::from_secs(5), raw.next()).await;
            let count = std::mem::take(&mut *seen.borrow_mut()).len();
            let is_well = match &came {
                // 8 is `:status: 200` in the static table of HPACK, 12 is 400.
                Ok((1, Came::Head(block))) => passes == (block[0] == 0x88) && passes == (count == 1),
                Ok((_, Came::Error(1))) => !passes && count == 0,
                _ => false,
            };
            if !is_well {
                wrong.push(format!("{case}: {came:?}, {count} at the program"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn more_streams_than_a_connection_may_have_wait_or_are_refused() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net);
        streaming(&net, APP, Speaks::Http1, |request| async move {
            Response::new(request.into_body().map_err(|_| unreachable!()).boxed())
        });
        // One that knows the limit waits.
        let mut web = Client2::new(client.connect(ListenerKind::Http)).await;
        let mut open = Vec::new();
        for _ in 0..STREAMS {
            let (sender, body) = pieces();
            sender.send(Frame::data(Bytes::from("piece"))).unwrap();
            let request = Request::post(format!("http://{HOST}/")).body(body).unwrap();
            let mut body = web.open(request).await.unwrap().into_body();
            assert_eq!(next(&mut body).await, "piece");
            open.push((sender, body));
        }
        let request = get(HOST, &format!("http://{HOST}/")).map(|_| Empty::new().boxed());
        let mut more = std::pin::pin!(web.open(request));
        let waits = tokio::time::timeout(Duration::from_secs(5), more.as_mut()).await;
        assert!(waits.is_err(), "there is no place for it");
        let (sender, body) = open.pop().unwrap();
        drop(sender);
        rest(body).await;
        assert_eq!(more.await.unwrap().status(), StatusCode::OK);
        drop(open);

        // One that does not wait is told that nothing became of it: REFUSED_STREAM.
        let mut raw = Raw::new(client.connect(ListenerKind::Http)).await;
        let fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", HOST),
            (":path", "/"),
        ];
        for number in 0..=STREAMS {
            let stream = 2 * u32::try_from(number).unwrap() + 1;
            raw.send(&frame(HEADERS, END_HEADERS, stream, &block(&fields)))
                .await;
        }
        let last = 2 * u32::try_from(STREAMS).unwrap() + 1;
        let refused = loop {
            match raw.next().await {
                (_, Came::Head(_)) => {}
                other => break other,
            }
        };
        assert_eq!(refused, (last, Came::Error(7)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_stands_still_for_five_minutes_is_ended() {
    let test = async {
        let net = Net::default();
        let (client, server) = pair(&net);
        let (streams, mut begun) = tokio::sync::mpsc::unbounded_channel();
        streaming(&net, APP, Speaks::Http1, move |_| {
            let (sender, body) = pieces();
            streams.send(sender).unwrap();
            async move { Response::new(body) }
        });
        let mut web = Client2::new(client.connect(ListenerKind::Http)).await;
        let (upload, body) = pieces();
        let request = Request::post(format!("http://{HOST}/")).body(body).unwrap();
        let mut body = web.open(request).await.unwrap().into_body();
        let sender = begun.recv().await.unwrap();
        sender.send(Frame::data(Bytes::from("first"))).unwrap();
        assert_eq!(next(&mut body).await, "first");
        // Whichever way something goes, it goes on.
        for _ in 0..3 {
            tokio::time::sleep(IDLE * 9 / 10).await;
            upload.send(Frame::data(Bytes::from("piece"))).unwrap();
        }
        sender.send(Frame::data(Bytes::from("second"))).unwrap();
        assert_eq!(next(&mut body).await, "second");
        let still = Instant::now();
        assert!(body.frame().await.unwrap().is_err());
        let took = still.elapsed();
        assert!(
            took >= IDLE - Duration::from_secs(1) && took < IDLE * 2,
            "{took:?}"
        );
        // The program hears of it when it writes on, at the latest.
        while sender.send(Frame::data(Bytes::from("too late"))).is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for agent in [&client, &server] {
            while agent.worker.in_flight() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    };
    let limit = 10 * IDLE;
    let tasks = LocalSet::new();
    let ended = tasks.run_until(tokio::time::timeout(limit, test)).await;
    ended.expect("the test must not wait for ever");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_was_handed_over_is_dropped_where_nobody_fetches_it() {
    run(async {
        let net = Net::default();
        let (_client, server) = pair(&net);
        let (streams, mut begun) = tokio::sync::mpsc::unbounded_channel();
        streaming(&net, APP, Speaks::Http1, move |_| {
            let (sender, body) = pieces();
            streams.send(sender).unwrap();
            async move { Response::new(body) }
        });
        let mut agent = motan::Client::new(net.dial(A));
        let mut hello = motan::request(1, "", "", b"");
        hello.header = Header::heartbeat(0, 1);
        hello.meta = [(HELLO.0.to_owned(), HELLO.1.to_owned())].into();
        agent.call(&hello).await;
        let token = async |agent: &mut motan::Client, id: u64| {
            let head = format!("GET /events HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
            let mut body = Vec::new();
            wire::value::write_bytes(&mut body, head.as_bytes());
            wire::value::write_bytes(&mut body, b"");
            let mut call = motan::request(id, "demo.User", "/events", &body);
            call.header.serialization = SIMPLE << 3;
            for (key, value) in [
                ("M_g", "g1"),
                ("HTTP_PROXY", "true"),
                ("x-mesh-takes", "body"),
                HELLO,
            ] {
                call.meta.insert(key.to_owned(), value.to_owned());
            }
            let reply = agent.call(&call).await;
            assert!(matches!(
                Values::new(&reply.body).next(),
                Ok(Some(Value::Array(_)))
            ));
            reply.get("x-mesh-body").to_owned()
        };
        let mut other = Client2::new(net.dial(A)).await;
        let mut fetch = async |token: &str| {
            let request = Request::get(format!("http://mesh/.mesh/body/{token}")).header(HELLO.0, HELLO.1);
            other
                .open(request.body(Empty::new().boxed()).unwrap())
                .await
                .unwrap()
        };
        // In time it comes, to any connection, once.
        let first = token(&mut agent, 1).await;
        let sender = begun.recv().await.unwrap();
        tokio::time::sleep(Duration::from_millis(1900)).await;
        let mut body = fetch(&first).await.into_body();
        sender.send(Frame::data(Bytes::from("event"))).unwrap();
        assert_eq!(next(&mut body).await, "event");
        let again = fetch(&first).await.map(|_| Bytes::new());
        assert_eq!(mesh_error(&again), Some("unavailable"));
        drop(body);
        sender.closed().await;
        // Later it is gone, and the program has been told.
        let second = token(&mut agent, 2).await;
        let sender = begun.recv().await.unwrap();
        let kept = Instant::now();
        sender.closed().await;
        let kept = kept.elapsed();
        assert!(
            kept >= Duration::from_millis(1900) && kept < Duration::from_secs(3),
            "{kept:?}"
        );
        let late = fetch(&second).await.map(|_| Bytes::new());
        assert_eq!(
            (late.status(), mesh_error(&late)),
            (StatusCode::BAD_GATEWAY, Some("unavailable"))
        );
        while server.worker.in_flight() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
