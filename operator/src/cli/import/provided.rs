//! An entry of `motan-service`: a MeshService for each of its groups.

use std::collections::BTreeMap;

use crds::{Backend, BackendProtocol, MeshServiceSpec, MotanNames};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::{
    Error, Import,
    entry::Entry,
    governed::{self, AgentFilters},
    limits,
    name::MotanName,
    read::Text,
    variables,
    web::Shared,
};

const MOST_SHARED: usize = 32; // locations, and rewrites, of one MeshService

/// What a service is, once for each group.
pub(super) struct Provided {
    pub(super) motan: Vec<MotanName>,
    pub(super) spec: MeshServiceSpec,
}

/// What an entry provides, or why nothing of it can be written.
pub(super) fn of(
    entry: &mut Entry,
    shared: &[Shared],
    agent: &AgentFilters,
    labels: &BTreeMap<String, String>,
    import: &Import,
) -> Result<Result<Provided, String>, Error> {
    let path = entry.needed("path", "com.example.UserService")?;
    let group = entry.text("group");
    let groups = match &group {
        None => Vec::new(),
        Some(group) => {
            let text = variables::placed(group, &entry.path("group"), import)?;
            let mut groups: Vec<String> = Vec::new();
            for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                if !groups.iter().any(|known| known == name) {
                    groups.push(name.to_owned());
                }
            }
            groups
        }
    };
    for name in groups.iter().chain([&path.value]) {
        printable(name, &path, &entry.place())?;
    }
    let mut backend = match backend(entry)? {
        Ok(backend) => backend,
        Err(why) => return Ok(Err(why)),
    };
    let filters = governed::filters(entry, agent);
    let limits = limits::of_provider(entry, &filters)?;
    let policy = governed::said(governed::of_provider(entry, &filters)?);
    let version = entry.word("version");
    let mut spec = MeshServiceSpec {
        selector: Some(LabelSelector {
            match_labels: Some(labels.clone()),
            match_expressions: None,
        }),
        motan: Some(MotanNames {
            path: Some(path.value.clone()),
            group: None, // one of the groups
            version,
        }),
        policy,
        limits,
        ..none()
    };
    if backend.protocol == BackendProtocol::Http {
        backend.http_exception = entry.flag("enableHttpException")?.unwrap_or_default();
        web(entry, &mut spec, &path.value, shared)?;
    }
    spec.backend = Some(backend);
    let motan = if groups.is_empty() {
        vec![MotanName {
            group: None,
            path: path.value,
        }]
    } else {
        let one = |group| MotanName {
            group: Some(group),
            path: path.value.clone(),
        };
        groups.into_iter().map(one).collect()
    };
    Ok(Ok(Provided { motan, spec }))
}

/// A MeshService that says nothing.
pub(super) fn none() -> MeshServiceSpec {
    MeshServiceSpec {
        selector: None,
        subsets: Vec::new(),
        backend: None,
        external: None,
        export: None,
        motan: None,
        hosts: Vec::new(),
        ports: Vec::new(),
        capture: None,
        locations: Vec::new(),
        rewrites: Vec::new(),
        http: Vec::new(),
        grpc: None,
        policy: None,
        limits: None,
    }
}

/// Checks that Motan's words for a service can be written.
pub(super) fn printable(name: &str, of: &Text, place: &str) -> Result<(), Error> {
    if (1..=253).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(Error::Key {
        file: of.file.to_string(),
        key: place.to_owned(),
        what: format!(
            "{name:?} must be from 1 to 253 letters, digits and signs without spaces: correct path or group"
        ),
    })
}

/// What the program speaks, and where.
fn backend(entry: &mut Entry) -> Result<Result<Backend, String>, Error> {
    let provider = entry.word("provider").unwrap_or_default();
    let export = entry.text("export");
    let proxy = entry.text("proxy");
    let address = entry.text("proxyAddress");
    let schema = entry.word("proxySchema");
    let host = entry.word("proxy.host");
    if host.as_deref().is_some_and(|host| host.starts_with("unix:")) {
        return Ok(Err(
            "its program listens on a unix socket: let it listen on a port of 127.0.0.1".to_owned(),
        ));
    }
    if let Some(host) = host.filter(|host| !is_here(host)) {
        entry.note(
            "proxy.host",
            &host,
            "the program is in the pod itself, at backend.port",
        );
    }
    let (protocol, port) = match provider.as_str() {
        "cgi" => {
            return Ok(Err(
                "FastCGI is not spoken: put an HTTP server before the program".to_owned(),
            ));
        }
        "httpx" | "mockProvider" => {
            return Ok(Err(format!(
                "provider {provider} has no counterpart: let the program take HTTP requests, or Motan 2"
            )));
        }
        "http" => {
            let Some(address) = address else {
                return Ok(Err(
                    "provider http without proxyAddress makes URLs of calls, which has no counterpart: let the program take \
                     HTTP requests at one address"
                        .to_owned(),
                ));
            };
            if address.value.starts_with("unix:") {
                return Ok(Err(
                    "its program listens on a unix socket: let it listen on a port of 127.0.0.1".to_owned(),
                ));
            }
            if schema.is_some_and(|schema| schema != "http") {
                return Ok(Err(
                    "its program speaks TLS: the sidecar beside it needs plain HTTP on 127.0.0.1".to_owned(),
                ));
            }
            let (host, port) = address.value.rsplit_once(':').unwrap_or((&address.value, "80"));
            if !is_here(host) {
                entry.note(
                    "proxyAddress",
                    &address.value,
                    "the program is in the pod itself, at backend.port",
                );
            }
            (
                BackendProtocol::Http,
                number(port, &address, &entry.path("proxyAddress"))?,
            )
        }
        _ => match (proxy, &export) {
            (Some(proxy), _) => {
                let (word, port) = proxy.value.rsplit_once(':').unwrap_or(("motan2", &proxy.value));
                let Some(protocol) = protocol(word) else {
                    return Ok(Err(format!("a program that speaks {word} has no counterpart")));
                };
                (protocol, number(port, &proxy, &entry.path("proxy"))?)
            }
            // The program serves by itself, with motan-go as its library.
            (None, Some(export)) => {
                let (word, port) = export.value.rsplit_once(':').unwrap_or(("motan2", &export.value));
                let Some(protocol) = protocol(word) else {
                    return Ok(Err(format!("a program that speaks {word} has no counterpart")));
                };
                return Ok(Ok(of_port(
                    protocol,
                    number(port, export, &entry.path("export"))?,
                )));
            }
            (None, None) => {
                return Err(Error::Key {
                    file: entry.file.to_string(),
                    key: entry.path("proxy"),
                    what: "nothing says where the program listens: write for example proxy: motan2:8100, or proxyAddress with \
                           provider: http"
                        .to_owned(),
                });
            }
        },
    };
    if let Some(export) = export.filter(|export| !matches!(export.value.as_str(), "motan2:9982" | "9982")) {
        entry.note(
            "export",
            &export.value,
            "sidecars are reached at 9982, or where motanmesh.io/inbound-port on the pods says",
        );
    }
    Ok(Ok(of_port(protocol, port)))
}

const fn of_port(protocol: BackendProtocol, port: u16) -> Backend {
    Backend {
        protocol,
        port,
        motan1_port: None,
        http_exception: false,
    }
}

fn protocol(word: &str) -> Option<BackendProtocol> {
    match word {
        "motan2" => Some(BackendProtocol::Motan2),
        "motan" | "motanV1Compatible" => Some(BackendProtocol::Motan),
        "http" => Some(BackendProtocol::Http),
        "grpc" => Some(BackendProtocol::Grpc),
        _ => None,
    }
}

fn is_here(host: &str) -> bool {
    matches!(host, "" | "127.0.0.1" | "localhost" | "0.0.0.0" | "[::1]")
}

fn number(port: &str, text: &Text, path: &str) -> Result<u16, Error> {
    let port = port.trim().parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| Error::Key {
        file: text.file.to_string(),
        key: path.to_owned(),
        what: format!("{:?} has no port from 1 to 65535: correct it", text.value),
    })
}

/// The paths of its domain that are its own, and what its program gets instead of them.
fn web(entry: &mut Entry, spec: &mut MeshServiceSpec, path: &str, shared: &[Shared]) -> Result<(), Error> {
    let rewrites = entry.flag("enableRewrite")?.unwrap_or(true);
    let Some(domain) = entry.text("domain") else {
        return Ok(());
    };
    let of_domain: Vec<_> = shared.iter().filter(|one| one.domain == domain.value).collect();
    let own: Vec<_> = of_domain.iter().filter(|one| one.upstream == path).collect();
    if own.is_empty() {
        entry.note(
            "domain",
            &domain.value,
            "http-locations leads no path of it here, so HTTP callers have <name>.<namespace>.mesh alone",
        );
        return Ok(());
    }
    spec.hosts = vec![domain.value.clone()];
    spec.locations = own.iter().map(|one| one.location.clone()).collect();
    if rewrites {
        spec.rewrites = own.iter().flat_map(|one| one.rewrites.iter().cloned()).collect();
        let with_rules = own.iter().filter(|one| !one.rewrites.is_empty()).count();
        if own.len() > 1 && with_rules > 0 {
            entry.remark(
                "rewrites hold for all of its locations, one after the other: look at their conditions",
            );
        }
    }
    for (field, count) in [
        ("locations", spec.locations.len()),
        ("rewriteRules", spec.rewrites.len()),
    ] {
        if count > MOST_SHARED {
            return Err(Error::Key {
                file: domain.file.to_string(),
                key: format!("http-locations.{}", domain.value),
                what: format!("{path} has {count} {field}: one service can have {MOST_SHARED}, split it"),
            });
        }
    }
    Ok(())
}
