//! The status of a MeshService.

use crds::{EndpointCount, MeshServiceStatus, condition};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use plan::{EndpointState, Location};

use super::condition::{Finding, Frame, joined};
use crate::world::{Claim, Offer, Phase, Pod, Service, World};

/// What is true of a service now.
#[must_use]
pub fn service_status(
    world: &World,
    service: &Service,
    previous: &[Condition],
    now: Timestamp,
) -> MeshServiceStatus {
    let offer = service.offer.as_ref().ok();
    let providers: Vec<&Pod> = world.providers(&service.key).collect();
    let outside = offer.and_then(Offer::external).map(<[_]>::len);
    let count = outside.map_or_else(
        || count(offer, &providers),
        |addresses| of(addresses, addresses, 0),
    );
    let (accepted, usable) = accepted(world, service);
    let ready = usable.or(|| outside.map_or_else(|| ready(&count), declared));
    let frame = Frame {
        generation: service.generation,
        previous,
        now,
    };
    MeshServiceStatus {
        observed_generation: service.generation,
        conditions: vec![
            frame.condition(condition::ACCEPTED, accepted),
            frame.condition(condition::READY, ready),
        ],
        protocol: offer.map(|offer| offer.protocol.as_str().to_owned()),
        endpoints: count,
        dependents: number(world.dependents(&service.key).count()),
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn count(offer: Option<&Offer>, providers: &[&Pod]) -> EndpointCount {
    let pods = offer.and_then(Offer::pods);
    let ready = |pod: &&&Pod| {
        pods.and_then(|pods| pod.endpoint(pods, None))
            .is_some_and(|endpoint| endpoint.state == EndpointState::Ready)
    };
    let lives = || providers.iter().filter(|pod| pod.phase != Phase::Ended);
    of(
        lives().filter(ready).count(),
        lives().count(),
        lives().filter(|pod| !pod.injected).count(),
    )
}

fn of(ready: usize, total: usize, direct: usize) -> EndpointCount {
    EndpointCount {
        ready: number(ready),
        total: number(total),
        direct: number(direct),
        text: format!("{ready}/{total}"),
    }
}

/// Whether it is accepted, and whether calls to it can work at all: a host less doesn't hinder the others.
fn accepted(world: &World, service: &Service) -> (Finding, Finding) {
    let offer = match &service.offer {
        Ok(offer) => offer,
        Err(flaw) => {
            let invalid = Finding::no("Invalid", flaw.to_string());
            return (invalid.clone(), invalid);
        }
    };
    let fine = Finding::yes("Accepted", "the service is in force");
    let motan = motan_taken(world, service, offer).map(|message| Finding::no("Conflict", message));
    let mut hosts = hosts_taken(world, service, offer);
    hosts.extend(kubernetes_taken(world, service, offer));
    let hosts = (!hosts.is_empty()).then(|| Finding::no("Conflict", joined(&hosts)));
    let usable = motan.clone().unwrap_or_else(|| fine.clone());
    (motan.or(hosts).unwrap_or(fine), usable)
}

fn motan_taken(world: &World, service: &Service, offer: &Offer) -> Option<String> {
    let claim = Claim::Motan(offer.group.clone(), offer.path.clone());
    let by = older(world, service, &claim)?;
    Some(format!(
        "the older MeshService {} has group {} and path {} already: set spec.motan.path or spec.motan.group to another",
        by.key, offer.group, offer.path
    ))
}

fn hosts_taken(world: &World, service: &Service, offer: &Offer) -> Vec<String> {
    let taken_by = |location: &Location| {
        let claim = Claim::Host(service.key.namespace.clone(), location.clone());
        let owns = |other: &&Service| {
            let offer = other.offer.as_ref();
            offer.is_ok_and(|offer| Location::whole(offer.own_host.clone()) == *location)
        };
        let owner = world
            .claimants(&claim)
            .find(|other| other.key != service.key && owns(other));
        owner.or_else(|| older(world, service, &claim))
    };
    let mut words = Vec::new();
    for location in offer.shares().filter(|location| location.host != offer.own_host) {
        let Some(by) = taken_by(&location) else { continue };
        let (host, by) = (&location.host, &by.key);
        words.push(if offer.has_whole(host) {
            format!("host {host} belongs to MeshService {by}: remove it from spec.hosts of one of them")
        } else {
            let paths = &location.paths;
            format!(
                "location {paths} of host {host} belongs to MeshService {by}: remove it from spec.locations of one of them"
            )
        });
    }
    words
}

fn kubernetes_taken(world: &World, service: &Service, offer: &Offer) -> Option<String> {
    let name = offer.kubernetes.as_ref()?;
    let claim = Claim::Kubernetes(service.key.namespace.clone(), name.clone());
    let by = older(world, service, &claim)?;
    Some(format!(
        "the names of Service {name} belong to the older MeshService {}: remove spec.capture of one of them",
        by.key
    ))
}

fn older<'w>(world: &'w World, service: &Service, claim: &Claim) -> Option<&'w Service> {
    let first = world
        .claimants(claim)
        .min_by_key(|other| (other.age, &other.key))?;
    (first.key != service.key).then_some(first)
}

fn declared(addresses: usize) -> Finding {
    Finding::yes(
        "AddressesDeclared",
        format!(
            "calls go to {addresses} addresses outside of the mesh; whether they answer shows in /links of the callers' sidecars"
        ),
    )
}

fn ready(count: &EndpointCount) -> Finding {
    let EndpointCount {
        ready, total, direct, ..
    } = count;
    if *ready > 0 {
        let how = match direct {
            0 => String::new(),
            1 => "; 1 has no sidecar and is called directly".to_owned(),
            _ => format!("; {direct} have no sidecar and are called directly"),
        };
        return Finding::yes("Ready", format!("{ready} of {total} pods take calls{how}"));
    }
    if *total > 0 {
        return Finding::no("NoReadyPods", format!("none of {total} pods is ready"));
    }
    Finding::no(
        "NoPods",
        "no pod matches spec.selector: check the pods' labels and namespace",
    )
}
