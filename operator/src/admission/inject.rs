//! The sidecar enters a pod: pure, `(pod, namespace, settings, plan name) -> patch`; the webhook, `inject --file` and
//! the tests call the same function. It reads the pod typed and edits it as JSON, so that fields this program doesn't
//! know stay as they are.

use crds::names;
use json_patch::Patch;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    Reason, Refusal,
    overrides::{Annotations, BadAnnotation, Shape},
    sidecar::{self, PLAN_VOLUME, STATE_VOLUME, TOKEN_VOLUME, USER},
};
use crate::{
    settings::{Injection, VERSION},
    world::Namespace,
};

/// What becomes of a pod.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It gets a sidecar.
    Injected(Injected),
    /// It has one already; the patch at most gives it its own plan's name, as a copied pod names another's.
    Renewed(Injected),
    /// It is created as it is.
    Left(Refusal),
    /// It must not be created: an annotation asks for what can't be, and a pod that ran without what it asked for
    /// would hide that.
    Denied(Refusal),
}

/// A pod with its sidecar.
#[derive(Debug, Clone, PartialEq)]
pub struct Injected {
    /// From the pod that came to the pod with its sidecar (RFC 6902).
    pub patch: Patch,
    /// The pod with its sidecar.
    pub pod: Value,
}

/// The name of a pod's plan, from the UID of the admission request that created the pod (which has no name or UID of
/// its own yet).
#[must_use]
pub fn plan_name(request_uid: &str) -> String {
    let digest = Sha256::digest(request_uid.as_bytes());
    let hex: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("motanmesh-plan-{hex}")
}

/// Decides about a pod that is being created in `namespace`, and gives it its sidecar.
#[must_use]
pub fn inject(pod: &Value, namespace: &Namespace, settings: &Injection, plan_name: &str) -> Outcome {
    let read = match Pod::deserialize(pod) {
        Ok(read) => read,
        Err(error) => {
            let message = format!("this is not a pod: {error}");
            return Outcome::Left(Refusal::new(Reason::Malformed, message));
        }
    };
    let nothing = Annotations::new();
    let subject = Subject {
        annotations: read.metadata.annotations.as_ref().unwrap_or(&nothing),
        spec: &read.spec.clone().unwrap_or_default(),
        pod: &read,
    };
    if let Err(outcome) = subject.check_asked(namespace, settings) {
        return outcome;
    }
    if subject.has_ours() {
        return edit(pod, &subject.renewal(plan_name), Outcome::Renewed);
    }
    if let Err(refusal) = subject.check_fit() {
        return Outcome::Left(refusal);
    }
    let shape = match Shape::read(subject.annotations, settings) {
        Ok(shape) => shape,
        Err(bad) => return Outcome::Denied(invalid(&bad)),
    };
    if let Err(refusal) = subject.check_ports(&shape) {
        return Outcome::Left(refusal);
    }
    edit(
        pod,
        &subject.addition(&shape, settings, plan_name),
        Outcome::Injected,
    )
}

fn invalid(bad: &BadAnnotation) -> Refusal {
    Refusal::new(Reason::InvalidAnnotation, bad.to_string())
}

/// Applies the edits, which are also the patch, so that the two can't differ.
fn edit(pod: &Value, edits: &[Value], outcome: fn(Injected) -> Outcome) -> Outcome {
    let mut edited = pod.clone();
    let applied = serde_json::from_value(Value::from(edits))
        .map_err(|error| error.to_string())
        .and_then(|patch: Patch| {
            json_patch::patch(&mut edited, &patch)
                .map(|()| patch)
                .map_err(|error| error.to_string())
        });
    match applied {
        Ok(patch) => outcome(Injected { patch, pod: edited }),
        Err(error) => {
            let message = format!("this pod can't be patched: {error}");
            Outcome::Left(Refusal::new(Reason::Malformed, message))
        }
    }
}

/// The pod that a decision is about.
struct Subject<'p> {
    pod: &'p Pod,
    spec: &'p PodSpec,
    annotations: &'p Annotations,
}

/// Deciding.
impl Subject<'_> {
    /// Who asked, in order: an excluded namespace has no say, then the pod, then its namespace. The namespace's
    /// label stands in for an annotation that this replica has not seen yet.
    fn check_asked(&self, namespace: &Namespace, settings: &Injection) -> Result<(), Outcome> {
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
    fn has_ours(&self) -> bool {
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
    fn check_fit(&self) -> Result<(), Refusal> {
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
    fn check_ports(&self, shape: &Shape) -> Result<(), Refusal> {
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

    fn containers(&self) -> impl Iterator<Item = &Container> {
        self.spec
            .init_containers
            .iter()
            .flatten()
            .chain(&self.spec.containers)
    }

    fn volume_at(&self, name: &str) -> Option<usize> {
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

/// Editing.
impl Subject<'_> {
    /// Everything that makes a pod one with a sidecar.
    fn addition(&self, shape: &Shape, settings: &Injection, plan_name: &str) -> Vec<Value> {
        let mut edits = Vec::new();
        let labels = [(names::INJECTED_LABEL, "true")];
        let has_labels = self.pod.metadata.labels.is_some();
        set_all(&mut edits, "/metadata/labels", has_labels, &labels);
        let annotations = [(names::PLAN, plan_name), (names::INJECTED_BY, VERSION)];
        let has_annotations = self.pod.metadata.annotations.is_some();
        set_all(&mut edits, "/metadata/annotations", has_annotations, &annotations);

        if self.spec.init_containers.is_none() {
            edits.push(add("/spec/initContainers", json!([])));
        }
        edits.push(add("/spec/initContainers/0", sidecar::container(shape, settings)));
        if self.spec.volumes.is_none() {
            edits.push(add("/spec/volumes", json!([])));
        }
        edits.extend(sidecar::volumes(plan_name).map(|volume| add("/spec/volumes/-", volume)));
        edits.extend(self.sleeps(shape));
        edits
    }

    /// The plan's name where a pod with a sidecar carries another's; nothing otherwise.
    fn renewal(&self, plan_name: &str) -> Vec<Value> {
        let mut edits = Vec::new();
        if self.annotations.get(names::PLAN).map(String::as_str) != Some(plan_name) {
            let has_annotations = self.pod.metadata.annotations.is_some();
            set_all(
                &mut edits,
                "/metadata/annotations",
                has_annotations,
                &[(names::PLAN, plan_name)],
            );
        }
        let [plan, ..] = sidecar::volumes(plan_name);
        if let Some(at) = self.volume_at(PLAN_VOLUME) {
            let mounted = self.spec.volumes.iter().flatten().nth(at);
            let named = mounted.and_then(|volume| volume.config_map.as_ref());
            if named.is_none_or(|map| map.name != plan_name) {
                edits.push(json!({"op": "replace", "path": format!("/spec/volumes/{at}"), "value": plan}));
            }
        }
        edits
    }

    /// A program that ends at SIGTERM would refuse the calls that still come while its callers learn that the pod
    /// goes away: it gets the drain delay as its `preStop`. Not in a pod that is to end by itself.
    fn sleeps(&self, shape: &Shape) -> Vec<Value> {
        let owners = self.pod.metadata.owner_references.iter().flatten();
        let of_job = owners.into_iter().any(|owner| owner.kind == "Job");
        let stays = self
            .spec
            .restart_policy
            .as_deref()
            .is_none_or(|policy| policy == "Always");
        let seconds = self.sleep_seconds(shape);
        if of_job || !stays || seconds == 0 {
            return Vec::new();
        }
        let hook = json!({"sleep": {"seconds": seconds}});
        let add_to = |(at, container): (usize, &Container)| match &container.lifecycle {
            None => Some(add(
                &format!("/spec/containers/{at}/lifecycle"),
                json!({"preStop": hook.clone()}),
            )),
            Some(lifecycle) if lifecycle.pre_stop.is_none() => Some(add(
                &format!("/spec/containers/{at}/lifecycle/preStop"),
                hook.clone(),
            )),
            Some(_) => None,
        };
        self.spec
            .containers
            .iter()
            .enumerate()
            .filter_map(add_to)
            .collect()
    }

    /// The drain delay in whole seconds, and at most half of the pod's grace period: the API server refuses a
    /// longer sleep than the grace period, and the program needs its part of it.
    fn sleep_seconds(&self, shape: &Shape) -> u64 {
        let grace = self
            .spec
            .termination_grace_period_seconds
            .unwrap_or(DEFAULT_GRACE);
        let delay = shape.drain_delay.duration();
        let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
        seconds.min(u64::try_from(grace).unwrap_or_default() / 2)
    }
}

const DEFAULT_GRACE: i64 = 30; // seconds; Kubernetes' default

fn add(path: &str, value: Value) -> Value {
    let mut edit = json!({"op": "add", "path": path});
    edit["value"] = value;
    edit
}

/// Sets entries of a map that may not be there yet.
fn set_all(edits: &mut Vec<Value>, map: &str, exists: bool, entries: &[(&str, &str)]) {
    if !exists {
        edits.push(add(map, json!({})));
    }
    for (key, value) in entries {
        edits.push(add(
            &format!("{map}/{}", key.replace('~', "~0").replace('/', "~1")),
            json!(value),
        ));
    }
}
