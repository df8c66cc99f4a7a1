//! What could not be had, in words for the status of the object at fault.

use plan::{GroupName, HostName, Location, PathName};

use crate::world::{Flaw, ObjectKey};

/// Something that a plan had to leave out or overrule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Problem {
    /// A dependency names a service that is not there.
    #[error("MeshService {service} does not exist: create it, or correct spec.services")]
    Missing {
        /// Who names it.
        dependency: ObjectKey,
        /// What is missing.
        service: ObjectKey,
    },
    /// A dependency names a service that can't be used.
    #[error("MeshService {service} can't be used: {flaw}")]
    Unusable {
        /// Who names it.
        dependency: ObjectKey,
        /// The service.
        service: ObjectKey,
        /// What is wrong with it.
        flaw: String,
    },
    /// A dependency names a service twice; the first counts.
    #[error("spec.services lists {service} twice: remove one, the first counts")]
    Twice {
        /// Who names it.
        dependency: ObjectKey,
        /// The service.
        service: ObjectKey,
    },
    /// An older dependency of the same pods says otherwise.
    #[error(
        "policy.{field} {wanted} for {service} is overruled by the older MeshDependency {by}, which says {kept}: agree on one, or select different pods"
    )]
    Overruled {
        /// The newer one.
        dependency: ObjectKey,
        /// The older one.
        by: ObjectKey,
        /// The service.
        service: ObjectKey,
        /// The field of the policy, by its path.
        field: String,
        /// What the newer one wants.
        wanted: String,
        /// What holds.
        kept: String,
    },
    /// A dependency's policy can't be; the service's own holds.
    #[error("{flaw} (for {service}): correct it; until then what the service says holds")]
    Policy {
        /// Whose it is.
        dependency: ObjectKey,
        /// The service.
        service: ObjectKey,
        /// What is wrong with it.
        flaw: String,
    },
    /// Its routing or mirror, or that of the service itself, leads to what is not there; that way is left out.
    #[error("{what} (for {service}): until then no call goes there")]
    Route {
        /// Whose it is.
        dependency: ObjectKey,
        /// The service.
        service: ObjectKey,
        /// Where it is written, and what is wrong.
        what: String,
    },
    /// There are more entries for methods than a plan carries; the last are left out.
    #[error(
        "policy.methods for {service}: together with those of the service and of other MeshDependencies there are {methods}, and only the \
         first {} count: write fewer, with * for names that are alike",
        plan::MAX_METHODS
    )]
    Methods {
        /// Whose last entries are left out.
        dependency: ObjectKey,
        /// The service.
        service: ObjectKey,
        /// How many there are.
        methods: usize,
    },
    /// Two services of one plan have the same host; the older keeps it.
    #[error(
        "host {host} of {service} goes to {by}, which pods selected here also call: give one of them another host"
    )]
    HostTaken {
        /// Who names the service that lost the host.
        dependency: ObjectKey,
        /// The service that lost it.
        service: ObjectKey,
        /// The service that keeps it.
        by: ObjectKey,
        /// The host.
        host: HostName,
    },
    /// Two services of one plan have the same part of a host; the older keeps it.
    #[error(
        "location {} of host {} of {service} goes to {by}, which pods selected here also call: remove it from spec.locations of one of them",
        .location.paths, .location.host
    )]
    LocationTaken {
        /// Who names the service that lost it.
        dependency: ObjectKey,
        /// The service that lost it.
        service: ObjectKey,
        /// The service that keeps it.
        by: ObjectKey,
        /// The part of a host.
        location: Location,
    },
    /// Two services of one plan have the same Motan name; the older keeps it and the other is left out.
    #[error(
        "{service} is left out: {by}, which pods selected here also call, has the same Motan group {group} and path {path}: give one of them another"
    )]
    MotanTaken {
        /// Who names the service that was left out.
        dependency: ObjectKey,
        /// The service that was left out.
        service: ObjectKey,
        /// The service that keeps the name.
        by: ObjectKey,
        /// The group.
        group: GroupName,
        /// The path.
        path: PathName,
    },
    /// Two services that one pod provides have the same Motan name; only the older is exported.
    #[error(
        "{service} is not exported by pods that also provide the older {by}: both have group {group} and path {path}"
    )]
    ExportTaken {
        /// The service that is not exported.
        service: ObjectKey,
        /// The one that is.
        by: ObjectKey,
        /// The group.
        group: GroupName,
        /// The path.
        path: PathName,
    },
}

impl Problem {
    pub(super) fn unusable(dependency: &ObjectKey, service: &ObjectKey, flaw: &Flaw) -> Self {
        Self::Unusable {
            dependency: dependency.clone(),
            service: service.clone(),
            flaw: flaw.to_string(),
        }
    }

    /// The dependency whose status should say so, where it is one's.
    #[must_use]
    pub const fn dependency(&self) -> Option<&ObjectKey> {
        match self {
            Self::Missing { dependency, .. }
            | Self::Unusable { dependency, .. }
            | Self::Twice { dependency, .. }
            | Self::Overruled { dependency, .. }
            | Self::Policy { dependency, .. }
            | Self::Methods { dependency, .. }
            | Self::Route { dependency, .. }
            | Self::HostTaken { dependency, .. }
            | Self::LocationTaken { dependency, .. }
            | Self::MotanTaken { dependency, .. } => Some(dependency),
            Self::ExportTaken { .. } => None,
        }
    }

    /// Whether it means that a declared service is not in the plan at all.
    #[must_use]
    pub const fn is_unresolved(&self) -> bool {
        matches!(
            self,
            Self::Missing { .. } | Self::Unusable { .. } | Self::MotanTaken { .. }
        )
    }
}
