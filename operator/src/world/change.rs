//! Objects come and go: each call keeps the index true and says what it touched.

use std::collections::{BTreeMap, BTreeSet};

use crds::{MeshDependency, MeshService};
use k8s_openapi::{api::core::v1 as core, apimachinery::pkg::apis::meta::v1::ObjectMeta};

use plan::{Address, Zone};

use super::index::move_in;
use super::{Claim, Dependency, Namespace, ObjectKey, Offer, Pod, Selector, Service, Touched, World, node};

/// One event.
impl World {
    /// Raises the mark to a resource version; every event and every list brings one.
    pub fn see(&mut self, resource_version: Option<&str>) {
        let seen = resource_version.and_then(|version| version.parse().ok());
        self.mark = self.mark.max(seen.unwrap_or_default());
    }

    /// A namespace is new or changed.
    pub fn apply_namespace(&mut self, metadata: &ObjectMeta) -> Touched {
        self.see(metadata.resource_version.as_deref());
        let namespace = Namespace::read(metadata);
        let touched = Touched::namespace(&namespace);
        let old = self.namespaces.insert(namespace.name.clone(), namespace.clone());
        if old.as_ref() == Some(&namespace) {
            return Touched::default();
        }
        touched
    }

    /// A namespace is gone.
    pub fn remove_namespace(&mut self, name: &str) -> Touched {
        self.namespaces
            .remove(name)
            .map_or_else(Touched::default, |namespace| Touched::namespace(&namespace))
    }

    /// A node is new or changed.
    pub fn apply_node(&mut self, metadata: &ObjectMeta) -> Touched {
        self.see(metadata.resource_version.as_deref());
        let name = metadata.name.as_deref().unwrap_or_default();
        self.set_zone(name, node::zone(metadata))
    }

    /// A node is gone.
    pub fn remove_node(&mut self, name: &str) -> Touched {
        self.set_zone(name, None)
    }

    /// A pod is new or changed.
    pub fn apply_pod(&mut self, object: &core::Pod) -> Touched {
        self.see(object.metadata.resource_version.as_deref());
        let pod = Pod::read(object);
        let key = pod.key.clone();
        let old = self.pods.insert(key.clone(), pod);
        self.forget_asked(&key);
        self.relate_pod(&key, old.as_ref())
    }

    /// A pod is gone.
    pub fn remove_pod(&mut self, key: &ObjectKey) -> Touched {
        let old = self.pods.remove(key);
        self.forget_asked(key);
        self.relate_pod(key, old.as_ref())
    }

    /// A service is new or changed.
    pub fn apply_service(&mut self, object: &MeshService) -> Touched {
        self.see(object.metadata.resource_version.as_deref());
        let service = Service::read(object);
        let key = service.key.clone();
        let old = self.services.insert(key.clone(), service);
        self.note_routing([key.clone()]);
        self.relate_service(&key, old.as_ref())
    }

    /// A service is gone.
    pub fn remove_service(&mut self, key: &ObjectKey) -> Touched {
        let old = self.services.remove(key);
        self.note_routing([key.clone()]);
        self.relate_service(key, old.as_ref())
    }

    /// A dependency is new or changed.
    pub fn apply_dependency(&mut self, object: &MeshDependency) -> Touched {
        self.see(object.metadata.resource_version.as_deref());
        let dependency = Dependency::read(object);
        let key = dependency.key.clone();
        let old = self.dependencies.insert(key.clone(), dependency);
        self.relate_dependency(&key, old.as_ref())
    }

    /// A dependency is gone.
    pub fn remove_dependency(&mut self, key: &ObjectKey) -> Touched {
        let old = self.dependencies.remove(key);
        self.relate_dependency(key, old.as_ref())
    }
}

/// What an event changes between objects.
impl World {
    fn relate_pod(&mut self, key: &ObjectKey, old: Option<&Pod>) -> Touched {
        let new = self.pods.get(key);
        if old == new {
            return Touched::default();
        }
        let was_meshed = old.is_some_and(Pod::is_meshed);
        let selecting = |selector: Option<&Selector>| {
            new.zip(selector)
                .is_some_and(|(pod, selector)| selector.matches(&pod.labels))
        };
        let provides = within(&self.services, &key.namespace)
            .filter(|service| selecting(selector(service)))
            .map(|service| service.key.clone())
            .collect::<BTreeSet<_>>();
        let calls = within(&self.dependencies, &key.namespace)
            .filter(|dependency| selecting(dependency.selector.as_ref().ok()))
            .map(|dependency| dependency.key.clone())
            .collect::<BTreeSet<_>>();
        let provided = self.index.providers.set_to(key, provides.clone());
        let sharing = self.shared_otherwise(key, was_meshed.then_some(&provided), &provides);
        let called = self.index.callers.set_to(key, calls.clone());

        // Labels say which subsets it is in.
        let labels = |pod: Option<&Pod>| pod.map(|pod| pod.labels.clone());
        let moved = old.map(Pod::whereabouts) != new.map(Pod::whereabouts) || labels(old) != labels(new);
        let endpoints: BTreeSet<_> = if moved {
            &provided | &provides
        } else {
            &provided ^ &provides
        };
        let waiting = endpoints.iter().flat_map(|service| self.index.named.to(service));
        let dependencies = waiting.chain(&called).chain(&calls).cloned().collect();
        Touched {
            plans: sharing.into_iter().chain([key.clone()]).collect(),
            services: &provided | &provides,
            endpoints,
            dependencies,
            ..Touched::default()
        }
    }

    /// Nodes seldom change their zone: all pods may be looked at.
    fn set_zone(&mut self, node: &str, zone: Option<Zone>) -> Touched {
        if self.zones.get(node) == zone.as_ref() {
            return Touched::default();
        }
        match zone {
            Some(zone) => self.zones.insert(node.into(), zone),
            None => self.zones.remove(node),
        };
        let here = self.pods.values().filter(|pod| pod.node.as_deref() == Some(node));
        let plans: BTreeSet<_> = here.map(|pod| pod.key.clone()).collect();
        let services = plans.iter().flat_map(|pod| self.index.providers.to(pod));
        Touched {
            endpoints: services.cloned().collect(),
            plans,
            ..Touched::default()
        }
    }

    fn relate_service(&mut self, key: &ObjectKey, old: Option<&Service>) -> Touched {
        let new = self.services.get(key);
        if old == new {
            return Touched::default();
        }
        let mut touched = Touched {
            services: BTreeSet::from([key.clone()]),
            ..Touched::default()
        };
        if old.zip(new).is_some_and(|(old, new)| old.compiles_like(new)) {
            return touched;
        }
        let pods = new
            .and_then(selector)
            .map_or_else(BTreeSet::new, |selector| self.selected(&key.namespace, selector));
        let before = self.index.providers.set_from(key, pods.clone());
        if before != pods
            || old.and_then(external) != new.and_then(external)
            || old.and_then(ports) != new.and_then(ports)
            || old.and_then(subsets) != new.and_then(subsets)
        {
            touched.endpoints.insert(key.clone());
        }
        let mut dependents: BTreeSet<_> = self.index.named.to(key).cloned().collect();
        for offer in [old, new]
            .into_iter()
            .flatten()
            .filter_map(|service| service.offer.as_ref().ok())
        {
            dependents.extend(self.led_to(key, offer));
            for target in offer.policy.targets() {
                touched.services.extend(self.meant_by(target, key, offer));
            }
        }
        let calling: BTreeSet<_> = dependents
            .iter()
            .flat_map(|dependent| self.index.callers.from(dependent))
            .collect();
        // A name of it may be another service's in their plans, which another dependency of theirs declares; and a pod that
        // provides it can't listen on its port for another.
        let concerned = calling.iter().copied().chain(&before).chain(&pods);
        let neighbours = concerned.flat_map(|pod| self.index.callers.to(pod));
        touched.dependencies = dependents.iter().chain(neighbours).cloned().collect();
        touched.plans = before.union(&pods).chain(calling).cloned().collect();
        let offers = [old, new].map(|service| service.and_then(|service| service.offer.as_ref().ok()));
        for path in offers.into_iter().flatten().map(|offer| &offer.path) {
            for pod in self.index.asking.get(path).into_iter().flatten() {
                touched.plans.insert(pod.clone());
                touched.dependencies.extend(self.index.callers.to(pod).cloned());
            }
        }
        let rivals = self.claim(key, old.and_then(|service| service.offer.as_ref().ok()));
        touched.services.extend(rivals);
        touched
    }

    /// Moves a service's claims from its old offer to its new one; returns who else has a claim on any of them.
    fn claim(&mut self, key: &ObjectKey, old: Option<&Offer>) -> BTreeSet<ObjectKey> {
        let claims = |offer: Option<&Offer>| offer.map_or_else(BTreeSet::new, |offer| Claim::all(key, offer));
        let new = self
            .services
            .get(key)
            .and_then(|service| service.offer.as_ref().ok());
        let (before, after) = (claims(old), claims(new));
        move_in(
            &mut self.index.claims,
            key,
            before.difference(&after),
            after.difference(&before),
        );
        let path = |offer: Option<&Offer>| offer.map(|offer| offer.path.clone());
        let (before_path, after_path) = (path(old), path(new));
        self.index
            .set_path(key, before_path.as_ref(), after_path.as_ref());
        let all = before.union(&after);
        all.filter_map(|claim| self.index.claims.get(claim))
            .flatten()
            .cloned()
            .collect()
    }

    fn relate_dependency(&mut self, key: &ObjectKey, old: Option<&Dependency>) -> Touched {
        let new = self.dependencies.get(key);
        if old == new {
            return Touched::default();
        }
        let mut touched = Touched {
            dependencies: BTreeSet::from([key.clone()]),
            ..Touched::default()
        };
        if old.zip(new).is_some_and(|(old, new)| old.compiles_like(new)) {
            return touched;
        }
        let selector = new.and_then(|dependency| dependency.selector.as_ref().ok());
        let pods = selector.map_or_else(BTreeSet::new, |selector| self.selected(&key.namespace, selector));
        let wants = new.map_or_else(BTreeSet::new, |dependency| {
            dependency.wants.iter().map(|want| want.service.clone()).collect()
        });
        let before = self.index.callers.set_from(key, pods.clone());
        let named = self.index.named.set_from(key, wants.clone());
        self.note_routing(named.union(&wants).cloned().collect::<Vec<_>>());
        touched.plans = &before | &pods;
        touched.services = &named | &wants;
        let neighbours = touched.plans.iter().flat_map(|pod| self.index.callers.to(pod));
        touched.dependencies.extend(neighbours.cloned());
        touched
    }

    fn selected(&self, namespace: &str, selector: &Selector) -> BTreeSet<ObjectKey> {
        within(&self.pods, namespace)
            .filter(|pod| selector.matches(&pod.labels))
            .map(|pod| pod.key.clone())
            .collect()
    }
}

/// After a list: what was not in it is gone.
impl World {
    /// Forgets every namespace that is not among these.
    pub fn keep_namespaces(&mut self, listed: &BTreeSet<Box<str>>) -> Touched {
        let gone: Vec<_> = self
            .namespaces
            .keys()
            .filter(|name| !listed.contains(*name))
            .cloned()
            .collect();
        all(gone.iter().map(|name| self.remove_namespace(name)))
    }

    /// Forgets every node that is not among these.
    pub fn keep_nodes(&mut self, listed: &BTreeSet<Box<str>>) -> Touched {
        let gone: Vec<_> = self
            .zones
            .keys()
            .filter(|name| !listed.contains(*name))
            .cloned()
            .collect();
        all(gone.iter().map(|name| self.remove_node(name)))
    }

    /// Forgets every pod that is not among these.
    pub fn keep_pods(&mut self, listed: &BTreeSet<ObjectKey>) -> Touched {
        let gone = missing(&self.pods, listed);
        all(gone.iter().map(|key| self.remove_pod(key)))
    }

    /// Forgets every service that is not among these.
    pub fn keep_services(&mut self, listed: &BTreeSet<ObjectKey>) -> Touched {
        let gone = missing(&self.services, listed);
        all(gone.iter().map(|key| self.remove_service(key)))
    }

    /// Forgets every dependency that is not among these.
    pub fn keep_dependencies(&mut self, listed: &BTreeSet<ObjectKey>) -> Touched {
        let gone = missing(&self.dependencies, listed);
        all(gone.iter().map(|key| self.remove_dependency(key)))
    }
}

/// The pods that a service means, where pods provide it.
fn selector(service: &Service) -> Option<&Selector> {
    let pods = service.offer.as_ref().ok()?.pods()?;
    Some(&pods.selector)
}

/// Where programs listen that are called without an agent.
fn ports(service: &Service) -> Option<(u16, Option<u16>)> {
    let pods = service.offer.as_ref().ok()?.pods()?;
    Some((pods.port, pods.motan1_port))
}

/// The parts of a service's pods.
fn subsets(service: &Service) -> Option<&[(plan::SubsetName, super::Labels)]> {
    let offer = service.offer.as_ref().ok()?;
    Some(&offer.subsets)
}

/// The addresses outside of the mesh that provide a service, where they do.
fn external(service: &Service) -> Option<&[Address]> {
    service.offer.as_ref().ok()?.external()
}

pub(super) fn within<'w, T>(
    objects: &'w BTreeMap<ObjectKey, T>,
    namespace: &str,
) -> impl Iterator<Item = &'w T> {
    let namespace: Box<str> = namespace.into();
    objects
        .range(ObjectKey::new(&namespace, "")..)
        .take_while(move |(key, _)| key.namespace == namespace)
        .map(|(_, object)| object)
}

fn missing<T>(objects: &BTreeMap<ObjectKey, T>, listed: &BTreeSet<ObjectKey>) -> Vec<ObjectKey> {
    objects
        .keys()
        .filter(|key| !listed.contains(key))
        .cloned()
        .collect()
}

fn all(changes: impl Iterator<Item = Touched>) -> Touched {
    changes.fold(Touched::default(), |mut sum, change| {
        sum.absorb(change);
        sum
    })
}
