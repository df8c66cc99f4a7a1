//! Clusters of a test, written as people write them.

use crds::{MeshDependency, MeshService};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use operator::world::{ObjectKey, Touched, World};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

/// The object in a YAML text.
pub(crate) fn object<T: DeserializeOwned>(text: &str) -> T {
    serde_yaml::from_str(text).unwrap()
}

/// The key of `namespace/name`.
pub(crate) fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text).unwrap()
}

/// The world that holds these objects, one YAML document each.
pub(crate) fn world(text: &str) -> World {
    let mut world = World::default();
    apply(&mut world, text);
    world
}

/// Applies objects to a world; what the last one touched.
pub(crate) fn apply(world: &mut World, text: &str) -> Touched {
    let mut touched = Touched::default();
    for document in serde_yaml::Deserializer::from_str(text) {
        let value = Value::deserialize(document).unwrap();
        touched = match value["kind"].as_str().unwrap() {
            "Namespace" => world.apply_namespace(&typed::<Namespace>(value).metadata),
            "Node" => world.apply_node(&typed::<Node>(value).metadata),
            "Pod" => world.apply_pod(&typed::<Pod>(value)),
            "MeshService" => world.apply_service(&typed::<MeshService>(value)),
            "MeshDependency" => world.apply_dependency(&typed::<MeshDependency>(value)),
            other => panic!("{other} is not in a world"),
        };
    }
    touched
}

fn typed<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// A MeshService `namespace/name` that selects `app: <name>`, with more lines of its spec.
pub(crate) fn service(name: &str, second: u8, spec: &str) -> String {
    let key = key(name);
    format!(
        "apiVersion: motanmesh.io/v1alpha1
kind: MeshService
metadata: {{name: {name}, namespace: {namespace}, generation: 3, creationTimestamp: \"2026-01-01T00:00:{second:02}Z\"}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  backend: {{protocol: http, port: 8080}}
{spec}",
        name = key.name,
        namespace = key.namespace,
    )
}

/// A MeshDependency `namespace/name` that selects `app: web` and names these services.
pub(crate) fn dependency(name: &str, second: u8, services: &str) -> String {
    let key = key(name);
    format!(
        "apiVersion: motanmesh.io/v1alpha1
kind: MeshDependency
metadata: {{name: {name}, namespace: {namespace}, generation: 5, creationTimestamp: \"2026-01-01T00:00:{second:02}Z\"}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  services: {services}
",
        name = key.name,
        namespace = key.namespace,
    )
}

/// An injected pod `namespace/name` with this label `app`; ready where it has an address.
pub(crate) fn pod(name: &str, app: &str, ip: Option<&str>) -> String {
    let key = key(name);
    let status = ip.map_or(String::new(), |ip| {
        format!("status: {{phase: Running, podIP: {ip}, conditions: [{{type: Ready, status: \"True\"}}]}}\n")
    });
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {namespace}, labels: {{app: {app}, motanmesh.io/injected: \"true\"}}}}
spec: {{containers: [{{name: app, image: app}}]}}
{status}",
        name = key.name,
        namespace = key.namespace,
    )
}

/// Several objects as one text.
pub(crate) fn together(objects: &[String]) -> String {
    objects.join("---\n")
}
