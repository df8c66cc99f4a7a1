//! A closed loop: so many connections, so many requests under way on each, as fast as answers come.

use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::Context;
use bytes::{Buf, Bytes, BytesMut};
use e2e::stats::Stats;
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};
use wire::{keys, meta, motan2, value};

/// What is spoken to the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Motan,
    Http,
}

/// Connections, and requests under way on each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape(pub(crate) usize, pub(crate) usize);

/// What was measured.
pub(crate) struct Figure {
    /// Answers a second.
    pub(crate) rate: f64,
    /// Milliseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) failed: u64,
}

const PAYLOAD: [u8; 1024] = [b'x'; 1024];
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn run(
    protocol: Protocol,
    shape: Shape,
    to: SocketAddr,
    time: Duration,
) -> anyhow::Result<Figure> {
    let begin = Instant::now();
    let end = begin + time;
    let mut connections = JoinSet::new();
    for _ in 0..shape.0 {
        match protocol {
            Protocol::Motan => connections.spawn(motan(to, shape.1, end)),
            Protocol::Http => connections.spawn(http(to, end)),
        };
    }
    let mut all: Vec<Seen> = Vec::new();
    while let Some(one) = tokio::time::timeout(PATIENCE + time, connections.join_next())
        .await
        .context("a connection hangs")?
    {
        all.push(one??);
    }
    let elapsed = begin.elapsed().as_secs_f64();
    let mut stats = Stats::default();
    for seen in &all {
        seen.latencies
            .iter()
            .for_each(|latency| stats.answered("program", *latency));
        (0..seen.failed).for_each(|_| stats.failed("exception"));
    }
    let report = stats.report();
    let answers = u32::try_from(report.ok).unwrap_or(u32::MAX);
    Ok(Figure {
        rate: f64::from(answers) / elapsed,
        p50: report.p50_ms,
        p99: report.p99_ms,
        failed: report.failed,
    })
}

#[derive(Default)]
struct Seen {
    latencies: Vec<Duration>,
    failed: u64,
}

async fn motan(to: SocketAddr, depth: usize, end: Instant) -> anyhow::Result<Seen> {
    let mut socket = TcpStream::connect(to).await?;
    socket.set_nodelay(true)?;
    let (mut seen, mut asked, mut next) = (Seen::default(), HashMap::new(), 0_u64);
    let (mut out, mut bytes) = (Vec::new(), BytesMut::with_capacity(64 << 10));
    loop {
        while asked.len() < depth && Instant::now() < end {
            next += 1;
            asked.insert(next, Instant::now());
            ask(&mut out, next);
        }
        if asked.is_empty() {
            return Ok(seen);
        }
        socket.write_all(&out).await?;
        out.clear();
        anyhow::ensure!(socket.read_buf(&mut bytes).await? > 0, "connection closed");
        while let Some((frame, length)) = motan2::decode(&bytes, motan2::DEFAULT_LIMIT)? {
            let begin = asked.remove(&frame.header.id).context("an answer to nothing")?;
            if frame.header.status == 0 {
                seen.latencies.push(begin.elapsed());
            } else {
                seen.failed += 1;
            }
            bytes.advance(length);
        }
    }
}

fn ask(out: &mut Vec<u8>, id: u64) {
    let write_meta = |meta: &mut meta::Writer<'_>| {
        meta.pair(keys::PATH, b"motan.bench");
        meta.pair(keys::METHOD, b"echo");
        meta.pair(keys::GROUP, b"bench");
    };
    motan2::encode(out, motan2::Header::request(id), write_meta, |body| {
        value::write_bytes(body, &PAYLOAD)
    });
}

async fn http(to: SocketAddr, end: Instant) -> anyhow::Result<Seen> {
    let socket = TcpStream::connect(to).await?;
    socket.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    let mut owned = JoinSet::new();
    owned.spawn(connection);
    let mut seen = Seen::default();
    while Instant::now() < end {
        let begin = Instant::now();
        let request = Request::post("/echo?raw").header("host", "http.bench.mesh");
        let response = sender
            .send_request(request.body(Full::new(Bytes::from_static(&PAYLOAD)))?)
            .await?;
        let fine = response.status().is_success();
        response.into_body().collect().await?;
        if fine {
            seen.latencies.push(begin.elapsed());
        } else {
            seen.failed += 1;
        }
    }
    Ok(seen)
}
