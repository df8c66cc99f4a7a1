//! Which pods reach services by name, and which were made before they could (loopback capture).

use std::collections::BTreeMap;

use super::condition::{Finding, joined, listed};
use crate::{
    compile::{self, Defaults, Reachable, Served},
    world::{Dependency, ObjectKey, Pod, World},
};

/// The finding about these pods of a dependency; `None` where no service that it names has `ports`, or none of the pods
/// wants or can have the names.
pub(super) fn captured(
    world: &World,
    dependency: &Dependency,
    pods: &[&Pod],
    defaults: &Defaults,
) -> Option<Finding> {
    let offers_ports = |service: &ObjectKey| {
        let offer = world.service(service).and_then(|found| found.offer.as_ref().ok());
        offer.is_some_and(|offer| !offer.ports.is_empty())
    };
    if !dependency.wants.iter().any(|want| offers_ports(&want.service)) {
        return None;
    }
    let mut has = 0;
    let mut lacking: BTreeMap<ObjectKey, Vec<&ObjectKey>> = BTreeMap::new();
    let mut sets: BTreeMap<Vec<&ObjectKey>, Vec<Reachable>> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| !pod.captured.declined) {
        let set: Vec<&Dependency> = world.dependencies_of(&pod.key).collect();
        let home = &dependency.key.namespace;
        let reachable = sets
            .entry(set.iter().map(|one| &one.key).collect())
            .or_insert_with(|| compile::reachable(world, &set, home, defaults));
        let named = |one: &&Reachable| dependency.wants.iter().any(|want| want.service == one.service);
        for one in reachable.iter().filter(named) {
            match state(world, pod, one) {
                State::Has => has += 1,
                State::Lacks => lacking.entry(one.service.clone()).or_default().push(&pod.key),
                State::CanNot => {}
            }
        }
    }
    if !lacking.is_empty() {
        let messages: Vec<_> = lacking
            .iter()
            .map(|(service, pods)| {
                let (were, them) = if pods.len() == 1 { ("was", "it") } else { ("were", "them") };
                format!(
                    "{} {were} made before MeshService {service} had all its names: make {them} anew to reach it by name",
                    listed(pods)
                )
            })
            .collect();
        return Some(Finding::no("RestartNeeded", joined(&messages)));
    }
    (has > 0).then(|| Finding::yes("Captured", "all pods reach the services with ports by name"))
}

/// How a pod stands to the names of a service.
enum State {
    Has,
    /// A new pod in its place would have them.
    Lacks,
    /// A program of it has one of the ports, as an Event has said.
    CanNot,
}

fn state(world: &World, pod: &Pod, service: &Reachable) -> State {
    let served = Served::by(world.provided_by(&pod.key));
    let is_taken = |port: &u16| served.has(*port) || pod.captured.has_port(*port);
    if service.ports.iter().any(is_taken) {
        return State::CanNot;
    }
    // A name that the pod has by itself leads where the pod says, and its next start changes nothing about it.
    if service.names.iter().all(|name| pod.captured.has_name(name)) {
        State::Has
    } else {
        State::Lacks
    }
}
