//! The operator: watch the cluster, compile plans, tell sidecars.

pub mod authority;
pub mod backoff;
pub mod discovery;
pub mod follow;
pub mod lease;
