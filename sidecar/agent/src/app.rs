//! The one place that puts the sidecar together, in order, and takes it apart again, in order.
//!
//! The main thread is the control thread: discovery, accepting, admin, metrics. Calls run on the workers' threads.

mod tasks;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use process::metrics::{Exposition, ProcessCollector};
use process::ready::Readiness;
use process::{logging, signal};
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::time::Instant;

use self::tasks::Tasks;
use crate::admin;
use crate::boot::Boot;
use crate::capture::Capture;
use crate::discovery::{self, Current, Discovery, stream};
use crate::follow::{Follow, Program};
use crate::life::{Life, linger};
use crate::meta::Meta;
use crate::observe::metrics::Metrics as CallMetrics;
use crate::registry::Registry as Registered;
use crate::snapshot;
use crate::worker::{ListenerKind, Workers};

/// Threads for what blocks: resolving names, some of which nobody answers for half a minute, and joining the workers.
/// They end when idle.
const BLOCKING_THREADS: usize = 8;

/// How long the names of services outside may hold up the start: the first call should find them, and one that can't be
/// found must not keep the pod from starting.
const NAMES_TIME: Duration = Duration::from_secs(5);

/// How long such a thread waits for more to do.
const BLOCKING_IDLE: Duration = Duration::from_secs(1);

/// Runs a sidecar until a signal ends it.
///
/// # Errors
/// It can't start, or a part that should run to the end died.
pub fn main(boot: &Boot) -> anyhow::Result<()> {
    let level = logging::start(&boot.log_level, boot.log_format)?;
    let mut registry = Registry::default();
    ProcessCollector::register(&mut registry, SystemTime::now());
    let control = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(BLOCKING_IDLE)
        .build()
        .context("can't start the control thread")?;
    control.block_on(run(boot, registry, level))
}

/// From nothing to ready, as long as it lives, and the stop.
async fn run(boot: &Boot, mut registry: Registry, level: logging::Level) -> anyhow::Result<()> {
    let mut signals = signal::Ending::listen().context("can't listen for signals")?;
    let control = discovery::Metrics::register(&mut registry);
    let calls = CallMetrics::register(&mut registry);
    let (mut capture, captured) = Capture::new(&mut registry);
    let life = Life::new(Readiness::default());
    let (plan, listeners) = (
        life.readiness.pending("plan"),
        life.readiness.pending("listeners"),
    );
    let discovery = Discovery::open(boot.discovery(), control.clone());
    let mut current = discovery.current();
    let mut settled = discovery.settled();
    let shares = discovery.shares();
    let started = Arc::new(OnceLock::new());
    let motan_port = Arc::new(OnceLock::new());
    let program = Program {
        registry: Registered::open(boot.state_dir.clone()),
        meta: Meta::of(environment()),
        local: boot.local_address,
    };
    let sources = admin::Sources {
        life: life.clone(),
        current: current.clone(),
        workers: Arc::clone(&started),
        program: program.clone(),
        captured,
        motan_port: Arc::clone(&motan_port),
        level,
        metrics: Exposition::of(registry),
    };

    let mut tasks = Tasks::new();
    tasks.page("admin", boot.admin(), admin::page(&sources))?;
    tasks.page("metrics", boot.metrics(), admin::metrics(&sources))?;
    let (tell, told) = stream::told();
    tasks.control("discovery", |drain| discovery.run(told, drain));

    let Some(first) = first(&mut current, &mut signals, &mut tasks).await? else {
        return Ok(());
    };
    plan.done();
    let threads = boot.workers(std::thread::available_parallelism().map_or(1, usize::from));
    let (follow, workers) = Follow::start(threads, &first, (calls, control), tell, program.clone())?;
    let workers = started.get_or_init(|| workers).clone();
    tasks.control("follow", |drain| {
        follow.run((current.clone(), shares), workers.clone(), drain)
    });

    if let Some(dir) = boot.snapshot_dir.clone() {
        tasks.control("snapshot", |drain| snapshot::run(dir, current.clone(), drain));
    }

    let motan = tasks.door(ListenerKind::Motan, boot.motan(), &workers)?;
    if let Some(path) = &boot.motan_socket {
        tasks.unix_door(ListenerKind::Motan, path, &workers)?;
    }
    let _ = motan_port.set(motan.port());
    tasks.door(ListenerKind::Http, boot.http(), &workers)?;
    let mut inbound = Inbound {
        said: boot.inbound(),
        bound: None,
    };
    inbound.open(&first, &workers, &mut tasks)?;
    capture.follow(&first.known.plan, &workers);
    tasks.entrance("capture", |drain| {
        capture.run(current.clone(), workers.clone(), drain)
    });
    if tokio::time::timeout(NAMES_TIME, settled.wait_for(|settled| *settled))
        .await
        .is_err()
    {
        tracing::warn!("ready before every name of a service outside was looked up");
    }
    listeners.done();
    let app = App {
        life,
        workers,
        program,
        current,
        inbound,
        tasks,
    };
    app.live(boot, signals).await
}

/// Variables that are not text are not for us.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
}

/// The first plan; `None` when a signal comes first.
async fn first(
    current: &mut watch::Receiver<Option<Current>>,
    signals: &mut signal::Ending,
    tasks: &mut Tasks,
) -> anyhow::Result<Option<Current>> {
    tokio::select! {
        biased;
        first = current.wait_for(Option::is_some) => Ok(first.context("discovery died")?.clone()),
        died = tasks.died() => Err(died),
        signal = signals.next() => {
            tracing::info!(signal, "ended before there was a plan");
            Ok(None)
        }
    }
}

/// A sidecar that is put together.
struct App {
    life: Life,
    workers: Workers,
    program: Program,
    current: watch::Receiver<Option<Current>>,
    inbound: Inbound,
    tasks: Tasks,
}

impl App {
    /// Serves until a signal, then stops; a second signal cuts the stop short.
    async fn live(mut self, boot: &Boot, mut signals: signal::Ending) -> anyhow::Result<()> {
        tracing::info!("ready");
        let signal = tokio::select! {
            died = self.serve() => return Err(died),
            signal = signals.next() => signal,
        };
        let workers = self.workers.clone();
        tracing::info!(signal, in_flight = workers.in_flight(), "ending");
        tokio::select! {
            () = self.stop(boot) => {}
            signal = signals.next() => tracing::warn!(signal, in_flight = workers.in_flight(), "told twice; calls are cut"),
        }
        Ok(())
    }

    /// Until a task dies. A drain that is asked for is announced, and everything served all the same: the pod goes,
    /// but its program still runs and others may not have heard yet.
    async fn serve(&mut self) -> anyhow::Error {
        let Self {
            life,
            workers,
            program: _,
            current,
            inbound,
            tasks,
        } = self;
        let announce = async {
            life.goes().await;
            tracing::info!("draining: other agents are told to go elsewhere");
            workers.announce_drain();
            std::future::pending().await
        };
        let mut announce = std::pin::pin!(announce);
        loop {
            tokio::select! {
                () = &mut announce => {}
                died = tasks.died() => return died,
                Ok(()) = current.changed() => {
                    let latest = current.borrow_and_update().clone();
                    let opened = latest.map_or(Ok(()), |latest| inbound.open(&latest, workers, tasks));
                    if let Err(error) = opened {
                        tracing::warn!(error = format!("{error:#}"), "other agents can't reach this one");
                    }
                }
            }
        }
    }

    /// In order: other agents are told, calls are still accepted while they hear it, the doors close, what is in
    /// flight ends or is cut at the deadline, and the control thread is the last to go.
    async fn stop(self, boot: &Boot) {
        let Self {
            life,
            workers,
            program,
            current,
            inbound: _,
            tasks,
        } = self;
        let exports = |current: &Current| !current.known.plan.exports.is_empty();
        let registered = program.registry.entries().borrow().serves();
        let called = registered || current.borrow().as_ref().is_some_and(exports);
        let now = Instant::now();
        let deadline = now + boot.drain_deadline;
        let linger = linger(life.going(), now, boot.drain_delay, called);
        life.go(now);
        workers.announce_drain();
        workers.leave();
        tokio::time::sleep(linger).await;
        tasks.end(finish(&workers, deadline)).await;
    }
}

async fn finish(workers: &Workers, deadline: Instant) {
    match workers.stop(deadline).await {
        0 => tracing::info!("all calls have ended"),
        cut => tracing::warn!(cut, "calls were cut at the deadline"),
    }
}

/// The listener for other agents: bound once its address is known, by flag or by plan, and then for life.
struct Inbound {
    said: Option<SocketAddr>,
    bound: Option<SocketAddr>,
}

impl Inbound {
    fn open(&mut self, current: &Current, workers: &Workers, tasks: &mut Tasks) -> anyhow::Result<()> {
        let planned = discovery::inbound(&current.known.plan);
        match (self.bound, self.said.or(planned)) {
            (None, Some(at)) => self.bound = Some(tasks.door(ListenerKind::Inbound, at, workers)?),
            (Some(bound), Some(at)) if self.said.is_none() && at != bound => {
                tracing::warn!(%bound, planned = %at, "the inbound address changes when the sidecar starts anew");
            }
            _ => {}
        }
        Ok(())
    }
}
