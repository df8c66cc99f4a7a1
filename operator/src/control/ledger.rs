//! Which plan each pod should run and whether its ConfigMap holds it: the leader's book, between the writer of plans,
//! the writer of status and the rotation of roots. Names and hashes only.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use plan::PlanHash;
use tokio::sync::Notify;

use super::status::Answer;
use crate::{
    authority::root::Spread,
    discovery::acks::Acks,
    world::{ObjectKey, Phase, Pod, World},
};

/// A pod's plan as of now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its hash.
    pub hash: PlanHash,
    /// Whether the present roots are in it: one compiled before they changed is not taken for one after.
    pub roots: u64,
    /// Whether the pod's ConfigMap holds it.
    pub written: bool,
}

/// The book.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Mutex<BTreeMap<ObjectKey, Entry>>,
    changed: Mutex<BTreeSet<ObjectKey>>,
    told: Notify,
}

impl Ledger {
    /// Notes a pod's plan.
    pub fn note(&self, pod: &ObjectKey, entry: Entry) {
        let hash = entry.hash.clone();
        let old = self.entries().insert(pod.clone(), entry);
        if old.is_none_or(|old| old.hash != hash) {
            self.changed().insert(pod.clone());
            self.told.notify_one();
        }
    }

    /// A pod has no plan any more.
    pub fn forget(&self, pod: &ObjectKey) {
        self.entries().remove(pod);
    }

    /// The pods whose plan became another one since the last call; waits for one.
    pub async fn changes(&self) -> BTreeSet<ObjectKey> {
        loop {
            let changed = std::mem::take(&mut *self.changed());
            if !changed.is_empty() {
                return changed;
            }
            self.told.notified().await;
        }
    }

    /// What these pods' sidecars have said about the plan they should run now.
    #[must_use]
    pub fn answers<'p>(
        &self,
        pods: impl Iterator<Item = &'p Pod>,
        acks: &Acks,
    ) -> BTreeMap<ObjectKey, Answer> {
        let entries = self.entries();
        pods.filter_map(|pod| {
            let (entry, said) = (entries.get(&pod.key)?, acks.of(&pod.uid)?);
            let answer = match said.refused {
                Some(reason) => Answer::Refused(reason),
                None if said.runs == entry.hash => Answer::Runs,
                None => return None,
            };
            Some((pod.key.clone(), answer))
        })
        .collect()
    }

    /// How far these roots have come in the plans of all pods.
    #[must_use]
    pub fn spread(&self, world: &World, roots: u64, acks: &Acks) -> Spread {
        let entries = self.entries();
        let mut spread = Spread::Everywhere;
        let planned = |pod: &&Pod| pod.is_meshed() && pod.phase != Phase::Draining && pod.plan_name.is_some();
        for pod in world.pods().filter(planned) {
            match entries.get(&pod.key) {
                Some(entry) if entry.written && entry.roots == roots => match acks.of(&pod.uid) {
                    Some(said) if said.runs == entry.hash => {}
                    // Not started yet, most likely: it will start with what is written.
                    None if pod.phase == Phase::Unready => {}
                    _ => spread = Spread::Written,
                },
                _ => return Spread::Writing,
            }
        }
        spread
    }

    /// Pods whose plan is not in their ConfigMap yet.
    #[must_use]
    pub fn unwritten(&self) -> usize {
        self.entries().values().filter(|entry| !entry.written).count()
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<ObjectKey, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) -> MutexGuard<'_, BTreeSet<ObjectKey>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
