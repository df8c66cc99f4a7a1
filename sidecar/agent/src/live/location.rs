//! Which service a host and a path lead to (motan-wire 7.6): an exact path, then the first expression that is found,
//! then the longest beginning.

use std::sync::Arc;

use foldhash::HashMap;
use plan::{Location, MatchKind};
use regex::bytes::Regex;

use super::{Live, Service};
use crate::failure::{Failure, Kind};
use crate::http::path;

/// The services of every host.
#[derive(Debug, Default)]
pub(super) struct Hosts(HashMap<Box<str>, Host>);

/// The services of one host.
#[derive(Debug, Default)]
struct Host {
    exact: Vec<(Box<[u8]>, Arc<Service>)>,
    expressions: Vec<(Regex, Arc<Service>)>,
    /// The longest first.
    starts: Vec<(Box<[u8]>, Arc<Service>)>,
    /// Of all paths that nothing else takes.
    whole: Option<Arc<Service>>,
}

impl Hosts {
    /// Adds all that a service has of hosts.
    pub(super) fn add(&mut self, declared: &plan::Service, service: &Arc<Service>) {
        for host in &declared.hosts {
            self.of(host.as_str()).whole = Some(Arc::clone(service));
        }
        for Location { host, paths } in &declared.locations {
            let host = self.of(host.as_str());
            let service = Arc::clone(service);
            let text = || Box::from(paths.text().as_bytes());
            match (paths.kind(), paths.expression()) {
                (MatchKind::Exact, _) => host.exact.push((text(), service)),
                (MatchKind::Start, _) if paths.text() == "/" => host.whole = Some(service),
                (MatchKind::Start, _) => {
                    let longer = |(other, _): &(Box<[u8]>, Arc<Service>)| other.len() >= paths.text().len();
                    let at = host.starts.partition_point(longer);
                    host.starts.insert(at, (text(), service));
                }
                (_, expression) => host.expressions.extend(expression.map(|found| (found, service))),
            }
        }
    }

    fn of(&mut self, host: &str) -> &mut Host {
        self.0.entry(Box::from(host)).or_default()
    }
}

impl Host {
    fn at(&self, raw: &[u8]) -> Option<&Arc<Service>> {
        if self.exact.is_empty() && self.expressions.is_empty() && self.starts.is_empty() {
            return self.whole.as_ref(); // the usual case, whatever the path
        }
        let path = path::normal(raw);
        let is = |(exact, _): &&(Box<[u8]>, _)| **exact == *path;
        let begins = |(start, _): &&(Box<[u8]>, _)| path.starts_with(start);
        let found = self.exact.iter().find(is).map(|(_, service)| service);
        let found = found.or_else(|| {
            let mut expressions = self.expressions.iter();
            let (_, service) = expressions.find(|(expression, _)| expression.is_match(&path))?;
            Some(service)
        });
        let found = found.or_else(|| self.starts.iter().find(begins).map(|(_, service)| service));
        found.or(self.whole.as_ref())
    }
}

impl Live {
    /// The service that HTTP callers name by this host, in lower case and without a port, and this path, as it came.
    ///
    /// # Errors
    /// [`Kind::Undeclared`], with the mend in words.
    pub fn at(&self, host: &str, path: &[u8]) -> Result<&Arc<Service>, Failure> {
        let words = match self.hosts.0.get(host) {
            Some(services) => match services.at(path) {
                Some(service) => return Ok(service),
                None => format!(
                    "path {:?} of host {host:?} is not declared: add the MeshService that has it in spec.locations to \
                     spec.services of a MeshDependency that selects this pod (- name: ...)",
                    String::from_utf8_lossy(path)
                ),
            },
            None => format!(
                "host {host:?} is not declared: add the MeshService that has it to spec.services of a MeshDependency that \
                 selects this pod (- name: ...)"
            ),
        };
        Err(Failure::unsent(Kind::Undeclared, words))
    }

    /// Whether a service has this host, or a part of it.
    #[must_use]
    pub fn knows_host(&self, host: &str) -> bool {
        self.hosts.0.contains_key(host)
    }
}
