//! How it ends: a signal, or something that must not end and did. Either way the same order, so that another replica
//! takes over at once.

use std::time::Duration;

use anyhow::anyhow;
use process::{drain, signal::Ending};
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
};
use tracing::{error, info, warn};

use super::Task;

/// After SIGTERM admission answers for this long: until then the API server may still send here.
const LINGER: Duration = Duration::from_secs(5);
/// How long each step of stopping may take.
pub(super) const STEP: Duration = Duration::from_secs(5);

/// Everything that runs, and what stops it.
pub(super) struct App {
    pub(super) tasks: JoinSet<Task>,
    pub(super) admission_thread: oneshot::Receiver<()>,
    pub(super) stops: Stops,
}

/// The triggers, in the order in which they are pulled.
pub(super) struct Stops {
    pub(super) stopping: watch::Sender<bool>,
    pub(super) elected: drain::Trigger,
    pub(super) lease: drain::Trigger,
    pub(super) streams: drain::Trigger,
    pub(super) admission: drain::Trigger,
    pub(super) admin: drain::Trigger,
}

/// What the parts hold of them.
pub(super) struct Drains {
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) elected: drain::Watch,
    pub(super) lease: drain::Watch,
    pub(super) streams: drain::Watch,
    pub(super) admission: drain::Watch,
    pub(super) admin: drain::Watch,
}

/// All triggers and what hangs on them.
pub(super) fn channels() -> (Stops, Drains) {
    let (stopping_in, stopping) = watch::channel(false);
    let (elected_in, elected) = drain::channel();
    let (lease_in, lease) = drain::channel();
    let (streams_in, streams) = drain::channel();
    let (admission_in, admission) = drain::channel();
    let (admin_in, admin) = drain::channel();
    let stops = Stops {
        stopping: stopping_in,
        elected: elected_in,
        lease: lease_in,
        streams: streams_in,
        admission: admission_in,
        admin: admin_in,
    };
    let drains = Drains {
        stopping,
        elected,
        lease,
        streams,
        admission,
        admin,
    };
    (stops, drains)
}

impl App {
    /// Waits for a signal and stops; a task that ends before is a failure.
    pub(super) async fn until(mut self, ending: &mut Ending) -> anyhow::Result<()> {
        let failure = tokio::select! {
            signal = ending.next() => {
                info!(signal, "stopping");
                None
            }
            Some(ended) = self.tasks.join_next() => {
                Some(ended.unwrap_or_else(|error| ("a task", error.to_string())))
            }
            _ = &mut self.admission_thread => Some(("the admission thread", "it ended".to_owned())),
        };
        let Some((what, why)) = failure else {
            self.stops.pull(LINGER, ending).await;
            return Ok(());
        };
        error!(
            what,
            why, "ended; the process ends with it, so that nothing stale is served"
        );
        self.stops.pull(Duration::ZERO, ending).await;
        Err(anyhow!("{what}: {why}"))
    }
}

impl Stops {
    async fn pull(self, linger: Duration, ending: &mut Ending) {
        self.stopping.send_replace(true);
        let order = async {
            late("the elected", self.elected.drained(STEP).await);
            late("the lease", self.lease.drained(STEP).await);
            late("streams", self.streams.drained(STEP).await);
            tokio::time::sleep(linger).await;
            late("admission", self.admission.drained(STEP).await);
            self.admin.start();
        };
        tokio::select! {
            () = order => info!("stopped"),
            signal = ending.next() => warn!(signal, "a second signal: stopping at once"),
        }
    }
}

fn late(what: &'static str, drained: Result<(), drain::Late>) {
    if let Err(late) = drained {
        warn!(what, %late, "cut off");
    }
}
