//! The data threads as the control thread sees them. What crosses over is a socket, the newest `Live`, the phase of
//! life and a question now and then: no call ever does.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use plan::ServiceName;
use tokio::runtime::LocalOptions;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::inbound::handed::Handed;
use crate::listen::accept::Socket;
use crate::live::Live;
use crate::observe::metrics::Metrics;

/// Sockets and questions waiting for one worker; beyond it a new connection is closed at once.
const MAILBOX: usize = 256;
/// How long a worker may take to answer a question of the admin page.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// How often a stop looks whether calls are still under way.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Which listener a connection came in by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenerKind {
    /// 9981: Motan 2 from the local program.
    Motan,
    /// 9982: Motan and HTTP/2 from other agents.
    Inbound,
    /// 9983: HTTP from the local program, for the service that each request names.
    Http,
    /// HTTP from the local program, all of it for this service, whatever host it names.
    Service(Arc<ServiceName>),
}

impl ListenerKind {
    /// The word in metrics and logs.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Motan => "motan",
            Self::Inbound => "inbound",
            Self::Http | Self::Service(_) => "http",
        }
    }
}

/// One connection to another agent or to the program, for the admin page.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkState {
    /// Which worker holds it.
    pub worker: usize,
    /// Where it leads.
    pub address: String,
    /// `connecting`, `ready`, `draining` or `waiting` (to be tried again).
    pub state: &'static str,
    /// Calls under way there, over all workers.
    pub in_flight: u32,
    /// Connections that failed in a row.
    pub failures: u32,
}

/// Why data threads can't run.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The system gives no thread or no event queue.
    #[error("can't start data thread {index}")]
    Start {
        /// Which one.
        index: usize,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// Where the sidecar is in its life, as far as calls are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Phase {
    #[default]
    Serving,
    /// Agents that call us have been told to go elsewhere; whatever comes is served.
    Announced,
    /// The process goes, and the program may stay: an HTTP connection is closed after its next reply, which says so.
    Leaving,
    /// New calls from other agents are refused as unsent.
    Refusing,
    /// Everything under way ends, then the thread.
    Stopping,
}

/// What one worker is asked to do.
#[derive(Debug)]
pub(crate) enum Mail {
    Accept(ListenerKind, Socket),
    Links(oneshot::Sender<Vec<LinkState>>),
}

/// What a worker tells without being asked.
#[derive(Debug, Default)]
pub(crate) struct Load {
    pub(crate) connections: AtomicUsize,
    pub(crate) in_flight: AtomicUsize,
}

/// Something under way that is no call any more; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Load>);

impl Busy {
    pub(crate) fn of(load: &Arc<Load>) -> Self {
        load.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(load))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All data threads. A clone moves the same threads.
#[derive(Debug, Clone)]
pub struct Workers {
    live: watch::Sender<Arc<Live>>,
    phase: watch::Sender<Phase>,
    threads: Arc<[Thread]>,
}

#[derive(Debug)]
struct Thread {
    mail: mpsc::Sender<Mail>,
    load: Arc<Load>,
    joined: Mutex<Option<JoinHandle<()>>>,
}

impl Workers {
    /// Starts this many data threads, at least one, that run `live`.
    ///
    /// # Errors
    /// The system gives no thread or no event queue.
    pub fn start(threads: usize, live: Arc<Live>, metrics: &Metrics) -> Result<Self, WorkerError> {
        let (live, _) = watch::channel(live);
        let (phase, _) = watch::channel(Phase::default());
        let handed = Handed::default();
        let threads = (0..threads.max(1)).map(|index| {
            let (mail, inbox) = mpsc::channel(MAILBOX);
            let load = Arc::new(Load::default());
            let orders = Orders {
                index,
                live: live.subscribe(),
                phase: phase.subscribe(),
                inbox,
                load: Arc::clone(&load),
                metrics: metrics.clone(),
                handed: handed.clone(),
            };
            let failed = |source| WorkerError::Start { index, source };
            let joined = start(orders).map_err(failed)?;
            let joined = Mutex::new(Some(joined));
            Ok(Thread { mail, load, joined })
        });
        let threads = threads.collect::<Result<_, _>>()?;
        Ok(Self { live, phase, threads })
    }

    /// Runs `live` from the next call on; calls under way end with what they began with.
    pub fn apply(&self, live: Arc<Live>) {
        self.live.send_replace(live);
    }

    /// Hands a connection to the worker that has the fewest. Where that one can't keep up, it is closed.
    pub fn accept(&self, kind: ListenerKind, socket: Socket) {
        let connections = |thread: &&Thread| thread.load.connections.load(Ordering::Relaxed);
        let Some(thread) = self.threads.iter().min_by_key(connections) else {
            return;
        };
        thread.load.connections.fetch_add(1, Ordering::Relaxed);
        let listener = kind.as_str();
        if thread.mail.try_send(Mail::Accept(kind, socket)).is_err() {
            thread.load.connections.fetch_sub(1, Ordering::Relaxed);
            tracing::warn!(
                listener,
                "connection closed: its worker is overloaded or stopping"
            );
        }
    }

    /// Tells the agents that call us to go elsewhere, those who connect later too. Whatever comes is served.
    pub fn announce_drain(&self) {
        self.phase
            .send_if_modified(|phase| raise(phase, Phase::Announced));
    }

    /// The process is about to end: callers by HTTP are asked to connect anew. Whatever comes is served.
    pub fn leave(&self) {
        self.phase.send_if_modified(|phase| raise(phase, Phase::Leaving));
    }

    /// From now on new calls from other agents are refused as unsent, so that they are tried elsewhere.
    pub fn refuse_new(&self) {
        self.phase.send_if_modified(|phase| raise(phase, Phase::Refusing));
    }

    /// Calls under way, over all workers, in both roles.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        let calls = |thread: &Thread| thread.load.in_flight.load(Ordering::Relaxed);
        self.threads.iter().map(calls).sum()
    }

    /// Connections that callers hold, over all workers.
    #[must_use]
    pub fn connections(&self) -> usize {
        let connections = |thread: &Thread| thread.load.connections.load(Ordering::Relaxed);
        self.threads.iter().map(connections).sum()
    }

    /// Every link of every worker. A worker that does not answer within a second is left out.
    pub async fn links(&self) -> Vec<LinkState> {
        let mut links = Vec::new();
        for thread in &*self.threads {
            links.extend(thread.links().await.unwrap_or_default());
        }
        links
    }

    /// Whether every worker answers within a second: one that is stuck does not.
    pub async fn answer(&self) -> bool {
        for thread in &*self.threads {
            if thread.links().await.is_none() {
                return false;
            }
        }
        true
    }

    /// Takes no new connection or call from other agents, waits until no call is under way or `deadline` passes,
    /// then ends the threads. Gives the number of calls that were cut.
    pub async fn stop(&self, deadline: Instant) -> usize {
        self.refuse_new();
        // What was handed over last has not been read yet, so the first look comes later too.
        while Instant::now() < deadline {
            tokio::time::sleep(LOOK_AGAIN).await;
            if self.in_flight() == 0 {
                break;
            }
        }
        let cut = self.in_flight();
        self.phase.send_if_modified(|phase| raise(phase, Phase::Stopping));
        for thread in &*self.threads {
            // A worker's last act, flushing replies, is bounded by FLUSH_WITHIN: joining can't take longer.
            let joined = thread.joined.lock().ok().and_then(|mut joined| joined.take());
            if let Some(joined) = joined
                && tokio::task::spawn_blocking(|| joined.join()).await.is_err()
            {
                tracing::warn!("a data thread ended by a panic");
            }
        }
        cut
    }
}

impl Thread {
    async fn links(&self) -> Option<Vec<LinkState>> {
        let (answer, answered) = oneshot::channel();
        let asking = async {
            self.mail.send(Mail::Links(answer)).await.ok()?;
            answered.await.ok()
        };
        tokio::time::timeout(ANSWER_WITHIN, asking).await.ok()?
    }
}

fn raise(phase: &mut Phase, to: Phase) -> bool {
    let raised = *phase < to;
    *phase = to.max(*phase);
    raised
}

/// Everything one data thread is given.
#[derive(Debug)]
pub(crate) struct Orders {
    pub(crate) index: usize,
    pub(crate) live: watch::Receiver<Arc<Live>>,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) inbox: mpsc::Receiver<Mail>,
    pub(crate) load: Arc<Load>,
    pub(crate) metrics: Metrics,
    pub(crate) handed: Handed,
}

fn start(orders: Orders) -> std::io::Result<JoinHandle<()>> {
    let (built, building) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().name(format!("worker-{}", orders.index));
    let joined = thread.spawn(move || {
        // Built here because a `LocalRuntime` never leaves its thread.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default());
        match runtime {
            Ok(runtime) => {
                let _ = built.send(Ok(()));
                runtime.block_on(super::life::run(orders));
            }
            Err(error) => {
                let _ = built.send(Err(error));
            }
        }
    })?;
    match building.recv() {
        Ok(built) => built.map(|()| joined),
        Err(_) => Err(std::io::Error::other("the thread ended before it began")),
    }
}
