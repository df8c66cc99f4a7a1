//! What a pod provides to others.

use plan::{Address, ClusterRate, Export, Limits};

use super::{Defaults, Problem};
use crate::world::{ObjectKey, Offer, Service, World};

/// The services whose selector matches the pod, the oldest first to have its Motan name; sorted by name.
pub(super) fn build(
    world: &World,
    pod: &ObjectKey,
    defaults: &Defaults,
    problems: &mut Vec<Problem>,
) -> Vec<Export> {
    let mut services: Vec<&Service> = world.provided_by(pod).collect();
    services.sort_by_key(|service| (service.age, &service.key));
    let mut exports: Vec<(Export, &ObjectKey)> = Vec::with_capacity(services.len());
    for service in services {
        let Some(export) = export(world, service, defaults) else {
            continue;
        };
        let rival = exports
            .iter()
            .find(|(older, _)| older.group == export.group && older.path == export.path);
        match rival {
            None => exports.push((export, &service.key)),
            Some((_, by)) => problems.push(Problem::ExportTaken {
                service: service.key.clone(),
                by: (*by).clone(),
                group: export.group,
                path: export.path,
            }),
        }
    }
    let mut exports: Vec<Export> = exports.into_iter().map(|(export, _)| export).collect();
    exports.sort_by(|a, b| a.name.cmp(&b.name));
    exports
}

/// `None` for a service with a flaw, or with port 0, which the API server's schema refuses.
fn export(world: &World, service: &Service, defaults: &Defaults) -> Option<Export> {
    let offer = service.offer.as_ref().ok()?;
    let pods = offer.pods()?;
    let local = |port: u16| Address::new(format!("127.0.0.1:{port}")).ok();
    Some(Export {
        name: offer.name.clone(),
        path: offer.path.clone(),
        group: offer.group.clone(),
        version: offer.version.clone(),
        protocol: offer.protocol,
        backend: local(pods.port)?,
        motan1: pods.motan1_port.and_then(local),
        plain: pods.plain,
        http_exception: pods.http_exception,
        rewrites: offer.rewrites.to_vec(),
        policy: offer.policy.or(&defaults.policy).at_the_program(defaults.timeout),
        limits: limits(world, service, offer),
        http: pods.routes.clone(),
        grpc: pods.transcoding.clone(),
    })
}

/// A rate of all its pods is shared among as many as there are.
fn limits(world: &World, service: &Service, offer: &Offer) -> Limits {
    let shared = |rate| ClusterRate {
        among: world.among(&service.key),
        ..rate
    };
    Limits {
        cluster_rate: offer.limits.cluster_rate.map(shared),
        ..offer.limits.clone()
    }
}
