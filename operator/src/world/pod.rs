//! A Pod, slim: what plans and endpoints need, about a KiB.

use std::net::{IpAddr, SocketAddr};

use crds::names;
use k8s_openapi::{
    api::core::v1 as core,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use plan::{Address, Endpoint, EndpointState, Weight, Zone};

use super::{Captured, Labels, ObjectKey, Pods};
use crate::admission::INBOUND_PORT;

/// A Pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub key: ObjectKey,
    /// Its UID, which a sidecar's token carries.
    pub uid: Box<str>,
    /// Its labels.
    pub labels: Labels,
    /// What callers are told is calling (`M_s`).
    pub application: Box<str>,
    /// Whether it has a sidecar of ours.
    pub injected: bool,
    /// The ConfigMap that its plan goes to.
    pub plan_name: Option<Box<str>>,
    /// The version of the operator that injected it.
    pub injected_by: Option<Box<str>>,
    /// Where its sidecar takes calls from other agents.
    pub inbound_port: u16,
    /// Its share of calls beside other pods', where a service balances by weight.
    pub weight: Option<Weight>,
    /// The node that it runs on, once it has one.
    pub node: Option<Box<str>>,
    /// Which names in it lead to its sidecar.
    pub captured: Captured,
    /// Its address.
    pub ip: Option<IpAddr>,
    /// How far it is.
    pub phase: Phase,
}

/// How far a pod is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not ready (yet, or just now).
    Unready,
    /// Ready.
    Ready,
    /// It is being deleted.
    Draining,
    /// All its containers have ended for good.
    Ended,
}

impl Pod {
    /// Reads a Pod.
    #[must_use]
    pub fn read(object: &core::Pod) -> Self {
        let metadata = &object.metadata;
        let annotation = |key: &str| metadata.annotations.as_ref().and_then(|all| all.get(key));
        let labels: Labels = metadata
            .labels
            .iter()
            .flatten()
            .map(|(key, value)| (key.as_str().into(), value.as_str().into()))
            .collect();
        Self {
            key: ObjectKey::of(metadata),
            uid: metadata.uid.as_deref().unwrap_or_default().into(),
            application: application(metadata, &labels),
            injected: labels
                .get(names::INJECTED_LABEL)
                .is_some_and(|value| &**value == "true"),
            plan_name: annotation(names::PLAN).map(|name| name.as_str().into()),
            injected_by: annotation(names::INJECTED_BY).map(|version| version.as_str().into()),
            inbound_port: annotation(names::INBOUND_PORT)
                .and_then(|port| port.parse().ok())
                .unwrap_or(INBOUND_PORT),
            weight: annotation(names::WEIGHT).and_then(|weight| Weight::new(weight.parse().ok()?)),
            node: object
                .spec
                .as_ref()
                .and_then(|spec| spec.node_name.as_deref())
                .map(Into::into),
            captured: Captured::read(object),
            ip: object
                .status
                .as_ref()
                .and_then(|status| status.pod_ip.as_ref()?.parse().ok()),
            phase: Phase::of(object),
            labels,
        }
    }

    /// The endpoint it is, in this zone, for a service that selects it: its sidecar, or the program itself where it has none. A pod that is
    /// not ready is none; one that goes away is one until its containers have ended, so that its calls in flight come back.
    #[must_use]
    pub fn endpoint(&self, of: &Pods, zone: Option<&Zone>) -> Option<Endpoint> {
        let state = match self.phase {
            Phase::Ready => EndpointState::Ready,
            Phase::Draining => EndpointState::Draining,
            Phase::Unready | Phase::Ended => return None,
        };
        let ip = self.ip?;
        let at = |port| Address::of(SocketAddr::new(ip, port));
        let mut endpoint = if self.injected {
            Endpoint::agent(at(self.inbound_port), state)
        } else {
            Endpoint {
                direct: true,
                motan1: of.motan1_port.filter(|port| *port != of.port).map(at),
                ..Endpoint::agent(at(of.port), state)
            }
        };
        endpoint.weight = self.weight;
        endpoint.zone = zone.cloned();
        Some(endpoint)
    }

    /// All of it that makes an endpoint.
    pub(super) fn whereabouts(&self) -> impl PartialEq + use<> {
        let run = (self.phase, self.node.clone(), self.ip);
        (run, self.injected, self.inbound_port, self.weight)
    }

    /// Whether it has a sidecar that runs, or will.
    #[must_use]
    pub fn is_meshed(&self) -> bool {
        self.injected && self.phase != Phase::Ended
    }
}

impl Phase {
    fn of(object: &core::Pod) -> Self {
        let status = object.status.as_ref();
        let phase = status.and_then(|status| status.phase.as_deref());
        let ready = || {
            status
                .and_then(|status| status.conditions.as_ref())
                .into_iter()
                .flatten()
                .any(|condition| condition.type_ == "Ready" && condition.status == "True")
        };
        if matches!(phase, Some("Succeeded" | "Failed")) {
            Self::Ended
        } else if object.metadata.deletion_timestamp.is_some() {
            Self::Draining
        } else if ready() {
            Self::Ready
        } else {
            Self::Unready
        }
    }
}

/// `app.kubernetes.io/name`, else `app`, else the workload that owns the pod, else the pod itself.
fn application(metadata: &ObjectMeta, labels: &Labels) -> Box<str> {
    let labelled = ["app.kubernetes.io/name", "app"]
        .into_iter()
        .find_map(|key| labels.get(key).filter(|value| !value.is_empty()));
    if let Some(name) = labelled {
        return name.clone();
    }
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    match owners.iter().find(|owner| owner.controller == Some(true)) {
        Some(owner) => workload(owner, labels).into(),
        None => metadata.name.as_deref().unwrap_or_default().into(),
    }
}

/// The owner's name; of a ReplicaSet that a Deployment made, the Deployment's.
fn workload<'a>(owner: &'a OwnerReference, labels: &Labels) -> &'a str {
    let hash = labels
        .get("pod-template-hash")
        .filter(|_| owner.kind == "ReplicaSet");
    hash.and_then(|hash| owner.name.strip_suffix(&**hash)?.strip_suffix('-'))
        .unwrap_or(&owner.name)
}
