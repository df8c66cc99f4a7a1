use std::net::{SocketAddr, TcpListener as StdListener, TcpStream};

use process::metrics::Exposition;
use serde_json::json;
use tokio::time::timeout;

use super::*;
use crate::discovery::{Known, Source};
use crate::live::build;
use crate::observe::metrics::Metrics as CallMetrics;

const DEADLINE: Duration = Duration::from_secs(10);

/// A port of the loopback net that nobody has at this moment.
fn free() -> SocketAddr {
    StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn plan(listen: &[SocketAddr]) -> Arc<Plan> {
    let text = json!({"revision": 1, "workload": {"namespace": "shop", "pod": "web-1", "application": "web"},
        "services": [{"name": "shop/user", "path": "user", "group": "shop", "protocol": "http", "listen": listen,
            "policy": {"timeoutMs": 1000}}]});
    Arc::new(Plan::parse(text.to_string().as_bytes()).unwrap())
}

/// Capture at work, the one who gives it plans, and what it shows.
struct Bench {
    plans: watch::Sender<Option<Current>>,
    listeners: Listeners,
    exposition: Exposition,
    end: drain::Trigger,
    workers: Workers,
}

fn begin(first: &[SocketAddr]) -> Bench {
    let mut registry = Registry::default();
    let calls = CallMetrics::register(&mut registry);
    let (mut capture, listeners) = Capture::new(&mut registry);
    let live = Arc::new(build(
        None,
        &Known::seeded(plan(first)),
        &calls,
        std::time::Instant::now(),
    ));
    let workers = Workers::start(1, live, &calls).unwrap();
    capture.follow(&plan(first), &workers);
    let (plans, current) = watch::channel(None);
    let (end, drain) = drain::channel();
    tokio::spawn(capture.run(current, workers.clone(), drain));
    Bench {
        plans,
        listeners,
        exposition: Exposition::of(registry),
        end,
        workers,
    }
}

impl Bench {
    fn plan(&self, listen: &[SocketAddr]) {
        let known = Arc::new(Known::seeded(plan(listen)));
        let source = Source::File;
        self.plans.send_replace(Some(Current { known, source }));
    }

    async fn shows(&mut self, holds: impl Fn(&[Listener]) -> bool) -> Arc<[Listener]> {
        let shown = timeout(DEADLINE, self.listeners.wait_for(|listeners| holds(listeners)));
        shown.await.expect("in time").unwrap().clone()
    }

    fn counts(&self, line: &str) -> bool {
        self.exposition.text().unwrap().lines().any(|found| found == line)
    }
}

/// Waits until the listener has gone, as its task closes it.
async fn is_closed(address: SocketAddr) {
    let wait = async {
        while TcpStream::connect(address).is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, wait).await.expect("it is closed in time");
}

#[tokio::test]
async fn listeners_come_and_go_with_plans_and_connections_stay() {
    let (first, second) = (free(), free());
    let mut bench = begin(&[first]);
    let stays = TcpStream::connect(first).unwrap();
    stays.set_nonblocking(true).unwrap();

    bench.plan(&[second]);
    bench.shows(|shown| shown[0].address.socket() == second).await;
    assert!(TcpStream::connect(second).is_ok());
    is_closed(first).await;
    let still = stays.peek(&mut [0; 1]).unwrap_err();
    assert_eq!(still.kind(), io::ErrorKind::WouldBlock, "it is open and silent");
    assert!(bench.counts("motanmesh_capture_listeners 1"));

    bench.end.drained(DEADLINE).await.unwrap();
    is_closed(second).await;
    bench.workers.stop(tokio::time::Instant::now()).await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_and_had_once_it_is_free() {
    let holder = StdListener::bind("127.0.0.1:0").unwrap();
    let (taken, fine) = (holder.local_addr().unwrap(), free());
    let mut bench = begin(&[taken, fine]);
    let shown = bench.shows(|shown| shown.len() == 2).await;
    let failed: Vec<_> = shown.iter().filter_map(|one| one.error.as_deref()).collect();
    assert!(
        failed.len() == 1 && failed[0].contains("spec.ports"),
        "{failed:?}"
    );
    assert!(TcpStream::connect(fine).is_ok(), "the others are open");
    assert!(bench.counts("motanmesh_capture_listeners_failed 1"));
    assert!(!bench.counts("motanmesh_capture_bind_failures_total 0"));

    drop(holder);
    bench
        .shows(|shown| shown.iter().all(|one| one.error.is_none()))
        .await;
    assert!(TcpStream::connect(taken).is_ok());
    bench.end.drained(DEADLINE).await.unwrap();
    bench.workers.stop(tokio::time::Instant::now()).await;
}
