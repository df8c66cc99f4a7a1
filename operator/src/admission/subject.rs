//! The pod that injection decides about: who asked for a sidecar, and whether one fits beside what is there.

use crds::names;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use super::{
    Outcome, Reason, Refusal,
    overrides::{Annotations, BadAnnotation, Shape},
    sidecar::{PLAN_VOLUME, STATE_VOLUME, TOKEN_VOLUME, USER},
};
use crate::{settings::Injection, world::Namespace};

/// The pod that a decision is about.
pub(super) struct Subject<'p> {
    pub(super) pod: &'p Pod,
    pub(super) spec: &'p PodSpec,
    pub(super) annotations: &'p Annotations,
    /// A template may have none.
    pub(super) has_metadata: bool,
}

impl Subject<'_> {
    /// Who asked, in order: an excluded namespace has no say, then the pod, then its namespace. The namespace's
    /// label stands in for an annotation that this replica has not seen yet.
    pub(super) fn check_asked(&self, namespace: &Namespace, settings: &Injection) -> Result<(), Outcome> {
        let left = |reason, message: String| Err(Outcome::Left(Refusal::new(reason, message)));
        let own = self.annotations.get(names::INJECT).map(String::as_str);
        let word = namespace.inject.as_deref().or(namespace.label.as_deref());
        let inherited = word == Some(names::ENABLED);
        let asked = own == Some(names::ENABLED) || (own.is_none() && inherited);
        let not_asked = || {
            left(
                Reason::NotAsked,
                "neither pod nor namespace asks for a sidecar".into(),
            )
        };
        if settings.excludes(&namespace.name) {
            if !asked {
                return not_asked();
            }
            let message = format!(
                "namespace {} is never touched: run the pod in another",
                namespace.name
            );
            return left(Reason::ExcludedNamespace, message);
        }
        match own {
            Some(names::ENABLED) => Ok(()),
            Some(names::DISABLED) if inherited => {
                let message = format!(
                    "the pod's annotation {}: {} declines",
                    names::INJECT,
                    names::DISABLED
                );
                left(Reason::OptedOut, message)
            }
            Some(names::DISABLED) => not_asked(),
            Some(other) => Err(Outcome::Denied(invalid(&unknown_word(other)))),
            None if inherited || self.has_ours() => Ok(()),
            None => match namespace.inject.as_deref() {
                None | Some(names::DISABLED) => not_asked(),
                Some(other) => {
                    let message = format!("namespace {}: {}", namespace.name, unknown_word(other));
                    left(Reason::InvalidAnnotation, message)
                }
            },
        }
    }

    /// Whether it has a sidecar of ours already.
    pub(super) fn has_ours(&self) -> bool {
        let labelled = self
            .pod
            .metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get(names::INJECTED_LABEL));
        let named = self.spec.init_containers.iter().flatten();
        labelled.is_some_and(|value| value == "true")
            && named
                .into_iter()
                .any(|container| container.name == names::CONTAINER)
            && self.volume_at(PLAN_VOLUME).is_some()
    }

    /// Whether a sidecar can be beside what is in it.
    pub(super) fn check_fit(&self) -> Result<(), Refusal> {
        let refuse = |reason, message: String| Err(Refusal::new(reason, message));
        if self.spec.host_network == Some(true) {
            let message =
                "the pod has hostNetwork: true, where ports belong to the node: remove it".to_owned();
            return refuse(Reason::HostNetwork, message);
        }
        if self.annotations.contains_key("kubernetes.io/config.mirror") {
            return refuse(
                Reason::MirrorPod,
                "the kubelet runs it from a file on its node".into(),
            );
        }
        if self.spec.os.as_ref().is_some_and(|os| os.name != "linux") {
            return refuse(
                Reason::NotLinux,
                "spec.os.name: the sidecar runs on linux only".into(),
            );
        }
        if self
            .containers()
            .any(|container| container.name == names::CONTAINER)
        {
            let message = format!(
                "a container is named {} already: give it another name",
                names::CONTAINER
            );
            return refuse(Reason::NameTaken, message);
        }
        if let Some(taken) = [PLAN_VOLUME, TOKEN_VOLUME, STATE_VOLUME]
            .into_iter()
            .find(|name| self.volume_at(name).is_some())
        {
            let message = format!("a volume is named {taken} already: give it another name");
            return refuse(Reason::VolumeTaken, message);
        }
        if let Some(container) = self.twin() {
            let message = format!(
                "container {container} runs as user {USER}, the sidecar's own, and shareProcessNamespace lets it \
                 reach the sidecar's token: change runAsUser, or stop sharing"
            );
            return refuse(Reason::UserTaken, message);
        }
        Ok(())
    }

    /// No container may listen where the sidecar does, as far as the pod says.
    pub(super) fn check_ports(&self, shape: &Shape) -> Result<(), Refusal> {
        let settings = shape.ports.settings();
        for container in self.containers() {
            let ports = container.ports.iter().flatten();
            let tcp = ports.filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"));
            for port in tcp {
                let clash = settings
                    .iter()
                    .find(|setting| i32::from(setting.port) == port.container_port);
                if let Some(clash) = clash {
                    let message = format!(
                        "container {} has port {}, which the sidecar listens on: set annotation {} of the pod to \
                         another port",
                        container.name, clash.port, clash.annotation
                    );
                    return Err(Refusal::new(Reason::PortTaken, message));
                }
            }
        }
        Ok(())
    }

    pub(super) fn containers(&self) -> impl Iterator<Item = &Container> {
        self.spec
            .init_containers
            .iter()
            .flatten()
            .chain(&self.spec.containers)
    }

    pub(super) fn volume_at(&self, name: &str) -> Option<usize> {
        let mut volumes = self.spec.volumes.iter().flatten();
        volumes.position(|volume| volume.name == name)
    }

    /// A container that runs as the sidecar's user where all containers see each other's processes.
    fn twin(&self) -> Option<&str> {
        if self.spec.share_process_namespace != Some(true) {
            return None;
        }
        let pod_user = self
            .spec
            .security_context
            .as_ref()
            .and_then(|context| context.run_as_user);
        self.containers()
            .find(|container| {
                let context = container.security_context.as_ref();
                context.and_then(|context| context.run_as_user).or(pod_user) == Some(USER)
            })
            .map(|container| container.name.as_str())
    }
}

fn unknown_word(word: &str) -> BadAnnotation {
    let rule = format!("{word:?} must be {} or {}", names::ENABLED, names::DISABLED);
    BadAnnotation::new(names::INJECT, rule)
}

pub(super) fn invalid(bad: &BadAnnotation) -> Refusal {
    Refusal::new(Reason::InvalidAnnotation, bad.to_string())
}
