//! A MeshService as the compiler sees it: parsed once, names resolved, or the flaw that keeps it out.

use std::collections::{BTreeMap, BTreeSet};

use crds::{
    Backend, BackendProtocol, External, ExternalProtocol, LocationKind, MeshService, MeshServiceSpec,
    MeshServiceStatus, MotanNames, RewriteKind, names,
};
use plan::grpc::Transcoding;
use plan::rest::Routes;
use plan::{
    Address, GroupName, HostName, InvalidAddress, InvalidMatch, InvalidName, Limits, Location, MAX_LISTENERS,
    MAX_SEEDS, MatchKind, PathMatch, PathName, Protocol, Rewrite, ServiceName, SubsetName,
};

use super::policy::{self, PolicyFlaw, PolicyWish};
use super::routes::{self, FrontFlaw};
use super::{Age, InvalidSelector, Labels, ObjectKey, Selector};

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
    /// Who provides it.
    pub provider: Provider,
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
    /// `<name>.<namespace>.mesh`, which nobody else can have.
    pub own_host: HostName,
    /// Further names, in the order written.
    pub hosts: Box<[HostName]>,
    /// The ports at which its names lead to the caller's sidecar, in the order written.
    pub ports: Box<[u16]>,
    /// The Kubernetes Service of this namespace whose names lead there too.
    pub kubernetes: Option<Box<str>>,
    /// The parts of them that it has, where it shares them by path.
    pub locations: Box<[Location]>,
    /// What an `http` program gets instead of paths.
    pub rewrites: Box<[Rewrite]>,
    /// Parts of its pods, with the labels of each.
    pub subsets: Box<[(SubsetName, Labels)]>,
    /// What holds for every caller that doesn't say otherwise.
    pub policy: PolicyWish,
    /// How many calls each of its pods takes.
    pub limits: Limits,
}

/// Who provides a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provider {
    /// Programs in pods of the mesh.
    Pods(Pods),
    /// Programs and agents outside of the mesh; sorted, each once.
    External(Box<[Address]>),
}

/// The pods that provide a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pods {
    /// Which.
    pub selector: Selector,
    /// Where the program listens, in its pod.
    pub port: u16,
    /// Where a `motan2` program takes Motan 1 too.
    pub motan1_port: Option<u16>,
    /// Whether HTTP statuses from 400 up are exceptions to Motan callers.
    pub http_exception: bool,
    /// Whether callers outside of the mesh are served as well.
    pub plain: bool,
    /// Which HTTP requests are which calls.
    pub routes: Routes,
    /// How it may be called in JSON.
    pub transcoding: Option<Transcoding>,
}

/// Why an object can't be used; the API server's schema refuses these, a file or an older schema may hold them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The selector.
    #[error("spec.{0}")]
    Selector(#[from] InvalidSelector),
    /// What lets callers speak HTTP and JSON.
    #[error(transparent)]
    Front(#[from] FrontFlaw),
    /// A name.
    #[error("spec: {0}")]
    Name(#[from] InvalidName),
    /// Neither pods nor addresses.
    #[error("spec: write selector and backend, or external")]
    Nobody,
    /// Pods and addresses.
    #[error("spec.external: it stands instead of pods: remove selector and backend, or remove external")]
    Both,
    /// Nothing of the mesh to open.
    #[error("spec.export: a service with external has no pods to open: remove export")]
    ExportOfExternal,
    /// Motan 1 beside another protocol than Motan 2.
    #[error(
        "spec.backend.motan1Port: only a motan2 program takes Motan 1 too: remove it, or write protocol: motan2"
    )]
    Motan1Port,
    /// Exceptions of statuses that there are none of.
    #[error(
        "spec.backend.httpException: it makes exceptions of HTTP statuses: remove it, or write protocol: http"
    )]
    HttpException,
    /// More ports than a sidecar opens for one service.
    #[error("spec.ports: {0} are listed: write at most {MAX_LISTENERS}")]
    PortCount(usize),
    /// A port that can't be, or is there already.
    #[error("spec.ports: {0} is listed twice, or is no port: list each from 1 to 65535 once")]
    Port(u16),
    /// Names that lead nowhere.
    #[error("spec.capture: its names need a port to lead to: add for example ports: [{{port: 80}}]")]
    CaptureWithoutPorts,
    /// The name of a Kubernetes Service.
    #[error(
        "spec.capture.service: {0:?} can't be the name of a Kubernetes Service: write the one whose names callers use"
    )]
    CaptureService(String),
    /// A location of a host that it has not.
    #[error("spec.locations[{0}].host: {1} is not in spec.hosts: add it there, or correct it")]
    LocationHost(usize, String),
    /// Locations of no host.
    #[error("spec.locations: they are of hosts: list the hosts that are shared in spec.hosts")]
    LocationsOfNothing,
    /// A location that can't be.
    #[error("spec.locations[{0}]: {1}")]
    Location(usize, InvalidMatch),
    /// A rewrite that can't be.
    #[error("spec.rewrites[{0}]: {1}")]
    Rewrite(usize, InvalidMatch),
    /// Paths of a program that has none.
    #[error("spec.rewrites: they change HTTP paths: remove them, or write protocol: http")]
    RewritesOfNoHttp,
    /// Parts of nothing.
    #[error(
        "spec.subsets: they are parts of a service's pods, and a service with external has none: remove subsets"
    )]
    SubsetsOfExternal,
    /// A part without labels, or another of its name.
    #[error(
        "spec.subsets: {0:?} is listed twice or has no labels: give each its name, and at least one label"
    )]
    Subset(String),
    /// How it wants calls to be governed.
    #[error("spec.{0}")]
    Policy(#[from] PolicyFlaw),
    /// Limits that no sidecar is there to keep.
    #[error(
        "spec.limits: the sidecars of pods keep them, and a service with external has none: remove limits"
    )]
    LimitsOfExternal,
    /// An address outside.
    #[error("spec.external.addresses: {0}")]
    Address(#[from] InvalidAddress),
    /// No address, or more than a plan carries.
    #[error("spec.external.addresses: {0} are listed: write from 1 to {MAX_SEEDS}")]
    AddressCount(usize),
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
        let (provider, protocol) = Provider::read(spec)?;
        let hosts: Box<[HostName]> = spec
            .hosts
            .iter()
            .map(|host| HostName::new(host.as_str()))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            provider,
            name: ServiceName::of(&key.namespace, &key.name)?,
            path: PathName::new(path.unwrap_or_else(|| dotted.clone()))?,
            group: GroupName::new(group.unwrap_or_else(|| key.namespace.to_string()))?,
            version,
            protocol,
            own_host: HostName::new(format!("{dotted}.{}", names::MESH_DOMAIN))?,
            locations: locations(spec, &hosts)?,
            rewrites: rewrites(spec, protocol)?,
            hosts,
            subsets: subsets(spec)?,
            ports: ports(spec)?,
            kubernetes: kubernetes(spec)?,
            policy: spec
                .policy
                .as_ref()
                .map(|written| policy::policy(written, &key.namespace))
                .transpose()?
                .unwrap_or_default(),
            limits: spec
                .limits
                .as_ref()
                .map(policy::limits)
                .transpose()?
                .unwrap_or_default(),
        })
    }

    /// The names of its Kubernetes Service, as a pod of the namespace `home` may use them in a cluster of this DNS domain.
    pub fn kubernetes_names(&self, home: &str, domain: &str) -> impl Iterator<Item = HostName> + use<> {
        let (namespace, _) = self.name.as_str().split_once('/').unwrap_or_default();
        let names = self.kubernetes.as_deref().map(|service| {
            let full = format!("{service}.{namespace}");
            let short = (namespace == home).then(|| service.to_owned());
            let longer = [format!("{full}.svc"), format!("{full}.svc.{domain}"), full];
            short.into_iter().chain(longer)
        });
        names
            .into_iter()
            .flatten()
            .filter_map(|name| HostName::new(name).ok())
    }

    /// What it has of hosts beside its own: whole ones, and parts of those that it shares.
    pub fn shares(&self) -> impl Iterator<Item = Location> {
        let whole = self.hosts.iter().filter(|host| self.has_whole(host));
        whole
            .cloned()
            .map(Location::whole)
            .chain(self.locations.iter().cloned())
    }

    /// Whether it does not share this host of its own by path.
    #[must_use]
    pub fn has_whole(&self, host: &HostName) -> bool {
        self.locations.iter().all(|location| &location.host != host)
    }

    /// The subsets that a pod with these labels is in; sorted.
    #[must_use]
    pub fn subsets_of(&self, labels: &Labels) -> Vec<SubsetName> {
        let is_in = |wanted: &Labels| wanted.iter().all(|(key, value)| labels.get(key) == Some(value));
        let subsets = self.subsets.iter().filter(|(_, wanted)| is_in(wanted));
        subsets.map(|(name, _)| name.clone()).collect()
    }

    /// The pods that provide it, where pods do.
    #[must_use]
    pub const fn pods(&self) -> Option<&Pods> {
        match &self.provider {
            Provider::Pods(pods) => Some(pods),
            Provider::External(_) => None,
        }
    }

    /// The addresses outside of the mesh that provide it, where they do.
    #[must_use]
    pub fn external(&self) -> Option<&[Address]> {
        match &self.provider {
            Provider::Pods(_) => None,
            Provider::External(addresses) => Some(addresses),
        }
    }
}

fn locations(spec: &MeshServiceSpec, hosts: &[HostName]) -> Result<Box<[Location]>, Flaw> {
    if hosts.is_empty() && !spec.locations.is_empty() {
        return Err(Flaw::LocationsOfNothing);
    }
    let mut all = Vec::new();
    for (at, crds::Location { host, text, kind }) in spec.locations.iter().enumerate() {
        let kind = match kind {
            LocationKind::Exact => MatchKind::Exact,
            LocationKind::Start => MatchKind::Start,
            LocationKind::Regexp => MatchKind::Regexp,
            LocationKind::Iregexp => MatchKind::Iregexp,
        };
        let mut of: Vec<&HostName> = hosts.iter().collect();
        if let Some(host) = host {
            of.retain(|listed| listed.as_str() == host);
            if of.is_empty() {
                return Err(Flaw::LocationHost(at, host.clone()));
            }
        }
        for host in of {
            let location = Location::new(host.clone(), kind, text.as_str());
            all.push(location.map_err(|error| Flaw::Location(at, error))?);
        }
    }
    Ok(all.into())
}

fn rewrites(spec: &MeshServiceSpec, protocol: Protocol) -> Result<Box<[Rewrite]>, Flaw> {
    if protocol != Protocol::Http && !spec.rewrites.is_empty() {
        return Err(Flaw::RewritesOfNoHttp);
    }
    let read = |rewrite: &crds::Rewrite| {
        let crds::Rewrite {
            text,
            kind,
            not,
            pattern,
            replacement,
        } = rewrite;
        let kind = match kind {
            RewriteKind::Exact => MatchKind::Exact,
            RewriteKind::Start => MatchKind::Start,
            RewriteKind::Regexp => MatchKind::Regexp,
            RewriteKind::Iregexp => MatchKind::Iregexp,
            RewriteKind::RegexpVar => MatchKind::RegexpVar,
        };
        let condition = PathMatch::new(kind, text.as_str())?;
        Rewrite::new(condition, *not, pattern.as_str(), replacement.as_str())
    };
    let rewrites = spec.rewrites.iter().enumerate();
    rewrites
        .map(|(at, rewrite)| read(rewrite).map_err(|error| Flaw::Rewrite(at, error)))
        .collect()
}

impl Provider {
    /// Who provides it, and in what protocol they are called.
    fn read(spec: &MeshServiceSpec) -> Result<(Self, Protocol), Flaw> {
        let exposure = spec.export.as_ref();
        match (&spec.selector, &spec.backend, &spec.external) {
            (None, None, Some(_)) if exposure.is_some() => Err(Flaw::ExportOfExternal),
            (None, None, Some(_)) if spec.limits.is_some() => Err(Flaw::LimitsOfExternal),
            (None, None, Some(_)) if !spec.http.is_empty() || spec.grpc.is_some() => {
                Err(FrontFlaw::OfExternal.into())
            }
            (None, None, Some(external)) => {
                let protocol = match external.protocol {
                    ExternalProtocol::Motan2 => Protocol::Motan2,
                    ExternalProtocol::Http => Protocol::Http,
                };
                Ok((Self::external(external)?, protocol))
            }
            (Some(selector), Some(backend), None) => {
                let protocol = protocol(backend)?;
                let (routes, transcoding) = routes::front(spec, protocol)?;
                let pods = Pods {
                    selector: Selector::read(selector)?,
                    port: backend.port,
                    motan1_port: backend.motan1_port,
                    http_exception: backend.http_exception,
                    plain: exposure.is_some_and(|exposure| exposure.plain),
                    routes,
                    transcoding,
                };
                Ok((Self::Pods(pods), protocol))
            }
            (_, _, Some(_)) => Err(Flaw::Both),
            (_, _, None) => Err(Flaw::Nobody),
        }
    }

    fn external(external: &External) -> Result<Self, Flaw> {
        let listed = &external.addresses;
        if listed.is_empty() || listed.len() > MAX_SEEDS {
            return Err(Flaw::AddressCount(listed.len()));
        }
        let addresses: BTreeSet<Address> = listed
            .iter()
            .map(|address| Address::new(address.as_str()))
            .collect::<Result<_, _>>()?;
        Ok(Self::External(addresses.into_iter().collect()))
    }
}

fn subsets(spec: &MeshServiceSpec) -> Result<Box<[(SubsetName, Labels)]>, Flaw> {
    if spec.external.is_some() && !spec.subsets.is_empty() {
        return Err(Flaw::SubsetsOfExternal);
    }
    let mut subsets = BTreeMap::new();
    for crds::Subset { name, labels } in &spec.subsets {
        let labels: Labels = labels
            .iter()
            .map(|(key, value)| (key.as_str().into(), value.as_str().into()))
            .collect();
        let is_empty = labels.is_empty();
        if subsets.insert(SubsetName::new(name.as_str())?, labels).is_some() || is_empty {
            return Err(Flaw::Subset(name.clone()));
        }
    }
    Ok(subsets.into_iter().collect())
}

fn ports(spec: &MeshServiceSpec) -> Result<Box<[u16]>, Flaw> {
    let ports: Box<[u16]> = spec.ports.iter().map(|listed| listed.port).collect();
    if ports.len() > MAX_LISTENERS {
        return Err(Flaw::PortCount(ports.len()));
    }
    let mut seen = BTreeSet::from([0]);
    match ports.iter().find(|port| !seen.insert(**port)) {
        Some(wrong) => Err(Flaw::Port(*wrong)),
        None => Ok(ports),
    }
}

fn kubernetes(spec: &MeshServiceSpec) -> Result<Option<Box<str>>, Flaw> {
    let Some(capture) = &spec.capture else {
        return Ok(None);
    };
    let name = capture.service.as_str();
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_label = name.len() <= 63 // RFC 1035
        && name.bytes().all(letter)
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('-');
    if !is_label {
        return Err(Flaw::CaptureService(name.to_owned()));
    }
    if spec.ports.is_empty() {
        return Err(Flaw::CaptureWithoutPorts);
    }
    Ok(Some(name.into()))
}

fn protocol(backend: &Backend) -> Result<Protocol, Flaw> {
    if backend.http_exception && backend.protocol != BackendProtocol::Http {
        return Err(Flaw::HttpException);
    }
    match backend.protocol {
        BackendProtocol::Motan2 => Ok(Protocol::Motan2),
        _ if backend.motan1_port.is_some() => Err(Flaw::Motan1Port),
        BackendProtocol::Http => Ok(Protocol::Http),
        BackendProtocol::Grpc => Ok(Protocol::Grpc),
        BackendProtocol::Motan => Ok(Protocol::Motan),
    }
}
