//! A MeshService as the compiler sees it: parsed once, names resolved, or the flaw that keeps it out.

use crds::{BackendProtocol, MeshService, MeshServiceStatus, MotanNames, names};
use plan::{GroupName, HostName, InvalidName, Millis, PathName, Protocol, ServiceName};

use super::{Age, InvalidSelector, ObjectKey, Selector};

/// A MeshService.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Its name.
    pub key: ObjectKey,
    /// When it was made.
    pub age: Age,
    /// The generation of its spec.
    pub generation: Option<i64>,
    /// Whether it refuses to be deleted while something depends on it.
    pub protected: bool,
    /// What it offers, or why it can't.
    pub offer: Result<Offer, Flaw>,
    /// Its status as last seen.
    pub status: Option<Box<MeshServiceStatus>>,
}

/// What a MeshService offers, valid and with every default filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The pods that provide it.
    pub selector: Selector,
    /// `namespace/name`.
    pub name: ServiceName,
    /// The Motan path; by default `<name>.<namespace>`.
    pub path: PathName,
    /// The Motan group; by default the namespace.
    pub group: GroupName,
    /// The Motan version.
    pub version: Option<String>,
    /// What the program speaks.
    pub protocol: Protocol,
    /// Where the program listens, in its pod.
    pub port: u16,
    /// `<name>.<namespace>.mesh`, which nobody else can have.
    pub own_host: HostName,
    /// Further names, in the order written.
    pub hosts: Box<[HostName]>,
    /// The default for every caller.
    pub timeout: Option<Millis>,
}

/// Why an object can't be used; the API server's schema refuses these, a file or an older schema may hold them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The selector.
    #[error("spec.{0}")]
    Selector(#[from] InvalidSelector),
    /// A name.
    #[error("spec: {0}")]
    Name(#[from] InvalidName),
}

impl Service {
    /// Reads a MeshService.
    #[must_use]
    pub fn read(object: &MeshService) -> Self {
        let key = ObjectKey::of(&object.metadata);
        let annotations = object.metadata.annotations.as_ref();
        Self {
            age: Age::of(&object.metadata),
            generation: object.metadata.generation,
            protected: annotations
                .and_then(|annotations| annotations.get(names::PROTECTED))
                .is_some_and(|value| value == "true"),
            offer: Offer::read(&key, object),
            status: object.status.clone().map(Box::new),
            key,
        }
    }

    /// Whether it is the same service as far as any plan goes.
    pub(super) fn compiles_like(&self, other: &Self) -> bool {
        self.age == other.age && self.offer == other.offer
    }
}

impl Offer {
    fn read(key: &ObjectKey, object: &MeshService) -> Result<Self, Flaw> {
        let spec = &object.spec;
        let dotted = format!("{}.{}", key.name, key.namespace);
        let MotanNames { path, group, version } = spec.motan.clone().unwrap_or_default();
        Ok(Self {
            selector: Selector::read(&spec.selector)?,
            name: ServiceName::of(&key.namespace, &key.name)?,
            path: PathName::new(path.unwrap_or_else(|| dotted.clone()))?,
            group: GroupName::new(group.unwrap_or_else(|| key.namespace.to_string()))?,
            version,
            protocol: match spec.backend.protocol {
                BackendProtocol::Http => Protocol::Http,
                BackendProtocol::Motan2 => Protocol::Motan2,
            },
            port: spec.backend.port,
            own_host: HostName::new(format!("{dotted}.{}", names::MESH_DOMAIN))?,
            hosts: spec
                .hosts
                .iter()
                .map(|host| HostName::new(host.as_str()))
                .collect::<Result<_, _>>()?,
            timeout: spec
                .policy
                .as_ref()
                .and_then(|policy| policy.timeout.as_ref())
                .and_then(|timeout| Millis::new(timeout.millis())),
        })
    }
}
