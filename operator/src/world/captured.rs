//! Which names of services lead to a pod's own sidecar: settled when the pod was made, and for its life.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    net::Ipv4Addr,
};

use crds::names;
use k8s_openapi::api::core::v1 as core;
use plan::HostName;

use super::ObjectKey;

/// The addresses that admission gives to services, 127.1.x.y: programs that use other addresses of their loopback net
/// use 127.0.0.1 and its neighbours.
pub const CAPTURE_NET: [u8; 2] = [127, 1];

/// What of a pod loopback capture depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    /// Whether the pod wants its names as they are.
    pub declined: bool,
    /// The address of each service whose names lead to the sidecar, by service.
    addresses: Box<[(ObjectKey, Ipv4Addr)]>,
    /// Hashes of all names in its `hostAliases`, ours and others, sorted: all that is asked is whether one is there.
    names: Box<[u64]>,
    /// Ports that its containers say they listen on, sorted.
    ports: Box<[u16]>,
}

impl Captured {
    /// Reads it from a Pod.
    #[must_use]
    pub fn read(object: &core::Pod) -> Self {
        let annotations = object.metadata.annotations.as_ref();
        let annotation = |key: &str| annotations.and_then(|all| all.get(key)).map(String::as_str);
        let spec = object.spec.as_ref();
        let aliases = spec.and_then(|spec| spec.host_aliases.as_ref());
        let mut names: Vec<u64> = aliases
            .into_iter()
            .flatten()
            .flat_map(|alias| alias.hostnames.iter().flatten())
            .map(|name| hash(name))
            .collect();
        names.sort_unstable();
        names.dedup();
        Self {
            declined: annotation(names::CAPTURE) == Some(names::DISABLED),
            addresses: annotation(names::CAPTURED).map(addresses).unwrap_or_default(),
            names: names.into(),
            ports: spec.map(ports).unwrap_or_default(),
        }
    }

    /// Where the names of a service lead, where they lead to the sidecar.
    #[must_use]
    pub fn address(&self, service: &ObjectKey) -> Option<Ipv4Addr> {
        let at = self
            .addresses
            .binary_search_by(|(captured, _)| captured.cmp(service));
        at.ok().map(|at| self.addresses[at].1)
    }

    /// Whether the pod has a name by itself.
    #[must_use]
    pub fn has_name(&self, name: &HostName) -> bool {
        self.names.binary_search(&hash(name.as_str())).is_ok()
    }

    /// Whether a container says that it listens on this port.
    #[must_use]
    pub fn has_port(&self, port: u16) -> bool {
        self.ports.binary_search(&port).is_ok()
    }
}

/// The annotation that admission has written; anything else gives nothing.
fn addresses(text: &str) -> Box<[(ObjectKey, Ipv4Addr)]> {
    let read: BTreeMap<String, Ipv4Addr> = serde_json::from_str(text).unwrap_or_default();
    let mut addresses: Vec<_> = read
        .into_iter()
        .filter(|(_, address)| address.octets().starts_with(&CAPTURE_NET))
        .filter_map(|(service, address)| Some((ObjectKey::parse(&service)?, address)))
        .collect();
    addresses.sort();
    addresses.into()
}

/// The TCP ports of every container but the sidecar.
fn ports(spec: &core::PodSpec) -> Box<[u16]> {
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let mut ports: Vec<u16> = containers
        .filter(|container| container.name != names::CONTAINER)
        .flat_map(|container| container.ports.iter().flatten())
        .filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"))
        .filter_map(|port| u16::try_from(port.container_port).ok())
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports.into()
}

fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}
