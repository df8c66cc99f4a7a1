//! What programs subscribe to by themselves and nobody declares: who, what, and the line that is missing.

use std::collections::BTreeMap;

use plan::{Undeclared, stream::Subscription};

use super::condition::{Finding, joined, listed};
use crate::world::{ObjectKey, Pod, World};

/// The finding about these pods; `None` where everything they ask for is declared.
pub(super) fn undeclared(world: &World, pods: &[&Pod], rule: Undeclared) -> Option<Finding> {
    let mut asking: BTreeMap<&Subscription, Vec<&ObjectKey>> = BTreeMap::new();
    for pod in pods {
        for subscription in of(world, &pod.key) {
            asking.entry(subscription).or_default().push(&pod.key);
        }
    }
    if asking.is_empty() {
        return None;
    }
    let messages: Vec<_> = asking
        .iter()
        .map(|(subscription, pods)| format!("{}: {}", listed(pods), wish(world, subscription)))
        .collect();
    Some(Finding::yes(reason(rule), joined(&messages)))
}

/// The same for a pod that no dependency selects: reason and message of an Event.
#[must_use]
pub fn undeclared_by(world: &World, pod: &Pod, rule: Undeclared) -> Option<(&'static str, String)> {
    if world.dependencies_of(&pod.key).next().is_some() {
        return None;
    }
    let messages: Vec<_> = of(world, &pod.key)
        .map(|subscription| wish(world, subscription))
        .collect();
    let message = format!("no MeshDependency selects this pod: {}", joined(&messages));
    (!messages.is_empty()).then(|| (reason(rule), message))
}

const fn reason(rule: Undeclared) -> &'static str {
    match rule {
        Undeclared::Refuse => "Refused",
        Undeclared::Allow => "Allowed",
    }
}

/// What a pod's program asks for and no dependency of the pod declares.
fn of<'w>(world: &'w World, pod: &ObjectKey) -> impl Iterator<Item = &'w Subscription> {
    let declared = |subscription: &&Subscription| {
        world.offering(subscription).is_some_and(|service| {
            world
                .dependencies_of(pod)
                .any(|dependency| dependency.wants.iter().any(|want| want.service == service.key))
        })
    };
    world
        .asked(pod)
        .filter(move |subscription| !declared(subscription))
}

fn wish(world: &World, subscription: &Subscription) -> String {
    let Subscription { path, group } = subscription;
    match world.offering(subscription) {
        Some(service) => format!(
            "subscription to {path} of group {group}: add to spec.services: - {{name: {}, namespace: {}}}",
            service.key.name, service.key.namespace
        ),
        None => format!(
            "subscription to {path} of group {group}, which no MeshService offers: create one, and declare it"
        ),
    }
}
