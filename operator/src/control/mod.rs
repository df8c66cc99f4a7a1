//! What is written back to the cluster, by the replica that leads: plans, statuses, the namespaces' label, the
//! webhooks' CA bundle, the steps of a root's rotation. Each is a task that goes on until leadership ends.
//!
//! [`status`] computes, purely, what is true of each object; [`queue`], [`bucket`] and [`throttle`] decide, purely,
//! what is written when.

mod apply;
pub mod bucket;
mod cabundle;
pub mod events;
pub mod ledger;
mod metrics;
mod namespaces;
mod plans;
mod queue;
mod report;
pub mod status;
mod throttle;

use std::sync::Arc;

use kube::Client;
use process::{drain, ready::Readiness};
use tokio::{
    sync::watch,
    time::{Duration, sleep},
};

use self::{cabundle::Bundles, events::Events, ledger::Ledger, plans::Plans, report::Report};
use crate::{
    authority::{
        Authority,
        root::{Spread, fingerprint},
        rotate,
    },
    discovery::acks::Acks,
    follow::Frozen,
    lease::Leadership,
    settings::Injection,
    world::Cluster,
};

pub use metrics::Metrics;

/// How often a new leader looks whether it knows the world.
const LOOK: Duration = Duration::from_millis(50);

/// What the elected work with.
pub struct Elected {
    /// The API server.
    pub client: Client,
    /// The world.
    pub cluster: Arc<Cluster>,
    /// Whether the world is known: a plan made of half a world would take services away.
    pub synced: Readiness,
    /// The roots.
    pub authority: Arc<Authority>,
    /// What sidecars say.
    pub acks: Arc<Acks>,
    /// Who is told what no status says.
    pub events: Events,
    /// Where nothing is injected.
    pub injection: Injection,
    /// The name of both webhook configurations.
    pub webhook_name: String,
    /// Plans written a second, at most.
    pub plan_writes_per_second: u32,
    /// Counters.
    pub metrics: Metrics,
}

/// Works whenever this replica leads, until the drain starts; what was begun when leadership ends is dropped, which
/// is safe: every write is whole, and the next leader begins by looking at what is there. Comes back early, with the
/// reason, when a watch is frozen.
pub async fn run(
    elected: Elected,
    mut leadership: watch::Receiver<Leadership>,
    mut drain: drain::Watch,
) -> String {
    loop {
        let gained = async { leadership.wait_for(Leadership::leads).await.is_ok() };
        match drain.or(gained).await {
            Some(true) => {}
            Some(false) => return "the election ended".to_owned(),
            None => break,
        }
        let lost = async { drop(leadership.wait_for(|state| !state.leads()).await) };
        tokio::select! {
            frozen = elected.lead() => return frozen.to_string(),
            () = lost => {}
            () = drain.started() => break,
        }
    }
    drop(drain);
    std::future::pending().await // only what ends by itself is a failure
}

impl Elected {
    async fn lead(&self) -> Frozen {
        while !self.synced.is_ready() {
            sleep(LOOK).await;
        }
        let ledger = Arc::new(Ledger::default());
        let bundles = Bundles::default();
        let plans = Plans {
            client: self.client.clone(),
            cluster: Arc::clone(&self.cluster),
            ledger: Arc::clone(&ledger),
            per_second: self.plan_writes_per_second,
            metrics: self.metrics.clone(),
        };
        let report = Report {
            client: self.client.clone(),
            cluster: Arc::clone(&self.cluster),
            ledger: Arc::clone(&ledger),
            acks: Arc::clone(&self.acks),
            events: self.events.clone(),
            metrics: self.metrics.clone(),
        };
        let spread = || self.spread(&ledger, &bundles);
        tokio::select! {
            frozen = plans::run(&plans) => frozen,
            frozen = cabundle::run(&self.client, &self.webhook_name, self.authority.roots(), &bundles) => frozen,
            never = report::run(&report) => match never {},
            never = namespaces::run(&self.client, &self.cluster, &self.injection) => match never {},
            never = rotate::rotate(&self.authority, spread) => match never {},
        }
    }

    /// How far the present bundle of roots has come.
    fn spread(&self, ledger: &Ledger, bundles: &Bundles) -> Spread {
        let present = fingerprint(&self.authority.roots().borrow().bundle());
        if !bundles.hold(present) {
            return Spread::Writing;
        }
        self.cluster
            .read(|world| ledger.spread(world, present, &self.acks))
    }
}
