//! The services that a pod may call: names without a clash, policy resolved, seeds.

use std::collections::HashMap;

use plan::{HostName, Location, Policy, Service};

use super::{Defaults, Problem, capture, endpoints, precedence::Wanted};
use crate::world::{ObjectKey, Offer, Pod, Provider, World};

/// The services of a pod's plan, sorted by name.
pub(super) fn build(
    world: &World,
    pod: &Pod,
    wanted: &[Wanted<'_>],
    defaults: &Defaults,
    problems: &mut Vec<Problem>,
) -> Vec<Service> {
    let mut services: Vec<Service> = names(wanted, &pod.key.namespace, defaults, problems)
        .into_iter()
        .map(|(wanted, names)| service(world, pod, wanted, names, defaults))
        .collect();
    services.sort_by(|a, b| a.name.cmp(&b.name));
    services
}

fn service(world: &World, pod: &Pod, wanted: &Wanted<'_>, names: Names, defaults: &Defaults) -> Service {
    let policy = wanted
        .policy
        .over(&wanted.offer.policy.or(&defaults.policy), defaults.timeout);
    let (key, offer) = (&wanted.service.key, wanted.offer);
    Service {
        indirect: false,
        hosts: names.hosts,
        locations: names.locations,
        listen: capture::listeners(world, pod, key, &offer.ports),
        ..indirect(world, pod, (key, offer), policy)
    }
}

/// A service that a pod calls by the routing of others alone.
pub(super) fn indirect(
    world: &World,
    pod: &Pod,
    (key, offer): (&ObjectKey, &Offer),
    policy: Policy,
) -> Service {
    let Offer {
        provider,
        name,
        path,
        group,
        version,
        protocol,
        own_host: _,
        hosts: _, // those of them that this pod may use come as an argument
        locations: _,
        kubernetes: _, // likewise
        rewrites,
        subsets: _, // of its endpoints
        ports: _,
        policy: _,
        limits: _, // its own sidecars keep them
    } = offer;
    let (motan1, plain, external, http_exception) = match provider {
        Provider::Pods(pods) => (pods.motan1_port.is_some(), pods.plain, false, pods.http_exception),
        Provider::External(_) => (false, false, true, false),
    };
    Service {
        name: name.clone(),
        path: path.clone(),
        group: group.clone(),
        version: version.clone(),
        protocol: *protocol,
        motan1,
        external,
        plain,
        indirect: true,
        hosts: Vec::new(),
        locations: Vec::new(),
        listen: Vec::new(),
        http_exception,
        rewrites: if external { Vec::new() } else { rewrites.to_vec() },
        policy,
        seeds: endpoints::seeds(world, key, &pod.key),
    }
}

/// What HTTP callers of one pod call a service.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Those that are all its own.
    pub(super) hosts: Vec<HostName>,
    /// What it has of others.
    locations: Vec<Location>,
}

/// Gives every name to one service: `<name>.<namespace>.mesh` to its own, any other to the oldest that wants it.
/// A service whose Motan name is taken is left out, as a call by that name could mean only one. What only the program
/// asked for comes last, and loses in silence. `home` is the namespace of the pod: the shortest name of a Kubernetes
/// Service means one of that.
pub(super) fn names<'a, 'w>(
    wanted: &'a [Wanted<'w>],
    home: &str,
    defaults: &Defaults,
    problems: &mut Vec<Problem>,
) -> Vec<(&'a Wanted<'w>, Names)> {
    let mut motan = HashMap::new();
    let mut kept = Vec::with_capacity(wanted.len());
    for one in wanted {
        match motan.insert((&one.offer.group, &one.offer.path), one) {
            None => kept.push(one),
            Some(older) => {
                motan.insert((&one.offer.group, &one.offer.path), older);
                problems.extend(one.by.map(|by| Problem::MotanTaken {
                    dependency: by.clone(),
                    service: one.service.key.clone(),
                    by: older.service.key.clone(),
                    group: one.offer.group.clone(),
                    path: one.offer.path.clone(),
                }));
            }
        }
    }
    let mut taken: HashMap<Location, &ObjectKey> = kept
        .iter()
        .map(|one| (Location::whole(one.offer.own_host.clone()), &one.service.key))
        .collect();
    kept.into_iter()
        .map(|one| {
            let mut has = vec![Location::whole(one.offer.own_host.clone())];
            let kubernetes = one.offer.kubernetes_names(home, &defaults.cluster_domain);
            for location in one.offer.shares().chain(kubernetes.map(Location::whole)) {
                let owner = *taken.entry(location.clone()).or_insert(&one.service.key);
                if owner != &one.service.key {
                    problems.extend(one.by.map(|by| taken_by(by, one, owner, location)));
                } else if !has.contains(&location) {
                    has.push(location);
                }
            }
            let mut names = Names::default();
            for location in has {
                if location.host == one.offer.own_host || one.offer.has_whole(&location.host) {
                    names.hosts.push(location.host);
                } else {
                    names.locations.push(location);
                }
            }
            (one, names)
        })
        .collect()
}

fn taken_by(dependency: &ObjectKey, one: &Wanted<'_>, by: &ObjectKey, location: Location) -> Problem {
    let (dependency, service, by) = (dependency.clone(), one.service.key.clone(), by.clone());
    if one.offer.has_whole(&location.host) {
        let host = location.host;
        return Problem::HostTaken {
            dependency,
            service,
            by,
            host,
        };
    }
    Problem::LocationTaken {
        dependency,
        service,
        by,
        location,
    }
}
