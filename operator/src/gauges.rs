//! What is true of the process as a whole, as metrics: whether it leads, and when its certificates end.

use std::sync::Arc;

use prometheus_client::{metrics::gauge::Gauge, registry::Registry};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Duration, interval},
};

use crate::{authority::Authority, lease::Leadership};

/// How often the leaf is looked at.
const LOOK: Duration = Duration::from_secs(15);

/// The gauges.
#[derive(Debug, Clone, Default)]
pub struct Gauges {
    leader: Gauge,
    leaf_end: Gauge,
    root_end: Gauge,
}

impl Gauges {
    /// Registers them.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("motanmesh_operator");
        registry.register("leader", "1 on the replica that writes", self.leader.clone());
        registry.register(
            "webhook_cert_not_after_seconds",
            "When the certificate of webhooks and streams ends, since 1970",
            self.leaf_end.clone(),
        );
        registry.register(
            "root_not_after_seconds",
            "When the signing root ends, since 1970",
            self.root_end.clone(),
        );
    }

    /// Keeps the certificates' ends current.
    pub fn follow(&self, tasks: &mut JoinSet<(&'static str, String)>, authority: &Arc<Authority>) {
        let (gauges, authority) = (self.clone(), Arc::clone(authority));
        tasks.spawn(async move {
            let roots = authority.roots();
            let mut tick = interval(LOOK);
            loop {
                tick.tick().await;
                gauges.leaf_end.set(authority.leaf_not_after().as_second());
                gauges.root_end.set(roots.borrow().active.not_after.as_second());
            }
        });
    }

    /// Keeps the leader's gauge current.
    pub fn follow_leadership(
        &self,
        tasks: &mut JoinSet<(&'static str, String)>,
        mut leadership: watch::Receiver<Leadership>,
    ) {
        let leader = self.leader.clone();
        tasks.spawn(async move {
            loop {
                leader.set(i64::from(leadership.borrow_and_update().leads()));
                if leadership.changed().await.is_err() {
                    return ("the leader's gauge", "the election ended".to_owned());
                }
            }
        });
    }
}
