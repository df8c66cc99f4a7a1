//! From text to a valid [`Plan`]: what serde reads, and the rules that span more than one field.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use crate::{
    Address, Control, Export, Location, MAX_LISTENERS, MAX_LOCATIONS, MAX_PLAN_BYTES, MAX_SEEDS, Observe,
    Plan, PlanHash, Protocol, Revision, Rewrite, Service, ServiceName, Undeclared, Workload,
};

/// The most locations of a service in a plan: each of a MeshService's for each of its hosts.
const MAX_SHARED: usize = 16 * MAX_LOCATIONS;

/// Why a document is not a plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Longer than [`MAX_PLAN_BYTES`].
    #[error("the plan has {0} bytes; at most 1 MiB is read")]
    TooLarge(usize),
    /// Not JSON, an unknown field, or a value that can't be; serde names line and column.
    #[error("the plan can't be read: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// A rule of the whole plan that is broken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    #[error("services: {0} is listed twice")]
    ServiceTwice(String),
    #[error("services: host {host} belongs to both {first} and {second}")]
    HostTwice {
        host: String,
        first: String,
        second: String,
    },
    #[error("services: location {location} belongs to both {first} and {second}")]
    LocationTwice {
        location: String,
        first: String,
        second: String,
    },
    #[error("services: {0} has {1} locations; at most {MAX_SHARED}")]
    TooManyLocations(String, usize),
    #[error("{0}: rewrites are for http programs; this one speaks {1}")]
    RewritesOfNoHttp(String, &'static str),
    #[error("{0} has {1} rewrites; at most {MAX_LOCATIONS}")]
    TooManyRewrites(String, usize),
    #[error("services: {0} has {1} seeds; at most {MAX_SEEDS}")]
    TooManySeeds(String, usize),
    #[error("services: {0} has {1} listeners; at most {MAX_LISTENERS}")]
    TooManyListeners(String, usize),
    #[error("services: listener {listener} belongs to both {first} and {second}")]
    ListenerTwice {
        listener: String,
        first: String,
        second: String,
    },
    #[error("services: calls to {0}, or copies of them, go to {1}, which is not listed")]
    TargetMissing(String, String),
    #[error(
        "services: {0} is reached by the routing or the mirror of others only, and has hosts, locations or listeners"
    )]
    NamesOfIndirect(String),
    #[error("exports: group {0} and path {1} are listed twice")]
    ExportTwice(String, String),
    #[error("{0}: motan1 is for motan2 programs that take Motan 1 too; this one speaks {1}")]
    NotMotan2(String, &'static str),
    #[error("{0}: httpException is for http programs; this one speaks {1}")]
    NotHttp(String, &'static str),
    #[error("exports: {0}: http routes are for motan2 programs; this one speaks {1}")]
    RoutesOf(String, &'static str),
    #[error("exports: {0}: grpc is for grpc programs; this one speaks {1}")]
    TranscodingOf(String, &'static str),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawPlan {
    revision: Revision,
    #[serde(default)]
    hash: PlanHash,
    workload: Workload,
    control: Option<Control>,
    inbound: Option<Address>,
    #[serde(default)]
    services: Vec<Service>,
    #[serde(default)]
    exports: Vec<Export>,
    #[serde(default)]
    undeclared: Undeclared,
    #[serde(default)]
    observe: Observe,
}

pub(crate) fn plan(text: &[u8]) -> Result<Plan, PlanError> {
    if text.len() > MAX_PLAN_BYTES {
        return Err(PlanError::TooLarge(text.len()));
    }
    Ok(serde_json::from_slice(text)?)
}

impl TryFrom<RawPlan> for Plan {
    type Error = Broken;

    fn try_from(raw: RawPlan) -> Result<Self, Broken> {
        let RawPlan {
            revision,
            hash,
            workload,
            control,
            inbound,
            mut services,
            mut exports,
            undeclared,
            observe,
        } = raw;
        services.sort_by(|a, b| a.name.cmp(&b.name));
        exports.sort_by(|a, b| (&a.name, &a.group, &a.path).cmp(&(&b.name, &b.group, &b.path)));
        check_services(&services)?;
        check_locations(&services)?;
        check_listeners(&services)?;
        check_targets(&services)?;
        check_exports(&exports)?;
        Ok(Self {
            revision,
            hash,
            workload,
            control,
            inbound,
            services,
            exports,
            undeclared,
            observe,
        })
    }
}

fn check_services(services: &[Service]) -> Result<(), Broken> {
    let mut names = HashSet::new();
    let mut hosts = HashMap::new();
    for service in services {
        if !names.insert(&service.name) {
            return Err(Broken::ServiceTwice(service.name.to_string()));
        }
        if service.motan1 {
            check_motan2("services", &service.name, service.protocol)?;
        }
        check_web(
            &format!("services: {}", service.name),
            service.protocol,
            &service.rewrites,
            service.http_exception,
        )?;
        if service.seeds.len() > MAX_SEEDS {
            return Err(Broken::TooManySeeds(
                service.name.to_string(),
                service.seeds.len(),
            ));
        }
        for host in &service.hosts {
            if let Some(first) = hosts
                .insert(host, &service.name)
                .filter(|first| *first != &service.name)
            {
                let (first, second) = (first.to_string(), service.name.to_string());
                return Err(Broken::HostTwice {
                    host: host.to_string(),
                    first,
                    second,
                });
            }
        }
    }
    Ok(())
}

fn check_targets(services: &[Service]) -> Result<(), Broken> {
    let names: HashSet<_> = services.iter().map(|service| &service.name).collect();
    for service in services {
        let missing = service.policy.targets().find_map(|target| {
            let named = target.service.as_ref();
            named.filter(|named| !names.contains(named))
        });
        if let Some(missing) = missing {
            let (by, missing) = (service.name.to_string(), missing.to_string());
            return Err(Broken::TargetMissing(by, missing));
        }
        let Service {
            hosts,
            locations,
            listen,
            ..
        } = service;
        if service.indirect && !(hosts.is_empty() && locations.is_empty() && listen.is_empty()) {
            return Err(Broken::NamesOfIndirect(service.name.to_string()));
        }
    }
    Ok(())
}

fn check_listeners(services: &[Service]) -> Result<(), Broken> {
    let mut owners = HashMap::new();
    for service in services {
        if service.listen.len() > MAX_LISTENERS {
            let (name, count) = (service.name.to_string(), service.listen.len());
            return Err(Broken::TooManyListeners(name, count));
        }
        for listener in &service.listen {
            if let Some(first) = owners.insert(listener, &service.name) {
                return Err(Broken::ListenerTwice {
                    listener: listener.to_string(),
                    first: first.to_string(),
                    second: service.name.to_string(),
                });
            }
        }
    }
    Ok(())
}

fn check_motan2(list: &str, name: &ServiceName, protocol: Protocol) -> Result<(), Broken> {
    match protocol {
        Protocol::Motan2 => Ok(()),
        other => Err(Broken::NotMotan2(format!("{list}: {name}"), other.as_str())),
    }
}

/// A whole host is what nothing else of it takes, and so a location like others.
fn check_locations(services: &[Service]) -> Result<(), Broken> {
    let mut taken: HashMap<Location, &ServiceName> = HashMap::new();
    for service in services {
        if service.locations.len() > MAX_SHARED {
            let (name, count) = (service.name.to_string(), service.locations.len());
            return Err(Broken::TooManyLocations(name, count));
        }
        let whole = service.hosts.iter().cloned().map(Location::whole);
        for location in service.locations.iter().cloned().chain(whole) {
            let words = location.to_string();
            if let Some(first) = taken
                .insert(location, &service.name)
                .filter(|first| *first != &service.name)
            {
                return Err(Broken::LocationTwice {
                    location: words,
                    first: first.to_string(),
                    second: service.name.to_string(),
                });
            }
        }
    }
    Ok(())
}

/// What a program that speaks HTTP is asked differently, and answers differently. `place` names the service or export.
fn check_web(
    place: &str,
    protocol: Protocol,
    rewrites: &[Rewrite],
    http_exception: bool,
) -> Result<(), Broken> {
    let is_http = protocol == Protocol::Http;
    if http_exception && !is_http {
        return Err(Broken::NotHttp(place.to_owned(), protocol.as_str()));
    }
    if rewrites.len() > MAX_LOCATIONS {
        return Err(Broken::TooManyRewrites(place.to_owned(), rewrites.len()));
    }
    if !rewrites.is_empty() && !is_http {
        return Err(Broken::RewritesOfNoHttp(place.to_owned(), protocol.as_str()));
    }
    Ok(())
}

fn check_exports(exports: &[Export]) -> Result<(), Broken> {
    let mut keys = HashSet::new();
    for export in exports {
        if export.motan1.is_some() {
            check_motan2("exports", &export.name, export.protocol)?;
        }
        let name = || export.name.to_string();
        if !export.http.is_empty() && export.protocol != Protocol::Motan2 {
            return Err(Broken::RoutesOf(name(), export.protocol.as_str()));
        }
        if export.grpc.is_some() && export.protocol != Protocol::Grpc {
            return Err(Broken::TranscodingOf(name(), export.protocol.as_str()));
        }
        check_web(
            &format!("exports: {}", export.name),
            export.protocol,
            &export.rewrites,
            export.http_exception,
        )?;
        if !keys.insert((&export.group, &export.path)) {
            return Err(Broken::ExportTwice(
                export.group.to_string(),
                export.path.to_string(),
            ));
        }
    }
    Ok(())
}
