//! What `run` is told, by flags or environment.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use clap::Args;
use plan::{Address, Control, InvalidAddress};
use process::logging::Format;

use super::STREAM_PORT;
use crate::{
    authority::root::Roots,
    settings::{Injection, Mesh},
};

/// Run the operator.
#[derive(Debug, Clone, Args)]
pub struct Run {
    #[command(flatten)]
    pub(super) injection: Injection,
    #[command(flatten)]
    pub(super) mesh: Mesh,

    /// This replica's pod.
    #[arg(long, env = "MOTANMESH_POD_NAME")]
    pub(super) pod_name: String,
    /// This replica's address, where other replicas pass on what their sidecars say.
    #[arg(long, env = "MOTANMESH_POD_IP")]
    pub(super) pod_ip: Option<IpAddr>,
    /// The Service in front of all replicas.
    #[arg(long, env = "MOTANMESH_SERVICE_NAME", default_value = "motanmesh-operator")]
    pub(super) service_name: String,
    /// The name of both webhook configurations.
    #[arg(long, env = "MOTANMESH_WEBHOOK_NAME", default_value = "motanmesh")]
    pub(super) webhook_name: String,
    /// The Secret that holds the mesh's roots.
    #[arg(long, env = "MOTANMESH_CA_SECRET", default_value = "motanmesh-ca")]
    pub(super) ca_secret: String,
    /// The Lease that says who writes.
    #[arg(long, env = "MOTANMESH_LEASE", default_value = "motanmesh-operator")]
    pub(super) lease: String,
    /// Plans written to ConfigMaps a second, at most.
    #[arg(long, env = "MOTANMESH_PLAN_WRITES_PER_SECOND", default_value_t = 50)]
    pub(super) plan_writes_per_second: u32,
    /// This replica's projected token with the stream's audience, by which the leader knows it.
    #[arg(
        long,
        env = "MOTANMESH_TOKEN_FILE",
        default_value = "/var/run/secrets/motanmesh/token"
    )]
    pub(super) token_file: PathBuf,
    /// Where webhooks are answered; by default every address of the pod, port 9443.
    #[arg(long, env = "MOTANMESH_WEBHOOK_ADDRESS")]
    pub(super) webhook_address: Option<SocketAddr>,
    /// Where sidecars are answered; by default every address of the pod, port 9444.
    #[arg(long, env = "MOTANMESH_STREAM_ADDRESS")]
    pub(super) stream_address: Option<SocketAddr>,
    /// Where metrics and probes are answered; by default every address of the pod, port 9990.
    #[arg(long, env = "MOTANMESH_ADMIN_ADDRESS")]
    pub(super) admin_address: Option<SocketAddr>,
    /// error, warn, info, debug, trace, or a list such as info,kube=debug.
    #[arg(long, env = "MOTANMESH_LOG_LEVEL", default_value = "info")]
    pub(super) log_level: String,
    /// json or text.
    #[arg(long, env = "MOTANMESH_LOG_FORMAT", default_value = "json")]
    pub(super) log_format: Format,
}

impl Run {
    /// The names of the certificate: what callers may say, the full one last.
    pub(super) fn names(&self) -> Vec<String> {
        let (service, namespace) = (&self.service_name, &self.injection.namespace);
        vec![
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}"),
            format!("{service}.{namespace}.svc.{}", self.mesh.domain.cluster_domain),
        ]
    }

    /// Every address of the family that the pod has; not both, as a node may have only one.
    pub(super) fn or_any(&self, address: Option<SocketAddr>, port: u16) -> SocketAddr {
        let any = match self.pod_ip {
            Some(IpAddr::V6(_)) => IpAddr::from([0; 16]),
            Some(IpAddr::V4(_)) | None => IpAddr::from([0; 4]),
        };
        address.unwrap_or_else(|| (any, port).into())
    }

    /// The name that the certificate carries and sidecars expect.
    pub(super) fn server_name(&self) -> String {
        format!("{}.{}.svc", self.service_name, self.injection.namespace)
    }

    /// Where sidecars find their stream, with the roots that are trusted now.
    pub(super) fn control(&self, roots: &Roots) -> Result<Control, InvalidAddress> {
        Ok(Control {
            address: Address::new(format!("{}:{STREAM_PORT}", self.server_name()))?,
            server_name: self.server_name(),
            roots: roots.bundle(),
        })
    }
}
