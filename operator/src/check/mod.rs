//! `check`: is this cluster fit for the mesh, and is the mesh well. Reads, tries one dry run, changes nothing.
//!
//! [`judge`] turns what was read into findings, purely; this room reads and prints.

mod judge;
mod probe;

use std::{fmt, time::Duration};

use clap::Args;
use crds::{MeshDependency, MeshService};
use jiff::Timestamp;
use k8s_openapi::{
    api::{
        admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
        apps::v1::Deployment,
        coordination::v1::Lease,
        core::v1::{Namespace, Pod},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{Api, Client, Resource, api::ListParams, core::PartialObjectMeta};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::{cli::Printed, connect, connect::plain};

/// How long one question may take.
const QUESTION: Duration = Duration::from_secs(15);

/// Check the cluster and the mesh in it.
#[derive(Debug, Clone, Args)]
pub struct Check {
    /// The operator's namespace.
    #[arg(long, env = "MOTANMESH_NAMESPACE", default_value = "motanmesh")]
    namespace: String,
    /// The operator's Deployment.
    #[arg(long, env = "MOTANMESH_SERVICE_NAME", default_value = "motanmesh-operator")]
    service_name: String,
    /// The name of both webhook configurations.
    #[arg(long, env = "MOTANMESH_WEBHOOK_NAME", default_value = "motanmesh")]
    webhook_name: String,
    /// The Lease that says who writes.
    #[arg(long, env = "MOTANMESH_LEASE", default_value = "motanmesh-operator")]
    lease: String,
}

/// One line of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    level: Level,
    what: String,
    mend: Option<String>,
}

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// Someone should look.
    Warn,
    /// The mesh does not work.
    Fail,
}

impl Finding {
    fn ok(what: impl Into<String>) -> Self {
        Self {
            level: Level::Ok,
            what: what.into(),
            mend: None,
        }
    }

    fn warn(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            level: Level::Warn,
            what: what.into(),
            mend: Some(mend.into()),
        }
    }

    fn fail(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            level: Level::Fail,
            what: what.into(),
            mend: Some(mend.into()),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "FAIL",
        };
        write!(f, "{level:<5} {}", self.what)?;
        match &self.mend {
            Some(mend) => write!(f, "\n      → {mend}"),
            None => Ok(()),
        }
    }
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
enum Unread {
    #[error(transparent)]
    Request(#[from] kube::Error),
    #[error("no answer within {} s", QUESTION.as_secs())]
    Late,
}

impl Check {
    /// Checks; the second part says whether nothing failed.
    ///
    /// # Errors
    /// There is no way to any cluster.
    pub fn run(self) -> anyhow::Result<(Printed, bool)> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let findings = runtime.block_on(async {
            let client = connect::client().await?;
            anyhow::Ok(self.findings(&client).await)
        })?;
        let well = findings.iter().all(|finding| finding.level != Level::Fail);
        let lines: Vec<_> = findings.iter().map(|finding| format!("{finding}\n")).collect();
        Ok((lines.concat().into(), well))
    }

    async fn findings(&self, client: &Client) -> Vec<Finding> {
        let version = match within(client.apiserver_version()).await {
            Ok(version) => version,
            Err(error) => {
                let mend = "check KUBECONFIG, and that this machine reaches the API server";
                return vec![Finding::fail(format!("API server: {}", plain(&error)), mend)];
            }
        };
        let mut findings = vec![judge::version(&version)];
        for name in ["meshservices.motanmesh.io", "meshdependencies.motanmesh.io"] {
            let read = one::<CustomResourceDefinition>(Api::all(client.clone()), name).await;
            findings.push(read.map_or_else(
                |error| unread(name, &error),
                |crd| judge::definition(name, crd.as_ref()),
            ));
        }
        findings.extend(self.operator(client).await);
        findings.extend(self.webhooks(client).await);
        findings.extend(self.workloads(client).await);
        findings
    }

    async fn operator(&self, client: &Client) -> Vec<Finding> {
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), &self.namespace);
        let leases: Api<Lease> = Api::namespaced(client.clone(), &self.namespace);
        let deployment = one(deployments, &self.service_name).await;
        let lease = one(leases, &self.lease).await;
        let what = format!("operator {}/{}", self.namespace, self.service_name);
        vec![
            deployment.map_or_else(
                |error| unread(&what, &error),
                |found| judge::deployment(&what, found.as_ref()),
            ),
            lease.map_or_else(
                |error| unread("leader", &error),
                |lease| judge::leader(lease.as_ref(), Timestamp::now()),
            ),
        ]
    }

    async fn webhooks(&self, client: &Client) -> Vec<Finding> {
        let name = &self.webhook_name;
        let mutating = one::<MutatingWebhookConfiguration>(Api::all(client.clone()), name).await;
        let validating = one::<ValidatingWebhookConfiguration>(Api::all(client.clone()), name).await;
        let now = Timestamp::now();
        let bundles = [
            mutating.map(|found| {
                found.map(|found| {
                    let webhooks = found.webhooks.into_iter().flatten();
                    webhooks
                        .map(|webhook| webhook.client_config.ca_bundle)
                        .collect::<Vec<_>>()
                })
            }),
            validating.map(|found| {
                found.map(|found| {
                    let webhooks = found.webhooks.into_iter().flatten();
                    webhooks
                        .map(|webhook| webhook.client_config.ca_bundle)
                        .collect::<Vec<_>>()
                })
            }),
        ];
        let kinds = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];
        let each = kinds.iter().zip(bundles).map(|(kind, bundles)| {
            let what = format!("{kind} {name}");
            bundles.map_or_else(
                |error| unread(&what, &error),
                |bundles| judge::bundles(&what, bundles.as_deref(), now),
            )
        });
        each.collect()
    }

    async fn workloads(&self, client: &Client) -> Vec<Finding> {
        let namespaces = all::<PartialObjectMeta<Namespace>>(client).await;
        let pods = all::<Pod>(client).await;
        let (namespaces, pods) = match (namespaces, pods) {
            (Ok(namespaces), Ok(pods)) => (namespaces, pods),
            (Err(error), _) => return vec![unread("namespaces", &error)],
            (_, Err(error)) => return vec![unread("pods", &error)],
        };
        let enabled = judge::enabled(&namespaces);
        let mut findings = vec![
            judge::labels(&namespaces),
            probe::inject(client, enabled.iter().next().copied()).await,
            judge::uninjected(&enabled, &pods),
            judge::skew(&pods),
        ];
        let services = all::<MeshService>(client).await;
        let dependencies = all::<MeshDependency>(client).await;
        findings.push(services.map_or_else(
            |error| unread("MeshServices", &error),
            |all| judge::ready("MeshServices", "msvc", all.iter().map(judge::service_ready)),
        ));
        findings.push(dependencies.map_or_else(
            |error| unread("MeshDependencies", &error),
            |all| {
                judge::ready(
                    "MeshDependencies",
                    "mdep",
                    all.iter().map(judge::dependency_ready),
                )
            },
        ));
        findings
    }
}

fn unread(what: &str, error: &Unread) -> Finding {
    Finding::fail(
        format!("{what}: {}", plain(error)),
        "run check as someone who may read it, and look at the API server",
    )
}

async fn one<K>(api: Api<K>, name: &str) -> Result<Option<K>, Unread>
where
    K: Clone + DeserializeOwned + fmt::Debug,
{
    within(api.get_opt(name)).await
}

/// Every object of a kind, page by page.
async fn all<K>(client: &Client) -> Result<Vec<K>, Unread>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + fmt::Debug,
{
    let api: Api<K> = Api::all(client.clone());
    let mut params = ListParams::default().limit(500);
    let mut objects = Vec::new();
    loop {
        let page = within(api.list(&params)).await?;
        objects.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(objects),
        }
    }
}

async fn within<T>(question: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Unread> {
    match timeout(QUESTION, question).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Unread::Late),
    }
}
