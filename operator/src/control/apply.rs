//! A plan becomes its pod's ConfigMap: by server-side apply, owned by the pod, so that Kubernetes removes it with it.

use std::time::Duration;

use crds::names;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use plan::{Plan, stream::Subscription};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::world::ObjectKey;

/// The field manager of everything the leader applies.
pub(super) const MANAGER: &str = "motanmesh-operator";
/// Only ConfigMaps of such names are written: the name comes from a pod's annotation, which people can write.
const PREFIX: &str = "motanmesh-plan-";
/// How long one request may take.
pub(super) const REQUEST: Duration = Duration::from_secs(10);

/// One plan to be written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Write {
    /// The pod.
    pub(super) pod: ObjectKey,
    /// Its UID.
    pub(super) uid: Box<str>,
    /// The ConfigMap.
    pub(super) name: Box<str>,
    /// What is written.
    pub(super) plan: Plan,
    /// What its program was granted without a declaration.
    pub(super) asked: Vec<Subscription>,
}

/// A plan that was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    /// There is nothing to write to any more, or the server will never take it.
    #[error("the API server refuses it")]
    Refused(#[source] kube::Error),
    /// It may work later.
    #[error("the API server could not take it")]
    Failed(#[source] kube::Error),
    /// No answer in time; it may have worked.
    #[error("the API server did not answer in time")]
    Late,
}

/// Whether a pod may have its plan in a ConfigMap of this name.
#[must_use]
pub(super) fn is_plan_name(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|rest| {
        !rest.is_empty() && rest.len() <= 40 && rest.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// Writes a plan.
///
/// # Errors
/// See [`WriteError`].
pub(super) async fn apply(client: &Client, write: &Write) -> Result<(), WriteError> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), &write.pod.namespace);
    let params = PatchParams::apply(MANAGER).force();
    let document = Patch::Apply(config_map(write));
    match timeout(REQUEST, api.patch_metadata(&write.name, &params, &document)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) if is_final(&error) => Err(WriteError::Refused(error)),
        Ok(Err(error)) => Err(WriteError::Failed(error)),
        Err(_) => Err(WriteError::Late),
    }
}

/// 403: the namespace is being deleted (or we may not); 404: it is gone; 413 and 422: it will never fit.
fn is_final(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 403 | 404 | 413 | 422))
}

fn config_map(write: &Write) -> Value {
    let Write {
        pod,
        uid,
        name,
        plan,
        asked,
    } = write;
    let mut map = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "namespace": pod.namespace,
            "labels": {names::MANAGED_BY: names::OPERATOR},
            "annotations": {
                names::PLAN_HASH: plan.hash,
                names::PLAN_REVISION: plan.revision.to_string(),
            },
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": uid}],
        },
        "data": {names::PLAN_KEY: plan.to_json()},
    });
    if !asked.is_empty() {
        map["metadata"]["annotations"][names::PLAN_ASKED] = Value::from(json!(asked).to_string());
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_admission_makes_are_written() {
        assert!(is_plan_name(&crate::admission::plan_name("uid")));
        for name in [
            "kube-root-ca.crt",
            "motanmesh-plan-",
            "motanmesh-plan-xyz",
            "motanmesh-ca",
        ] {
            assert!(!is_plan_name(name), "{name}");
        }
    }
}
