//! The leader writes what is true of each MeshService and MeshDependency: only on change, at most once a second for
//! an object, under a field manager of its own.

use std::{collections::BTreeSet, convert::Infallible, fmt::Debug, sync::Arc, time::Duration};

use crds::{MeshDependency, MeshService};
use jiff::Timestamp;
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams},
    core::NamespaceResourceScope,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, warn};

use super::{
    Metrics,
    apply::REQUEST,
    bucket::Bucket,
    events::{Events, Told},
    ledger::Ledger,
    status::{dependency_status, service_status, undeclared_by},
    throttle::Throttle,
};
use crate::{
    connect::plain,
    discovery::acks::Acks,
    world::{Cluster, ObjectKey},
};

/// Our field manager for status.
const MANAGER: &str = "motanmesh-operator-status";
/// How often one object's status may be written.
const EVERY: Duration = Duration::from_secs(1);
/// A new leader listens for this long before it reports: until then it may not have heard what the sidecars of other
/// replicas say, and a status would blink.
const LISTEN: Duration = Duration::from_secs(3);
/// Status writes a second, over all objects.
const PER_SECOND: u32 = 20;

/// What the writer works with.
#[derive(Clone)]
pub(super) struct Report {
    /// The API server.
    pub(super) client: Client,
    /// The world.
    pub(super) cluster: Arc<Cluster>,
    /// Which plan each pod should run.
    pub(super) ledger: Arc<Ledger>,
    /// Which one it runs.
    pub(super) acks: Arc<Acks>,
    /// Where pods are told of that no status speaks of.
    pub(super) events: Events,
    /// Counters.
    pub(super) metrics: Metrics,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Subject {
    Service(ObjectKey),
    Dependency(ObjectKey),
}

/// Reports for as long as it is run.
pub(super) async fn run(report: &Report) -> Infallible {
    let mut changes = report.cluster.listen();
    sleep(LISTEN).await;
    let mut due = Throttle::new(EVERY);
    let mut bucket = Bucket::new(PER_SECOND, Instant::now());
    loop {
        let wake = due.next();
        tokio::select! {
            touched = changes.next() => {
                let now = Instant::now();
                touched.services.into_iter().for_each(|key| due.touch(Subject::Service(key), now));
                touched.dependencies.into_iter().for_each(|key| due.touch(Subject::Dependency(key), now));
                report.tell_pods(&touched.asked);
            }
            pods = report.acks.news() => report.touch_callers(&mut due, &pods),
            pods = report.ledger.changes() => report.touch_callers(&mut due, &pods),
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                for subject in due.take(Instant::now()) {
                    while let Err(wait) = bucket.take(Instant::now()) {
                        sleep(wait).await;
                    }
                    if !report.write(&subject).await {
                        due.touch(subject, Instant::now());
                    }
                }
            }
        }
    }
}

impl Report {
    /// The dependencies of these pods: an answer is part of their status.
    fn touch_callers<'p>(&self, due: &mut Throttle<Subject>, pods: impl IntoIterator<Item = &'p ObjectKey>) {
        let now = Instant::now();
        self.cluster.read(|world| {
            for dependency in pods.into_iter().flat_map(|pod| world.dependencies_of(pod)) {
                due.touch(Subject::Dependency(dependency.key.clone()), now);
            }
        });
    }

    /// Programs that ask for what nobody declares, in pods that no dependency selects: there is no status to say it.
    fn tell_pods(&self, asked: &BTreeSet<ObjectKey>) {
        let rule = self.cluster.undeclared();
        let notes: Vec<Told> = self.cluster.read(|world| {
            let pods = asked.iter().filter_map(|key| world.pod(key));
            pods.filter_map(|pod| {
                let (reason, message) = undeclared_by(world, pod, rule)?;
                Some(Told::about_subscriptions(pod, reason, message))
            })
            .collect()
        });
        notes.into_iter().for_each(|note| self.events.tell(note));
    }

    /// Writes one status where it changed; `false` where that should be tried again.
    async fn write(&self, subject: &Subject) -> bool {
        let now = Timestamp::now();
        let defaults = self.cluster.defaults();
        match subject {
            Subject::Service(key) => {
                let new = self.cluster.read(|world| {
                    let service = world.service(key)?;
                    let old = service.status.as_deref();
                    let previous = old.map_or(&[][..], |status| &status.conditions);
                    let new = service_status(world, service, previous, now);
                    (old != Some(&new)).then_some(new)
                });
                self.apply::<MeshService>(key, new).await
            }
            Subject::Dependency(key) => {
                let new = self.cluster.read(|world| {
                    let dependency = world.dependency(key)?;
                    let answers = self.ledger.answers(world.callers(key), &self.acks);
                    let old = dependency.status.as_deref();
                    let previous = old.map_or(&[][..], |status| &status.conditions);
                    let new = dependency_status(world, dependency, &answers, &defaults, previous, now);
                    (old != Some(&new)).then_some(new)
                });
                self.apply::<MeshDependency>(key, new).await
            }
        }
    }

    async fn apply<K>(&self, key: &ObjectKey, status: Option<impl Serialize + Debug>) -> bool
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let Some(status) = status else { return true };
        let kind = K::kind(&());
        let api: Api<K> = Api::namespaced(self.client.clone(), &key.namespace);
        let patch = Patch::Apply(json!({"apiVersion": K::api_version(&()), "kind": kind, "status": status}));
        let params = PatchParams::apply(MANAGER).force();
        let done = timeout(REQUEST, api.patch_status(&key.name, &params, &patch)).await;
        self.metrics.reported(matches!(done, Ok(Ok(_))));
        match done {
            Ok(Ok(_)) => {
                debug!(%kind, object = %key, "status written");
                true
            }
            Ok(Err(kube::Error::Api(answer))) if matches!(answer.code, 403 | 404) => true, // it, or its namespace, goes
            Ok(Err(error)) => {
                warn!(%kind, object = %key, error = %plain(&error), "status not written, trying again");
                false
            }
            Err(_) => {
                warn!(%kind, object = %key, "status not written in time, trying again");
                false
            }
        }
    }
}
