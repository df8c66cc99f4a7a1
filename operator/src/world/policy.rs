//! What objects say of a policy, and of limits: numbers in their bounds, each field only where it is said.

mod limits;
mod mirror;
mod read;
mod routing;
mod said;

pub(super) use limits::limits;
pub use mirror::{CopyWish, MirrorWish};
pub(super) use read::policy;
pub use routing::{At, MergeWish, RoutingWish, TargetWish, WayWish};
pub use said::{CallWish, MethodWish, PolicyWish, Twice};

/// Reads what holds for the whole mesh where no object says otherwise. A method, a target or a switch is of one service, and
/// is refused.
///
/// # Errors
/// A field that can't be, with its path and the mend.
pub fn mesh_wide(written: &crds::Policy) -> Result<PolicyWish, PolicyFlaw> {
    let of_one = [
        ("policy.methods", !written.methods.is_empty()),
        ("policy.routing", written.routing.is_some()),
        ("policy.degrade", written.degrade.is_some()),
        ("policy.faults", written.faults.is_some()),
        ("policy.mirror", written.mirror.is_some()),
    ];
    if let Some((field, _)) = of_one.iter().find(|(_, is_there)| *is_there) {
        let what = "it is of one service: remove it here, and write it in the MeshService";
        return Err(PolicyFlaw::new(*field, what));
    }
    policy(written, "")
}

/// A field that can't be; the API server's schema refuses most, a file or an older schema may hold them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {what}")]
pub struct PolicyFlaw {
    /// Where, below the object's `spec` or the entry of a service.
    field: String,
    /// What is wrong, and the mend.
    what: String,
}

impl PolicyFlaw {
    fn new(field: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            what: what.into(),
        }
    }
}

/// A number in its bounds.
fn bounded<const MIN: u32, const MAX: u32>(
    value: u32,
    field: impl Into<String>,
) -> Result<plan::Bounded<MIN, MAX>, PolicyFlaw> {
    plan::Bounded::try_from(value).map_err(|error| PolicyFlaw::new(field, error.to_string()))
}

/// A duration in its bounds, in milliseconds.
fn millis<const MIN: u32, const MAX: u32>(
    value: &crds::Timeout,
    field: impl Into<String>,
) -> Result<plan::Bounded<MIN, MAX>, PolicyFlaw> {
    plan::Bounded::new(value.millis())
        .ok_or_else(|| PolicyFlaw::new(field, format!("{value}: must be from {MIN}ms to {MAX}ms")))
}

/// Names with a star.
fn pattern(value: &str, field: impl Into<String>) -> Result<plan::Pattern, PolicyFlaw> {
    plan::Pattern::new(value).map_err(|error| PolicyFlaw::new(field, error.to_string()))
}
