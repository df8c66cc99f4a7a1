//! A steady load: a call begins at each tick whatever became of the last (open loop), latency counts from the tick.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use e2e::stats::Stats;
use http_body_util::Full;
use hyper::{Response, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};

use crate::{http_client::Http, motan_client::Motan, say};

/// Where a load answers `/stats`.
pub(crate) const CONTROL_PORT: u16 = 8090;
/// Calls under way at once, at most; one more counts as failed, so that a stall is seen and memory stays bounded.
const MAX_IN_FLIGHT: usize = 10_000;
/// Pause between two tries of a call whose connection was refused: the program that restarts needs some time.
const RECONNECT: Duration = Duration::from_millis(20);

/// A load.
#[derive(Args)]
pub(crate) struct Load {
    /// Call this URL with GET; the answer must have status 200.
    #[arg(long, conflicts_with = "motan")]
    http: Option<String>,
    /// Call this service path over Motan 2 with one string, which the answer must hold.
    #[arg(long)]
    motan: Option<String>,
    /// Method of Motan calls.
    #[arg(long, default_value = "hello")]
    method: String,
    /// Group of Motan calls; absent: not sent.
    #[arg(long)]
    group: Option<String>,
    /// Where calls are sent. Default: 127.0.0.1:9983 for HTTP, 127.0.0.1:9981 for Motan.
    #[arg(long)]
    via: Option<SocketAddr>,
    /// Calls a second.
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// Connections of Motan calls, which take turns.
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// A call without an answer after this many milliseconds has failed.
    #[arg(long, default_value_t = 5_000)]
    timeout_ms: u64,
    /// Stop after this many seconds; 0: at SIGTERM.
    #[arg(long, default_value_t = 0)]
    seconds: u64,
    /// Port of `/stats`; 0: none.
    #[arg(long, default_value_t = CONTROL_PORT)]
    control_port: u16,
}

enum Caller {
    Http(Http, String),
    /// One for each connection, and how many calls there have been.
    Motan(Vec<Motan>, AtomicUsize),
}

/// Runs until the time is over or SIGTERM, then prints the report as the last line.
pub(crate) async fn run(load: Load) -> anyhow::Result<()> {
    anyhow::ensure!(load.rate > 0, "--rate must be at least 1");
    anyhow::ensure!(load.connections > 0, "--connections must be at least 1");
    let stop = terminated()?;
    let stats = Arc::new(Mutex::new(Stats::default()));
    let mut owned = JoinSet::new();
    if load.control_port != 0 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, load.control_port))
            .await
            .context("control port")?;
        owned.spawn(serve_stats(listener, Arc::clone(&stats)));
    }
    let caller = Arc::new(caller(&load)?);
    tick(&load, &caller, &stats, stop).await;
    owned.shutdown().await;
    let report = lock(&stats).report();
    say(&serde_json::to_string(&report)?)
}

fn caller(load: &Load) -> anyhow::Result<Caller> {
    let via = |port| {
        load.via
            .unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    };
    match (&load.http, &load.motan) {
        (Some(url), None) => Ok(Caller::Http(Http::new(Some(via(9983)), false), url.clone())),
        (None, Some(path)) => {
            let motan = || {
                Motan::new(
                    client::Address::Tcp(via(9981).to_string()),
                    path.clone(),
                    load.method.clone(),
                    load.group.clone(),
                    Duration::from_millis(load.timeout_ms),
                )
            };
            let connections = (0..load.connections).map(|_| motan()).collect();
            Ok(Caller::Motan(connections, AtomicUsize::default()))
        }
        _ => anyhow::bail!("give either --http URL or --motan PATH"),
    }
}

async fn tick(load: &Load, caller: &Arc<Caller>, stats: &Arc<Mutex<Stats>>, mut stop: watch::Receiver<bool>) {
    let timeout = Duration::from_millis(load.timeout_ms);
    let end = (load.seconds > 0).then(|| Instant::now() + Duration::from_secs(load.seconds));
    let places = Arc::new(Semaphore::new(MAX_IN_FLIGHT));
    let mut calls = JoinSet::new();
    let mut clock = tokio::time::interval(Duration::from_secs(1) / load.rate);
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        let intended = tokio::select! {
            tick = clock.tick() => tick,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        if end.is_some_and(|end| intended >= end) {
            break;
        }
        lock(stats).begin();
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            lock(stats).failed("too many calls under way");
            continue;
        };
        let (caller, stats) = (Arc::clone(caller), Arc::clone(stats));
        calls.spawn(async move {
            let outcome = call(&caller, intended, timeout).await;
            match outcome {
                Ok(instance) => lock(&stats).answered(&instance, intended.elapsed()),
                Err(error) => lock(&stats).failed(&kind(&error)),
            }
            drop(place);
        });
        while calls.try_join_next().is_some() {}
    }
    calls.join_all().await;
}

/// One call: connections that are refused are tried again until the deadline, as any patient client does; nothing
/// that was sent is sent again.
async fn call(caller: &Caller, intended: Instant, timeout: Duration) -> anyhow::Result<String> {
    let deadline = intended + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let outcome = match caller {
            Caller::Http(http, url) => http.send("GET", url, "", left).await.and_then(|answer| {
                anyhow::ensure!(
                    answer.status == 200,
                    "status {}: {}",
                    answer.status,
                    first_line(&answer.body)
                );
                Ok(served_by(&answer.headers))
            }),
            // It waits for a connection by itself.
            Caller::Motan(connections, calls) => connections
                [calls.fetch_add(1, Ordering::Relaxed) % connections.len()]
            .call("load")
            .await
            .map(|answer| answer.served_by)
            .map_err(Into::into),
        };
        match outcome {
            Err(error) if refused(&error) && Instant::now() + RECONNECT < deadline => {
                tokio::time::sleep(RECONNECT).await;
            }
            outcome => return outcome,
        }
    }
}

fn refused(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused)
    })
}

fn served_by(headers: &hyper::HeaderMap) -> String {
    headers
        .get("x-served-by")
        .and_then(|value| value.to_str().ok())
        .unwrap_or("unknown")
        .to_owned()
}

fn kind(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    first_line(&text).chars().take(160).collect()
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn lock(stats: &Mutex<Stats>) -> std::sync::MutexGuard<'_, Stats> {
    stats.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve_stats(listener: TcpListener, stats: Arc<Mutex<Stats>>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            return;
        };
        let service = service_fn(|_| {
            let report = lock(&stats).report();
            async move { serde_json::to_string(&report).map(|text| Response::new(Full::new(Bytes::from(text)))) }
        });
        let exchange = http1::Builder::new()
            .keep_alive(false)
            .serve_connection(TokioIo::new(socket), service);
        let _ = tokio::time::timeout(Duration::from_secs(5), exchange).await;
    }
}

/// Becomes true at SIGTERM or SIGINT.
pub(crate) fn terminated() -> anyhow::Result<watch::Receiver<bool>> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (tell, told) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        let _ = tell.send(true);
    });
    Ok(told)
}
