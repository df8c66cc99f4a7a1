//! `compile --file CLUSTER.yaml --pod NS/NAME`: objects in, that pod's plan out.

use std::path::{Path, PathBuf};

use clap::Args;
use crds::{MeshDependency, MeshService};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use serde::Serialize;
use serde_json::Value;

use super::{Error, Printed, documents};
use crate::{
    compile, misspelt,
    settings::Mesh,
    world::{ObjectKey, World},
};

/// Print a pod's plan, from objects in a file.
#[derive(Debug, Args)]
pub struct Compile {
    /// YAML of the cluster: Namespaces, Pods, MeshServices, MeshDependencies (`kubectl get … -o yaml`); - is stdin.
    #[arg(long)]
    pub file: PathBuf,

    /// Whose plan: NAMESPACE/NAME.
    #[arg(long)]
    pub pod: String,

    /// What holds for the whole mesh.
    #[command(flatten)]
    pub mesh: Mesh,
}

impl Compile {
    /// The plan as JSON; notes name what could not be had.
    ///
    /// # Errors
    /// A file that can't be read, an object that is not what it says, or no such pod.
    pub fn run(&self) -> Result<Printed, Error> {
        let key = ObjectKey::parse(&self.pod).ok_or_else(|| Error::PodKey(self.pod.clone()))?;
        let (world, mut notes) = load(&self.file)?;
        let compiled =
            compile::compile(&world, &key, &self.mesh.defaults(None)).ok_or_else(|| Error::NoPod {
                pod: key.to_string(),
                path: self.file.display().to_string(),
                there: listed(&world),
            })?;
        if world.pod(&key).is_some_and(|pod| !pod.injected) {
            notes.push_str("note: the pod has no sidecar; this is the plan it would get\n");
        }
        notes.push_str(&flaws(&world));
        for problem in compiled.problems {
            notes.push_str(&match problem.dependency() {
                Some(dependency) => format!("problem: MeshDependency {dependency}: {problem}\n"),
                None => format!("problem: {problem}\n"),
            });
        }
        let document = compiled.plan.to_json() + "\n";
        Ok(Printed { document, notes })
    }
}

/// The world that a file describes, and a note for each object that has no part in it.
fn load(path: &Path) -> Result<(World, String), Error> {
    let mut world = World::default();
    let mut notes = String::new();
    for object in documents::read(path)? {
        match documents::text(&object, "/kind") {
            "Namespace" => {
                let namespace: Namespace = documents::typed(path, &object)?;
                world.apply_namespace(&namespace.metadata);
            }
            "Node" => {
                world.apply_node(&documents::typed::<Node>(path, &object)?.metadata);
            }
            "Pod" => {
                world.apply_pod(&documents::typed::<Pod>(path, &object)?);
            }
            "MeshService" => {
                let service: MeshService = documents::typed(path, &object)?;
                notes.push_str(&misspelt(&object, &service.spec));
                world.apply_service(&service);
            }
            "MeshDependency" => {
                let dependency: MeshDependency = documents::typed(path, &object)?;
                notes.push_str(&misspelt(&object, &dependency.spec));
                world.apply_dependency(&dependency);
            }
            kind => {
                let name = documents::text(&object, "/metadata/name");
                notes.push_str(&format!("note: {kind} {name} has no part in a plan\n"));
            }
        }
    }
    Ok((world, notes))
}

fn misspelt(object: &Value, spec: &impl Serialize) -> String {
    let known = serde_json::to_value(spec).unwrap_or_default();
    let written = object.get("spec").unwrap_or(&Value::Null);
    let kind = documents::text(object, "/kind");
    let name = documents::text(object, "/metadata/name");
    misspelt::unknown(written, &known, "spec")
        .into_iter()
        .map(|field| format!("problem: {kind} {name}: there is no field {field}\n"))
        .collect()
}

/// Objects that can't be used, which the API server's schema would have refused.
fn flaws(world: &World) -> String {
    let services = world.services().filter_map(|service| {
        let flaw = service.offer.as_ref().err()?;
        Some(format!("problem: MeshService {}: {flaw}\n", service.key))
    });
    let dependencies = world.dependencies().filter_map(|dependency| {
        let flaw = dependency.selector.as_ref().err()?;
        Some(format!("problem: MeshDependency {}: {flaw}\n", dependency.key))
    });
    services.chain(dependencies).collect()
}

fn listed(world: &World) -> String {
    let pods: Vec<_> = world.pods().map(|pod| pod.key.to_string()).collect();
    if pods.is_empty() {
        return "none".to_owned();
    }
    pods.join(", ")
}
