//! The one [`World`] of the process, shared: watches write it, everyone else reads it and is told what was touched.
//!
//! A lock is held for one object or one question, never across an await. What a listener has not taken yet is kept
//! as names, each once: a slow listener costs a set, not a queue.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError, RwLock, Weak},
    time::Duration,
};

use plan::Revision;
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
pub struct Changes(Arc<Inbox>);

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
        Changes(inbox)
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

    fn take(&self) -> Touched {
        std::mem::take(&mut self.touched.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Changes {
    /// The next changes, all that came within a short while as one. May be dropped and called again: nothing is lost.
    pub async fn next(&mut self) -> Touched {
        loop {
            self.0.filled.notified().await;
            let latest = Instant::now() + LATEST;
            loop {
                let quiet = (Instant::now() + QUIET).min(latest);
                if tokio::time::timeout_at(quiet, self.0.filled.notified())
                    .await
                    .is_err()
                    || quiet == latest
                {
                    break;
                }
            }
            let touched = self.0.take();
            if !touched.is_empty() {
                return touched;
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
    }
}
