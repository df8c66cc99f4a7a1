//! A closed loop over HTTP/1.1: so many connections, a request at a time on each.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use e2e::stats::Stats;
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};

use crate::{
    rounds::{Extent, median},
    subjects,
};

const PAYLOAD: [u8; 1024] = [b'x'; 1024];
const PATIENCE: Duration = Duration::from_secs(30);
/// Connections of a run.
pub(crate) const CONNECTIONS: [usize; 3] = [1, 16, 64];

/// What was measured.
pub(crate) struct Figure {
    /// Answers a second.
    pub(crate) rate: f64,
    /// Milliseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// Connections, the direct way, our pair: in turn, and medians.
pub(crate) async fn row(connections: usize, extent: Extent) -> anyhow::Result<(usize, Figure, Figure)> {
    let time = Duration::from_secs_f64(extent.closed_seconds);
    let (mut direct, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..extent.rounds {
        direct.push(run(connections, subjects::HTTP, time).await?);
        ours.push(run(connections, subjects::HTTP_ENTRY, time).await?);
    }
    Ok((connections, middle(&direct), middle(&ours)))
}

fn middle(runs: &[Figure]) -> Figure {
    let of = |value: fn(&Figure) -> f64| median(runs.iter().map(value).collect());
    Figure {
        rate: of(|run| run.rate),
        p50: of(|run| run.p50),
        p99: of(|run| run.p99),
    }
}

async fn run(count: usize, to: SocketAddr, time: Duration) -> anyhow::Result<Figure> {
    let begin = Instant::now();
    let mut connections = JoinSet::new();
    for _ in 0..count {
        connections.spawn(connection(to, begin + time));
    }
    let mut stats = Stats::default();
    while let Some(one) = tokio::time::timeout(PATIENCE + time, connections.join_next())
        .await
        .context("a connection hangs")?
    {
        for latency in one?? {
            stats.answered("program", latency);
        }
    }
    let report = stats.report();
    Ok(Figure {
        rate: report.ok as f64 / begin.elapsed().as_secs_f64(),
        p50: report.p50_ms,
        p99: report.p99_ms,
    })
}

async fn connection(to: SocketAddr, end: Instant) -> anyhow::Result<Vec<Duration>> {
    let socket = TcpStream::connect(to).await?;
    socket.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    let mut owned = JoinSet::new();
    owned.spawn(connection);
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let begin = Instant::now();
        let request = Request::post("/echo?raw").header("host", "http.bench.mesh");
        let request = request.body(Full::new(Bytes::from_static(&PAYLOAD)))?;
        let response = sender.send_request(request).await?;
        ensure!(response.status().is_success(), "status {}", response.status());
        response.into_body().collect().await?;
        latencies.push(begin.elapsed());
    }
    Ok(latencies)
}
