//! What the program has said by itself: what it calls and what it serves. Pure: what it means is asked together with
//! the plan that runs, because either may change without the other.

use std::collections::{BTreeMap, BTreeSet};

use plan::stream::{MAX_UNDECLARED, Subscription};
use plan::{GroupName, PathName, Plan, Protocol, Undeclared};

use super::Url;

/// How many services a program registers at most; the largest known have some dozens.
pub(crate) const MAX_REGISTERED: usize = 256;

/// Everything that a program has said, bounded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries {
    pub(super) subscribed: BTreeMap<(GroupName, PathName, Protocol, Option<String>), Subscribed>,
    pub(super) registered: BTreeMap<(GroupName, PathName, Protocol), Registered>,
}

/// A service that the program calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subscribed {
    pub(super) url: Url,
    /// It was in no plan when it was first asked for. Where such a thing is granted it stays asked for, or granting it
    /// would be the reason to take it back.
    pub(super) asked: bool,
}

/// A service that the program serves, or does not any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Registered {
    pub(super) url: Url,
    pub(super) is_served: bool,
}

/// Why something is not granted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It must be declared.
    #[error("{0}")]
    Undeclared(String),
    /// More than a program may say.
    #[error("at most {limit} services can be {what} in one pod; a new pod starts with none")]
    TooMany {
        /// `registered` or `subscribed`.
        what: &'static str,
        /// How many there are.
        limit: usize,
    },
    /// A service that is registered must say where it listens.
    #[error("port: missing; register the port that the program listens on")]
    NoPort,
}

impl Entries {
    /// The program calls this.
    ///
    /// # Errors
    /// No service of the plan meets it, in words that say what to declare: it is remembered all the same. Or there
    /// are too many.
    pub fn subscribe(&mut self, url: &Url, plan: &Plan) -> Result<(), Refused> {
        let version = url.version().map(str::to_owned);
        let key = (url.group.clone(), url.path.clone(), url.protocol, version);
        if self.subscribed.len() >= MAX_UNDECLARED && !self.subscribed.contains_key(&key) {
            return Err(too_many("subscribed", MAX_UNDECLARED));
        }
        let is_met = is_met(plan, url);
        let asked = self.subscribed.get(&key).is_some_and(|before| before.asked);
        let asked = !is_met || (asked && plan.undeclared == Undeclared::Allow);
        let entry = Subscribed {
            url: url.clone(),
            asked,
        };
        self.subscribed.insert(key, entry);
        if is_met || plan.undeclared == Undeclared::Allow {
            Ok(())
        } else {
            Err(Refused::Undeclared(undeclared_service(plan, url)))
        }
    }

    /// The program serves this from now on.
    ///
    /// # Errors
    /// No export of the plan has this group and path, or it speaks something else, in words that say what to
    /// declare. Or there are too many.
    pub fn register(&mut self, url: &Url, plan: &Plan) -> Result<(), Refused> {
        if url.port == 0 {
            return Err(Refused::NoPort);
        }
        match export_of(plan, &url.group, &url.path) {
            Some(export) if !export.protocol.is_motan() => {
                return Err(Refused::Undeclared(other_protocol(&export.name, url)));
            }
            None if plan.undeclared == Undeclared::Refuse => {
                return Err(Refused::Undeclared(undeclared_export(plan, url)));
            }
            Some(_) | None => {}
        }
        self.note(url, true)
    }

    /// The program does not serve this any more; what it never served is no fault.
    ///
    /// # Errors
    /// There are too many.
    pub fn unregister(&mut self, url: &Url, plan: &Plan) -> Result<(), Refused> {
        let key = (url.group.clone(), url.path.clone(), url.protocol);
        let is_exported =
            export_of(plan, &url.group, &url.path).is_some_and(|export| export.protocol.is_motan());
        match self.registered.get_mut(&key) {
            Some(entry) => {
                entry.is_served = false;
                Ok(())
            }
            None if is_exported => self.note(url, false),
            None => Ok(()),
        }
    }

    fn note(&mut self, url: &Url, is_served: bool) -> Result<(), Refused> {
        let key = (url.group.clone(), url.path.clone(), url.protocol);
        if self.registered.len() >= MAX_REGISTERED && !self.registered.contains_key(&key) {
            return Err(too_many("registered", MAX_REGISTERED));
        }
        let entry = Registered {
            url: url.clone(),
            is_served,
        };
        self.registered.insert(key, entry);
        Ok(())
    }

    /// A plan runs: what it meets is not asked for any more, unless it may be met because it was asked for.
    pub fn settle(&mut self, plan: &Plan) {
        for entry in self.subscribed.values_mut() {
            entry.asked = !is_met(plan, &entry.url) || (entry.asked && plan.undeclared == Undeclared::Allow);
        }
    }

    /// What the operator is told: the subscriptions that nobody declared, sorted.
    #[must_use]
    pub fn asked(&self) -> Vec<Subscription> {
        let asked = self.subscribed.values().filter(|entry| entry.asked);
        let asked: BTreeSet<Subscription> = asked
            .map(|Subscribed { url, .. }| Subscription {
                path: url.path.clone(),
                group: url.group.clone(),
            })
            .collect();
        asked.into_iter().collect()
    }

    /// Whether the program serves anything by its own word.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.registered.values().any(|entry| entry.is_served)
    }

    /// What is registered now, or was and is taken back, each with whether a MeshService declares it.
    pub(super) fn list_registered<'a>(
        &'a self,
        plan: &'a Plan,
        is_served: bool,
    ) -> impl Iterator<Item = (&'a Url, bool)> {
        let entries = self.registered.values();
        let entries = entries.filter(move |entry| entry.is_served == is_served);
        entries.map(|Registered { url, .. }| (url, export_of(plan, &url.group, &url.path).is_some()))
    }

    /// What is subscribed, each with whether the plan meets it.
    pub(super) fn list_subscribed<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = (&'a Url, bool)> {
        let subscribed = self.subscribed.values();
        subscribed.map(|entry| (&entry.url, is_met(plan, &entry.url)))
    }
}

/// Whether a service of the plan is what a program subscribes to: path and group, and the version where both have one.
fn is_met(plan: &Plan, url: &Url) -> bool {
    plan.services.iter().any(|service| {
        let version = service.version.as_deref().zip(url.version());
        service.path == url.path
            && service.group == url.group
            && version.is_none_or(|(declared, wanted)| declared == wanted)
    })
}

pub(super) fn export_of<'a>(plan: &'a Plan, group: &GroupName, path: &PathName) -> Option<&'a plan::Export> {
    plan.exports
        .iter()
        .find(|export| export.group == *group && export.path == *path)
}

const fn too_many(what: &'static str, limit: usize) -> Refused {
    Refused::TooMany { what, limit }
}

fn undeclared_service(plan: &Plan, url: &Url) -> String {
    let Url { path, group, .. } = url;
    let (namespace, pod) = (&plan.workload.namespace, &plan.workload.pod);
    if let Some(near) = plan.services.iter().find(|service| service.path == *path) {
        let version = near
            .version
            .as_ref()
            .map(|version| format!(", version {version}"));
        return format!(
            "{path} in group {group}{} is not declared: {} has it in group {}{}; subscribe to that, or set spec.motan of \
             the MeshService",
            url.version()
                .map(|version| format!(", version {version},"))
                .unwrap_or_default(),
            near.name,
            near.group,
            version.unwrap_or_default()
        );
    }
    format!(
        "{path} in group {group} is not declared: add \"- name: <the MeshService with motan.path {path} and motan.group \
         {group}>\" to spec.services of a MeshDependency in namespace {namespace} that selects pod {pod}"
    )
}

fn undeclared_export(plan: &Plan, url: &Url) -> String {
    let Url {
        path,
        group,
        port,
        protocol,
        ..
    } = url;
    let (namespace, pod, protocol) = (&plan.workload.namespace, &plan.workload.pod, protocol.as_str());
    format!(
        "{path} in group {group} is not declared: no MeshService in namespace {namespace} that selects pod {pod} provides it; \
         add \"motan: {{path: {path}, group: {group}}}\" and \"backend: {{protocol: {protocol}, port: {port}}}\" to the spec of one"
    )
}

fn other_protocol(name: &plan::ServiceName, url: &Url) -> String {
    format!(
        "{} in group {} is declared by {name} as http, and the program serves it by {}: set \"backend: {{protocol: {}, port: {}}}\" \
         in the spec of that MeshService",
        url.path,
        url.group,
        url.protocol.as_str(),
        url.protocol.as_str(),
        url.port
    )
}
