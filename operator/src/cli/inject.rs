//! `inject --file POD.yaml`: the pods and workloads of a file, with their sidecar.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use clap::Args;
use k8s_openapi::api::core::v1 as core;
use serde_json::Value;

use super::{Error, Printed, documents};
use crate::{
    admission::{self, Declared, Outcome},
    compile::Defaults,
    settings::{Domain, Injection},
    world::{Namespace, World},
};

/// Print pods and workloads of a file with their sidecar.
#[derive(Debug, Args)]
pub struct Inject {
    /// YAML of pods or workloads; Namespaces in it say who asked; - is stdin.
    /// MeshServices and MeshDependencies in it say which names lead to the sidecar.
    #[arg(long)]
    pub file: PathBuf,

    /// A further file of Namespaces.
    #[arg(long)]
    pub namespace_file: Option<PathBuf>,

    /// What a sidecar looks like.
    #[command(flatten)]
    pub injection: Injection,

    /// Where the names of Kubernetes Services end.
    #[command(flatten)]
    pub domain: Domain,
}

/// Where the pod of each kind is.
const TEMPLATES: [(&str, &str); 8] = [
    ("Pod", ""),
    ("Deployment", "/spec/template"),
    ("StatefulSet", "/spec/template"),
    ("DaemonSet", "/spec/template"),
    ("ReplicaSet", "/spec/template"),
    ("ReplicationController", "/spec/template"),
    ("Job", "/spec/template"),
    ("CronJob", "/spec/jobTemplate/spec/template"),
];

impl Inject {
    /// The objects of the file as YAML, pods and pod templates with their sidecar; notes say what got none and why.
    ///
    /// # Errors
    /// A file that can't be read, or a pod that must not be created.
    pub fn run(&self) -> Result<Printed, Error> {
        let mut objects = documents::read(&self.file)?;
        let mut namespaces = namespaces(&self.file, &objects)?;
        if let Some(path) = &self.namespace_file {
            namespaces.extend(self::namespaces(path, &documents::read(path)?)?);
        }
        let world = documents::declared(&self.file, &objects)?;
        let mut notes = String::new();
        for object in &mut objects {
            notes.push_str(&self.visit(object, &namespaces, &world)?);
        }
        let documents = objects
            .iter()
            .map(serde_yaml::to_string)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Printed {
            document: documents.join("---\n"),
            notes,
        })
    }

    /// Gives one object its sidecar, where it has a pod; what it goes without is noted, a line each.
    fn visit(
        &self,
        object: &mut Value,
        namespaces: &HashMap<String, Namespace>,
        world: &World,
    ) -> Result<String, Error> {
        let kind = documents::text(object, "/kind").to_owned();
        let Some((_, pointer)) = TEMPLATES.iter().find(|(known, _)| *known == kind) else {
            return Ok(String::new());
        };
        let home = match documents::text(object, "/metadata/namespace") {
            "" => "default",
            namespace => namespace,
        };
        let namespace = namespaces.get(home).cloned().unwrap_or_else(|| Namespace {
            name: home.into(),
            ..Namespace::default()
        });
        let name = format!("{kind} {home}/{}", documents::text(object, "/metadata/name"));
        let plan_name = admission::plan_name(&name);
        let Some(pod) = object.pointer_mut(pointer) else {
            return Ok(String::new());
        };
        let defaults = Defaults {
            cluster_domain: self.domain.cluster_domain.clone(),
            ..Defaults::default()
        };
        let declared = Declared::of(world, &namespace.name, pod, &defaults);
        match admission::inject(pod, &namespace, &declared, &self.injection, &plan_name) {
            Outcome::Injected(injected) | Outcome::Renewed(injected) => {
                *pod = injected.pod;
                let notes = injected.notes.iter();
                Ok(notes
                    .map(|note| format!("note: {name} ({}): {}\n", note.reason, note.message))
                    .collect())
            }
            Outcome::Left(refusal) => Ok(format!(
                "note: {name} gets no sidecar ({}): {refusal}\n",
                refusal.reason
            )),
            Outcome::Denied(refusal) => Err(Error::Denied { name, refusal }),
        }
    }
}

fn namespaces(path: &Path, objects: &[Value]) -> Result<HashMap<String, Namespace>, Error> {
    objects
        .iter()
        .filter(|object| documents::text(object, "/kind") == "Namespace")
        .map(|object| {
            let object: core::Namespace = documents::typed(path, object)?;
            let namespace = Namespace::read(&object.metadata);
            Ok((namespace.name.to_string(), namespace))
        })
        .collect()
}
