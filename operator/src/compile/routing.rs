//! Where calls to a service lead, and copies of them: the names looked up, and the services that a pod calls only so.

use plan::{CallMatch, Merge, Mirror, NamedTarget, Routing, RoutingRule, Service, Target, Way};

use super::{Problem, precedence::Wanted, services};
use crate::world::{MergeWish, ObjectKey, Offer, Pod, PolicyWish, RoutingWish, TargetWish, World};

/// Adds to the plan where calls to each service lead, and those services.
pub(super) fn add(
    world: &World,
    pod: &Pod,
    wanted: &[Wanted<'_>],
    (plan, problems): (&mut Vec<Service>, &mut Vec<Problem>),
) {
    let own = pod.ip.map(|ip| ip.to_string());
    for one in wanted {
        let Some(at) = plan.iter().position(|service| service.name == one.offer.name) else {
            continue; // another one has its name
        };
        let mut lookup = lookup(world, one);
        let (routing, mirror) = lead(&[&one.policy, &one.offer.policy], own.as_deref(), &mut lookup);
        let (found, missed) = (lookup.found, lookup.missed);
        problems.extend(missed.into_iter().filter_map(|missed| said(one, missed)));
        plan[at].policy.routing = (routing != Routing::default()).then(|| Box::new(routing));
        plan[at].policy.mirror = mirror;
        for key in found {
            let Some(Ok(offer)) = world.service(&key).map(|found| &found.offer) else {
                continue;
            };
            if plan.iter().all(|service| service.name != offer.name) {
                let mut policy = plan[at].policy.clone();
                policy.routing = None;
                policy.mirror = None;
                plan.push(services::indirect(world, pod, (&key, offer), policy));
            }
        }
    }
    plan.sort_by(|a, b| a.name.cmp(&b.name));
}

/// What these lead to and can't be looked up.
pub(super) fn problems(world: &World, wanted: &[Wanted<'_>]) -> Vec<Problem> {
    let of = |one: &Wanted<'_>| {
        let mut lookup = lookup(world, one);
        lead(&[&one.policy, &one.offer.policy], None, &mut lookup);
        let missed = lookup.missed.into_iter();
        missed.filter_map(|missed| said(one, missed)).collect::<Vec<_>>()
    };
    wanted.iter().flat_map(of).collect()
}

/// What a service itself leads to and can't be looked up, in words.
#[must_use]
pub fn unresolved(world: &World, service: &ObjectKey, offer: &Offer) -> Vec<String> {
    let mut lookup = Lookup::new(world, service, offer);
    lead(&[&offer.policy], None, &mut lookup);
    lookup.missed.into_iter().map(|missed| missed.what).collect()
}

/// Where calls lead, and copies of them: the first of these policies that speaks of it counts.
fn lead(policies: &[&PolicyWish], own: Option<&str>, lookup: &mut Lookup<'_>) -> (Routing, Option<Mirror>) {
    let mut routings = policies.iter().filter_map(|policy| policy.routing.as_ref());
    let routing = routings.next().map(|wish| resolve(wish, own, lookup));
    lookup.field = "mirror";
    let mut mirrors = policies.iter().filter_map(|policy| policy.mirror.as_ref());
    let mirror = mirrors.next().and_then(|wish| {
        let wish = wish.mirror()?;
        Some(Mirror {
            to: lookup.target(&wish.to)?,
            percent: wish.percent,
        })
    });
    (routing.unwrap_or_default(), mirror)
}

fn lookup<'a>(world: &'a World, one: &'a Wanted<'_>) -> Lookup<'a> {
    Lookup::new(world, &one.service.key, one.offer)
}

/// On the dependency that says it; where the service does, on the one that names the service.
fn said(one: &Wanted<'_>, missed: Missed) -> Option<Problem> {
    Some(Problem::Route {
        dependency: one.by_of(missed.field)?.clone(),
        service: one.service.key.clone(),
        what: missed.what,
    })
}

/// Something that can't be looked up.
struct Missed {
    /// The field of the policy that it is in.
    field: &'static str,
    /// Where it is written, and what is wrong.
    what: String,
}

struct Lookup<'a> {
    world: &'a World,
    asked: &'a ObjectKey,
    offer: &'a Offer,
    /// The field of the policy that is being looked through.
    field: &'static str,
    found: Vec<ObjectKey>,
    missed: Vec<Missed>,
}

impl<'a> Lookup<'a> {
    const fn new(world: &'a World, asked: &'a ObjectKey, offer: &'a Offer) -> Self {
        Self {
            world,
            asked,
            offer,
            field: "routing",
            found: Vec::new(),
            missed: Vec::new(),
        }
    }

    fn target(&mut self, wish: &TargetWish) -> Option<Target> {
        match self.look(wish) {
            Ok((key, target)) => {
                if target.service.is_some() && !self.found.contains(&key) {
                    self.found.push(key);
                }
                Some(target)
            }
            Err(what) => {
                self.missed.push(Missed {
                    field: self.field,
                    what: format!("{}: {what}", wish.field),
                });
                None
            }
        }
    }

    fn look(&self, wish: &TargetWish) -> Result<(ObjectKey, Target), String> {
        let Some(key) = self.world.meant_by(wish, self.asked, self.offer) else {
            return Err(missing(wish, self.offer));
        };
        let is_itself = key == *self.asked;
        let offer = match self.world.service(&key).map(|found| &found.offer) {
            _ if is_itself => self.offer,
            Some(Ok(offer)) => offer,
            Some(Err(flaw)) => return Err(format!("MeshService {key} can't be used: {flaw}")),
            None => return Err(missing(wish, self.offer)),
        };
        if offer.protocol != self.offer.protocol {
            let (theirs, ours) = (offer.protocol.as_str(), self.offer.protocol.as_str());
            return Err(format!(
                "MeshService {key} speaks {theirs}, and calls here are {ours}: name one that speaks the same"
            ));
        }
        if let Some(subset) = &wish.subset
            && offer.subsets.iter().all(|(name, _)| name != subset)
        {
            return Err(format!(
                "MeshService {key} has no subset {subset}: add it to its spec.subsets, or correct it"
            ));
        }
        let target = Target {
            service: (!is_itself).then(|| offer.name.clone()),
            subset: wish.subset.clone(),
        };
        Ok((key, target))
    }
}

fn missing(wish: &TargetWish, offer: &Offer) -> String {
    match &wish.at {
        crate::world::At::Group(group) => format!(
            "no MeshService has group {group} and path {}: create it, or correct the group",
            offer.path
        ),
        crate::world::At::Service(key) => {
            format!("MeshService {key} does not exist: create it, or correct the name")
        }
        crate::world::At::Itself => "the MeshService does not exist".to_owned(),
    }
}

/// Without what can't be looked up. Rules by address stay only where they are for this pod, whose address is `own`.
fn resolve(wish: &RoutingWish, own: Option<&str>, lookup: &mut Lookup<'_>) -> Routing {
    let RoutingWish {
        named,
        rules,
        merge,
        addresses,
        backup,
    } = wish;
    let mut routing = Routing::default();
    for (name, to) in named {
        let to = lookup.target(to);
        routing.named.extend(to.map(|to| NamedTarget {
            name: name.clone(),
            to,
        }));
    }
    for (matches, ways) in rules {
        let matches: CallMatch = matches.clone();
        let to = ways_of(ways, lookup);
        routing.rules.push(RoutingRule { matches, to });
    }
    routing.merge = merge.as_ref().map(|merge| match merge {
        MergeWish::Mixed(targets) => {
            Merge::Mixed(targets.iter().filter_map(|to| lookup.target(to)).collect())
        }
        MergeWish::Split(ways) => Merge::Split(ways_of(ways, lookup)),
    });
    let for_us = addresses
        .iter()
        .filter(|rule| own.is_some_and(|own| rule.from.matches(own)));
    routing.addresses = for_us.map(|rule| rule.to.clone()).collect();
    routing.backup = backup.iter().filter_map(|to| lookup.target(to)).collect();
    routing
}

fn ways_of(ways: &[(TargetWish, plan::WayWeight)], lookup: &mut Lookup<'_>) -> Vec<Way> {
    let way = |(to, weight): &(TargetWish, plan::WayWeight)| {
        Some(Way {
            to: lookup.target(to)?,
            weight: *weight,
        })
    };
    ways.iter().filter_map(way).collect()
}
