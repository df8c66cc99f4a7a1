//! The plan as the program's own word changes it: where a registered service is called, and what is not served any
//! more. Pure; the plan itself stays as the operator wrote it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use plan::rest::Routes;
use plan::{Address, Export, GroupName, PathName, Plan, Policy, Protocol, ServiceName, Undeclared};

use super::entries::{Entries, Registered};

/// The name that undeclared exports are counted under, all of them: a label must not be a program's free choice.
const UNDECLARED: &str = "undeclared";

/// What a program has said of one service: by Motan 2, and by Motan 1.
#[derive(Default)]
struct Ports {
    motan2: Option<Word>,
    motan1: Option<Word>,
}

#[derive(Clone, Copy)]
enum Word {
    Served(u16),
    Gone,
}

impl Entries {
    /// The plan with exports as the program serves them now. `local` is where an undeclared one is called; a declared
    /// one keeps the host of its declaration.
    #[must_use]
    pub fn overlay(&self, plan: &Arc<Plan>, local: IpAddr) -> Arc<Plan> {
        if self.registered.is_empty() {
            return Arc::clone(plan);
        }
        let mut said = self.said();
        let mut exports: Vec<Export> = plan
            .exports
            .iter()
            .filter_map(|export| match said.remove(&(&export.group, &export.path)) {
                Some(ports) if export.protocol.is_motan() => ports.apply(export),
                _ => Some(export.clone()),
            })
            .collect();
        if plan.undeclared == Undeclared::Allow {
            let undeclared = said.into_iter().filter_map(|((group, path), ports)| {
                let protocol = if ports.motan2.is_some() {
                    Protocol::Motan2
                } else {
                    Protocol::Motan
                };
                ports.apply(&undeclared(plan, (group, path), protocol, local)?)
            });
            exports.extend(undeclared);
        }
        let mut plan = Plan::clone(plan);
        plan.exports = exports;
        Arc::new(plan)
    }

    fn said(&self) -> BTreeMap<(&GroupName, &PathName), Ports> {
        let mut said: BTreeMap<_, Ports> = BTreeMap::new();
        for ((group, path, protocol), Registered { url, is_served }) in &self.registered {
            let word = if *is_served {
                Word::Served(url.port)
            } else {
                Word::Gone
            };
            let ports = said.entry((group, path)).or_default();
            match protocol {
                Protocol::Motan => ports.motan1 = Some(word),
                Protocol::Motan2 | Protocol::Http | Protocol::Grpc => ports.motan2 = Some(word),
            }
        }
        said
    }
}

impl Ports {
    /// An export at the ports that are served; `None` where nothing is.
    fn apply(&self, export: &Export) -> Option<Export> {
        let at = |port| with_port(&export.backend, port);
        let mut changed = export.clone();
        match (self.motan2, self.motan1) {
            (Some(Word::Served(port)), motan1) => {
                // A program that tells the two apart by itself still does, at its new port.
                let both = export.motan1.as_ref() == Some(&export.backend);
                let declared = match export.protocol {
                    Protocol::Motan => Some(export.backend.clone()),
                    Protocol::Motan2 | Protocol::Http | Protocol::Grpc => export.motan1.clone(),
                };
                changed.protocol = Protocol::Motan2;
                changed.backend = at(port);
                changed.motan1 = match motan1 {
                    Some(Word::Served(port)) => Some(at(port)),
                    Some(Word::Gone) => None,
                    None if both => Some(at(port)),
                    None => declared,
                };
            }
            (motan2, Some(Word::Served(port))) => {
                changed.backend = at(port);
                changed.motan1 = None;
                match (export.protocol, motan2) {
                    // A program that registers Motan 1 alone has no other port: what takes Motan 2 is there too.
                    (Protocol::Motan2, None) => changed.motan1 = Some(at(port)),
                    _ => changed.protocol = Protocol::Motan,
                }
            }
            (_, _) => return None,
        }
        Some(changed)
    }
}

/// An export that no MeshService declares: for agents of the mesh only, under default policy; its port comes from
/// what was registered.
fn undeclared(
    plan: &Plan,
    (group, path): (&GroupName, &PathName),
    protocol: Protocol,
    local: IpAddr,
) -> Option<Export> {
    Some(Export {
        name: ServiceName::of(&plan.workload.namespace, UNDECLARED).ok()?,
        path: path.clone(),
        group: group.clone(),
        version: None,
        protocol,
        backend: Address::of(SocketAddr::new(local, 0)),
        motan1: None,
        plain: false,
        http_exception: false,
        rewrites: Vec::new(),
        policy: Policy::default(),
        limits: plan::Limits::default(),
        http: Routes::default(),
        grpc: None,
    })
}

/// The same host at another port.
fn with_port(address: &Address, port: u16) -> Address {
    let host = address.as_str().rsplit_once(':').map_or("", |(host, _)| host);
    Address::new(format!("{host}:{port}")).unwrap_or_else(|_| address.clone())
}
