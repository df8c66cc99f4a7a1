//! What a sidecar is told to run: the contract between operator and sidecar.
//!
//! The operator compiles the cluster into one [`Plan`] per pod and the sidecar runs it. The same JSON comes by
//! ConfigMap, by the live stream ([`stream`]) and from a file written by hand. Parsing is construction: a value of a
//! type here can't be invalid, so nothing downstream checks again. No behaviour, no I/O, no Kubernetes.

mod endpoint;
pub mod grpc;
mod listen;
mod location;
mod name;
mod parse;
mod policy;
pub mod rest;
pub mod scalar;
pub mod stream;
pub mod template;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use endpoint::{Address, Endpoint, EndpointState, InvalidAddress, InvalidZone, MAX_SEEDS, Weight, Zone};
pub use listen::{InvalidLocalAddress, LocalAddress, MAX_LISTENERS};
pub use location::{InvalidMatch, Location, MAX_LOCATIONS, MatchKind, PathMatch, Rewrite};
pub use name::{GroupName, HostName, InvalidName, MethodName, PathName, ServiceName, SubsetName};
pub use parse::PlanError;
pub use policy::{
    Abort, Adaptive, AddressRule, Addresses, Backup, BackupAfter, Balance, BalanceMode, Bounded, Breaker,
    Budget, CallMatch, CallPolicy, ClusterRate, Concurrency, DEFAULT_TIMEOUT, Degrade, Fault, FixedReply,
    HashBy, Health, InvalidAddressRule, InvalidPattern, InvalidReply, Limits, Locality, MAX_FAULTS,
    MAX_METHODS, MAX_PRIORITIES, MAX_REPLY, MAX_ROUTING_RULES, MAX_TIMEOUT, MAX_WAYS, Merge, MethodLimits,
    MethodPolicy, Millis, Mirror, NamedTarget, OutOfBounds, Outliers, Pattern, Percent, Policy, Priority,
    PriorityRule, Queue, Rate, ReplyBody, Retries, RetryOn, Routing, RoutingRule, Status, Target, Way,
    WayWeight,
};

/// The largest plan document that is read, in bytes: the size limit of a ConfigMap (1 MiB).
pub const MAX_PLAN_BYTES: usize = 1 << 20;

/// Everything one sidecar runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, try_from = "parse::RawPlan")]
pub struct Plan {
    /// Orders plans of one pod: of two plans the one with the higher revision is the newer.
    pub revision: Revision,
    /// Names the content: equal for two plans that differ only in `revision`, seed endpoints, or `control`'s state.
    pub hash: PlanHash,
    /// Who this sidecar serves.
    pub workload: Workload,
    /// Where live updates come from; absent when a sidecar runs alone from a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Control>,
    /// Where other agents reach this one (`host:port`); absent in a cluster, where the pod's address is not yet
    /// known when its plan is written and the sidecar takes it from its environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbound: Option<Address>,
    /// What the program may call, by name; sorted, names unique, hosts unique.
    #[serde(default)]
    pub services: Vec<Service>,
    /// What the program provides; sorted, (group, path) unique.
    #[serde(default)]
    pub exports: Vec<Export>,
    /// What a program may subscribe to by itself that is not in `services`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub undeclared: Undeclared,
    /// What is written down about calls.
    #[serde(default)]
    pub observe: Observe,
}

/// A service that the program depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// `namespace/name` of the MeshService.
    pub name: ServiceName,
    /// How Motan callers name it (`M_p`).
    pub path: PathName,
    /// The Motan group (`M_g`) that its providers are exported under.
    pub group: GroupName,
    /// The Motan version (`M_v`), compared only where both sides have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What the program behind it speaks; decides how a call is put into a Motan frame.
    pub protocol: Protocol,
    /// A `motan2` service whose programs take Motan 1 too, so that a caller is answered in its own version.
    #[serde(default, skip_serializing_if = "is_default")]
    pub motan1: bool,
    /// Its endpoints are outside of the mesh: programs and older agents that are called in plain Motan 2, by address
    /// or by a DNS name that is resolved again and again.
    #[serde(default, skip_serializing_if = "is_default")]
    pub external: bool,
    /// Its providers take calls of those outside of the mesh too, so that a thin client may fall back to them.
    #[serde(default, skip_serializing_if = "is_default")]
    pub plain: bool,
    /// It is here because the routing or the mirror of others leads to it: it can't be called by a name of its own.
    #[serde(default, skip_serializing_if = "is_default")]
    pub indirect: bool,
    /// Names that HTTP callers use, lower case and without a port.
    #[serde(default)]
    pub hosts: Vec<HostName>,
    /// Parts of further hosts, which it shares with others by path. Expressions are tried in this order, those of
    /// several services in the order of their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locations: Vec<Location>,
    /// Where the sidecar listens for calls to this service alone, whatever host they name: the program's own names for it
    /// lead there (loopback capture). At most [`MAX_LISTENERS`]; each belongs to one service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listen: Vec<LocalAddress>,
    /// As [`Export::http_exception`], for its providers without a sidecar: the caller's stands in for theirs.
    #[serde(default, skip_serializing_if = "is_default")]
    pub http_exception: bool,
    /// As [`Export::rewrites`], likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rewrites: Vec<Rewrite>,
    /// How calls to it are governed: everything resolved, nothing inherited any more.
    pub policy: Policy,
    /// Last known endpoints, at most [`MAX_SEEDS`]: used until the live stream has said better.
    #[serde(default)]
    pub seeds: Vec<Endpoint>,
}

/// A service that the program provides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Export {
    /// `namespace/name` of the MeshService.
    pub name: ServiceName,
    /// How Motan callers name it (`M_p`).
    pub path: PathName,
    /// The Motan group (`M_g`).
    pub group: GroupName,
    /// The Motan version (`M_v`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What the program speaks.
    pub protocol: Protocol,
    /// Where it listens (`host:port`; in a pod `127.0.0.1:<port>`).
    pub backend: Address,
    /// Where a `motan2` program takes Motan 1 (motan-wire.md 9); the same address as `backend` where it tells the two
    /// apart by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub motan1: Option<Address>,
    /// Callers from outside of the mesh are served too.
    #[serde(default, skip_serializing_if = "is_default")]
    pub plain: bool,
    /// What an `http` program answers with a status from 400 up is an exception to Motan callers (motan-wire.md 7.3);
    /// otherwise the status is in metadata only.
    #[serde(default, skip_serializing_if = "is_default")]
    pub http_exception: bool,
    /// What an `http` program gets instead of the paths that are asked for; at most [`MAX_LOCATIONS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rewrites: Vec<Rewrite>,
    /// How calls to it are governed on this side.
    pub policy: Policy,
    /// How many calls it takes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub limits: Limits,
    /// Which HTTP requests are which calls; for a program that speaks `motan2`.
    #[serde(default, skip_serializing_if = "rest::Routes::is_empty")]
    pub http: rest::Routes,
    /// How it may be called in JSON; for a program that speaks `grpc`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc: Option<grpc::Transcoding>,
}

/// What the program behind a service speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// gRPC, over HTTP/2 without TLS.
    Grpc,
    /// Motan version 2.
    Motan2,
    /// Motan version 1: Java's older protocol (motan-wire.md 9).
    Motan,
}

impl Protocol {
    /// Whether the program speaks Motan, of either version.
    #[must_use]
    pub const fn is_motan(self) -> bool {
        match self {
            Self::Motan | Self::Motan2 => true,
            Self::Http | Self::Grpc => false,
        }
    }

    /// The word used in YAML and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
            Self::Motan2 => "motan2",
            Self::Motan => "motan",
        }
    }
}

/// What becomes of a subscription that no MeshDependency declares (the management API of motan-clients.md 1.10).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Undeclared {
    /// It is refused, in words that name what is missing.
    #[default]
    Refuse,
    /// It is granted where such a service exists.
    Allow,
}

/// Who a sidecar serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Workload {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// What callers are told is calling (`M_s`): the owning workload's name, or the pod's label `app`.
    pub application: String,
    /// The zone that it is in, where its node says one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Zone>,
}

/// Where live updates come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Control {
    /// `host:port` of the operator's stream.
    pub address: Address,
    /// The name that its certificate must carry.
    pub server_name: String,
    /// PEM certificates, any of which may have signed it; more than one while a root is being rotated.
    pub roots: String,
}

/// What is written down about calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Observe {
    /// Which calls get a line in the access log.
    pub access_log: AccessLog,
}

/// Which calls get a line in the access log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessLog {
    /// None.
    Off,
    /// Those that failed.
    #[default]
    Errors,
    /// All.
    All,
}

/// Orders the plans of one pod; made from the API server's resource versions by the operator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Names the content of a plan: 16 hexadecimal digits, or empty in a file written by hand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlanHash(pub String);

impl std::fmt::Display for PlanHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Plan {
    /// Reads a plan document.
    ///
    /// # Errors
    /// Text over [`MAX_PLAN_BYTES`], malformed JSON, an unknown field, or a value that can't be: the message names
    /// the place.
    pub fn parse(text: &[u8]) -> Result<Self, PlanError> {
        parse::plan(text)
    }

    /// The document, indented, fields in a fixed order, so that equal plans are equal bytes.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a plan holds only strings, numbers and lists")
    }

    /// The hash of this content. Seeds and revision don't count: a new endpoint must not rewrite every caller's plan.
    #[must_use]
    pub fn content_hash(&self) -> PlanHash {
        let mut content = self.clone();
        content.revision = Revision::default();
        content.hash = PlanHash::default();
        for service in &mut content.services {
            service.seeds.clear();
        }
        let digest = Sha256::digest(content.to_json().as_bytes());
        PlanHash(digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
    }

    /// The names of all services that the program may call.
    #[must_use]
    pub fn service_names(&self) -> BTreeSet<&ServiceName> {
        self.services.iter().map(|service| &service.name).collect()
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests;
