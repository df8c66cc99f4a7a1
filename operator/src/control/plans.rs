//! The leader writes each pod's plan to its ConfigMap: only where its content differs from what is there, new pods
//! first, no faster than the API server was promised, the latest where several changes wait.
//!
//! What is there is known by a watch of metadata only: each ConfigMap carries its plan's hash and revision.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crds::names;
use futures::stream::{FuturesUnordered, StreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, ResourceExt, core::PartialObjectMeta};
use plan::{PlanHash, Revision, Undeclared, stream::Subscription};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tracing::{debug, warn};

use super::{
    Metrics,
    apply::{Write, WriteError, apply, is_plan_name},
    bucket::Bucket,
    ledger::{Entry, Ledger},
    queue::{Queue, Standing},
};
use crate::{
    authority::root::fingerprint,
    connect::plain,
    discovery::session,
    follow::{Frozen, Scope, Seen, follow},
    world::{Cluster, ObjectKey},
};

/// How many writes are on their way at once: the API server's answer takes milliseconds.
const AT_ONCE: usize = 8;
/// When a failed write is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// What the writer works with.
#[derive(Clone)]
pub(super) struct Plans {
    /// The API server.
    pub(super) client: Client,
    /// The world.
    pub(super) cluster: Arc<Cluster>,
    /// Where it keeps its book.
    pub(super) ledger: Arc<Ledger>,
    /// Writes a second.
    pub(super) per_second: u32,
    /// Counters.
    pub(super) metrics: Metrics,
}

/// A ConfigMap as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct There {
    hash: PlanHash,
    revision: Revision,
    owner: Option<String>,
    pod: Option<ObjectKey>,
    asked: Vec<Subscription>,
}

/// All of them, by namespace and name; `None` before the first list.
#[derive(Debug, Default)]
struct Shelf {
    there: Mutex<Option<HashMap<ObjectKey, There>>>,
    /// Pods whose ConfigMap is not what it was.
    moved: Mutex<Vec<ObjectKey>>,
    told: Notify,
}

/// What a look at a pod comes to.
enum Look {
    /// It has no plan to write.
    None,
    /// Its ConfigMap holds it.
    Same(Entry),
    /// This must be written.
    Differs(Entry, Box<Write>),
}

/// Writes plans for as long as it is run; comes back only when its watch is frozen.
pub(super) async fn run(plans: &Plans) -> Frozen {
    let shelf = Shelf::default();
    let following = shelf.follow(&plans.client);
    let mut work = Work::new(plans, &shelf);
    tokio::select! {
        frozen = following => frozen,
        never = work.run() => match never {},
    }
}

struct Work<'p> {
    plans: &'p Plans,
    shelf: &'p Shelf,
    queue: Queue,
    bucket: Bucket,
    /// No token before this.
    resting: Option<Instant>,
}

impl<'p> Work<'p> {
    fn new(plans: &'p Plans, shelf: &'p Shelf) -> Self {
        Self {
            plans,
            shelf,
            queue: Queue::default(),
            bucket: Bucket::new(plans.per_second, Instant::now()),
            resting: None,
        }
    }

    async fn run(&mut self) -> std::convert::Infallible {
        let plans = self.plans;
        let mut changes = plans.cluster.listen();
        let mut writing = FuturesUnordered::new();
        while !self.shelf.is_known() {
            self.shelf.told.notified().await;
        }
        self.recall();
        loop {
            while writing.len() < AT_ONCE && self.resting.is_none() {
                let Some(write) = self.next() else { break };
                writing.push(async move {
                    let done = apply(&plans.client, &write).await;
                    (write, done)
                });
            }
            self.plans.metrics.backlog(self.plans.ledger.unwritten());
            let wake = [self.resting, self.queue.next_due()].into_iter().flatten().min();
            tokio::select! {
                Some((write, done)) = writing.next(), if !writing.is_empty() => self.finish(&write, done),
                touched = changes.next() => touched.plans.into_iter().for_each(|pod| self.add(pod)),
                () = self.shelf.told.notified() => self.shelf.take_moved().into_iter().for_each(|pod| self.add(pod)),
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => self.resting = None,
            }
        }
    }

    /// What former leaders granted is known before the first plan is made: its sidecar may not be back yet to ask again.
    fn recall(&self) {
        let cluster = &self.plans.cluster;
        if cluster.undeclared() == Undeclared::Refuse {
            return;
        }
        for (pod, uid, asked) in self.shelf.asked() {
            cluster.change(|world| world.recall(&pod, &uid, asked));
        }
    }

    fn add(&mut self, pod: ObjectKey) {
        let named = self
            .plans
            .cluster
            .read(|world| world.pod(&pod).and_then(|pod| pod.plan_name.clone()));
        let planned =
            named.is_none_or(|name| self.shelf.get(&ObjectKey::new(&pod.namespace, &name)).is_some());
        self.queue
            .add(pod, if planned { Standing::Planned } else { Standing::New });
    }

    /// The next plan that must be written and may be now. Those that are as they should be cost no token.
    fn next(&mut self) -> Option<Write> {
        loop {
            let pod = self.queue.next(Instant::now())?;
            match self.look(&pod) {
                Look::None => {
                    self.plans.ledger.forget(&pod);
                    self.queue.done(&pod);
                }
                Look::Same(entry) => {
                    self.plans.ledger.note(&pod, entry);
                    self.queue.done(&pod);
                }
                Look::Differs(entry, write) => {
                    self.plans.ledger.note(&pod, entry);
                    if let Err(wait) = self.bucket.take(Instant::now()) {
                        self.resting = Some(Instant::now() + wait);
                        self.queue.put_back(pod);
                        return None;
                    }
                    return Some(*write);
                }
            }
        }
    }

    fn look(&self, pod: &ObjectKey) -> Look {
        let subject = self.plans.cluster.read(|world| {
            let pod = world.pod(pod).filter(|pod| pod.is_meshed())?;
            let name = pod.plan_name.clone().filter(|name| is_plan_name(name))?;
            Some((pod.uid.clone(), name))
        });
        let Some((uid, name)) = subject else {
            return Look::None;
        };
        let there = self.shelf.get(&ObjectKey::new(&pod.namespace, &name));
        if there
            .as_ref()
            .and_then(|there| there.owner.as_deref())
            .is_some_and(|owner| *owner != *uid)
        {
            warn!(%pod, plan = %name, "another pod's plan has this name; no plan is written");
            return Look::None;
        }
        let Some(compiled) = self.plans.cluster.compile(pod) else {
            return Look::None;
        };
        let mut plan = compiled.plan;
        let entry = |written| Entry {
            hash: plan.hash.clone(),
            roots: fingerprint(plan.control.as_ref().map_or("", |control| &control.roots)),
            written,
        };
        match there {
            Some(there) if there.hash == plan.hash => Look::Same(entry(true)),
            there => {
                let entry = entry(false);
                if let Some(there) = there {
                    plan.revision = session::after(there.revision, plan.revision);
                }
                let asked = match plan.undeclared {
                    Undeclared::Refuse => Vec::new(),
                    Undeclared::Allow => self
                        .plans
                        .cluster
                        .read(|world| world.asked(pod).cloned().collect()),
                };
                let pod = pod.clone();
                let write = Write {
                    pod,
                    uid,
                    name,
                    plan,
                    asked,
                };
                Look::Differs(entry, Box::new(write))
            }
        }
    }

    fn finish(&mut self, write: &Write, done: Result<(), WriteError>) {
        let pod = &write.pod;
        self.plans.metrics.wrote(done.is_ok());
        match done {
            Ok(()) => {
                debug!(%pod, revision = %write.plan.revision, hash = %write.plan.hash, "plan written");
                self.shelf.wrote(write);
                self.queue.done(pod);
                self.add(pod.clone()); // looked at once more, which books it as written
            }
            Err(error @ WriteError::Refused(_)) => {
                warn!(%pod, error = %plain(&error), "plan not written");
                self.queue.done(pod);
            }
            Err(error) => {
                warn!(%pod, error = %plain(&error), "plan not written, trying again");
                self.queue.retry(pod, Instant::now() + RETRY);
            }
        }
    }
}

impl Shelf {
    async fn follow(&self, client: &Client) -> Frozen {
        let api: Api<PartialObjectMeta<ConfigMap>> = Api::all(client.clone());
        let scope = Scope {
            labels: Some(format!("{}={}", names::MANAGED_BY, names::OPERATOR)),
            fields: None,
        };
        follow(api, "plans", scope, |seen| self.see(seen)).await
    }

    fn see(&self, seen: Seen<PartialObjectMeta<ConfigMap>>) {
        let mut held = self.there.lock().unwrap_or_else(PoisonError::into_inner);
        let mut moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        match seen {
            Seen::All { objects, .. } => {
                let listed: HashMap<_, _> = objects.iter().filter_map(There::read).collect();
                let gone = held
                    .iter()
                    .flatten()
                    .filter(|(key, _)| !listed.contains_key(*key));
                moved.extend(gone.chain(&listed).filter_map(|(_, there)| there.pod.clone()));
                *held = Some(listed);
            }
            Seen::Applied(object) => {
                if let Some((key, there)) = There::read(&object) {
                    let old = held.get_or_insert_default().insert(key, there.clone());
                    if old.as_ref() != Some(&there) {
                        moved.extend(there.pod);
                    }
                }
            }
            Seen::Gone(object) => {
                let old = held
                    .get_or_insert_default()
                    .remove(&ObjectKey::of(&object.metadata));
                moved.extend(old.and_then(|there| there.pod));
            }
            Seen::Reached(_) => return,
        }
        self.told.notify_one();
    }

    fn is_known(&self) -> bool {
        self.there
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    fn get(&self, key: &ObjectKey) -> Option<There> {
        self.there
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()?
            .get(key)
            .cloned()
    }

    /// What pods were granted, with their UIDs.
    fn asked(&self) -> Vec<(ObjectKey, String, Vec<Subscription>)> {
        let held = self.there.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = held
            .iter()
            .flat_map(HashMap::values)
            .filter(|there| !there.asked.is_empty());
        asked
            .filter_map(|there| Some((there.pod.clone()?, there.owner.clone()?, there.asked.clone())))
            .collect()
    }

    fn take_moved(&self) -> Vec<ObjectKey> {
        std::mem::take(&mut *self.moved.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Our own write, before the watch brings it.
    fn wrote(&self, write: &Write) {
        let there = There {
            hash: write.plan.hash.clone(),
            revision: write.plan.revision,
            owner: Some(write.uid.to_string()),
            pod: Some(write.pod.clone()),
            asked: write.asked.clone(),
        };
        let key = ObjectKey::new(&write.pod.namespace, &write.name);
        let mut held = self.there.lock().unwrap_or_else(PoisonError::into_inner);
        held.get_or_insert_default().insert(key, there);
    }
}

impl There {
    fn read(object: &PartialObjectMeta<ConfigMap>) -> Option<(ObjectKey, Self)> {
        let key = ObjectKey::of(&object.metadata);
        if !is_plan_name(&key.name) {
            return None;
        }
        let note = |name: &str| object.annotations().get(name).cloned();
        let owner = object.owner_references().iter().find(|owner| owner.kind == "Pod");
        let there = Self {
            hash: PlanHash(note(names::PLAN_HASH).unwrap_or_default()),
            revision: Revision(
                note(names::PLAN_REVISION)
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(0),
            ),
            owner: owner.map(|owner| owner.uid.clone()),
            pod: owner.map(|owner| ObjectKey::new(&key.namespace, &owner.name)),
            asked: note(names::PLAN_ASKED)
                .and_then(|text| serde_json::from_str(&text).ok())
                .unwrap_or_default(),
        };
        Some((key, there))
    }
}
