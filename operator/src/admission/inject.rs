//! The sidecar enters a pod: pure, `(pod, namespace, what is declared, settings, plan name) -> patch`; the webhook, `inject --file` and
//! the tests call the same function. It reads the pod typed and edits it as JSON, so that fields this program doesn't
//! know stay as they are.

use json_patch::Patch;
use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    Declared, Reason, Refusal,
    overrides::{Annotations, Shape},
    subject::{Subject, invalid},
};
use crate::{settings::Injection, world::Namespace};

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
    /// What it could not have beside.
    pub notes: Vec<Note>,
}

/// Something that a pod with a sidecar goes without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The word of its Event.
    pub reason: &'static str,
    /// The same for people, with the mend.
    pub message: String,
}

impl Note {
    pub(super) const fn new(reason: &'static str, message: String) -> Self {
        Self { reason, message }
    }
}

/// The name of a pod's plan, from the UID of the admission request that created the pod (which has no name or UID of
/// its own yet).
#[must_use]
pub fn plan_name(request_uid: &str) -> String {
    let digest = Sha256::digest(request_uid.as_bytes());
    let hex: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("motanmesh-plan-{hex}")
}

/// Decides about a pod that is being created in `namespace`, and gives it its sidecar and the names of what is declared
/// for it.
#[must_use]
pub fn inject(
    pod: &Value,
    namespace: &Namespace,
    declared: &Declared,
    settings: &Injection,
    plan_name: &str,
) -> Outcome {
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
        has_metadata: pod.get("metadata").is_some_and(Value::is_object),
        pod: &read,
    };
    if let Err(outcome) = subject.check_asked(namespace, settings) {
        return outcome;
    }
    if subject.has_ours() {
        return edit(pod, &subject.renewal(plan_name), Vec::new(), Outcome::Renewed);
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
    if let Err(refusal) = subject.check_run_dir(&shape) {
        return Outcome::Denied(refusal);
    }
    let mut edits = subject.addition(&shape, settings, plan_name);
    let (captured, notes) = subject.capture(&shape, declared);
    edits.extend(captured);
    edit(pod, &edits, notes, Outcome::Injected)
}

/// Applies the edits, which are also the patch, so that the two can't differ.
fn edit(pod: &Value, edits: &[Value], notes: Vec<Note>, outcome: fn(Injected) -> Outcome) -> Outcome {
    let mut edited = pod.clone();
    let applied = serde_json::from_value(Value::from(edits))
        .map_err(|error| error.to_string())
        .and_then(|patch: Patch| {
            json_patch::patch(&mut edited, &patch)
                .map(|()| patch)
                .map_err(|error| error.to_string())
        });
    match applied {
        Ok(patch) => outcome(Injected {
            patch,
            pod: edited,
            notes,
        }),
        Err(error) => {
            let message = format!("this pod can't be patched: {error}");
            Outcome::Left(Refusal::new(Reason::Malformed, message))
        }
    }
}
