//! The watches that keep the [`Cluster`] true: one for each kind, for as long as the process lives.
//!
//! The process is ready once every kind has been listed. An object that can't be read is left as it was before and
//! said; it can't end a watch. What is kept of an object is decided in [`World`], not here.

use std::{collections::BTreeSet, fmt::Debug, sync::Arc};

use crds::{MeshDependency, MeshService};
use k8s_openapi::api::core::v1 as core;
use kube::{
    Api, Client, Resource, ResourceExt,
    core::{DeserializeGuard, PartialObjectMeta},
};
use process::ready::{Pending, Readiness};
use serde::de::DeserializeOwned;
use tracing::{info, warn};

use super::{Cluster, ObjectKey, Touched, World};
use crate::follow::{Frozen, Scope, Seen, follow};

/// What one kind does to the world.
trait Kind: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static {
    const NAME: &'static str;
    fn apply(&self, world: &mut World) -> Touched;
    fn remove(world: &mut World, key: &ObjectKey) -> Touched;
    fn keep(world: &mut World, listed: &BTreeSet<ObjectKey>) -> Touched;
}

/// One watch for each kind.
pub struct Watches {
    client: Client,
    cluster: Arc<Cluster>,
    namespaces: Pending,
    nodes: Pending,
    pods: Pending,
    services: Pending,
    dependencies: Pending,
}

impl Watches {
    /// From now on `readiness` waits for the first list of each kind.
    #[must_use]
    pub fn new(client: &Client, cluster: &Arc<Cluster>, readiness: &Readiness) -> Self {
        Self {
            client: client.clone(),
            cluster: Arc::clone(cluster),
            namespaces: readiness.pending("first list of namespaces"),
            nodes: readiness.pending("first list of nodes"),
            pods: readiness.pending("first list of pods"),
            services: readiness.pending("first list of meshservices"),
            dependencies: readiness.pending("first list of meshdependencies"),
        }
    }

    /// Follows every kind; comes back only when one of them is frozen.
    pub async fn run(self) -> Frozen {
        let (client, cluster) = (&self.client, &self.cluster);
        tokio::select! {
            frozen = one::<PartialObjectMeta<core::Namespace>>(client, cluster, self.namespaces) => frozen,
            frozen = one::<PartialObjectMeta<core::Node>>(client, cluster, self.nodes) => frozen,
            frozen = one::<core::Pod>(client, cluster, self.pods) => frozen,
            frozen = one::<MeshService>(client, cluster, self.services) => frozen,
            frozen = one::<MeshDependency>(client, cluster, self.dependencies) => frozen,
        }
    }
}

async fn one<K: Kind>(client: &Client, cluster: &Cluster, pending: Pending) -> Frozen {
    let api: Api<DeserializeGuard<K>> = Api::all(client.clone());
    let mut pending = Some(pending);
    follow(api, K::NAME, Scope::default(), |seen| {
        take::<K>(cluster, seen, &mut pending);
    })
    .await
}

fn take<K: Kind>(cluster: &Cluster, seen: Seen<DeserializeGuard<K>>, pending: &mut Option<Pending>) {
    match seen {
        Seen::All { objects, revision } => {
            relist(cluster, objects, revision);
            if let Some(pending) = pending.take() {
                info!(kind = K::NAME, revision, "first list is in");
                pending.done();
            }
        }
        Seen::Applied(DeserializeGuard(Ok(object))) => cluster.change(|world| object.apply(world)),
        Seen::Applied(DeserializeGuard(Err(invalid))) => {
            warn!(kind = K::NAME, object = %ObjectKey::of(&invalid.metadata), error = invalid.error, "unreadable object left as it was");
            cluster.change(|world| seen_only(world, invalid.metadata.resource_version.as_deref()));
        }
        Seen::Gone(object) => cluster.change(|world| {
            world.see(object.resource_version().as_deref());
            K::remove(world, &ObjectKey::of(object.meta()))
        }),
        Seen::Reached(revision) => cluster.change(|world| seen_only(world, Some(&revision.to_string()))),
    }
}

/// A whole list, one object a lock, so that readers need not wait for all of them; what is missing goes last.
fn relist<K: Kind>(cluster: &Cluster, objects: Vec<DeserializeGuard<K>>, revision: u64) {
    let mut listed = BTreeSet::new();
    for object in objects {
        listed.insert(ObjectKey::of(object.meta()));
        match object.0 {
            Ok(object) => cluster.change(|world| object.apply(world)),
            Err(invalid) => {
                warn!(kind = K::NAME, object = %ObjectKey::of(&invalid.metadata), error = invalid.error, "unreadable object left as it was");
            }
        }
    }
    cluster.change(|world| {
        world.see(Some(&revision.to_string()));
        K::keep(world, &listed)
    });
}

fn seen_only(world: &mut World, revision: Option<&str>) -> Touched {
    world.see(revision);
    Touched::default()
}

impl Kind for PartialObjectMeta<core::Namespace> {
    const NAME: &'static str = "namespaces";
    fn apply(&self, world: &mut World) -> Touched {
        world.apply_namespace(&self.metadata)
    }
    fn remove(world: &mut World, key: &ObjectKey) -> Touched {
        world.remove_namespace(&key.name)
    }
    fn keep(world: &mut World, listed: &BTreeSet<ObjectKey>) -> Touched {
        world.keep_namespaces(&listed.iter().map(|key| key.name.clone()).collect())
    }
}

impl Kind for PartialObjectMeta<core::Node> {
    const NAME: &'static str = "nodes";
    fn apply(&self, world: &mut World) -> Touched {
        world.apply_node(&self.metadata)
    }
    fn remove(world: &mut World, key: &ObjectKey) -> Touched {
        world.remove_node(&key.name)
    }
    fn keep(world: &mut World, listed: &BTreeSet<ObjectKey>) -> Touched {
        world.keep_nodes(&listed.iter().map(|key| key.name.clone()).collect())
    }
}

impl Kind for core::Pod {
    const NAME: &'static str = "pods";
    fn apply(&self, world: &mut World) -> Touched {
        world.apply_pod(self)
    }
    fn remove(world: &mut World, key: &ObjectKey) -> Touched {
        world.remove_pod(key)
    }
    fn keep(world: &mut World, listed: &BTreeSet<ObjectKey>) -> Touched {
        world.keep_pods(listed)
    }
}

impl Kind for MeshService {
    const NAME: &'static str = "meshservices";
    fn apply(&self, world: &mut World) -> Touched {
        world.apply_service(self)
    }
    fn remove(world: &mut World, key: &ObjectKey) -> Touched {
        world.remove_service(key)
    }
    fn keep(world: &mut World, listed: &BTreeSet<ObjectKey>) -> Touched {
        world.keep_services(listed)
    }
}

impl Kind for MeshDependency {
    const NAME: &'static str = "meshdependencies";
    fn apply(&self, world: &mut World) -> Touched {
        world.apply_dependency(self)
    }
    fn remove(world: &mut World, key: &ObjectKey) -> Touched {
        world.remove_dependency(key)
    }
    fn keep(world: &mut World, listed: &BTreeSet<ObjectKey>) -> Touched {
        world.keep_dependencies(listed)
    }
}
