//! Where a sidecar learns what to run: plan documents and endpoints from their sources, merged into one [`Known`].
//!
//! Knows nothing of workers and lookup tables: what it publishes is data, and `live` builds what calls read from it.

mod known;

pub use known::Known;
