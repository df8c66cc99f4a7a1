//! The edits that put a sidecar into a pod, as operations of a JSON patch (RFC 6902).

use crds::names;
use k8s_openapi::api::core::v1::Container;
use serde_json::{Value, json};

use super::{
    overrides::Shape,
    sidecar::{self, PLAN_VOLUME},
    subject::Subject,
};
use crate::settings::{Injection, VERSION};

impl Subject<'_> {
    /// Everything that makes a pod one with a sidecar.
    pub(super) fn addition(&self, shape: &Shape, settings: &Injection, plan_name: &str) -> Vec<Value> {
        let mut edits = Vec::new();
        if !self.has_metadata {
            edits.push(add("/metadata", json!({})));
        }
        let labels = [(names::INJECTED_LABEL, "true")];
        let has_labels = self.pod.metadata.labels.is_some();
        set_all(&mut edits, "/metadata/labels", has_labels, &labels);
        let annotations = [(names::PLAN, plan_name), (names::INJECTED_BY, VERSION)];
        let has_annotations = self.pod.metadata.annotations.is_some();
        set_all(&mut edits, "/metadata/annotations", has_annotations, &annotations);

        edits.extend(self.reach(shape)); // by the places that containers have before the sidecar is the first
        if self.spec.init_containers.is_none() {
            edits.push(add("/spec/initContainers", json!([])));
        }
        edits.push(add("/spec/initContainers/0", sidecar::container(shape, settings)));
        if self.spec.volumes.is_none() {
            edits.push(add("/spec/volumes", json!([])));
        }
        let volumes = sidecar::volumes(plan_name, shape).into_iter();
        edits.extend(volumes.map(|volume| add("/spec/volumes/-", volume)));
        edits.extend(self.sleeps(shape));
        edits
    }

    /// The plan's name where a pod with a sidecar carries another's; nothing otherwise.
    pub(super) fn renewal(&self, plan_name: &str) -> Vec<Value> {
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
        let plan = sidecar::plan_volume(plan_name);
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

pub(super) fn add(path: &str, value: Value) -> Value {
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
