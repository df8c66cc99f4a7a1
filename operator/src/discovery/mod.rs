//! The live stream: every replica tells the sidecars that connect to it, as soon as something changes.
//!
//! [`server`] asks who is calling and keeps one task for each sidecar; [`fanout`] wakes those that a change concerns;
//! [`session`] decides, purely, what each must be told. What sidecars answer is kept in [`acks`] and passed on to the
//! leader by [`forward`].

pub mod acks;
pub mod fanout;
pub mod forward;
mod lines;
mod metrics;
pub mod server;
pub mod session;
mod stream;
pub mod tokens;

pub use metrics::Metrics;
