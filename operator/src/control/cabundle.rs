//! The leader keeps the roots in both webhook configurations, under a field manager of its own, and puts them back
//! where someone else wrote over them. Helm, or whoever installs, never writes this field.

use std::{fmt::Debug, sync::Mutex};

use k8s_openapi::{
    ByteString,
    api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use tokio::{
    sync::{Notify, watch},
    time::{Duration, sleep, timeout},
};
use tracing::{info, warn};

use super::apply::REQUEST;
use crate::{
    authority::root::{Roots, fingerprint},
    connect::plain,
    follow::{Frozen, Scope, Seen, follow},
};

/// Our field manager for this one field.
const MANAGER: &str = "motanmesh-operator-ca";
/// When a failed write is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// Which bundle each configuration holds, by fingerprint; `None` where unknown or mixed.
#[derive(Debug, Default)]
pub(super) struct Bundles {
    mutating: Mutex<Option<u64>>,
    validating: Mutex<Option<u64>>,
}

impl Bundles {
    /// Whether both configurations hold this bundle.
    #[must_use]
    pub(super) fn hold(&self, fingerprint: u64) -> bool {
        let held =
            |side: &Mutex<Option<u64>>| *side.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        held(&self.mutating) == Some(fingerprint) && held(&self.validating) == Some(fingerprint)
    }
}

/// A kind of webhook configuration, seen as the names and bundles of its webhooks.
trait Configuration:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize + Send + Sync + 'static
{
    fn webhooks(&self) -> Vec<(&str, Option<&[u8]>)>;
}

impl Configuration for MutatingWebhookConfiguration {
    fn webhooks(&self) -> Vec<(&str, Option<&[u8]>)> {
        let webhooks = self.webhooks.iter().flatten();
        webhooks
            .map(|webhook| {
                (
                    webhook.name.as_str(),
                    bytes(webhook.client_config.ca_bundle.as_ref()),
                )
            })
            .collect()
    }
}

impl Configuration for ValidatingWebhookConfiguration {
    fn webhooks(&self) -> Vec<(&str, Option<&[u8]>)> {
        let webhooks = self.webhooks.iter().flatten();
        webhooks
            .map(|webhook| {
                (
                    webhook.name.as_str(),
                    bytes(webhook.client_config.ca_bundle.as_ref()),
                )
            })
            .collect()
    }
}

fn bytes(bundle: Option<&ByteString>) -> Option<&[u8]> {
    bundle.map(|ByteString(bytes)| bytes.as_slice())
}

/// Keeps both configurations of this name; comes back only when a watch is frozen.
pub(super) async fn run(
    client: &Client,
    name: &str,
    roots: watch::Receiver<Roots>,
    bundles: &Bundles,
) -> Frozen {
    tokio::select! {
        frozen = one::<MutatingWebhookConfiguration>(client, name, roots.clone(), &bundles.mutating) => frozen,
        frozen = one::<ValidatingWebhookConfiguration>(client, name, roots, &bundles.validating) => frozen,
    }
}

async fn one<K: Configuration>(
    client: &Client,
    name: &str,
    mut roots: watch::Receiver<Roots>,
    holds: &Mutex<Option<u64>>,
) -> Frozen {
    let api: Api<K> = Api::all(client.clone());
    let scope = Scope {
        fields: Some(format!("metadata.name={name}")),
        labels: None,
    };
    let seen: Mutex<Option<K>> = Mutex::default();
    let moved = Notify::new();
    let kind = K::kind(&()).into_owned();
    let following = follow(api.clone(), &kind, scope, |event| {
        let mut held = seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match event {
            Seen::All { mut objects, .. } => *held = objects.pop(),
            Seen::Applied(object) => *held = Some(object),
            Seen::Gone(_) => *held = None,
            Seen::Reached(_) => return,
        }
        moved.notify_one();
    });
    let keeping = async {
        loop {
            let bundle = roots.borrow_and_update().bundle();
            let present = seen
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .clone();
            let done = match present {
                Some(object) => repair(&api, &object, &bundle).await,
                None => Repair::Absent,
            };
            *holds.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
                (done == Repair::Holds).then(|| fingerprint(&bundle));
            tokio::select! {
                () = moved.notified() => {}
                changed = roots.changed() => if changed.is_err() { std::future::pending::<()>().await },
                () = sleep(RETRY), if done == Repair::Failed => {}
            }
        }
    };
    tokio::select! {
        frozen = following => frozen,
        () = keeping => std::future::pending().await,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repair {
    /// Every webhook holds the bundle.
    Holds,
    /// It was written; the watch will say so.
    Written,
    /// There is no such configuration.
    Absent,
    /// To be tried again.
    Failed,
}

async fn repair<K: Configuration>(api: &Api<K>, object: &K, bundle: &str) -> Repair {
    let webhooks = object.webhooks();
    if webhooks.iter().all(|(_, held)| *held == Some(bundle.as_bytes())) {
        return Repair::Holds;
    }
    let (kind, name) = (K::kind(&()), object.name_any());
    let ca = ByteString(bundle.as_bytes().to_vec());
    let entries: Vec<_> = webhooks
        .iter()
        .map(|(name, _)| json!({"name": name, "clientConfig": {"caBundle": ca}}))
        .collect();
    // The resourceVersion makes sure that a configuration deleted meanwhile is not made again.
    let patch = Patch::Apply(json!({
        "apiVersion": K::api_version(&()),
        "kind": kind,
        "metadata": {"name": name, "resourceVersion": object.resource_version()},
        "webhooks": entries,
    }));
    let params = PatchParams::apply(MANAGER).force();
    match timeout(REQUEST, api.patch(&name, &params, &patch)).await {
        Ok(Ok(_)) => {
            info!(%kind, name, "caBundle written");
            Repair::Written
        }
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => Repair::Failed,
        Ok(Err(error)) => {
            warn!(%kind, name, error = %plain(&error), "caBundle not written, trying again");
            Repair::Failed
        }
        Err(_) => Repair::Failed,
    }
}
