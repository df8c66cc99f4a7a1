//! What a call may cost, as budgets: allocations, system calls, bytes of a connection's task. Two agents, a program that
//! calls and one that is called, joined by sockets on one thread, so that nothing but their code decides.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::alloc::System;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use agent::discovery::Known;
use agent::link::io::{Io, Network};
use agent::live;
use agent::observe::metrics::Metrics;
use agent::worker::{ListenerKind, Worker};
use futures::future::LocalBoxFuture;
use plan::{Address, Plan};
use prometheus_client::registry::Registry;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use wire::motan2::{self, DEFAULT_LIMIT, Header, bits};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Calls that are counted.
const CALLS: usize = 1000;
/// Requests under way on one connection.
const DEPTH: usize = 64;
/// Allocations for one whole request over HTTP/1.1, in both agents: heads become maps and texts twice each.
const HTTP_ALLOCATIONS: usize = 50;
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads and writes: each is a system call.
#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Count {
    fn one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Counted {
    socket: TcpStream,
    count: Count,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.socket).poll_read(context, into);
        if read.is_ready() {
            self.count.one();
        }
        read
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.count.one();
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

/// TCP whose reads and writes are counted.
struct CountedTcp(Count);

impl Network for CountedTcp {
    fn connect(&self, to: &Address) -> LocalBoxFuture<'static, io::Result<Io>> {
        let (to, count) = (to.as_str().to_owned(), self.0.clone());
        Box::pin(async move {
            let socket = TcpStream::connect(to).await?;
            socket.set_nodelay(true)?;
            Ok(Box::new(Counted { socket, count }) as Io)
        })
    }
}

fn worker(plan: &str, count: &Count) -> Rc<Worker> {
    let metrics = Metrics::register(&mut Registry::default());
    let known = Known::seeded(Arc::new(Plan::parse(plan.as_bytes()).unwrap()));
    let live = live::build(None, &known, &metrics, std::time::Instant::now());
    Worker::start(Arc::new(live), &metrics, Box::new(CountedTcp(count.clone())))
}

/// Serves whoever connects.
async fn listen(worker: &Rc<Worker>, kind: ListenerKind, count: &Count) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (worker, count) = (Rc::clone(worker), count.clone());
    spawn_local(async move {
        while let Ok((socket, _)) = listener.accept().await {
            socket.set_nodelay(true).unwrap();
            let count = count.clone();
            let io: Io = Box::new(Counted { socket, count });
            spawn_local(Rc::clone(&worker).serve(kind.clone(), io, Box::from("127.0.0.1")));
        }
    });
    address
}

/// A program that gives each request back as its answer, without allocating.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    spawn_local(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            socket.set_nodelay(true).unwrap();
            spawn_local(async move {
                let (mut bytes, mut held) = (vec![0; 1 << 20], 0);
                while let Ok(count) = socket.read(&mut bytes[held..]).await
                    && count > 0
                {
                    held += count;
                    let mut whole = 0;
                    while let Some((_, length)) = motan2::decode(&bytes[whole..held], DEFAULT_LIMIT).unwrap()
                    {
                        bytes[whole + 2] |= bits::RESPONSE;
                        whole += length;
                    }
                    socket.write_all(&bytes[..whole]).await.unwrap();
                    bytes.copy_within(whole..held, 0);
                    held -= whole;
                }
            });
        }
    });
    address
}

/// A program that calls, without allocating.
struct Caller {
    socket: TcpStream,
    out: Vec<u8>,
    read: Vec<u8>,
}

impl Caller {
    async fn connect(to: SocketAddr) -> Self {
        let socket = TcpStream::connect(to).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Self {
            socket,
            out: Vec::with_capacity(1 << 20),
            read: vec![0; 1 << 20],
        }
    }

    /// So many calls of 1 KiB, so many at a time.
    async fn call(&mut self, calls: usize, depth: usize) {
        let (mut asked, mut answered, mut held) = (0, 0, 0);
        while answered < calls {
            self.out.clear();
            while asked < calls && asked - answered < depth {
                asked += 1;
                motan2::encode(
                    &mut self.out,
                    Header::request(asked as u64),
                    |meta| {
                        meta.pair(b"M_p", b"demo.Echo");
                        meta.pair(b"M_m", b"echo");
                        meta.pair(b"M_g", b"g1");
                    },
                    |body| body.resize(body.len() + 1024, 7),
                );
            }
            self.socket.write_all(&self.out).await.unwrap();
            let count = self.socket.read(&mut self.read[held..]).await.unwrap();
            assert!(count > 0, "the agent closed the connection");
            held += count;
            let mut whole = 0;
            while let Some((frame, length)) = motan2::decode(&self.read[whole..held], DEFAULT_LIMIT).unwrap()
            {
                assert_eq!((frame.header.status, frame.body.len()), (0, 1024));
                whole += length;
                answered += 1;
            }
            self.read.copy_within(whole..held, 0);
            held -= whole;
        }
    }
}

/// Bytes of a message of HTTP/1.1 whose head ends with an empty line and says a length of three or four digits.
fn whole(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let name = b"content-length: ";
    let at = bytes[..head]
        .windows(name.len())
        .position(|bytes| bytes == name)?
        + name.len();
    let digits = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit());
    let length = digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
    (bytes.len() >= head + length).then_some(head + length)
}

/// A program that answers each request over HTTP/1.1 with 1 KiB, without allocating for it.
async fn web() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = [
        b"HTTP/1.1 200 OK\r\ncontent-length: 1024\r\n\r\n".as_slice(),
        &[b'x'; 1024],
    ]
    .concat();
    spawn_local(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            socket.set_nodelay(true).unwrap();
            let answer = answer.clone();
            spawn_local(async move {
                let (mut bytes, mut held) = (vec![0; 1 << 14], 0);
                while let Ok(count) = socket.read(&mut bytes[held..]).await
                    && count > 0
                {
                    held += count;
                    if let Some(length) = whole(&bytes[..held]) {
                        socket.write_all(&answer).await.unwrap();
                        held -= length;
                    }
                }
            });
        }
    });
    address
}

/// So many whole requests of 1 KiB over HTTP/1.1, one after the other.
async fn ask(socket: &mut TcpStream, request: &[u8], answer: &mut [u8], requests: usize) {
    for _ in 0..requests {
        socket.write_all(request).await.unwrap();
        let mut held = 0;
        while whole(&answer[..held]).is_none() {
            let count = socket.read(&mut answer[held..]).await.unwrap();
            assert!(count > 0, "the agent closed the connection");
            held += count;
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    }
}

/// A pair of agents on this thread; gives where the client agent listens, for Motan and for HTTP.
async fn pair(count: &Count) -> (SocketAddr, SocketAddr) {
    let (backend, web) = (echo().await, web().await);
    let server = worker(
        &format!(
            r#"{{"revision": 1, "workload": {{"namespace": "shop", "pod": "echo-1", "application": "echo"}},
            "exports": [{{"name": "shop/echo", "path": "demo.Echo", "group": "g1", "protocol": "motan2",
            "backend": "{backend}", "policy": {{"timeoutMs": 10000}}}},
            {{"name": "shop/web", "path": "demo.Web", "group": "g1", "protocol": "http",
            "backend": "{web}", "policy": {{"timeoutMs": 10000}}}}]}}"#
        ),
        count,
    );
    let inbound = listen(&server, ListenerKind::Inbound, count).await;
    let client = worker(
        &format!(
            r#"{{"revision": 1, "workload": {{"namespace": "shop", "pod": "web-1", "application": "web"}},
            "services": [{{"name": "shop/echo", "path": "demo.Echo", "group": "g1", "protocol": "motan2",
            "policy": {{"timeoutMs": 10000}}, "seeds": [{{"address": "{inbound}"}}]}},
            {{"name": "shop/web", "path": "demo.Web", "group": "g1", "protocol": "http", "hosts": ["web.mesh"],
            "policy": {{"timeoutMs": 10000}}, "seeds": [{{"address": "{inbound}"}}]}}]}}"#
        ),
        count,
    );
    (
        listen(&client, ListenerKind::Motan, count).await,
        listen(&client, ListenerKind::Http, count).await,
    )
}

fn on_one_thread<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let limited = async { tokio::time::timeout(PATIENCE, test).await.expect("in time") };
    LocalSet::new().block_on(&runtime, limited);
}

// One test, because the allocator counts for the whole process.
#[test]
fn calls_stay_within_their_budgets() {
    on_one_thread(async {
        let count = Count::default();
        let (entry, http) = pair(&count).await;
        let mut caller = Caller::connect(entry).await;
        // Links are made, buffers have grown.
        caller.call(20 * CALLS, DEPTH).await;

        let region = Region::new(ALLOCATOR);
        let before = count.0.load(Ordering::Relaxed);
        caller.call(CALLS, DEPTH).await;
        let (allocated, calls) = (region.change(), count.0.load(Ordering::Relaxed) - before);
        println!(
            "depth {DEPTH}: {} allocations, {calls} reads and writes in {CALLS} calls",
            allocated.allocations
        );
        // Both agents, for a thousand calls there and back. One call: at most one allocation in a hundred, for what a
        // queue or a timer of the runtime needs now and then.
        assert!(
            allocated.allocations + allocated.reallocations <= CALLS / 100,
            "{allocated:?}"
        );
        // A batch of 64 costs each agent two reads and two writes: 16 batches, eight each, and as much again where a
        // socket gives a batch in two pieces.
        assert!(calls <= 2 * 8 * (CALLS / DEPTH + 1), "{calls}");

        let region = Region::new(ALLOCATOR);
        let before = count.0.load(Ordering::Relaxed);
        caller.call(CALLS, 1).await;
        let (allocated, calls) = (region.change(), count.0.load(Ordering::Relaxed) - before);
        println!(
            "depth 1: {} allocations, {calls} reads and writes in {CALLS} calls",
            allocated.allocations
        );
        assert!(
            allocated.allocations + allocated.reallocations <= CALLS / 100,
            "{allocated:?}"
        );
        assert!(calls <= 8 * CALLS + 8, "{calls}");

        let mut socket = TcpStream::connect(http).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let head = b"POST /a?b HTTP/1.1\r\nhost: web.mesh\r\naccept: */*\r\ncontent-length: 1024\r\n\r\n";
        let request = [head.as_slice(), &[b'x'; 1024]].concat();
        let mut answer = vec![0; 1 << 14];
        ask(&mut socket, &request, &mut answer, 2 * CALLS).await;

        let region = Region::new(ALLOCATOR);
        let before = count.0.load(Ordering::Relaxed);
        ask(&mut socket, &request, &mut answer, CALLS).await;
        let (allocated, calls) = (region.change(), count.0.load(Ordering::Relaxed) - before);
        println!(
            "HTTP/1.1: {} allocations, {} grown, {calls} reads and writes in {CALLS} requests",
            allocated.allocations, allocated.reallocations
        );
        assert!(
            allocated.allocations + allocated.reallocations <= HTTP_ALLOCATIONS * CALLS,
            "{allocated:?}"
        );
        assert!(calls <= 8 * CALLS + 8, "{calls}");
    });
    on_one_thread(async {
        let worker = worker(
            r#"{"revision": 1, "workload": {"namespace": "shop", "pod": "web-1", "application": "web"}}"#,
            &Count::default(),
        );
        let socket = || {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let socket = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            socket.set_nonblocking(true).unwrap();
            Box::new(TcpStream::from_std(socket).unwrap()) as Io
        };
        // What each open connection holds while nothing is on it; ten thousand of them may be open.
        for (kind, budget) in [(ListenerKind::Motan, 1024), (ListenerKind::Http, 1024)] {
            let name = kind.as_str();
            let task = Rc::clone(&worker).serve(kind, socket(), Box::from("127.0.0.1"));
            let size = size_of_val(&task);
            println!("{name}: {size} bytes a connection");
            assert!(size <= budget, "{size}");
        }
    });
}
