//! Several dependencies of one pod become one list: field by field, and where two disagree the older wins.

use std::collections::BTreeMap;

use crds::MingzSize;
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
    /// The oldest dependency that names it; none where only the program itself asked for it.
    pub(super) by: Option<&'w ObjectKey>,
    /// The timeout and who set it.
    pub(super) timeout: Option<(Millis, &'w ObjectKey)>,
    /// From which size on bodies are compressed, and who set it.
    pub(super) mingz_size: Option<(MingzSize, &'w ObjectKey)>,
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
                timeout: None,
                mingz_size: None,
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
            timeout: None,
            mingz_size: None,
        });
        let overruled = [
            settle(
                "timeout",
                &mut entry.timeout,
                want.timeout,
                dependency,
                |timeout| format!("{}ms", timeout.get()),
            ),
            settle(
                "mingzSize",
                &mut entry.mingz_size,
                want.mingz_size,
                dependency,
                |size| u32::from(size).to_string(),
            ),
        ];
        problems.extend(
            overruled
                .into_iter()
                .flatten()
                .map(|overruled| Problem::Overruled {
                    dependency: dependency.key.clone(),
                    by: overruled.by.clone(),
                    service: want.service.clone(),
                    field: overruled.field,
                    wanted: overruled.wanted,
                    kept: overruled.kept,
                }),
        );
    }
}

/// A field in which an older dependency says otherwise.
struct Overruled<'w> {
    field: &'static str,
    by: &'w ObjectKey,
    wanted: String,
    kept: String,
}

/// The first, which is the oldest, to say something about a field has it.
fn settle<'w, T: Copy + PartialEq>(
    field: &'static str,
    held: &mut Option<(T, &'w ObjectKey)>,
    wish: Option<T>,
    dependency: &'w Dependency,
    show: impl Fn(T) -> String,
) -> Option<Overruled<'w>> {
    let wish = wish?;
    let (kept, by) = *held.get_or_insert((wish, &dependency.key));
    (kept != wish).then(|| Overruled {
        field,
        by,
        wanted: show(wish),
        kept: show(kept),
    })
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
