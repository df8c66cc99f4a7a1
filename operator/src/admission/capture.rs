//! Loopback capture, where a pod is made: each service with `ports` that it calls gets an address of the pod's own
//! loopback net, and its names lead there. What the pod says itself stays.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    str::FromStr,
};

use crds::names;
use serde_json::{Value, json};

use super::{Note, edits::add, overrides::Shape, subject::Subject};
use crate::{
    compile::{self, Defaults, Reachable, Served},
    world::{CAPTURE_NET, Labels, ObjectKey, World},
};

/// Ports below this need a privilege, unless the pod's sysctl says otherwise.
const FIRST_FREE_PORT: u16 = 1024;
/// The sysctl that says which port is the first for everyone; Pod Security `restricted` allows it.
const PORT_START: &str = "net.ipv4.ip_unprivileged_port_start";
/// How many services one pod reaches by name: their names stand in its `/etc/hosts`, which is read again and again.
const MOST: usize = 1_024;

/// What a pod that is being made could reach by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    /// The services, by key.
    pub reachable: Vec<Reachable>,
    /// What its own programs listen on.
    pub served: Served,
}

impl Declared {
    /// What is declared for pods of this namespace with the labels of this pod, as JSON.
    #[must_use]
    pub fn of(world: &World, namespace: &str, pod: &Value, defaults: &Defaults) -> Self {
        let written = pod.pointer("/metadata/labels").and_then(Value::as_object);
        let labels: Labels = written
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.as_str().into(), value.as_str()?.into())))
            .collect();
        let dependencies = world.dependencies_selecting(namespace, &labels);
        Self {
            reachable: compile::reachable(world, &dependencies, namespace, defaults),
            served: Served::by(world.services_selecting(namespace, &labels)),
        }
    }
}

/// Whether the names of services lead to the sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Capture {
    Enabled,
    Disabled,
}

/// A word that is neither.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} must be enabled or disabled")]
pub(super) struct InvalidCapture(String);

impl FromStr for Capture {
    type Err = InvalidCapture;

    fn from_str(text: &str) -> Result<Self, InvalidCapture> {
        match text {
            names::ENABLED => Ok(Self::Enabled),
            names::DISABLED => Ok(Self::Disabled),
            other => Err(InvalidCapture(other.to_owned())),
        }
    }
}

/// A service, and where its names lead in one pod.
struct Assigned<'d> {
    service: &'d ObjectKey,
    address: Ipv4Addr,
    names: Vec<&'d str>,
}

impl Subject<'_> {
    /// The edits that lead the names of services to the sidecar, and what could not be had of them.
    pub(super) fn capture(&self, shape: &Shape, declared: &Declared) -> (Vec<Value>, Vec<Note>) {
        let mut notes = Vec::new();
        let reachable: &[Reachable] = match shape.capture {
            Capture::Enabled => &declared.reachable,
            Capture::Disabled => &[],
        };
        let assigned = self.assign(reachable, &declared.served, &mut notes);
        let mut edits = self.remember(&assigned);
        if assigned.is_empty() {
            return (edits, notes);
        }
        if self.spec.host_aliases.is_none() {
            edits.push(add("/spec/hostAliases", json!([])));
        }
        edits.extend(assigned.iter().map(|one| {
            add(
                "/spec/hostAliases/-",
                json!({"ip": one.address, "hostnames": one.names}),
            )
        }));
        let captured: BTreeSet<_> = assigned.iter().map(|one| one.service).collect();
        let ports = reachable.iter().filter(|one| captured.contains(&one.service));
        let lowest = ports.flat_map(|one| one.ports.iter()).min();
        edits.extend(
            lowest
                .and_then(|port| self.open_low_ports(*port, &mut notes))
                .into_iter()
                .flatten(),
        );
        (edits, notes)
    }

    /// An address for each service that has a name left and no port that a program of the pod has: its names would lead
    /// to that program where the sidecar can't listen.
    fn assign<'d>(
        &self,
        reachable: &'d [Reachable],
        served: &Served,
        notes: &mut Vec<Note>,
    ) -> Vec<Assigned<'d>> {
        let own = self.own_names();
        let mut free = addresses().filter(|address| !own.values().any(|taken| *taken == address.to_string()));
        let mut assigned = Vec::new();
        for Reachable {
            service,
            names,
            ports,
        } in reachable
        {
            if let Some(port) = ports
                .iter()
                .find(|port| served.has(**port) || self.has_port(**port))
            {
                notes.push(Note::new(
                    "CapturePortTaken",
                    format!(
                        "the names of MeshService {service} stay as they are in this pod, as a program of the pod listens \
                         on {port} itself: let the MeshService have another port in spec.ports"
                    ),
                ));
                continue;
            }
            let (taken, left): (Vec<&str>, Vec<&str>) = names
                .iter()
                .map(plan::HostName::as_str)
                .partition(|name| own.contains_key(name));
            if !taken.is_empty() {
                notes.push(Note::new(
                    "CaptureNameTaken",
                    format!(
                        "{} of MeshService {service} stays where the pod's own hostAliases say: remove it there to reach \
                         the service by it",
                        taken.join(", ")
                    ),
                ));
            }
            if left.is_empty() {
                continue;
            }
            let Some(address) = free.next() else {
                notes.push(Note::new(
                    "CaptureFull",
                    format!("from MeshService {service} on names stay as they are: a pod reaches {MOST} services by name"),
                ));
                break;
            };
            assigned.push(Assigned {
                service,
                address,
                names: left,
            });
        }
        assigned
    }

    /// The annotation that the compiler reads; what stands there of another pod, or was written by hand, goes.
    fn remember(&self, assigned: &[Assigned<'_>]) -> Vec<Value> {
        let path = format!("/metadata/annotations/{}", names::CAPTURED.replace('/', "~1"));
        let addresses: BTreeMap<String, Ipv4Addr> = assigned
            .iter()
            .map(|one| (one.service.to_string(), one.address))
            .collect();
        if !assigned.is_empty() {
            return vec![add(&path, json!(json!(addresses).to_string()))];
        }
        let stale = self.annotations.contains_key(names::CAPTURED);
        stale
            .then(|| json!({"op": "remove", "path": path}))
            .into_iter()
            .collect()
    }

    /// Names that the pod has by itself, and where they lead.
    fn own_names(&self) -> BTreeMap<&str, &str> {
        let aliases = self.spec.host_aliases.iter().flatten();
        aliases
            .flat_map(|alias| {
                let names = alias.hostnames.iter().flatten();
                names.map(|name| (name.as_str(), alias.ip.as_str()))
            })
            .collect()
    }

    /// Whether a container says that it listens on this port.
    fn has_port(&self, port: u16) -> bool {
        let ports = self
            .containers()
            .flat_map(|container| container.ports.iter().flatten());
        let mut tcp = ports.filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"));
        tcp.any(|taken| taken.container_port == i32::from(port))
    }

    /// Lets the sidecar, which has no privilege, listen on ports from `lowest` on.
    fn open_low_ports(&self, lowest: u16, notes: &mut Vec<Note>) -> Option<Vec<Value>> {
        if lowest >= FIRST_FREE_PORT {
            return None;
        }
        let context = self.spec.security_context.as_ref();
        let sysctls = context.and_then(|context| context.sysctls.as_ref());
        let own = sysctls
            .into_iter()
            .flatten()
            .find(|sysctl| sysctl.name.replace('/', ".") == PORT_START);
        if let Some(own) = own {
            if own.value.parse::<u16>().is_ok_and(|start| start > lowest) {
                let (start, value) = (PORT_START, &own.value);
                notes.push(Note::new(
                    "CaptureSysctl",
                    format!(
                        "the pod sets sysctl {start} to {value}, and services are to be reached at port {lowest}: set it \
                         to 0, or remove it"
                    ),
                ));
            }
            return None;
        }
        let mut edits = Vec::new();
        if context.is_none() {
            edits.push(add("/spec/securityContext", json!({})));
        }
        if sysctls.is_none() {
            edits.push(add("/spec/securityContext/sysctls", json!([])));
        }
        let sysctl = json!({"name": PORT_START, "value": "0"});
        edits.push(add("/spec/securityContext/sysctls/-", sysctl));
        Some(edits)
    }
}

/// 127.1.0.1, 127.1.0.2 and so on, without those that end in 0 or 255, which look like a net's own.
fn addresses() -> impl Iterator<Item = Ipv4Addr> {
    let [first, second] = CAPTURE_NET;
    (0..=u8::MAX)
        .flat_map(move |third| (1..u8::MAX).map(move |fourth| Ipv4Addr::new(first, second, third, fourth)))
        .take(MOST)
}
