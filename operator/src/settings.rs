//! Flags and environment, parsed once into types that can't be wrong.

use std::str::FromStr;

use clap::{Args, ValueEnum};
use plan::{AccessLog, Control, Millis, Undeclared};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    admission::{DrainDelay, LogLevel, Quantity},
    compile::Defaults,
    misspelt,
    world::{PolicyWish, mesh_wide},
};

/// The version of this program, and of the sidecars it injects.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What holds for the whole mesh where no object says otherwise.
#[derive(Debug, Clone, Args)]
pub struct Mesh {
    /// How long a call may take where neither service nor dependency says: 1ms to 1h.
    #[arg(long, env = "MOTANMESH_DEFAULT_TIMEOUT", default_value = "1s")]
    pub default_timeout: crds::Timeout,

    /// How calls are governed where neither service nor dependency says: `spec.policy` of a MeshService as JSON or YAML,
    /// without what is of one service: methods, routing, degrade, faults, mirror.
    #[arg(long, env = "MOTANMESH_DEFAULT_POLICY", default_value = "{}")]
    pub default_policy: MeshPolicy,

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

/// A policy of the whole mesh.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MeshPolicy(pub PolicyWish);

impl FromStr for MeshPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let written: Value = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        let policy = crds::Policy::deserialize(&written).map_err(|error| error.to_string())?;
        let known = serde_json::to_value(&policy).map_err(|error| error.to_string())?;
        match misspelt::unknown(&written, &known, "policy").first() {
            Some(field) => Err(format!("{field}: there is no such field: correct it")),
            None => mesh_wide(&policy).map(Self).map_err(|flaw| flaw.to_string()),
        }
    }
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
            policy: self.default_policy.0.clone(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_of_the_mesh_is_read_and_what_is_of_one_service_is_refused_with_its_field() {
        let policy: MeshPolicy = r#"{"retries": {"attempts": 1}, "balance": {"locality": {}}}"#
            .parse()
            .unwrap();
        assert_eq!(policy.0.call.attempts.map(plan::Bounded::get), Some(1));
        assert!(policy.0.balance.is_some_and(|balance| balance.locality.is_some()));
        assert_eq!("{}".parse(), Ok(MeshPolicy::default()));
        let cases = [
            ("{retries: {attempts: 11}}", "policy.retries.attempts"),
            ("{retry: {attempts: 1}}", "policy.retry"),
            (
                "{methods: [{match: get*}]}",
                "policy.methods: it is of one service",
            ),
            ("{degrade: {message: no}}", "policy.degrade"),
            ("{timeout: soon}", "soon"),
            ("[", "did not find"),
        ];
        for (text, words) in cases {
            let error = text.parse::<MeshPolicy>().unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
