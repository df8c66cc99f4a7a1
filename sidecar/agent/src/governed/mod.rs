//! Policies while they run: what the plan says of a service, ready to be asked by the call path, and the state that a
//! policy keeps. What is decided is decided by `govern`; what is done about it, by the call path. An absent policy costs a
//! branch.

pub(crate) mod backup;
pub(crate) mod balancing;
pub(crate) mod gate;
pub(crate) mod limits;
pub mod member;
mod nearby;
pub mod rules;
pub(crate) mod weights;

pub use member::Member;
pub use rules::{Rule, RuleId, Rules};
pub use weights::Weights;
