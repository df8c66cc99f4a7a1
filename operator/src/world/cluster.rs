//! The one [`World`] of the process, shared: watches write it, everyone else reads it and is told what was touched.
//!
//! A lock is held for one object or one question, never across an await. What a listener has not taken yet is kept
//! as names, each once: a slow listener costs a set, not a queue.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError, RwLock, Weak},
    time::Duration,
};

use plan::{Revision, Undeclared, stream::Subscription};
use tokio::{sync::Notify, time::Instant};

use super::{ObjectKey, Touched, World};
use crate::compile::{self, Compiled, Defaults};

/// A change is passed on once nothing has followed it for this long …
const QUIET: Duration = Duration::from_millis(5);
/// … or this long after the first, whatever follows.
const LATEST: Duration = Duration::from_millis(100);

/// The shared world, and the defaults that its plans are compiled with.
#[derive(Debug)]
pub struct Cluster {
    world: RwLock<World>,
    defaults: RwLock<Defaults>,
    listeners: Mutex<Vec<Weak<Inbox>>>,
}

#[derive(Debug, Default)]
struct Inbox {
    touched: Mutex<Touched>,
    filled: Notify,
}

/// What was touched, for one listener.
#[derive(Debug)]
pub struct Changes {
    inbox: Arc<Inbox>,
    /// When the oldest change that was not taken yet was noticed.
    since: Option<Instant>,
}

impl Cluster {
    /// An empty world.
    #[must_use]
    pub fn new(defaults: Defaults) -> Self {
        Self {
            world: RwLock::default(),
            defaults: RwLock::new(defaults),
            listeners: Mutex::default(),
        }
    }

    /// Asks the world something short.
    pub fn read<T>(&self, ask: impl FnOnce(&World) -> T) -> T {
        ask(&self.world.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the world and tells every listener what that touched.
    pub fn change(&self, change: impl FnOnce(&mut World) -> Touched) {
        let touched = change(&mut self.world.write().unwrap_or_else(PoisonError::into_inner));
        self.tell(&touched);
    }

    /// A sidecar tells what its program has subscribed to by itself.
    pub fn ask(&self, pod: &ObjectKey, uid: &str, subscriptions: Vec<Subscription>) {
        let rule = self.undeclared();
        self.change(|world| world.ask(pod, uid, subscriptions, rule));
    }

    /// What becomes of subscriptions that nobody declared.
    #[must_use]
    pub fn undeclared(&self) -> Undeclared {
        self.defaults
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .undeclared
    }

    /// The plan of a pod as things stand, its revision the world's mark; `None` where there is no such pod.
    #[must_use]
    pub fn compile(&self, pod: &ObjectKey) -> Option<Compiled> {
        let defaults = self.defaults();
        self.read(|world| {
            let mut compiled = compile::compile(world, pod, &defaults)?;
            compiled.plan.revision = Revision(world.mark());
            Some(compiled)
        })
    }

    /// What plans are compiled with.
    #[must_use]
    pub fn defaults(&self) -> Defaults {
        self.defaults
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Compiles with other defaults from now on: touches every plan.
    pub fn set_defaults(&self, defaults: Defaults) {
        *self.defaults.write().unwrap_or_else(PoisonError::into_inner) = defaults;
        let plans = self.read(|world| {
            world
                .pods()
                .filter(|pod| pod.is_meshed())
                .map(|pod| pod.key.clone())
                .collect()
        });
        self.tell(&Touched {
            plans,
            ..Touched::default()
        });
    }

    /// Listens from now on; everything there is counts as touched to begin with.
    #[must_use]
    pub fn listen(&self) -> Changes {
        let inbox = Arc::new(Inbox::default());
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::downgrade(&inbox));
        inbox.add(self.read(everything));
        Changes { inbox, since: None }
    }

    fn tell(&self, touched: &Touched) {
        if touched.is_empty() {
            return;
        }
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| {
            listener
                .upgrade()
                .map(|inbox| inbox.add(touched.clone()))
                .is_some()
        });
    }
}

impl Inbox {
    fn add(&self, touched: Touched) {
        self.touched
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .absorb(touched);
        self.filled.notify_one();
    }

    fn is_empty(&self) -> bool {
        self.touched
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }

    fn take(&self) -> Touched {
        std::mem::take(&mut self.touched.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Changes {
    /// The next changes, all that came within a short while as one. May be dropped at any point and called again:
    /// nothing is lost, and nothing is late for it.
    pub async fn next(&mut self) -> Touched {
        while self.inbox.is_empty() {
            self.since = None;
            self.inbox.filled.notified().await;
        }
        let latest = *self.since.get_or_insert_with(Instant::now) + LATEST;
        loop {
            let quiet = (Instant::now() + QUIET).min(latest);
            let more = tokio::time::timeout_at(quiet, self.inbox.filled.notified())
                .await
                .is_ok();
            if !more || quiet == latest {
                self.since = None;
                return self.inbox.take();
            }
        }
    }
}

fn everything(world: &World) -> Touched {
    let keys = |all: &mut dyn Iterator<Item = &ObjectKey>| all.cloned().collect::<BTreeSet<_>>();
    Touched {
        plans: keys(&mut world.pods().filter(|pod| pod.is_meshed()).map(|pod| &pod.key)),
        endpoints: keys(&mut world.services().map(|service| &service.key)),
        services: keys(&mut world.services().map(|service| &service.key)),
        dependencies: keys(&mut world.dependencies().map(|dependency| &dependency.key)),
        namespaces: world
            .namespaces()
            .map(|namespace| namespace.name.clone())
            .collect(),
        asked: keys(
            &mut world
                .pods()
                .map(|pod| &pod.key)
                .filter(|pod| world.has_asked(pod)),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touching(pod: &str) -> impl FnOnce(&mut World) -> Touched {
        let plans = BTreeSet::from([ObjectKey::new("shop", pod)]);
        move |_| Touched {
            plans,
            ..Touched::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn changes_that_come_together_are_told_together() {
        let cluster = Cluster::new(Defaults::default());
        let mut changes = cluster.listen();
        cluster.change(touching("a"));
        cluster.change(touching("b"));
        cluster.change(touching("a"));
        assert_eq!(changes.next().await.plans.len(), 2);
        assert!(
            tokio::time::timeout(LATEST * 2, changes.next()).await.is_err(),
            "told once"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_that_is_interrupted_loses_nothing() {
        let cluster = Cluster::new(Defaults::default());
        let mut changes = cluster.listen();
        cluster.change(touching("a"));
        for _ in 0..50 {
            if tokio::time::timeout(QUIET / 2, changes.next()).await.is_ok() {
                return;
            }
        }
        panic!("interrupted every 2.5 ms it must still be told after {LATEST:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn changes_without_a_pause_are_told_after_the_latest_time() {
        let cluster = Cluster::new(Defaults::default());
        let mut changes = cluster.listen();
        let start = Instant::now();
        let storm = async {
            loop {
                cluster.change(touching("a"));
                tokio::time::sleep(QUIET / 2).await;
            }
        };
        tokio::select! {
            _ = changes.next() => {}
            () = storm => {}
        }
        assert!(start.elapsed() <= LATEST + QUIET);
    }
}
