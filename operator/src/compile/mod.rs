//! From the world to one pod's plan: pure, no client, no clock.
//!
//! [`compile`] gathers the dependencies that select the pod, settles where they disagree ([`precedence`]), adds what its
//! program asked for by itself where the mesh allows that, and turns all of it into services ([`services`]) with seeds ([`endpoints`]), beside the pod's exports ([`exports`]).
//! What could not be had is a [`Problem`] for the status of the object at fault; it never fails the plan.

mod capture;
mod endpoints;
mod exports;
mod precedence;
mod problem;
mod routing;
mod services;

use plan::{AccessLog, Control, Millis, Observe, Plan, PlanHash, Revision, Undeclared, Workload};

use crate::world::{Dependency, ObjectKey, PolicyWish, World};

pub use capture::{Reachable, Served, reachable};
pub use endpoints::endpoints;
pub use problem::Problem;
pub use routing::unresolved;

/// What holds for the whole mesh where no object says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// How long a call may take.
    pub timeout: Millis,
    /// How else calls are governed.
    pub policy: PolicyWish,
    /// Which calls get a line in the access log.
    pub access_log: AccessLog,
    /// What becomes of subscriptions that no dependency declares.
    pub undeclared: Undeclared,
    /// Where the names of Kubernetes Services end.
    pub cluster_domain: String,
    /// Where live updates come from; absent offline.
    pub control: Option<Control>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            timeout: plan::DEFAULT_TIMEOUT,
            policy: PolicyWish::default(),
            access_log: AccessLog::default(),
            undeclared: Undeclared::default(),
            cluster_domain: "cluster.local".to_owned(),
            control: None,
        }
    }
}

/// A pod's plan, and what could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// The plan, at revision 0, its hash set.
    pub plan: Plan,
    /// What is wrong with the objects it came from.
    pub problems: Vec<Problem>,
}

/// The plan of a pod; `None` where there is no such pod.
#[must_use]
pub fn compile(world: &World, pod: &ObjectKey, defaults: &Defaults) -> Option<Compiled> {
    let subject = world.pod(pod)?;
    let dependencies: Vec<&Dependency> = world.dependencies_of(pod).collect();
    let (mut wanted, mut problems) = precedence::merge(world, &dependencies);
    if defaults.undeclared == Undeclared::Allow {
        wanted.extend(precedence::asked(world, pod, &wanted));
    }
    let mut services = services::build(world, subject, &wanted, defaults, &mut problems);
    routing::add(world, subject, &wanted, (&mut services, &mut problems));
    let exports = exports::build(world, pod, defaults, &mut problems);
    let mut plan = Plan {
        revision: Revision::default(),
        hash: PlanHash::default(),
        workload: Workload {
            namespace: pod.namespace.to_string(),
            pod: pod.name.to_string(),
            application: subject.application.to_string(),
            zone: world.zone(subject).cloned(),
        },
        control: defaults.control.clone(),
        inbound: None,
        services,
        exports,
        undeclared: defaults.undeclared,
        observe: Observe {
            access_log: defaults.access_log,
        },
    };
    plan.hash = plan.content_hash();
    Some(Compiled { plan, problems })
}

/// What is wrong for a pod of the namespace `home` that these dependencies select, without making its plan.
#[must_use]
pub fn problems(
    world: &World,
    dependencies: &[&Dependency],
    home: &str,
    defaults: &Defaults,
) -> Vec<Problem> {
    let (wanted, mut problems) = precedence::merge(world, dependencies);
    services::names(&wanted, home, defaults, &mut problems);
    problems.extend(routing::problems(world, &wanted));
    problems
}
