//! Loopback capture: which services a pod could reach by their names, and where its sidecar listens for those it does.

use std::{collections::BTreeSet, net::SocketAddr};

use plan::{HostName, LocalAddress};

use super::{Defaults, precedence, services};
use crate::world::{Dependency, ObjectKey, Offer, Pod, Service, World};

/// A service whose names could lead to a pod's sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reachable {
    /// The MeshService.
    pub service: ObjectKey,
    /// Its names in that pod; none of them is another service's.
    pub names: Vec<HostName>,
    /// At which ports; at least one.
    pub ports: Box<[u16]>,
}

/// The services with `ports` that a pod of the namespace `home` calls, which these dependencies select; by key.
#[must_use]
pub fn reachable(
    world: &World,
    dependencies: &[&Dependency],
    home: &str,
    defaults: &Defaults,
) -> Vec<Reachable> {
    let (wanted, _) = precedence::merge(world, dependencies);
    let mut reachable: Vec<_> = services::names(&wanted, home, defaults, &mut Vec::new())
        .into_iter()
        .filter(|(wanted, _)| !wanted.offer.ports.is_empty())
        .map(|(wanted, names)| Reachable {
            service: wanted.service.key.clone(),
            names: names.hosts,
            ports: wanted.offer.ports.clone(),
        })
        .collect();
    reachable.sort_by(|a, b| a.service.cmp(&b.service));
    reachable
}

/// The ports that programs of a pod listen on, as far as the services say that select it. A program listens at every
/// address of its pod as a rule, so a sidecar that had one of them at an address of its own would keep it from starting.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Served(BTreeSet<u16>);

impl Served {
    /// The ports of these services.
    #[must_use]
    pub fn by<'s>(services: impl IntoIterator<Item = &'s Service>) -> Self {
        let offers = services
            .into_iter()
            .filter_map(|service| service.offer.as_ref().ok());
        let pods = offers.filter_map(Offer::pods);
        Self(
            pods.flat_map(|pods| [Some(pods.port), pods.motan1_port])
                .flatten()
                .collect(),
        )
    }

    /// Whether a program listens there.
    #[must_use]
    pub fn has(&self, port: u16) -> bool {
        self.0.contains(&port)
    }
}

/// Where the sidecar of a pod listens for a service with these ports: nowhere, where the pod was made without its
/// names, and not at a port that a program of the pod has.
pub(super) fn listeners(world: &World, pod: &Pod, service: &ObjectKey, ports: &[u16]) -> Vec<LocalAddress> {
    let Some(address) = pod.captured.address(service) else {
        return Vec::new();
    };
    let served = Served::by(world.provided_by(&pod.key));
    ports
        .iter()
        .filter(|port| !served.has(**port) && !pod.captured.has_port(**port))
        .filter_map(|port| LocalAddress::new(SocketAddr::from((address, *port))).ok())
        .collect()
}
