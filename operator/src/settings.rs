//! Flags and environment, parsed once into types that can't be wrong.

use std::str::FromStr;

use clap::{Args, ValueEnum};
use plan::{AccessLog, Control, Millis, Undeclared};

use crate::{
    admission::{DrainDelay, LogLevel, Quantity},
    compile::Defaults,
};

/// The version of this program, and of the sidecars it injects.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What holds for the whole mesh where no object says otherwise.
#[derive(Debug, Clone, Args)]
pub struct Mesh {
    /// How long a call may take where neither service nor dependency says: 1ms to 1h.
    #[arg(long, env = "MOTANMESH_DEFAULT_TIMEOUT", default_value = "1s")]
    pub default_timeout: crds::Timeout,

    /// Which calls get a line in the sidecars' access log.
    #[arg(long, env = "MOTANMESH_ACCESS_LOG", value_enum, default_value_t)]
    pub access_log: Logged,

    /// What becomes of a program's own subscription to a service that no MeshDependency declares for it.
    #[arg(long, env = "MOTANMESH_UNDECLARED", value_enum, default_value_t)]
    pub undeclared: Subscribing,

    /// Where the names of Kubernetes Services end.
    #[command(flatten)]
    pub domain: Domain,
}

/// Where the names of Kubernetes Services end.
#[derive(Debug, Clone, Args)]
pub struct Domain {
    /// The cluster's DNS domain.
    #[arg(long, env = "MOTANMESH_CLUSTER_DOMAIN", default_value = "cluster.local")]
    pub cluster_domain: String,
}

/// Which calls get a line in the access log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Logged {
    /// None.
    Off,
    /// Those that failed.
    #[default]
    Errors,
    /// All.
    All,
}

/// What becomes of a program's own subscription that is not declared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Subscribing {
    /// It is refused, in words that name what is missing.
    #[default]
    Refuse,
    /// It is granted where a MeshService offers it.
    Allow,
}

impl Mesh {
    /// The defaults of every plan; `control` says where its live updates come from.
    #[must_use]
    pub fn defaults(&self, control: Option<Control>) -> Defaults {
        Defaults {
            timeout: Millis::new(self.default_timeout.millis()).unwrap_or(plan::DEFAULT_TIMEOUT),
            access_log: match self.access_log {
                Logged::Off => AccessLog::Off,
                Logged::Errors => AccessLog::Errors,
                Logged::All => AccessLog::All,
            },
            undeclared: match self.undeclared {
                Subscribing::Refuse => Undeclared::Refuse,
                Subscribing::Allow => Undeclared::Allow,
            },
            cluster_domain: self.domain.cluster_domain.clone(),
            control,
        }
    }
}

/// What an injected sidecar looks like, and where none is injected.
#[derive(Debug, Clone, Args)]
pub struct Injection {
    /// The operator's own namespace, where nothing is ever injected.
    #[arg(long, env = "MOTANMESH_NAMESPACE", default_value = "motanmesh")]
    pub namespace: String,

    /// Further namespaces where nothing is ever injected.
    #[arg(
        long,
        env = "MOTANMESH_EXCLUDED_NAMESPACES",
        value_delimiter = ',',
        default_value = "kube-system,kube-public,kube-node-lease"
    )]
    pub excluded_namespaces: Vec<String>,

    /// The sidecar's image.
    #[arg(
        long,
        env = "MOTANMESH_SIDECAR_IMAGE",
        default_value = concat!("motanmesh/sidecar:", env!("CARGO_PKG_VERSION"))
    )]
    pub sidecar_image: String,

    /// When a node fetches the sidecar's image.
    #[arg(
        long,
        env = "MOTANMESH_SIDECAR_IMAGE_PULL_POLICY",
        default_value = "IfNotPresent"
    )]
    pub sidecar_image_pull_policy: PullPolicy,

    /// The sidecar's CPU request.
    #[arg(long, env = "MOTANMESH_SIDECAR_CPU_REQUEST", default_value = "10m")]
    pub sidecar_cpu_request: Quantity,

    /// The sidecar's CPU limit; empty for none.
    #[arg(long, env = "MOTANMESH_SIDECAR_CPU_LIMIT", default_value = "")]
    pub sidecar_cpu_limit: Limit,

    /// The sidecar's memory request.
    #[arg(long, env = "MOTANMESH_SIDECAR_MEMORY_REQUEST", default_value = "16Mi")]
    pub sidecar_memory_request: Quantity,

    /// The sidecar's memory limit; empty for none.
    #[arg(long, env = "MOTANMESH_SIDECAR_MEMORY_LIMIT", default_value = "128Mi")]
    pub sidecar_memory_limit: Limit,

    /// The sidecar's log level.
    #[arg(long, env = "MOTANMESH_SIDECAR_LOG_LEVEL", default_value = "info")]
    pub sidecar_log_level: LogLevel,

    /// How long a pod that is going away keeps taking calls: 0s to 60s.
    #[arg(long, env = "MOTANMESH_DRAIN_DELAY", default_value = "5s")]
    pub drain_delay: DrainDelay,
}

impl Injection {
    /// Whether nothing is ever injected in this namespace.
    #[must_use]
    pub fn excludes(&self, namespace: &str) -> bool {
        self.namespace == namespace
            || self
                .excluded_namespaces
                .iter()
                .any(|excluded| excluded == namespace)
    }
}

/// When a node fetches an image; Kubernetes' words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum PullPolicy {
    /// Each time.
    Always,
    /// Where it isn't there yet.
    IfNotPresent,
    /// Never.
    Never,
}

impl PullPolicy {
    /// The word in a container.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// A limit that may be none: written as the empty text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit(pub Option<Quantity>);

impl FromStr for Limit {
    type Err = <Quantity as FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        text.parse().map(|quantity| Self(Some(quantity)))
    }
}
