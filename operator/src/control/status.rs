//! What is true of each object, as its status: pure; answers of sidecars and the time are arguments.
//!
//! A condition keeps its `lastTransitionTime` while its status stays, so that an unchanged world gives an equal
//! status and nothing is written.

mod captured;
mod condition;
mod dependency;
mod service;
mod undeclared;

pub use dependency::dependency_status;
pub use service::service_status;
pub use undeclared::undeclared_by;

/// What a pod's sidecar has said about the plan it should run now; no answer yet is no entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It runs it.
    Runs,
    /// It could not read it, for this reason, and keeps its last good one.
    Refused(String),
}
