//! Events for people: why a pod has no sidecar, on the object that owns the pod; what a program asks for that nobody
//! declares, on the pod.
//!
//! Admission and the reporter only drop a note here, and one task writes; where notes come faster than they may be written they are
//! dropped and counted, as the counter of refusals has them all anyway.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use serde::Deserialize;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tracing::warn;

use super::bucket::Bucket;
use crate::{admission::review::Question, connect::plain, world::Pod};

/// How many notes wait; a Deployment that is refused brings one a pod.
const WAITING: usize = 256;
/// Events a second.
const PER_SECOND: u32 = 5;
/// How long one Event may take.
const REQUEST: Duration = Duration::from_secs(5);
/// The longest note of an Event, in bytes (the API's limit).
const MAX_NOTE: usize = 1024;

/// Where notes are dropped.
#[derive(Debug, Clone)]
pub struct Events {
    notes: mpsc::Sender<Told>,
    dropped: Counter,
}

/// One note.
#[derive(Debug, Clone)]
pub struct Told {
    regarding: ObjectReference,
    action: &'static str,
    reason: String,
    note: String,
}

/// Writes the notes.
#[derive(Debug)]
pub struct Writer {
    notes: mpsc::Receiver<Told>,
}

/// A place for notes and the task that writes them.
#[must_use]
pub fn channel() -> (Events, Writer) {
    let (notes, written) = mpsc::channel(WAITING);
    let events = Events {
        notes,
        dropped: Counter::default(),
    };
    (events, Writer { notes: written })
}

impl Events {
    /// Registers the counter.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "motanmesh_operator_events_dropped",
            "Events that came faster than they may be written",
            self.dropped.clone(),
        );
    }

    /// Drops a note; never waits.
    pub fn tell(&self, told: Told) {
        if self.notes.try_send(told).is_err() {
            self.dropped.inc();
        }
    }
}

impl Told {
    /// Why the pod of this question got no sidecar, or what it goes without: told to the pod's controller, or of the pod
    /// itself.
    #[must_use]
    pub fn about_pod(question: &Question, reason: &'static str, message: &str) -> Self {
        Self {
            regarding: owner(question),
            action: "Inject",
            reason: reason.to_owned(),
            note: shortened(message.to_owned()),
        }
    }

    /// What a pod's program has subscribed to by itself, where no dependency selects the pod.
    #[must_use]
    pub fn about_subscriptions(pod: &Pod, reason: &'static str, message: String) -> Self {
        Self {
            regarding: ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: Some(pod.key.name.to_string()),
                uid: Some(pod.uid.to_string()),
                namespace: Some(pod.key.namespace.to_string()),
                ..ObjectReference::default()
            },
            action: "Subscribe",
            reason: format!("UndeclaredSubscriptions{reason}"),
            note: shortened(message),
        }
    }
}

fn shortened(mut note: String) -> String {
    note.truncate(note.floor_char_boundary(MAX_NOTE));
    note
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Owner {
    api_version: String,
    kind: String,
    name: String,
    uid: String,
    #[serde(default)]
    controller: bool,
}

fn owner(question: &Question) -> ObjectReference {
    let metadata = &question.object["metadata"];
    let owners: Vec<Owner> = Vec::deserialize(&metadata["ownerReferences"]).unwrap_or_default();
    let namespace = Some(question.namespace.clone());
    match owners.into_iter().find(|owner| owner.controller) {
        Some(owner) => ObjectReference {
            api_version: Some(owner.api_version),
            kind: Some(owner.kind),
            name: Some(owner.name),
            uid: Some(owner.uid),
            namespace,
            ..ObjectReference::default()
        },
        None => ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: metadata["name"].as_str().map(str::to_owned),
            namespace,
            ..ObjectReference::default()
        },
    }
}

impl Writer {
    /// Writes until nobody can drop a note any more.
    pub async fn run(mut self, client: Client, instance: String) {
        let reporter = Reporter {
            controller: "motanmesh-operator".to_owned(),
            instance: Some(instance),
        };
        let recorder = Recorder::new(client, reporter);
        let mut bucket = Bucket::new(PER_SECOND, Instant::now());
        while let Some(told) = self.notes.recv().await {
            while let Err(wait) = bucket.take(Instant::now()) {
                sleep(wait).await;
            }
            let event = Event {
                type_: EventType::Warning,
                reason: told.reason,
                note: Some(told.note),
                action: told.action.to_owned(),
                secondary: None,
            };
            match timeout(REQUEST, recorder.publish(&event, &told.regarding)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => warn!(error = %plain(&error), "an Event could not be written"),
                Err(_) => warn!("an Event could not be written in time"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admission::review;

    fn question(metadata: &serde_json::Value) -> Question {
        let body = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {"uid": "u", "operation": "CREATE", "namespace": "shop", "object": {"metadata": metadata}},
        });
        review::read(body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn the_controller_of_a_pod_is_told_and_a_bare_pod_itself() {
        let owners = json!({"generateName": "web-", "ownerReferences": [
            {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "1"},
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7", "uid": "2", "controller": true},
        ]});
        let told = owner(&question(&owners));
        assert_eq!(
            (told.kind.as_deref(), told.uid.as_deref()),
            (Some("ReplicaSet"), Some("2"))
        );
        assert_eq!(told.namespace.as_deref(), Some("shop"));
        let bare = owner(&question(&json!({"name": "web-0"})));
        assert_eq!(
            (bare.kind.as_deref(), bare.name.as_deref()),
            (Some("Pod"), Some("web-0"))
        );
    }
}
