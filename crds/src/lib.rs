//! The API people write: `MeshService` and `MeshDependency`, group `motanmesh.io`, version `v1alpha1`.
//!
//! Types, their schema with its CEL rules, and the names of labels and annotations. Nothing here acts: what the
//! schema can't say is judged by the operator's admission. A field stands here only when it works.

#![expect(
    unreachable_pub,
    reason = "KubeSchema repeats each spec inside a private block of its own"
)]
#![allow(
    clippy::duplicated_attributes,
    reason = "two printer columns of one type are not a repetition"
)]

pub mod condition;
mod dependency;
mod duration;
mod limits;
pub mod names;
mod policy;
mod routes;
mod service;
mod size;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

pub use dependency::{AppliedCount, MeshDependency, MeshDependencySpec, MeshDependencyStatus, ServiceRef};
pub use duration::{InvalidTimeout, Timeout};
pub use limits::{
    AdaptiveLimit, CallPriority, CallerLimit, ClusterRate, Limits, MethodLimit, PriorityEntry, Queue,
};
pub use policy::{
    Abort, Backup, Balance, BalanceMode, Breaker, CallMatch, Degrade, Fault, FixedReply, HashBy, Health,
    Locality, MethodPolicy, MethodRetries, Mirror, NamedTarget, Policy, Retries, RetryBudget, RetryOn,
    RouteTarget, Routing, RoutingRule, TrafficCommands, Way,
};
pub use routes::{
    GrpcSpec, HttpMatch, HttpRoute, RouteArgument, RouteBody, RouteError, RouteKind, RouteMethod,
    RouteSerialization,
};
pub use service::{
    Backend, BackendProtocol, Capture, CapturePort, EndpointCount, Exposure, External, ExternalProtocol,
    Location, LocationKind, MeshService, MeshServiceSpec, MeshServiceStatus, MotanNames, Rewrite,
    RewriteKind, Subset,
};
pub use size::{InvalidMingzSize, MingzSize};

/// Both definitions, as they are installed.
#[must_use]
pub fn definitions() -> [CustomResourceDefinition; 2] {
    [MeshService::crd(), MeshDependency::crd()]
}

/// Both definitions as YAML documents: what `motanmesh-operator crds` prints and what `crds/*.yaml` holds.
///
/// # Errors
/// None in practice: the definitions are constants that serde can write.
pub fn definitions_yaml() -> Result<String, serde_yaml::Error> {
    let documents = definitions()
        .iter()
        .map(serde_yaml::to_string)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(documents.join("---\n"))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[test]
    fn the_committed_yaml_is_what_the_types_say() {
        let committed = include_str!("../motanmesh.io.yaml");
        assert_eq!(committed, definitions_yaml().unwrap(), "run `make generate`");
    }

    /// kubectl reads YAML 1.1, where these are booleans unless they are quoted.
    #[test]
    fn no_name_is_one_that_kubectl_reads_as_a_boolean() {
        fn names(schema: &serde_json::Value, seen: &mut Vec<String>) {
            if let Some(properties) = schema["properties"].as_object() {
                seen.extend(properties.keys().cloned());
            }
            let words = schema["enum"].as_array().into_iter().flatten();
            seen.extend(words.filter_map(|word| word.as_str().map(str::to_owned)));
            match schema {
                serde_json::Value::Object(fields) => fields.values().for_each(|field| names(field, seen)),
                serde_json::Value::Array(items) => items.iter().for_each(|item| names(item, seen)),
                _ => {}
            }
        }
        let mut seen = Vec::new();
        for document in serde_yaml::Deserializer::from_str(&definitions_yaml().unwrap()) {
            names(&serde_json::Value::deserialize(document).unwrap(), &mut seen);
        }
        assert!(seen.iter().any(|name| name == "retryOn"));
        let booleans = ["y", "n", "yes", "no", "on", "off", "true", "false"];
        let bad = seen
            .iter()
            .filter(|name| booleans.contains(&name.to_lowercase().as_str()));
        assert_eq!(bad.collect::<Vec<_>>(), Vec::<&String>::new());
    }

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Example {
        #[serde(skip_serializing_if = "Option::is_none")]
        policy: Option<Policy>,
        #[serde(skip_serializing_if = "Option::is_none")]
        limits: Option<Limits>,
    }

    #[test]
    fn every_example_of_the_documentation_is_what_the_types_know() {
        for (page, least) in [
            (include_str!("../../docs/policies.md"), 8),
            (include_str!("../../docs/migration.md"), 3),
        ] {
            let examples: Vec<&str> = page
                .split("```yaml\n")
                .skip(1)
                .filter_map(|rest| rest.split("```").next())
                .collect();
            assert!(examples.len() >= least);
            for example in examples {
                let written: serde_json::Value = serde_yaml::from_str(example).unwrap();
                let read: Example = serde_yaml::from_str(example).unwrap();
                // What the types don't know is lost.
                assert_eq!(serde_json::to_value(&read).unwrap(), written, "{example}");
            }
        }
    }
}
