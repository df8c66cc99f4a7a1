//! The leader mirrors each namespace's annotation into the label that the API server can select by.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crds::names;
use k8s_openapi::api::core::v1::Namespace as NamespaceObject;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::apply::{MANAGER, REQUEST};
use crate::{connect::plain, settings::Injection, world::Cluster};

/// When a failed mirroring is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// Mirrors for as long as it is run.
pub(super) async fn run(
    client: &Client,
    cluster: &Arc<Cluster>,
    injection: &Injection,
) -> std::convert::Infallible {
    let api: Api<NamespaceObject> = Api::all(client.clone());
    let mut changes = cluster.listen();
    let mut waiting = BTreeSet::new();
    loop {
        if waiting.is_empty() {
            waiting = changes.next().await.namespaces;
        } else {
            tokio::select! {
                touched = changes.next() => waiting.extend(touched.namespaces),
                () = sleep(RETRY) => {}
            }
        }
        let mut failed = BTreeSet::new();
        for name in std::mem::take(&mut waiting) {
            if !mirror(&api, cluster, injection, &name).await {
                failed.insert(name);
            }
        }
        waiting = failed;
    }
}

/// Brings one namespace's label in line; `false` where that should be tried again.
async fn mirror(api: &Api<NamespaceObject>, cluster: &Cluster, injection: &Injection, name: &str) -> bool {
    let Some(namespace) = cluster.read(|world| world.namespace(name).cloned()) else {
        return true;
    };
    let wanted = namespace.wanted_label().filter(|_| !injection.excludes(name));
    if namespace.terminating || namespace.label.as_deref() == wanted {
        return true;
    }
    // A merge patch: null removes the label, whoever set it; it is ours by name.
    let patch = Patch::Merge(json!({"metadata": {"labels": {names::INJECTION_LABEL: wanted}}}));
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match timeout(REQUEST, api.patch_metadata(name, &params, &patch)).await {
        Ok(Ok(_)) => info!(namespace = name, label = wanted, "injection label mirrored"),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => {}
        Ok(Err(error)) => {
            warn!(namespace = name, error = %plain(&error), "injection label not mirrored, trying again");
            return false;
        }
        Err(_) => return false,
    }
    true
}
