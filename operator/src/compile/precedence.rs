//! Several dependencies of one pod become one list: field by field, and where two disagree the older wins.

use std::collections::BTreeMap;

use plan::Millis;

use super::Problem;
use crate::world::{Dependency, ObjectKey, Offer, Service, World};

/// A service that a pod may call, and how its dependencies want it.
#[derive(Debug)]
pub(super) struct Wanted<'w> {
    /// The service.
    pub(super) service: &'w Service,
    /// What it offers.
    pub(super) offer: &'w Offer,
    /// The oldest dependency that names it.
    pub(super) by: &'w ObjectKey,
    /// The timeout and who set it.
    pub(super) timeout: Option<(Millis, &'w ObjectKey)>,
}

/// Merges the dependencies that select one pod; the result is in the order of the services' age.
pub(super) fn merge<'w>(
    world: &'w World,
    dependencies: &[&'w Dependency],
) -> (Vec<Wanted<'w>>, Vec<Problem>) {
    let mut by_age = dependencies.to_vec();
    by_age.sort_by_key(|dependency| (dependency.age, &dependency.key));
    let mut merged: BTreeMap<&ObjectKey, Wanted<'w>> = BTreeMap::new();
    let mut problems = Vec::new();
    for dependency in by_age {
        add(world, dependency, &mut merged, &mut problems);
    }
    let mut wanted: Vec<_> = merged.into_values().collect();
    wanted.sort_by_key(|wanted| (wanted.service.age, &wanted.service.key));
    (wanted, problems)
}

fn add<'w>(
    world: &'w World,
    dependency: &'w Dependency,
    merged: &mut BTreeMap<&'w ObjectKey, Wanted<'w>>,
    problems: &mut Vec<Problem>,
) {
    let mut seen = Vec::with_capacity(dependency.wants.len());
    for want in &dependency.wants {
        if seen.contains(&&want.service) {
            problems.push(Problem::Twice {
                dependency: dependency.key.clone(),
                service: want.service.clone(),
            });
            continue;
        }
        seen.push(&want.service);
        let Some((service, offer)) = resolve(world, &dependency.key, &want.service, problems) else {
            continue;
        };
        let entry = merged.entry(&service.key).or_insert(Wanted {
            service,
            offer,
            by: &dependency.key,
            timeout: None,
        });
        let Some(timeout) = want.timeout else { continue };
        match entry.timeout {
            None => entry.timeout = Some((timeout, &dependency.key)),
            Some((kept, by)) if kept != timeout => problems.push(Problem::Overruled {
                dependency: dependency.key.clone(),
                by: by.clone(),
                service: want.service.clone(),
                wanted: timeout,
                kept,
            }),
            Some(_) => {}
        }
    }
}

fn resolve<'w>(
    world: &'w World,
    dependency: &ObjectKey,
    service: &ObjectKey,
    problems: &mut Vec<Problem>,
) -> Option<(&'w Service, &'w Offer)> {
    let problem = match world.service(service).map(|found| (found, &found.offer)) {
        Some((found, Ok(offer))) => return Some((found, offer)),
        Some((_, Err(flaw))) => Problem::unusable(dependency, service, flaw),
        None => Problem::Missing {
            dependency: dependency.clone(),
            service: service.clone(),
        },
    };
    problems.push(problem);
    None
}
