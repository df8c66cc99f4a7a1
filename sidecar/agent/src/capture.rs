//! Loopback capture: a listener for each address that the plan gives to a service, opened and closed as plans change.
//!
//! Control work. What is accepted goes to the workers like any other caller, so a listener that is closed takes no
//! connection with it. One that can't be bound costs that name only: it is said, counted, shown, and tried again.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use plan::{LocalAddress, Plan, ServiceName};
use process::listen::BindError;
use process::{drain, listen};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::discovery::Current;
use crate::listen::accept;
use crate::worker::{ListenerKind, Workers};

/// How long until a listener that could not be bound is tried again: whoever has its port may go.
const RETRY: Duration = Duration::from_secs(2);

/// One listener, as the admin page shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// Where.
    pub address: LocalAddress,
    /// For which service.
    pub service: ServiceName,
    /// Why it is not open, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Every listener of the plan in force, sorted by address.
pub type Listeners = watch::Receiver<Arc<[Listener]>>;

/// The listeners of loopback capture.
#[derive(Debug)]
pub struct Capture {
    wanted: BTreeMap<LocalAddress, ServiceName>,
    doors: BTreeMap<LocalAddress, Door>,
    tasks: JoinSet<()>,
    shown: watch::Sender<Arc<[Listener]>>,
    metrics: Metrics,
}

#[derive(Debug)]
enum Door {
    /// Its task accepts until this is dropped, for this service.
    Open {
        _closes: drain::Trigger,
        owner: watch::Sender<Arc<ServiceName>>,
    },
    /// It can't be bound, for this reason.
    Failed(String),
}

#[derive(Debug, Default)]
struct Metrics {
    open: Gauge,
    failed: Gauge,
    failures: Counter,
}

impl Capture {
    /// No listener yet; what there will be can be seen by the second.
    pub fn new(registry: &mut Registry) -> (Self, Listeners) {
        let (shown, listeners) = watch::channel(Arc::from([]));
        let capture = Self {
            wanted: BTreeMap::new(),
            doors: BTreeMap::new(),
            tasks: JoinSet::new(),
            shown,
            metrics: Metrics::register(registry),
        };
        (capture, listeners)
    }

    /// Opens what the plan wants and closes what it does not want any more. Connections go on either way.
    pub fn follow(&mut self, plan: &Plan, workers: &Workers) {
        let wanted = plan
            .services
            .iter()
            .flat_map(|service| service.listen.iter().map(|at| (*at, service.name.clone())));
        self.wanted = wanted.collect();
        self.doors.retain(|address, _| self.wanted.contains_key(address));
        self.open(workers);
    }

    /// Follows plans until the drain starts, then closes all listeners; whoever has connected is handed on first.
    pub async fn run(
        mut self,
        mut current: watch::Receiver<Option<Current>>,
        workers: Workers,
        mut drain: drain::Watch,
    ) {
        loop {
            let has_failed = self.doors.values().any(|door| matches!(door, Door::Failed(_)));
            tokio::select! {
                () = drain.started() => break,
                changed = current.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let latest = current.borrow_and_update().clone();
                    if let Some(latest) = latest {
                        self.follow(&latest.known.plan, &workers);
                    }
                }
                Some(ended) = self.tasks.join_next() => if let Err(error) = ended {
                    tracing::error!(%error, "a listener died");
                    return;
                },
                () = tokio::time::sleep(RETRY), if has_failed => self.open(&workers),
            }
        }
        self.doors.clear();
        while self.tasks.join_next().await.is_some() {}
    }

    /// Opens every wanted listener that is not open.
    fn open(&mut self, workers: &Workers) {
        for (address, service) in &self.wanted {
            let before = match self.doors.get(address) {
                Some(Door::Open { owner, .. }) => {
                    owner.send_if_modified(|owner| {
                        let is_new = **owner != *service;
                        if is_new {
                            *owner = Arc::new(service.clone());
                        }
                        is_new
                    });
                    continue;
                }
                Some(Door::Failed(error)) => Some(error.as_str()),
                None => None,
            };
            let door = match listen::bind(address.socket()) {
                Ok(listener) => {
                    tracing::info!(listener = "capture", %address, %service, "listening");
                    serve(listener, service, workers, &mut self.tasks)
                }
                Err(error) => {
                    self.metrics.failures.inc();
                    let error = reason(&error);
                    if before != Some(&*error) {
                        tracing::warn!(%address, %service, error, "the names of a service lead nowhere");
                    }
                    Door::Failed(error)
                }
            };
            self.doors.insert(*address, door);
        }
        self.show();
    }

    fn show(&self) {
        let error = |address| match self.doors.get(address) {
            Some(Door::Failed(error)) => Some(error.clone()),
            Some(Door::Open { .. }) | None => None,
        };
        let listeners: Arc<[Listener]> = self
            .wanted
            .iter()
            .map(|(address, service)| Listener {
                address: *address,
                service: service.clone(),
                error: error(address),
            })
            .collect();
        let failed = listeners.iter().filter(|one| one.error.is_some()).count();
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.failed.set(gauge(failed));
        self.metrics.open.set(gauge(listeners.len() - failed));
        self.shown.send_replace(listeners);
    }
}

/// Accepts in a task of its own until the door is dropped.
fn serve(listener: TcpListener, service: &ServiceName, workers: &Workers, tasks: &mut JoinSet<()>) -> Door {
    let (closes, drain) = drain::channel();
    let (owner, owned) = watch::channel(Arc::new(service.clone()));
    let (counting, handing) = (workers.clone(), workers.clone());
    let open = move || counting.connections();
    let hand = move |socket| handing.accept(ListenerKind::Service(Arc::clone(&owned.borrow())), socket);
    tasks.spawn(accept::run(listener, open, hand, drain));
    Door::Open {
        _closes: closes,
        owner,
    }
}

/// Why it can't be bound, and what mends that.
fn reason(error: &BindError) -> String {
    let mend = match error.source.kind() {
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need the pod's sysctl net.ipv4.ip_unprivileged_port_start=0, which a pod gets when it is \
             made: make it anew"
        }
        io::ErrorKind::AddrInUse => {
            "; a program of this pod listens on this port, probably at all addresses: let the MeshService have another in \
             spec.ports"
        }
        _ => "",
    };
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    format!("{error}: {source}{mend}")
}

impl Metrics {
    fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "motanmesh_capture_listeners",
            "Listeners of loopback capture that are open",
            metrics.open.clone(),
        );
        registry.register(
            "motanmesh_capture_listeners_failed",
            "Listeners of loopback capture that can't be bound now",
            metrics.failed.clone(),
        );
        registry.register(
            "motanmesh_capture_bind_failures",
            "Attempts to bind a listener of loopback capture that failed",
            metrics.failures.clone(),
        );
        metrics
    }
}

#[cfg(test)]
mod tests;
