//! Input that must not be, to two real agents, while somebody else calls: it costs whoever sent it, memory stays
//! bounded, and the other caller notices nothing.

use std::collections::HashMap;
use std::net::SocketAddr;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;
use tokio::time::timeout;
use wire::error::{ErrorType, Exception};
use wire::message::{self, Message};
use wire::motan2::{self, DEFAULT_LIMIT, Frame, Header, bits};
use wire::{error, gzip, keys, motan1, value};

use super::world::{Load, PATIENCE, Pod, World, eventually, exports, services};

/// Rows at once: some of them have much to do.
static ROOM: Semaphore = Semaphore::const_new(2);
const PATH: &str = "com.example.Greet";
const MIB: u64 = 1 << 20;
/// What a call may take here, milliseconds: so long waits the caller whose answer never comes.
const TIMEOUT: u64 = 2_000;
/// Bytes of an answer of the method `large`.
const LARGE: usize = 64 << 10;

/// Two agents, a program that misbehaves when asked to, and a caller whom nothing may harm.
struct Row {
    web: Pod,
    user: Pod,
    load: Load,
    /// Memory of both agents before.
    before: [u64; 2],
    _program: JoinSet<()>,
    _world: World,
    _room: SemaphorePermit<'static>,
}

impl Row {
    async fn begins() -> Self {
        let room = ROOM.acquire().await.unwrap();
        let world = World::new();
        let mut user = world.pod("user");
        let mut program = JoinSet::new();
        let listener = TcpListener::bind(user.at(7000)).await.unwrap();
        program.spawn(serve(listener));
        user.plan(&[], &exports(user.ip));
        user.start_sidecar();
        user.ready().await;
        let mut web = world.pod("web");
        let mut services = services(&[&user]);
        for service in &mut services {
            service["policy"]["timeoutMs"] = TIMEOUT.into();
        }
        web.plan(&services, &json!([]));
        web.start_sidecar();
        web.ready().await;
        let load = web.endless(200, 2);
        let mut row = Self {
            web,
            user,
            load,
            before: [0; 2],
            _program: program,
            _world: world,
            _room: room,
        };
        row.others_are_served().await;
        row.before = row.resident();
        row
    }

    fn resident(&self) -> [u64; 2] {
        [self.web.resident(), self.user.resident()]
    }

    /// Bytes that the larger of both agents has grown by.
    fn growth(&self) -> u64 {
        let grown = self
            .resident()
            .into_iter()
            .zip(self.before)
            .map(|(now, before)| now.saturating_sub(before));
        grown.max().unwrap_or(0)
    }

    /// Waits until the other caller has had more answers.
    async fn others_are_served(&self) {
        let answered = async || {
            let labels = ["role=\"client\"", "outcome=\"ok\""];
            self.web.metric("motanmesh_calls_total", &labels).await
        };
        let before = answered().await;
        eventually("others are served", async || answered().await >= before + 50).await;
    }

    async fn caller(&self) -> Caller {
        Caller::connect(self.web.at(9981)).await
    }

    /// Ends it: nobody else was harmed, and memory was bounded.
    async fn ends(self, what: &str, bound: u64) {
        self.others_are_served().await;
        let growth = self.growth();
        let report = self.load.end().await;
        eprintln!(
            "{what}: memory + {} KiB, others {} calls, {} failed {:?}",
            growth >> 10,
            report.sent,
            report.failed,
            report.failures
        );
        assert!(report.sent > 0 && report.failed == 0, "{what}: {report:?}");
        assert!(growth <= bound, "{what}: {growth} bytes, at most {bound}");
    }
}

/// One answer.
#[derive(Debug)]
struct Answer {
    header: Header,
    meta: HashMap<String, String>,
    body: usize,
}

impl Answer {
    fn exception(&self) -> Exception {
        assert_eq!(self.header.status, motan2::EXCEPTION, "{self:?}");
        error::read(self.meta["M_e"].as_bytes()).unwrap()
    }
}

/// A raw connection.
struct Caller {
    socket: TcpStream,
    read: Vec<u8>,
}

impl Caller {
    async fn connect(to: SocketAddr) -> Self {
        let connecting = timeout(PATIENCE, TcpStream::connect(to)).await;
        Self {
            socket: connecting.expect("it connects in time").unwrap(),
            read: Vec::new(),
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
    }

    /// The next message; `None` once it is closed.
    async fn message(&mut self) -> Option<Vec<u8>> {
        let reading = async {
            loop {
                if let Some((_, length)) = message::decode(&self.read, DEFAULT_LIMIT).unwrap() {
                    return Some(self.read.drain(..length).collect());
                }
                if self.socket.read_buf(&mut self.read).await.unwrap_or(0) == 0 {
                    assert!(self.read.is_empty(), "half a message came");
                    return None;
                }
            }
        };
        timeout(PATIENCE, reading).await.expect("it answers in time")
    }

    async fn answer(&mut self) -> Answer {
        let bytes = self.message().await.expect("an answer");
        let (frame, _) = motan2::decode(&bytes, DEFAULT_LIMIT).unwrap().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let meta = frame.meta.pairs().map(|(key, value)| (text(key), text(value)));
        Answer {
            header: frame.header,
            meta: meta.collect(),
            body: frame.body.len(),
        }
    }

    async fn call(&mut self, bytes: &[u8]) -> Answer {
        self.send(bytes).await;
        self.answer().await
    }

    async fn is_closed(&mut self) {
        assert!(self.message().await.is_none(), "it must be closed without a word");
    }

    /// It still serves.
    async fn serves(&mut self) {
        let answer = self.call(&request(77, "echo", 0, b"x")).await;
        assert_eq!((answer.header.id, answer.header.status), (77, 0), "{answer:?}");
    }
}

fn request(id: u64, method: &str, kind: u8, body: &[u8]) -> Vec<u8> {
    let header = Header {
        kind,
        ..Header::request(id)
    };
    let mut out = Vec::new();
    let meta = |meta: &mut wire::meta::Writer<'_>| {
        meta.pair(keys::PATH, PATH.as_bytes());
        meta.pair(keys::METHOD, method.as_bytes());
    };
    motan2::encode(&mut out, header, meta, |out| out.extend_from_slice(body));
    out
}

/// The first bytes of a request up to its body, of which so many bytes are announced.
fn announced(id: u64, body: usize) -> Vec<u8> {
    let mut out = request(id, "echo", 0, b"");
    out.truncate(out.len() - 4);
    out.extend_from_slice(&u32::try_from(body).unwrap().to_be_bytes());
    out
}

/// 200 MiB in less than 1 MB: gzip members of 10 MiB of zeros, one after the other.
fn bomb() -> Vec<u8> {
    let mut member = Vec::new();
    gzip::deflate(&vec![0; 10 << 20], &mut member);
    member.repeat(20)
}

/// A program that does what the method says, right or wrong.
async fn serve(listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => connections.spawn(misbehave(accepted.unwrap().0)),
            Some(_) = connections.join_next() => continue,
        };
    }
}

async fn misbehave(mut socket: TcpStream) {
    let mut read = Vec::new();
    while socket.read_buf(&mut read).await.is_ok_and(|count| count > 0) {
        let (mut at, mut out) = (0, Vec::new());
        while let Some((frame, length)) = motan2::decode(&read[at..], DEFAULT_LIMIT).unwrap() {
            answer(&frame, &mut out);
            at += length;
            if out.len() > LARGE {
                if socket.write_all(&out).await.is_err() {
                    return;
                }
                out.clear();
            }
        }
        read.drain(..at);
        if socket.write_all(&out).await.is_err() {
            return;
        }
    }
}

fn answer(asked: &Frame<'_>, out: &mut Vec<u8>) {
    let mut header = asked.header;
    header.kind = bits::RESPONSE;
    let mut body = Vec::new();
    let mut exception = None;
    match asked.meta.find(keys::METHOD).unwrap_or_default() {
        b"wrong-id" => header.id ^= 1 << 60,
        b"request-typed" => header.kind = 0,
        b"not-json" => (header.status, exception) = (motan2::EXCEPTION, Some(&b"not json"[..])),
        b"bare" => header.status = motan2::EXCEPTION,
        b"bomb" => (header.kind, body) = (bits::RESPONSE | bits::GZIP, bomb()),
        b"corrupt" => (header.kind, body) = (bits::RESPONSE | bits::GZIP, b"not gzip".to_vec()),
        b"large" => value::write_bytes(&mut body, &[b'x'; LARGE]),
        _ => value::write_bytes(&mut body, b"fine"),
    }
    let meta = |meta: &mut wire::meta::Writer<'_>| {
        if let Some(words) = exception {
            meta.pair(keys::EXCEPTION, words);
        }
    };
    motan2::encode(out, header, meta, |out| out.extend_from_slice(&body));
}

#[tokio::test]
async fn what_is_not_motan_is_closed_without_a_word_and_counted() {
    let row = Row::begins().await;
    let mut version = request(1, "echo", 0, b"x");
    version[3] = 10 << 3;
    let mut odd = Vec::new();
    let block = wire::meta::Meta::new(b"").unwrap();
    motan2::encode(&mut odd, Header::request(1), |meta| meta.block(block), |_| {});
    odd.truncate(13);
    odd.extend_from_slice(&[0, 0, 0, 5]);
    odd.extend_from_slice(b"a\nb\nc\0\0\0\0");
    let table = [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        version,
        odd,
        // A response is no question.
        request(1, "echo", bits::RESPONSE, b"x"),
    ];
    for (pod, port, place) in [
        (&row.web, 9981, "place=\"motan\""),
        (&row.user, 9982, "place=\"inbound\""),
    ] {
        for (number, bytes) in table.iter().enumerate() {
            let mut caller = Caller::connect(pod.at(port)).await;
            caller.send(bytes).await;
            caller.is_closed().await;
            let broken = pod.metric("motanmesh_connections_broken_total", &[place]).await;
            assert_eq!(broken, number as u64 + 1, "{place}");
        }
    }
    row.ends("not Motan", 2 * MIB).await;
}

#[tokio::test]
async fn lengths_over_ten_mib_are_answered_and_then_the_connection_is_closed() {
    let row = Row::begins().await;
    let body = announced(9, DEFAULT_LIMIT + 1);
    let mut meta = request(9, "echo", 0, b"");
    meta.truncate(13);
    meta.extend_from_slice(&u32::try_from(DEFAULT_LIMIT + 1).unwrap().to_be_bytes());
    meta.extend_from_slice(b"M_p\n");
    for (pod, port) in [(&row.web, 9981), (&row.user, 9982)] {
        for bytes in [&body, &meta] {
            let mut caller = Caller::connect(pod.at(port)).await;
            let answer = caller.call(bytes).await;
            assert_eq!((answer.header.id, answer.exception().code), (9, 10_201));
            caller.is_closed().await;
        }
        assert_eq!(pod.metric("motanmesh_connections_broken_total", &[]).await, 2);
    }
    row.ends("lengths over 10 MiB", 2 * MIB).await;
}

#[tokio::test]
async fn a_thousand_half_messages_are_closed_by_a_deadline() {
    let row = Row::begins().await;
    let half = &request(1, "echo", 0, b"x")[..30];
    let mut callers = Vec::new();
    for _ in 0..1_000 {
        let mut caller = row.caller().await;
        caller.send(half).await;
        callers.push(caller);
    }
    let growth = row.growth();
    for caller in &mut callers {
        caller.is_closed().await;
    }
    let broken = row
        .web
        .metric("motanmesh_connections_broken_total", &["place=\"motan\""])
        .await;
    assert_eq!(broken, 1_000);
    assert!(growth < 16 * MIB, "{growth}");
    row.ends("1 000 half messages", 16 * MIB).await;
}

#[tokio::test]
async fn memory_follows_what_arrived_and_not_what_was_announced() {
    let row = Row::begins().await;
    let mut callers = Vec::new();
    for id in 0..150 {
        let mut caller = row.caller().await;
        caller.send(&announced(id, DEFAULT_LIMIT)).await;
        callers.push(caller);
    }
    // Read one after the other: the last one's begin has been taken once its connection is the one that is read.
    row.others_are_served().await;
    row.others_are_served().await;
    row.ends("10 MiB announced by 150", 8 * MIB).await;
}

#[tokio::test]
async fn a_gzip_bomb_fails_alone_whoever_sends_it() {
    let row = Row::begins().await;
    let bomb = bomb();
    assert!(bomb.len() < 1_000_000, "{}", bomb.len());
    let mut caller = row.caller().await;
    for (method, kind, body) in [("echo", bits::GZIP, &bomb[..]), ("bomb", 0, b"")] {
        let answer = caller.call(&request(1, method, kind, body)).await;
        assert_eq!(answer.exception().code, 10_201, "{method}");
        caller.serves().await;
    }
    row.ends("gzip bombs", 40 * MIB).await;
}

#[tokio::test]
async fn corrupt_gzip_is_answered_and_the_connection_stays() {
    let row = Row::begins().await;
    let mut caller = row.caller().await;
    let asked = caller.call(&request(1, "echo", bits::GZIP, b"not gzip")).await;
    assert_eq!(asked.exception().code, 400);
    let answered = caller.call(&request(2, "corrupt", 0, b"")).await;
    assert_eq!(answered.exception().code, 1003);
    caller.serves().await;
    row.ends("corrupt gzip", 2 * MIB).await;
}

#[tokio::test]
async fn a_caller_that_does_not_read_is_cut_and_others_are_served() {
    let row = Row::begins().await;
    let mut caller = row.caller().await;
    let asked: Vec<u8> = (0..2_000).flat_map(|id| request(id, "large", 0, b"")).collect();
    // It may be cut before it has asked everything.
    let _ = timeout(PATIENCE, caller.socket.write_all(&asked))
        .await
        .expect("it is taken or cut");
    let most = std::cell::Cell::new(0);
    eventually("it is cut", async || {
        most.set(most.get().max(row.growth()));
        row.web
            .metric("motanmesh_connections_broken_total", &["place=\"motan\""])
            .await
            == 1
    })
    .await;
    assert!(most.get() < 64 * MIB, "{}", most.get());
    row.ends("a caller that does not read", 64 * MIB).await;
}

#[tokio::test]
async fn motan_1_that_can_not_be_read_is_answered_and_the_connection_stays() {
    let row = Row::begins().await;
    let mut caller = row.caller().await;
    let id: u64 = 0x1831_fffb_f0e0_0002;
    let body = b"no object stream";
    let mut asked = vec![0xf1, 0xf1, 0, 0];
    asked.extend_from_slice(&id.to_be_bytes());
    asked.extend_from_slice(&(16 + body.len() as u32).to_be_bytes());
    asked.extend_from_slice(&[0xf0, 0xf0, 1, 0]);
    asked.extend_from_slice(&id.to_be_bytes());
    asked.extend_from_slice(&(body.len() as u32).to_be_bytes());
    asked.extend_from_slice(body);
    caller.send(&asked).await;
    let bytes = caller.message().await.expect("an answer");
    let Some((Message::One(frame), _)) = message::decode(&bytes, DEFAULT_LIMIT).unwrap() else {
        panic!("another version");
    };
    assert_eq!(frame.id, id);
    assert!(matches!(
        motan1::Outcome::read(frame),
        Ok(motan1::Outcome::Exception(_))
    ));
    assert_eq!(
        row.web
            .metric("motanmesh_messages_refused_total", &["place=\"motan\""])
            .await,
        1
    );
    caller.serves().await;
    row.ends("unreadable Motan 1", 2 * MIB).await;
}

#[tokio::test]
async fn answers_that_are_none_cost_their_own_call_and_are_counted() {
    let row = Row::begins().await;
    let mut caller = row.caller().await;
    let lost = caller.call(&request(1, "wrong-id", 0, b"")).await.exception();
    assert!(
        lost.code == 400 && lost.words.contains("receive request timeout"),
        "{lost:?}"
    );
    let labels = ["place=\"link\""];
    assert_eq!(
        row.user.metric("motanmesh_answers_dropped_total", &labels).await,
        1
    );

    let typed = caller.call(&request(2, "request-typed", 0, b"")).await;
    assert_eq!((typed.header.is_response(), typed.exception().code), (true, 1003));
    assert_eq!(
        row.user.metric("motanmesh_messages_refused_total", &labels).await,
        1
    );
    for method in ["not-json", "bare"] {
        let answer = caller.call(&request(3, method, 0, b"")).await;
        let exception = answer.exception();
        assert_eq!(
            (exception.code, exception.kind),
            (1003, ErrorType::Service),
            "{exception:?}"
        );
        assert_eq!(answer.body, 0);
    }
    caller.serves().await;
    row.ends("answers that are none", 2 * MIB).await;
}
