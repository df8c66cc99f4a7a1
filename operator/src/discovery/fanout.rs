//! From what was touched to the sidecars that should hear of it: wakes their sessions, sends nothing itself.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

use crate::world::{Cluster, ObjectKey, Touched, World};

/// The sessions of this replica, one for a pod.
#[derive(Debug, Default)]
pub struct Fanout {
    sessions: Mutex<HashMap<ObjectKey, Arc<Wake>>>,
    next: AtomicU64,
}

/// How a session is woken.
#[derive(Debug)]
struct Wake {
    number: u64,
    touched: Notify,
    replaced: Notify,
}

/// A session's place; dropping it leaves.
#[derive(Debug)]
pub struct Place {
    pod: ObjectKey,
    wake: Arc<Wake>,
    of: Arc<Fanout>,
}

impl Fanout {
    /// Wakes sessions for as long as it is run.
    pub async fn run(&self, cluster: &Cluster) {
        let mut changes = cluster.listen();
        loop {
            let touched = changes.next().await;
            let pods = cluster.read(|world| concerned(world, &touched));
            let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            for wake in pods.iter().filter_map(|pod| sessions.get(pod)) {
                wake.touched.notify_one();
            }
        }
    }

    /// Takes a pod's place; a session that had it is told to end: a sidecar that connects again has given up the
    /// old stream, whatever the network still believes.
    #[must_use]
    pub fn enter(self: &Arc<Self>, pod: &ObjectKey) -> Place {
        let wake = Arc::new(Wake {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            touched: Notify::new(),
            replaced: Notify::new(),
        });
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = sessions.insert(pod.clone(), Arc::clone(&wake)) {
            old.replaced.notify_one();
        }
        Place {
            pod: pod.clone(),
            wake,
            of: Arc::clone(self),
        }
    }

    /// How many sidecars are connected.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Place {
    /// Returns once something touched the pod since the last call.
    pub async fn touched(&self) {
        self.wake.touched.notified().await;
    }

    /// Returns once another session has taken the place.
    pub async fn replaced(&self) {
        self.wake.replaced.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut sessions = self.of.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions
            .get(&self.pod)
            .is_some_and(|wake| wake.number == self.wake.number)
        {
            sessions.remove(&self.pod);
        }
    }
}

/// The pods whose sidecar should hear of it: those whose plan may differ, and those that call a service whose
/// endpoints differ, declared or not.
fn concerned(world: &World, touched: &Touched) -> BTreeSet<ObjectKey> {
    let calling = touched
        .endpoints
        .iter()
        .flat_map(|service| world.dependents(service))
        .flat_map(|dependency| world.callers(&dependency.key))
        .map(|pod| pod.key.clone());
    let asking = touched
        .endpoints
        .iter()
        .flat_map(|service| world.asking(service))
        .cloned();
    let told = touched.plans.iter().cloned();
    told.chain(calling).chain(asking).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_session_of_a_pod_ends_the_first_and_keeps_the_place() {
        let fanout = Arc::new(Fanout::default());
        let pod = ObjectKey::new("shop", "web-0");
        let first = fanout.enter(&pod);
        let second = fanout.enter(&pod);
        first.replaced().await;
        drop(first);
        assert_eq!(fanout.connected(), 1);
        drop(second);
        assert_eq!(fanout.connected(), 0);
    }
}
