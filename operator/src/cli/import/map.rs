//! From entries to objects: pure, nothing is asked of a cluster.

use std::collections::{BTreeMap, BTreeSet};

use crds::{
    External, ExternalProtocol, MeshDependency, MeshDependencySpec, MeshService, MeshServiceSpec, MotanNames,
    Routing, ServiceRef,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::ObjectMeta;
use plan::Address;

use super::{
    Error, Import,
    entry::Entry,
    governed::{self, AgentFilters},
    name::{self, MotanName, Names},
    print::{Object, Part},
    provided::{self, Provided},
    sections::Sections,
    variables,
    web::{self, Shared},
};

const MOST_SERVICES: usize = 256; // of one MeshDependency
const MOST_ADDRESSES: usize = 32;

/// What is to be written.
#[derive(Debug)]
pub(super) struct Objects {
    /// What is said of the whole.
    pub(super) head: Vec<String>,
    pub(super) parts: Vec<Part>,
}

/// The addresses of a registry that is a list of them; others have none.
type Registries = BTreeMap<String, Vec<String>>;

/// An import under way.
struct Making<'i> {
    import: &'i Import,
    agent: AgentFilters,
    shared: Vec<Shared>,
    registries: Registries,
    labels: BTreeMap<String, String>,
    names: Names,
    known: BTreeSet<MotanName>,
    objects: Objects,
    wanted: Vec<ServiceRef>,
    /// What is said of the dependency.
    told: Vec<String>,
}

/// The objects of a configuration.
pub(super) fn objects(sections: Sections, import: &Import) -> Result<Objects, Error> {
    let Sections {
        mut agent,
        registries,
        services,
        refers,
        clients,
        locations,
        others,
    } = sections;
    if services.is_empty() && refers.is_empty() && clients.is_empty() {
        return Err(Error::Key {
            file: agent.file.to_string(),
            key: "motan-service, motan-refer, http-client".to_owned(),
            what: "none of them is there, so there is nothing to import: add the file that has them"
                .to_owned(),
        });
    }
    let application = application(&mut agent, import)?;
    let mut making = Making {
        import,
        agent: AgentFilters {
            default: agent.list("defaultFilter"),
            global: agent.list("globalFilter"),
        },
        shared: web::shared(&locations)?,
        labels: labels(&mut agent, &application, import)?,
        registries: Registries::new(),
        names: Names::default(),
        known: BTreeSet::new(),
        objects: Objects {
            head: agent.told(),
            parts: Vec::new(),
        },
        wanted: Vec::new(),
        told: Vec::new(),
    };
    for section in others {
        let what = "this section has no counterpart";
        making.objects.head.push(super::entry::line(&section, "…", what));
    }
    making.registries(registries)?;
    for entry in services {
        making.service(entry)?;
    }
    for entry in refers {
        making.refer(entry)?;
    }
    for entry in clients {
        making.client(entry)?;
    }
    making.dependencies(&application);
    Ok(making.objects)
}

fn application(agent: &mut Entry, import: &Import) -> Result<String, Error> {
    let written = agent.word("application");
    let first = import.pool.as_deref().and_then(|pool| pool.split('-').next());
    let named = import.application.clone().or(written);
    named
        .or_else(|| first.filter(|first| !first.is_empty()).map(str::to_owned))
        .ok_or_else(|| Error::Key {
            file: agent.file.to_string(),
            key: agent.path("application"),
            what: "it is missing: write the application's name, or pass --application".to_owned(),
        })
}

fn labels(agent: &mut Entry, application: &str, import: &Import) -> Result<BTreeMap<String, String>, Error> {
    let flagged = name::selected(&import.selector)?;
    if !flagged.is_empty() {
        return Ok(flagged);
    }
    if name::is_label_value(application) {
        return Ok([("app".to_owned(), application.to_owned())].into());
    }
    let label = name::label(application);
    agent.note(
        "application",
        application,
        &format!("it can't be the value of a label, so pods with app: {label} are selected"),
    );
    Ok([("app".to_owned(), label)].into())
}

impl Making<'_> {
    fn registries(&mut self, entries: Vec<Entry>) -> Result<(), Error> {
        for mut entry in entries {
            let mut addresses = Vec::new();
            if entry.word("protocol").as_deref() == Some("direct") {
                let port = entry.word("port");
                addresses = entry.list("address");
                if let Some(host) = entry.word("host") {
                    let port = port.unwrap_or_else(|| "0".to_owned());
                    addresses = vec![format!("{host}:{port}")];
                }
                let (sockets, rest): (Vec<_>, Vec<_>) = addresses
                    .into_iter()
                    .partition(|address| address.starts_with("unix:"));
                addresses = rest;
                for socket in sockets {
                    entry.note(
                        "address",
                        &socket,
                        "a unix socket is no address of a service outside",
                    );
                }
            }
            self.registries.insert(entry.id.clone(), addresses);
            self.objects.head.extend(entry.told());
        }
        Ok(())
    }

    fn service(&mut self, mut entry: Entry) -> Result<(), Error> {
        let made = provided::of(&mut entry, &self.shared, &self.agent, &self.labels, self.import)?;
        let place = entry.place();
        let Provided { motan, spec } = match made {
            Ok(provided) => provided,
            Err(why) => {
                self.objects.head.push(format!("{place} is left out: {why}"));
                return Ok(());
            }
        };
        let mut comments = entry.told();
        let mut spec = Some(spec);
        let groups = motan.len();
        for name in motan {
            if !self.known.insert(name.clone()) {
                comments.push(format!(
                    "{place}: another entry provides the same path and group, and one MeshService can: this one is left out"
                ));
                continue;
            }
            let Some(own) = spec.clone() else { continue };
            self.written(&name, own, std::mem::take(&mut comments));
            // What HTTP callers name is of one service alone.
            if groups > 1
                && let Some(spec) = &mut spec
                && !spec.hosts.is_empty()
            {
                spec.hosts.clear();
                spec.locations.clear();
                comments.push(format!(
                    "{place}: the domain and its paths are the first group's, as one service can have them"
                ));
            }
        }
        self.objects.head.extend(comments);
        Ok(())
    }

    /// Writes a MeshService by this name; paths of domains that another one has stay with that.
    fn written(&mut self, motan: &MotanName, mut spec: MeshServiceSpec, mut comments: Vec<String>) {
        let taken: Vec<_> = self
            .objects
            .parts
            .iter()
            .filter_map(|part| match &part.object {
                Object::Service(service) => Some(service.spec.locations.clone()),
                Object::Dependency(_) => None,
            })
            .flatten()
            .collect();
        let before = spec.locations.len();
        spec.locations.retain(|location| !taken.contains(location));
        if spec.locations.len() < before {
            comments.push("paths of its domain that a service above has are left out here".to_owned());
            if spec.locations.is_empty() {
                spec.hosts.clear();
            }
        }
        let MotanNames { path, version, .. } = spec.motan.take().unwrap_or_default();
        spec.motan = Some(MotanNames {
            path,
            group: motan.group.clone(),
            version,
        });
        let name = self.names.of(motan);
        let service = MeshService {
            metadata: self.metadata(name),
            spec,
            status: None,
        };
        self.objects.parts.push(Part {
            comments,
            object: Object::Service(Box::new(service)),
        });
    }

    fn metadata(&self, name: String) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: self.import.namespace.clone(),
            ..ObjectMeta::default()
        }
    }

    fn refer(&mut self, mut entry: Entry) -> Result<(), Error> {
        let path = entry.needed("path", "com.example.UserService")?;
        let group = self.group(&mut entry)?;
        for name in group.iter().chain([&path.value]) {
            provided::printable(name, &path, &entry.place())?;
        }
        let motan = MotanName {
            group,
            path: path.value,
        };
        let registries = self.addresses(&mut entry)?;
        let mixed = governed::mixed(&mut entry, motan.group.as_deref());
        self.wants(entry, (vec![motan], mixed), &registries, ExternalProtocol::Motan2)
    }

    /// An entry of `http-client`: a dependency on each service that the domain's paths lead to.
    fn client(&mut self, mut entry: Entry) -> Result<(), Error> {
        let domain = entry.needed("domain", "api.example.com")?;
        let group = self.group(&mut entry)?;
        let mut paths = entry.list("preload");
        for one in self.shared.iter().filter(|one| one.domain == domain.value) {
            if !paths.contains(&one.upstream) {
                paths.push(one.upstream.clone());
            }
        }
        if paths.is_empty() {
            entry.note(
                "domain",
                &domain.value,
                "neither preload nor http-locations names a service, so nothing is declared",
            );
            self.told.extend(entry.told());
            return Ok(());
        }
        for name in group.iter().chain(&paths) {
            provided::printable(name, &domain, &entry.place())?;
        }
        let registries = self.addresses(&mut entry)?;
        let mixed = governed::mixed(&mut entry, group.as_deref());
        let motan = paths
            .into_iter()
            .map(|path| MotanName {
                group: group.clone(),
                path,
            })
            .collect();
        entry.remark(
            "programs reach the domain by their HTTP proxy, 127.0.0.1:9983, as before; with ports: [{port: 80}] in the \
             MeshService they need none",
        );
        self.wants(entry, (motan, mixed), &registries, ExternalProtocol::Http)
    }

    fn group(&self, entry: &mut Entry) -> Result<Option<String>, Error> {
        let Some(group) = entry.text("group") else {
            return Ok(None);
        };
        Ok(Some(variables::placed(
            &group,
            &entry.path("group"),
            self.import,
        )?))
    }

    /// The addresses of an entry's registries.
    fn addresses(&self, entry: &mut Entry) -> Result<Vec<String>, Error> {
        let file = entry.peek("registry").map(|text| text.file.to_string());
        let mut all = Vec::new();
        for id in entry.list("registry") {
            let Some(addresses) = self.registries.get(&id) else {
                return Err(Error::Key {
                    file: file.unwrap_or_default(),
                    key: entry.path("registry"),
                    what: format!("{id:?} is not in motan-registry: add it there, or correct it"),
                });
            };
            for address in addresses {
                if !all.contains(address) {
                    Address::new(address.as_str()).map_err(|error| Error::Key {
                        file: file.clone().unwrap_or_default(),
                        key: format!("motan-registry.{id}"),
                        what: format!("{address}: {error}: write host:port"),
                    })?;
                    all.push(address.clone());
                }
            }
        }
        if all.len() > MOST_ADDRESSES {
            return Err(Error::Key {
                file: file.unwrap_or_default(),
                key: entry.path("registry"),
                what: format!(
                    "{} addresses: a service outside of the mesh can have {MOST_ADDRESSES}; name a DNS name that has all of \
                     them",
                    all.len()
                ),
            });
        }
        Ok(all)
    }

    /// Declares what an entry calls, and which groups are mixed; services that are at addresses outside become MeshServices.
    fn wants(
        &mut self,
        mut entry: Entry,
        (motan, mixed): (Vec<MotanName>, Option<Routing>),
        addresses: &[String],
        protocol: ExternalProtocol,
    ) -> Result<(), Error> {
        let filters = governed::filters(&mut entry, &self.agent);
        let mut policy = governed::of_caller(&mut entry, &filters)?;
        policy.routing = mixed;
        let policy = governed::said(policy);
        let version = entry.word("version");
        let place = entry.place();
        for one in motan {
            let name = self.names.of(&one);
            if self.wanted.iter().any(|wanted| wanted.name == name) {
                entry.remark(&format!(
                    "MeshService {name} is declared already: this entry's policy is left out"
                ));
                continue;
            }
            if !self.known.contains(&one) {
                if addresses.is_empty() {
                    let MotanName { group, path } = &one;
                    let group = group.as_deref().unwrap_or("(none)");
                    entry.remark(&format!(
                        "MeshService {name} is of the team that provides path {path}, group {group}: correct name, and add \
                         namespace, to what they call it"
                    ));
                } else {
                    self.known.insert(one.clone());
                    let spec = self.outside(&one, addresses, protocol, version.clone());
                    let comments = vec![format!("{place}: at the addresses of its registry")];
                    self.written(&one, spec, comments);
                }
            }
            self.wanted.push(ServiceRef {
                name,
                namespace: None,
                policy: policy.clone(),
            });
        }
        self.told.extend(entry.told());
        Ok(())
    }

    fn outside(
        &self,
        motan: &MotanName,
        addresses: &[String],
        protocol: ExternalProtocol,
        version: Option<String>,
    ) -> MeshServiceSpec {
        let own: Vec<_> = self
            .shared
            .iter()
            .filter(|one| protocol == ExternalProtocol::Http && one.upstream == motan.path)
            .collect();
        let mut hosts: Vec<_> = own.iter().map(|one| one.domain.clone()).collect();
        hosts.sort();
        hosts.dedup();
        MeshServiceSpec {
            external: Some(External {
                addresses: addresses.to_vec(),
                protocol,
            }),
            motan: Some(MotanNames {
                path: Some(motan.path.clone()),
                group: None,
                version,
            }),
            hosts,
            locations: own.iter().map(|one| one.location.clone()).collect(),
            ..provided::none()
        }
    }

    fn dependencies(&mut self, application: &str) {
        let selector = LabelSelector {
            match_labels: Some(self.labels.clone()),
            match_expressions: None,
        };
        let name = name::label(application);
        let wanted = std::mem::take(&mut self.wanted);
        if wanted.is_empty() {
            self.objects.head.append(&mut self.told);
        }
        for (number, services) in wanted.chunks(MOST_SERVICES).enumerate() {
            let name = match number {
                0 => name.clone(),
                number => format!("{name}-{}", number + 1),
            };
            let dependency = MeshDependency {
                metadata: self.metadata(name),
                spec: MeshDependencySpec {
                    selector: selector.clone(),
                    services: services.to_vec(),
                },
                status: None,
            };
            self.objects.parts.push(Part {
                comments: std::mem::take(&mut self.told),
                object: Object::Dependency(Box::new(dependency)),
            });
        }
    }
}
