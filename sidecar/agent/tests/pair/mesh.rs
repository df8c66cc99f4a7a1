//! Agents on the network of pipes.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use agent::discovery::Known;
use agent::link::io::Io;
use agent::live;
use agent::observe::metrics::Metrics;
use agent::worker::{ListenerKind, Worker};
use plan::Plan;
use prometheus_client::registry::Registry;
use tokio::io::{DuplexStream, duplex};
use tokio::task::{LocalSet, spawn_local};

use crate::motan::Client;
use crate::net::Net;

/// Runs a test where local tasks can be spawned; ends it after a minute of its own time.
pub(crate) async fn run<F: Future>(test: F) -> F::Output {
    let limit = Duration::from_secs(60);
    LocalSet::new()
        .run_until(tokio::time::timeout(limit, test))
        .await
        .expect("the test must not wait for ever")
}

/// One sidecar.
pub(crate) struct Agent {
    pub(crate) worker: Rc<Worker>,
    metrics: Metrics,
    registry: Registry,
}

impl Agent {
    /// A sidecar that runs a plan, and takes calls from other agents at `inbound` where that is given.
    pub(crate) fn start(net: &Net, inbound: Option<&str>, plan: &str) -> Self {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let live = live::build(
            None,
            &known(plan),
            &metrics,
            tokio::time::Instant::now().into_std(),
        );
        let worker = Worker::start(Arc::new(live), &metrics, Box::new(net.clone()));
        if let Some(address) = inbound {
            let mut accepted = net.listen(address);
            let worker = Rc::clone(&worker);
            spawn_local(async move {
                while let Some(io) = accepted.recv().await {
                    let io: Io = Box::new(io);
                    let serving = Rc::clone(&worker).serve(ListenerKind::Inbound, io, Box::from("10.0.0.9"));
                    spawn_local(serving);
                }
            });
        }
        Self {
            worker,
            metrics,
            registry,
        }
    }

    /// A connection of the local program.
    pub(crate) fn connect(&self, kind: ListenerKind) -> DuplexStream {
        let (near, far) = duplex(64 * 1024);
        let far: Io = Box::new(far);
        spawn_local(Rc::clone(&self.worker).serve(kind, far, Box::from("127.0.0.1")));
        near
    }

    /// A Motan connection of the local program.
    pub(crate) fn motan(&self) -> Client {
        Client::new(self.connect(ListenerKind::Motan))
    }

    /// Runs another plan.
    pub(crate) fn apply(&self, plan: &str) {
        let previous = self.worker.tables();
        let live = live::build(
            Some(&previous),
            &known(plan),
            &self.metrics,
            tokio::time::Instant::now().into_std(),
        );
        self.worker.apply(Arc::new(live));
    }

    /// The value of one line of the metrics page; 0 where there is none.
    pub(crate) fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &self.registry).unwrap();
        let matching = page
            .lines()
            .filter(|line| line.starts_with(name) && labels.iter().all(|label| line.contains(label)));
        matching
            .map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
            .sum()
    }
}

fn known(plan: &str) -> Known {
    Known::seeded(Arc::new(Plan::parse(plan.as_bytes()).unwrap()))
}

/// A plan of one that calls `shop/user`, a service of this protocol, at these endpoints within this time.
pub(crate) fn caller(protocol: &str, endpoints: &[&str], timeout_ms: u32) -> String {
    let seeds: Vec<_> = endpoints
        .iter()
        .map(|at| format!(r#"{{"address": "{at}"}}"#))
        .collect();
    format!(
        r#"{{"revision": 1, "workload": {{"namespace": "shop", "pod": "web-1", "application": "web"}},
        "observe": {{"accessLog": "all"}},
        "services": [{{"name": "shop/user", "path": "demo.User", "group": "g1", "protocol": "{protocol}",
        "hosts": ["user.shop.mesh"], "policy": {{"timeoutMs": {timeout_ms}}}, "seeds": [{}]}}]}}"#,
        seeds.join(",")
    )
}

/// The same plan of a provider, open to callers outside of the mesh.
pub(crate) fn plain(plan: &str) -> String {
    plan.replace("\"backend\"", "\"plain\": true, \"backend\"")
}

/// A plan of one that provides `shop/user` with a program of this protocol at `backend`.
pub(crate) fn provider(protocol: &str, backend: &str) -> String {
    format!(
        r#"{{"revision": 1, "workload": {{"namespace": "shop", "pod": "user-1", "application": "user"}},
        "exports": [{{"name": "shop/user", "path": "demo.User", "group": "g1", "protocol": "{protocol}",
        "backend": "{backend}", "policy": {{"timeoutMs": 1000}}}}]}}"#
    )
}
