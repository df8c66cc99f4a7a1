//! The status of a MeshDependency.

use std::collections::{BTreeMap, BTreeSet};

use crds::{AppliedCount, MeshDependencyStatus, condition};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use plan::EndpointState;

use super::{
    Answer,
    captured::captured,
    condition::{Finding, Frame, joined},
    undeclared::undeclared,
};
use crate::{
    compile::{self, Defaults, Problem},
    world::{Dependency, ObjectKey, Phase, Pod, World},
};

/// What is true of a dependency now, given what the sidecars of its pods have answered, and what holds for the mesh.
#[must_use]
pub fn dependency_status(
    world: &World,
    dependency: &Dependency,
    answers: &BTreeMap<ObjectKey, Answer>,
    defaults: &Defaults,
    previous: &[Condition],
    now: Timestamp,
) -> MeshDependencyStatus {
    let problems = problems(world, dependency, defaults);
    let pods: Vec<&Pod> = world
        .callers(&dependency.key)
        .filter(|pod| pod.is_meshed() && pod.phase != Phase::Draining)
        .collect();
    let running = pods
        .iter()
        .filter(|pod| answers.get(&pod.key) == Some(&Answer::Runs))
        .count();

    let accepted = accepted(dependency, &problems);
    let (resolved, services) = resolved(dependency, &problems);
    let programmed = programmed(&pods, running, answers);
    let ready = match &dependency.selector {
        Err(_) => accepted.clone(),
        Ok(_) => resolved
            .clone()
            .or(|| programmed.clone())
            .or(|| ready(world, dependency, &accepted)),
    };
    let frame = Frame {
        generation: dependency.generation,
        previous,
        now,
    };
    let mut conditions = vec![
        frame.condition(condition::ACCEPTED, accepted),
        frame.condition(condition::RESOLVED_REFS, resolved),
        frame.condition(condition::PROGRAMMED, programmed),
        frame.condition(condition::READY, ready),
    ];
    let captured = captured(world, dependency, &pods, defaults);
    conditions.extend(captured.map(|finding| frame.condition(condition::NAMES_IN_PODS, finding)));
    let undeclared = undeclared(world, &pods, defaults.undeclared);
    conditions
        .extend(undeclared.map(|finding| frame.condition(condition::UNDECLARED_SUBSCRIPTIONS, finding)));
    MeshDependencyStatus {
        observed_generation: dependency.generation,
        conditions,
        services,
        pods: AppliedCount::of(running, pods.len()),
    }
}

/// What is wrong with it: alone, and together with the others that select its pods. Most pods are selected by the
/// same dependencies, so each such set is looked at once and not each pod.
fn problems(world: &World, dependency: &Dependency, defaults: &Defaults) -> BTreeSet<Problem> {
    let mut sets: BTreeMap<Vec<&ObjectKey>, Vec<&Dependency>> = BTreeMap::new();
    sets.insert(vec![&dependency.key], vec![dependency]);
    for pod in world.callers(&dependency.key).filter(|pod| pod.is_meshed()) {
        let set: Vec<&Dependency> = world.dependencies_of(&pod.key).collect();
        sets.entry(set.iter().map(|one| &one.key).collect())
            .or_insert(set);
    }
    sets.values()
        .flat_map(|set| compile::problems(world, set, &dependency.key.namespace, defaults))
        .filter(|problem| problem.dependency() == Some(&dependency.key))
        .collect()
}

fn accepted(dependency: &Dependency, problems: &BTreeSet<Problem>) -> Finding {
    if let Err(flaw) = &dependency.selector {
        return Finding::no("Invalid", flaw.to_string());
    }
    let overruled: Vec<_> = problems
        .iter()
        .filter(|problem| !problem.is_unresolved())
        .map(Problem::to_string)
        .collect();
    if overruled.is_empty() {
        return Finding::yes("Accepted", "the dependency is in force");
    }
    let is_invalid = |problem: &Problem| matches!(problem, Problem::Policy { .. } | Problem::Route { .. });
    let reason = if problems.iter().any(is_invalid) {
        "Invalid"
    } else {
        "Conflict"
    };
    Finding::no(reason, joined(&overruled))
}

fn resolved(dependency: &Dependency, problems: &BTreeSet<Problem>) -> (Finding, AppliedCount) {
    let named: BTreeSet<_> = dependency.wants.iter().map(|want| &want.service).collect();
    let mut lost = BTreeSet::new();
    let mut reason = "Conflict";
    let mut messages = Vec::new();
    for problem in problems.iter().filter(|problem| problem.is_unresolved()) {
        match problem {
            Problem::Missing { service, .. } => {
                reason = "ServiceNotFound";
                lost.insert(service);
            }
            Problem::Unusable { service, .. } | Problem::MotanTaken { service, .. } => {
                lost.insert(service);
            }
            Problem::Twice { .. }
            | Problem::Overruled { .. }
            | Problem::Policy { .. }
            | Problem::Methods { .. }
            | Problem::Route { .. }
            | Problem::HostTaken { .. }
            | Problem::LocationTaken { .. }
            | Problem::ExportTaken { .. } => {}
        }
        messages.push(problem.to_string());
    }
    let count = AppliedCount::of(named.len().saturating_sub(lost.len()), named.len());
    if messages.is_empty() {
        let message = format!("all {} services exist", named.len());
        return (Finding::yes("ResolvedRefs", message), count);
    }
    (Finding::no(reason, joined(&messages)), count)
}

fn programmed(pods: &[&Pod], running: usize, answers: &BTreeMap<ObjectKey, Answer>) -> Finding {
    let refused = pods.iter().find_map(|pod| match answers.get(&pod.key)? {
        Answer::Refused(reason) => Some((&pod.key, reason)),
        Answer::Runs => None,
    });
    if let Some((pod, reason)) = refused {
        let message = format!("the sidecar of pod {pod} keeps its last good plan: {reason}");
        return Finding::no("Refused", message);
    }
    let total = pods.len();
    if total == 0 {
        return Finding::no(
            "NoPods",
            "no pod with a sidecar matches spec.selector: check the pods' labels, and that their namespace or they \
             are annotated motanmesh.io/inject: enabled",
        );
    }
    if running < total {
        return Finding::no("Pending", format!("{running} of {total} pods run it"));
    }
    Finding::yes("Programmed", format!("all {total} pods run it"))
}

fn ready(world: &World, dependency: &Dependency, accepted: &Finding) -> Finding {
    let takes_calls = |service: &ObjectKey| {
        compile::endpoints(world, service)
            .iter()
            .any(|endpoint| endpoint.state == EndpointState::Ready)
    };
    let idle: BTreeSet<_> = dependency
        .wants
        .iter()
        .map(|want| &want.service)
        .filter(|service| !takes_calls(service))
        .collect();
    if !idle.is_empty() {
        let messages: Vec<_> = idle
            .iter()
            .map(|service| format!("MeshService {service} has no pod that is ready"))
            .collect();
        return Finding::no("NoReadyPods", joined(&messages));
    }
    if accepted.holds {
        Finding::yes("Ready", "calls can be made")
    } else {
        Finding::yes("Conflict", format!("calls can be made, but {}", accepted.message))
    }
}
