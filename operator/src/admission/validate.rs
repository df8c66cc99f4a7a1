//! What the schema can't say about services and dependencies: pure, against the world as last seen.
//!
//! A refusal names the field and the mend. An object whose spec did not change, or that is being deleted, is never
//! refused: nobody could mend or remove what was let in before.

use crds::{MeshDependency, MeshService, names};
use plan::Location;

use super::{Ports, policy, ports::Setting};
use crate::compile::unresolved;
use crate::world::{Claim, Dependency, Namespace, ObjectKey, Offer, PolicyWish, Service, World};

/// What is said to who asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Why it is refused, each with field and mend; empty where it is allowed.
    pub refusals: Vec<String>,
    /// What is allowed and may surprise.
    pub warnings: Vec<String>,
}

impl Verdict {
    /// Whether it is allowed.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        self.refusals.is_empty()
    }

    /// All refusals as one message.
    #[must_use]
    pub fn message(&self) -> String {
        self.refusals.join("; ")
    }
}

/// Judges a MeshService that is created, or updated from `old`.
#[must_use]
pub fn service(world: &World, new: &MeshService, old: Option<&MeshService>) -> Verdict {
    let mut verdict = Verdict::default();
    if new.metadata.deletion_timestamp.is_some() || old.is_some_and(|old| old.spec == new.spec) {
        return verdict;
    }
    let read = Service::read(new);
    check_ports(new, &mut verdict);
    match &read.offer {
        Err(flaw) => verdict.refusals.push(flaw.to_string()),
        Ok(offer) => {
            check_motan(world, &read.key, offer, &mut verdict);
            check_hosts(world, &read.key, offer, &mut verdict);
            check_capture(world, &read.key, offer, &mut verdict);
            let nobody = PolicyWish::default();
            verdict
                .warnings
                .extend(policy::warnings(&offer.policy, &nobody, "spec.policy"));
            let unresolved = unresolved(world, &read.key, offer).into_iter();
            verdict
                .warnings
                .extend(unresolved.map(|what| format!("spec.{what}; until then no call goes there")));
        }
    }
    verdict
}

fn check_ports(new: &MeshService, verdict: &mut Verdict) {
    let Some(backend) = &new.spec.backend else { return };
    let ports = [
        ("spec.backend.port", Some(backend.port)),
        ("spec.backend.motan1Port", backend.motan1_port),
    ];
    for (field, port) in ports.into_iter().filter_map(|(field, port)| Some((field, port?))) {
        let settings = Ports::default().settings();
        if port == 0 {
            verdict.refusals.push(format!("{field}: must be from 1 to 65535"));
        } else if let Some(Setting { annotation, .. }) = settings.iter().find(|setting| setting.port == port)
        {
            verdict.refusals.push(format!(
                "{field}: {port} is the sidecar's own port ({annotation}): let the program listen on another"
            ));
        }
    }
}

fn check_motan(world: &World, key: &ObjectKey, offer: &Offer, verdict: &mut Verdict) {
    let claim = Claim::Motan(offer.group.clone(), offer.path.clone());
    if let Some(other) = other_claimant(world, key, &claim) {
        verdict.refusals.push(format!(
            "spec.motan: MeshService {other} has group {} and path {} already: set spec.motan.path or \
             spec.motan.group to another",
            offer.group, offer.path
        ));
    }
}

fn check_hosts(world: &World, key: &ObjectKey, offer: &Offer, verdict: &mut Verdict) {
    let reserved = format!(".{}", names::MESH_DOMAIN);
    let other = |location: Location| {
        let claim = Claim::Host(key.namespace.clone(), location);
        other_claimant(world, key, &claim)
    };
    for (at, host) in offer.hosts.iter().enumerate() {
        let twice = offer.hosts.iter().take(at).any(|earlier| earlier == host);
        if host == &offer.own_host && offer.has_whole(host) {
            verdict.warnings.push(format!(
                "spec.hosts[{at}]: {host} is the service's name anyway; it can be removed"
            ));
        } else if host.as_str().ends_with(&reserved) {
            verdict.refusals.push(format!(
                "spec.hosts[{at}]: {host} ends in {reserved}, where every service has <name>.<namespace>{reserved} \
                 by itself: use another domain"
            ));
        } else if twice {
            verdict
                .refusals
                .push(format!("spec.hosts[{at}]: {host} is listed twice: remove one"));
        } else if offer.has_whole(host)
            && let Some(other) = other(Location::whole(host.clone()))
        {
            verdict.refusals.push(format!(
                "spec.hosts[{at}]: MeshService {other} has host {host} already: remove it from one of them, or share it by \
                 spec.locations"
            ));
        }
    }
    for (at, location) in offer.locations.iter().enumerate() {
        let Location { host, paths } = location;
        if offer.locations.iter().take(at).any(|earlier| earlier == location) {
            verdict.refusals.push(format!(
                "spec.locations: {paths} of host {host} is listed twice: remove one"
            ));
        } else if let Some(other) = other(location.clone()) {
            verdict.refusals.push(format!(
                "spec.locations: MeshService {other} has {paths} of host {host} already: remove it from one of them"
            ));
        }
    }
}

fn check_capture(world: &World, key: &ObjectKey, offer: &Offer, verdict: &mut Verdict) {
    let Some(service) = &offer.kubernetes else { return };
    let claim = Claim::Kubernetes(key.namespace.clone(), service.clone());
    if let Some(other) = other_claimant(world, key, &claim) {
        verdict.refusals.push(format!(
            "spec.capture.service: MeshService {other} has the names of Service {service} already: remove it from one of \
             them"
        ));
    }
}

fn other_claimant<'w>(world: &'w World, key: &ObjectKey, claim: &Claim) -> Option<&'w ObjectKey> {
    world
        .claimants(claim)
        .map(|service| &service.key)
        .find(|claimant| *claimant != key)
}

/// Judges a MeshDependency that is created, or updated from `old`.
#[must_use]
pub fn dependency(world: &World, new: &MeshDependency, old: Option<&MeshDependency>) -> Verdict {
    let mut verdict = Verdict::default();
    if new.metadata.deletion_timestamp.is_some() || old.is_some_and(|old| old.spec == new.spec) {
        return verdict;
    }
    let read = Dependency::read(new);
    if let Err(flaw) = &read.selector {
        verdict.refusals.push(flaw.to_string());
    }
    for (at, want) in read.wants.iter().enumerate() {
        let earlier = read
            .wants
            .iter()
            .take(at)
            .position(|earlier| earlier.service == want.service);
        if let Some(first) = earlier {
            verdict.refusals.push(format!(
                "spec.services[{at}]: {} is listed already as spec.services[{first}]: remove one",
                want.service
            ));
        } else if world.service(&want.service).is_none() {
            verdict.warnings.push(missing(&read.key, at, &want.service));
        }
        match &want.policy {
            Err(flaw) => verdict.refusals.push(format!("spec.services[{at}].{flaw}")),
            Ok(said) => {
                let offer = world
                    .service(&want.service)
                    .and_then(|named| named.offer.as_ref().ok());
                let nobody = PolicyWish::default();
                let weaker = offer.map_or(&nobody, |offer| &offer.policy);
                let field = format!("spec.services[{at}].policy");
                verdict.warnings.extend(policy::warnings(said, weaker, &field));
            }
        }
    }
    verdict
}

fn missing(home: &ObjectKey, at: usize, service: &ObjectKey) -> String {
    let mend = if home.namespace == service.namespace {
        "create it, correct the name, or add namespace: where it is"
    } else {
        "create it, or correct name and namespace"
    };
    format!(
        "spec.services[{at}]: MeshService {service} does not exist yet: {mend}; calls to it fail until then"
    )
}

/// Who asks for a deletion.
#[derive(Debug, Clone, Copy)]
pub struct Requester<'a> {
    /// The user's name.
    pub user: &'a str,
}

impl Requester<'_> {
    /// Whether it is Kubernetes itself, which deletes what has no owner or no namespace any more.
    fn is_collector(self) -> bool {
        matches!(
            self.user,
            "system:serviceaccount:kube-system:generic-garbage-collector"
                | "system:serviceaccount:kube-system:namespace-controller"
                | "system:kube-controller-manager"
        )
    }
}

/// Judges the deletion of a MeshService: a warning that lists who depends on it, or a refusal where it is protected.
#[must_use]
pub fn service_deletion(world: &World, old: &MeshService, requester: Requester<'_>) -> Verdict {
    let service = Service::read(old);
    let mut verdict = Verdict::default();
    let dependents: Vec<_> = world
        .dependents(&service.key)
        .map(|dependency| dependency.key.to_string())
        .collect();
    if dependents.is_empty() {
        return verdict;
    }
    let terminating = world
        .namespace(&service.key.namespace)
        .is_some_and(|Namespace { terminating, .. }| *terminating);
    let listed = listed(&dependents);
    if service.protected && !terminating && !requester.is_collector() {
        verdict.refusals.push(format!(
            "MeshService {} is protected and MeshDependency {listed} depends on it: remove those, or the annotation {}",
            service.key,
            names::PROTECTED
        ));
    } else {
        verdict.warnings.push(format!(
            "MeshDependency {listed} still depends on MeshService {}: its calls fail now",
            service.key
        ));
    }
    verdict
}

const MOST_LISTED: usize = 8; // the API server cuts long warnings

fn listed(names: &[String]) -> String {
    let shown = names.get(..MOST_LISTED).unwrap_or(names).join(", ");
    match names.len().saturating_sub(MOST_LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
