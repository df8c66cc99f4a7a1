//! What was read, judged. Pure: the time comes in.

use std::collections::{BTreeMap, BTreeSet};

use crds::{MeshDependency, MeshService, condition, names};
use jiff::Timestamp;
use k8s_openapi::{
    ByteString,
    api::{
        apps::v1::Deployment,
        coordination::v1::Lease,
        core::v1::{Namespace, Pod},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::{apis::meta::v1::Condition, version::Info},
};
use kube::{ResourceExt, core::PartialObjectMeta};

use super::Finding;
use crate::{authority::root::not_after, lease, settings::VERSION};

/// The oldest Kubernetes with native sidecars on by default.
const OLDEST_MINOR: u32 = 29;
/// A root that ends within this many days has missed its rotation, which begins in the last third of a year.
const ROOT_DAYS: i64 = 30;
/// How many names a line lists.
const LISTED: usize = 5;

pub(super) fn version(info: &Info) -> Finding {
    let what = format!("Kubernetes {}", info.git_version);
    let digits: String = info.minor.chars().take_while(char::is_ascii_digit).collect();
    match (info.major.as_str(), digits.parse::<u32>()) {
        ("1", Ok(minor)) if minor < OLDEST_MINOR => Finding::fail(
            format!("{what}: too old for native sidecars"),
            format!("use Kubernetes 1.{OLDEST_MINOR} or newer, kubelets included"),
        ),
        _ => Finding::ok(what),
    }
}

pub(super) fn definition(name: &str, found: Option<&CustomResourceDefinition>) -> Finding {
    let Some(found) = found else {
        return Finding::fail(
            format!("{name}: not installed"),
            "motanmesh-operator crds | kubectl apply -f -",
        );
    };
    let conditions = found
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let established = conditions
        .into_iter()
        .any(|condition| condition.type_ == "Established" && condition.status == "True");
    if established {
        Finding::ok(format!("{name}: served"))
    } else {
        Finding::fail(
            format!("{name}: not served"),
            format!("kubectl describe crd {name}"),
        )
    }
}

pub(super) fn deployment(what: &str, found: Option<&Deployment>) -> Finding {
    let Some(found) = found else {
        return Finding::fail(
            format!("{what}: there is no such Deployment"),
            "install the chart, or say where it is with --namespace",
        );
    };
    let status = found.status.clone().unwrap_or_default();
    let wanted = found.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let ready = status.ready_replicas.unwrap_or(0);
    let (namespace, name) = (found.namespace().unwrap_or_default(), found.name_any());
    let look = format!("kubectl -n {namespace} describe pods; kubectl -n {namespace} logs deploy/{name}");
    match ready {
        0 => Finding::fail(format!("{what}: no replica is ready"), look),
        ready if ready < wanted => {
            Finding::warn(format!("{what}: {ready} of {wanted} replicas are ready"), look)
        }
        1 => Finding::warn(
            format!("{what}: one replica"),
            "set operator.replicas to 2: while it restarts no pod can be created in meshed namespaces",
        ),
        ready => Finding::ok(format!("{what}: {ready} of {wanted} replicas are ready")),
    }
}

pub(super) fn leader(found: Option<&Lease>, now: Timestamp) -> Finding {
    let mend = "kubectl logs of the operator: can it write its Lease?";
    let spec = found.and_then(|lease| lease.spec.as_ref());
    let held = spec.and_then(|spec| Some((spec.holder_identity.as_deref()?, spec.renew_time.as_ref()?.0)));
    match held {
        None => Finding::fail("leader: nobody writes plans", mend),
        Some((holder, renewed)) => {
            let silent = now.duration_since(renewed).as_secs();
            if silent > lease::DURATION.as_secs().cast_signed() {
                Finding::fail(format!("leader: {holder} has been silent for {silent} s"), mend)
            } else {
                Finding::ok(format!("leader: {holder}"))
            }
        }
    }
}

pub(super) fn bundles(what: &str, bundles: Option<&[Option<ByteString>]>, now: Timestamp) -> Finding {
    let Some(bundles) = bundles else {
        return Finding::fail(format!("{what}: not installed"), "install the chart");
    };
    let mut first_end: Option<Timestamp> = None;
    for bundle in bundles {
        let text = bundle.as_ref().map_or("", |ByteString(bytes)| {
            std::str::from_utf8(bytes).unwrap_or_default()
        });
        // The signing root stands first; one that is only still trusted may end.
        match not_after(text) {
            Ok(end) => first_end = Some(first_end.map_or(end, |first| first.min(end))),
            Err(_) => {
                return Finding::fail(
                    format!("{what}: a webhook has no usable caBundle"),
                    "the leader writes it: kubectl logs of the operator",
                );
            }
        }
    }
    let days = first_end.map_or(0, |end| end.duration_since(now).as_hours() / 24);
    let mend = "kubectl -n <operator's namespace> annotate secret motanmesh-ca --overwrite motanmesh.io/rotate-ca=\"$(date)\"";
    match days {
        i64::MIN..=-1 => Finding::fail(format!("{what}: the root has ended"), mend),
        0..ROOT_DAYS => Finding::warn(format!("{what}: the root ends in {days} days"), mend),
        _ => Finding::ok(format!("{what}: the root is valid for {days} days")),
    }
}

/// The namespaces that ask for injection and in which pods can be made: not those that are being deleted.
pub(super) fn enabled(namespaces: &[PartialObjectMeta<Namespace>]) -> BTreeSet<&str> {
    let asking = namespaces.iter().filter(|namespace| {
        namespace.metadata.deletion_timestamp.is_none()
            && namespace.annotations().get(names::INJECT).map(String::as_str) == Some(names::ENABLED)
    });
    asking
        .filter_map(|namespace| namespace.metadata.name.as_deref())
        .collect()
}

pub(super) fn labels(namespaces: &[PartialObjectMeta<Namespace>]) -> Finding {
    let asking = enabled(namespaces);
    let labelled = |namespace: &PartialObjectMeta<Namespace>| {
        namespace.labels().get(names::INJECTION_LABEL).map(String::as_str) == Some(names::ENABLED)
    };
    let missing: Vec<_> = namespaces
        .iter()
        .filter(|namespace| asking.contains(namespace.name_any().as_str()) && !labelled(namespace))
        .map(ResourceExt::name_any)
        .collect();
    if missing.is_empty() {
        Finding::ok(format!("namespaces: {} ask for sidecars", asking.len()))
    } else {
        Finding::warn(
            format!("namespaces without their mirrored label: {}", listed(&missing)),
            "the leader writes it; excluded namespaces never get it",
        )
    }
}

pub(super) fn uninjected(enabled: &BTreeSet<&str>, pods: &[Pod]) -> Finding {
    let bare: Vec<_> = pods
        .iter()
        .filter(|pod| enabled.contains(pod.namespace().unwrap_or_default().as_str()) && should_have(pod))
        .map(|pod| format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any()))
        .collect();
    if bare.is_empty() {
        Finding::ok("pods: every one that should have a sidecar has it")
    } else {
        Finding::warn(
            format!(
                "{} pods without a sidecar in namespaces that ask for it: {}",
                bare.len(),
                listed(&bare)
            ),
            "made before the annotation or while the operator was away: kubectl rollout restart their workload",
        )
    }
}

/// Whether a pod without a sidecar should have one.
fn should_have(pod: &Pod) -> bool {
    let injected = pod.labels().get(names::INJECTED_LABEL).map(String::as_str) == Some("true");
    let declines = pod.annotations().get(names::INJECT).map(String::as_str) == Some(names::DISABLED);
    let on_host = pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true);
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !injected && !declines && !on_host && !matches!(phase, Some("Succeeded" | "Failed"))
}

pub(super) fn skew(pods: &[Pod]) -> Finding {
    let mut versions: BTreeMap<&str, usize> = BTreeMap::new();
    for version in pods
        .iter()
        .filter_map(|pod| pod.annotations().get(names::INJECTED_BY))
    {
        *versions.entry(version).or_default() += 1;
    }
    let other: Vec<_> = versions
        .iter()
        .filter(|(version, _)| **version != VERSION)
        .map(|(version, count)| format!("{version} ({count})"))
        .collect();
    if other.is_empty() {
        Finding::ok(format!(
            "versions: {} sidecars are of {VERSION}",
            versions.values().sum::<usize>()
        ))
    } else {
        Finding::warn(
            format!("versions: sidecars that are not of {VERSION}: {}", listed(&other)),
            "kubectl rollout restart their workloads when it suits",
        )
    }
}

pub(super) fn service_ready(service: &MeshService) -> (String, bool) {
    let conditions = service.status.as_ref().map(|status| status.conditions.as_slice());
    (key(service), is_ready(conditions))
}

pub(super) fn dependency_ready(dependency: &MeshDependency) -> (String, bool) {
    let conditions = dependency
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice());
    (key(dependency), is_ready(conditions))
}

pub(super) fn ready(what: &str, word: &str, all: impl Iterator<Item = (String, bool)>) -> Finding {
    let all: Vec<_> = all.collect();
    let not: Vec<_> = all
        .iter()
        .filter(|(_, ready)| !ready)
        .map(|(key, _)| key.clone())
        .collect();
    if not.is_empty() {
        Finding::ok(format!("{what}: all {} are ready", all.len()))
    } else {
        Finding::warn(
            format!(
                "{what}: {} of {} are not ready: {}",
                not.len(),
                all.len(),
                listed(&not)
            ),
            format!("kubectl get {word} -A"),
        )
    }
}

fn key(object: &impl ResourceExt) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

fn is_ready(conditions: Option<&[Condition]>) -> bool {
    let conditions = conditions.into_iter().flatten();
    conditions
        .into_iter()
        .any(|found| found.type_ == condition::READY && found.status == "True")
}

fn listed(names: &[String]) -> String {
    let shown = names.get(..LISTED).unwrap_or(names).join(", ");
    match names.len().saturating_sub(LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{super::Level, *};
    use crate::authority::root::Roots;

    fn info(minor: &str) -> Info {
        Info {
            major: "1".to_owned(),
            minor: minor.to_owned(),
            git_version: format!("v1.{minor}"),
            ..Info::default()
        }
    }

    fn pod(value: &Value) -> Pod {
        let mut pod = json!({"metadata": {"name": "p", "namespace": "shop"}, "spec": {"containers": []}});
        json_patch::merge(&mut pod, value);
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn clusters_before_native_sidecars_fail() {
        for (minor, level) in [("28", Level::Fail), ("29", Level::Ok), ("34+", Level::Ok)] {
            assert_eq!(version(&info(minor)).level, level, "{minor}");
        }
    }

    #[test]
    fn a_namespace_that_is_being_deleted_asks_for_nothing() {
        let namespace = |deleted: Value| -> PartialObjectMeta<Namespace> {
            let meta = json!({"name": "shop", "annotations": {"motanmesh.io/inject": "enabled"}, "deletionTimestamp": deleted});
            serde_json::from_value(json!({"metadata": meta})).unwrap()
        };
        assert!(enabled(&[namespace(json!("2026-01-01T00:00:00Z"))]).is_empty());
        assert_eq!(enabled(&[namespace(Value::Null)]).len(), 1);
    }

    #[test]
    fn a_pod_that_should_have_a_sidecar_and_has_none_is_listed() {
        let enabled = BTreeSet::from(["shop"]);
        let fine = [
            pod(&json!({"metadata": {"labels": {names::INJECTED_LABEL: "true"}}})),
            pod(&json!({"metadata": {"annotations": {names::INJECT: names::DISABLED}}})),
            pod(&json!({"spec": {"hostNetwork": true}})),
            pod(&json!({"status": {"phase": "Succeeded"}})),
            pod(&json!({"metadata": {"namespace": "other"}})),
        ];
        assert_eq!(uninjected(&enabled, &fine).level, Level::Ok);
        let bare = uninjected(&enabled, &[pod(&json!({}))]);
        assert_eq!(bare.level, Level::Warn);
        assert!(bare.what.contains("shop/p"), "{bare}");
    }

    #[test]
    fn sidecars_of_another_version_are_counted() {
        let by = |version: &str| pod(&json!({"metadata": {"annotations": {names::INJECTED_BY: version}}}));
        assert_eq!(skew(&[by(VERSION)]).level, Level::Ok);
        let mixed = skew(&[by(VERSION), by("0.0.1"), by("0.0.1")]);
        assert!(
            mixed.level == Level::Warn && mixed.what.contains("0.0.1 (2)"),
            "{mixed}"
        );
    }

    #[test]
    fn a_bundle_is_judged_by_its_signing_root() {
        let now = Timestamp::now();
        let text = Roots::first(now).unwrap().bundle();
        let bundle = Some(ByteString(text.into_bytes()));
        let fine = [bundle.clone()];
        assert_eq!(bundles("w", Some(&fine), now).level, Level::Ok);
        let later = |days: i64| now + std::time::Duration::from_secs(days.cast_unsigned() * 24 * 3600);
        assert_eq!(bundles("w", Some(&fine), later(350)).level, Level::Warn);
        assert_eq!(bundles("w", Some(&fine), later(367)).level, Level::Fail);
        assert_eq!(bundles("w", Some(&[bundle, None]), now).level, Level::Fail);
        assert_eq!(bundles("w", None, now).level, Level::Fail);
    }
}
