//! Several dependencies of one pod become one list: field by field, and where two disagree the older wins.

use std::collections::BTreeMap;

use plan::MAX_METHODS;

use super::Problem;
use crate::world::{Dependency, ObjectKey, Offer, PolicyWish, Service, Want, World};

/// A service that a pod may call, and how its dependencies want it.
#[derive(Debug)]
pub(super) struct Wanted<'w> {
    /// The service.
    pub(super) service: &'w Service,
    /// What it offers.
    pub(super) offer: &'w Offer,
    /// The oldest dependency that names it; none where only the program itself asked for it.
    pub(super) by: Option<&'w ObjectKey>,
    /// What they say of how calls to it are governed, all of them together.
    pub(super) policy: PolicyWish,
    /// Who says what of it, by field.
    said: BTreeMap<String, (String, &'w ObjectKey)>,
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

/// What a pod's program asked for by itself and is there, beside what is declared; in the order of age.
pub(super) fn asked<'w>(world: &'w World, pod: &ObjectKey, declared: &[Wanted<'w>]) -> Vec<Wanted<'w>> {
    let offered = world.asked(pod).filter_map(|asked| world.offering(asked));
    let by_age: BTreeMap<_, _> = offered
        .map(|service| ((service.age, &service.key), service))
        .collect();
    let is_declared = |service: &Service| declared.iter().any(|one| one.service.key == service.key);
    by_age
        .into_values()
        .filter(|service| !is_declared(service))
        .filter_map(|service| {
            Some(Wanted {
                service,
                offer: service.offer.as_ref().ok()?,
                by: None,
                policy: PolicyWish::default(),
                said: BTreeMap::new(),
            })
        })
        .collect()
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
            by: Some(&dependency.key),
            policy: PolicyWish::default(),
            said: BTreeMap::new(),
        });
        entry.hear(&dependency.key, want, problems);
    }
}

impl<'w> Wanted<'w> {
    /// The dependency that says this field; where none does, the oldest that names the service.
    pub(super) fn by_of(&self, field: &str) -> Option<&'w ObjectKey> {
        self.said.get(field).map(|(_, by)| *by).or(self.by)
    }

    /// Adds what a dependency says that is younger than all before it: the first to say something about a field has it.
    fn hear(&mut self, dependency: &'w ObjectKey, want: &Want, problems: &mut Vec<Problem>) {
        let wish = match &want.policy {
            Ok(wish) => wish,
            Err(flaw) => {
                problems.push(Problem::Policy {
                    dependency: dependency.clone(),
                    service: want.service.clone(),
                    flaw: flaw.to_string(),
                });
                return;
            }
        };
        for (field, wanted) in wish.leaves() {
            let (kept, by) = self
                .said
                .entry(field.clone())
                .or_insert_with(|| (wanted.clone(), dependency));
            if *kept != wanted {
                problems.push(Problem::Overruled {
                    dependency: dependency.clone(),
                    by: by.clone(),
                    service: want.service.clone(),
                    field,
                    wanted,
                    kept: kept.clone(),
                });
            }
        }
        self.policy = self.policy.or(wish);
        let methods = self.policy.methods_over(&self.offer.policy);
        if methods > MAX_METHODS && !wish.methods.is_empty() {
            problems.push(Problem::Methods {
                dependency: dependency.clone(),
                service: want.service.clone(),
                methods,
            });
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
