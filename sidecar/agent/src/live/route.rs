//! Which service or export a Motan request means (motan-wire 3.4 and 3.5).

use std::sync::Arc;

use plan::{GroupName, PathName, Protocol};

use super::{Export, Live, Service};
use crate::failure::{Failure, Kind};

/// All declared services of one path.
#[derive(Debug)]
pub(super) enum Cluster {
    /// The usual case.
    One(Arc<Service>),
    /// One path in several groups or versions.
    Several(Vec<Arc<Service>>),
}

/// All exports of one path: one for each group.
pub(super) type Offers = Vec<Arc<Export>>;

/// What a request says about where it wants to go; empty where it says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// `M_p`.
    pub path: &'a [u8],
    /// `M_g`, or `group` where that is missing.
    pub group: &'a [u8],
    /// `M_v`.
    pub version: &'a [u8],
    /// `M_pp`.
    pub protocol: &'a [u8],
}

impl Cluster {
    pub(super) fn add(&mut self, service: Arc<Service>) {
        match self {
            Self::One(first) => *self = Self::Several(vec![Arc::clone(first), service]),
            Self::Several(services) => services.push(service),
        }
    }
}

impl Live {
    /// The declared service that a request wants. One service of a path is used whatever else the request says.
    ///
    /// # Errors
    /// [`Kind::Undeclared`] with the mend in words, [`Kind::BadRequest`] where group or version leave a doubt.
    pub fn service(&self, wanted: &Wanted<'_>) -> Result<&Arc<Service>, Failure> {
        let services = match self.paths.get(wanted.path) {
            None => return Err(undeclared(wanted.path)),
            Some(Cluster::One(service)) => return Ok(service),
            Some(Cluster::Several(services)) => services,
        };
        let path = String::from_utf8_lossy(wanted.path);
        if wanted.group.is_empty() {
            let words = format!("multiple clusters are matched service: {path}, but the group is empty");
            return Err(Failure::unsent(Kind::BadRequest, words));
        }
        services
            .iter()
            .find(|service| meets(service, wanted))
            .ok_or_else(|| {
                let group = String::from_utf8_lossy(wanted.group);
                let words = format!("no cluster matches the request; service: {path}, group: {group}");
                Failure::unsent(Kind::BadRequest, words)
            })
    }

    /// The export of this path and group.
    pub(super) fn offered(&self, path: &PathName, group: &GroupName) -> Option<&Arc<Export>> {
        let offers = self.exports.get(path.as_str().as_bytes())?;
        offers.iter().find(|export| export.group == *group)
    }

    /// The export that a request from another agent wants: group and path, exactly.
    ///
    /// # Errors
    /// [`Kind::NotProvided`], in the words that Motan clients recognise.
    pub fn export(&self, wanted: &Wanted<'_>) -> Result<&Arc<Export>, Failure> {
        let offers = self.exports.get(wanted.path).map_or(&[][..], Vec::as_slice);
        let of_group = |export: &&Arc<Export>| export.group.as_str().as_bytes() == wanted.group;
        offers.iter().find(of_group).ok_or_else(|| {
            let (group, path) = (
                String::from_utf8_lossy(wanted.group),
                String::from_utf8_lossy(wanted.path),
            );
            let words = format!("provider not exist serviceKey={group}_{path}");
            Failure::unsent(Kind::NotProvided, words)
        })
    }
}

fn meets(service: &Service, wanted: &Wanted<'_>) -> bool {
    // A cluster here is always carried by Motan 2, so both Motan words fit, and none at all.
    let protocol = wanted.protocol;
    service.group.as_str().as_bytes() == wanted.group
        && (protocol.is_empty()
            || protocol == b"motan"
            || protocol == Protocol::Motan2.as_str().as_bytes()
            || protocol == service.protocol.as_str().as_bytes())
        && service
            .version
            .as_ref()
            .is_none_or(|version| wanted.version.is_empty() || version.as_bytes() == wanted.version)
}

fn undeclared(path: &[u8]) -> Failure {
    let path = String::from_utf8_lossy(path);
    // The prefix is what Motan clients know (motan-wire 4.1).
    let words = format!(
        "cluster not found. cluster: cluster not found. service: {path}; declare it: add \"- name: <its MeshService>\" to \
         a MeshDependency that selects this pod"
    );
    Failure::unsent(Kind::Undeclared, words)
}
