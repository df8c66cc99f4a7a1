//! The demo programs, the load generator, and what tests on a real cluster share.
//!
//! The programs know nothing of the mesh: they speak HTTP or Motan 2 to a local port, as users' programs do.

pub mod measured;
pub mod stats;

#[cfg(feature = "cluster")]
pub mod cluster;
#[cfg(feature = "cluster")]
pub mod manifests;
pub mod web;
