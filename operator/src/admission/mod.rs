//! What is judged before it is stored: pods get their sidecar ([`inject()`]), services and dependencies are checked
//! ([`validate`]). Pure; the webhook server and the offline commands call the same functions.

mod capture;
mod edits;
mod inject;
mod metrics;
mod overrides;
mod policy;
mod ports;
mod quantity;
mod reach;
mod refusal;
pub mod review;
pub mod server;
mod sidecar;
mod subject;
pub mod validate;

pub use capture::Declared;
pub use inject::{Injected, Note, Outcome, inject, plan_name};
pub use metrics::Metrics;
pub use overrides::{DrainDelay, InvalidDrainDelay, InvalidLogLevel, LogLevel};
pub use ports::{ADMIN_PORT, HTTP_PORT, INBOUND_PORT, METRICS_PORT, MOTAN_PORT, Ports};
pub use quantity::{InvalidQuantity, Quantity};
pub use refusal::{Reason, Refusal};
