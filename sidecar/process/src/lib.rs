//! What any daemon needs at its edges, and nothing of what it is for: no Motan, no Kubernetes.
//!
//! - [`drain`]: the end of a process told to all its tasks, and waited for;
//! - [`ready`]: readiness as guards that are held until a step is done;
//! - [`signal`]: the signals that end a process;
//! - [`listen`]: binding sockets, and accepting without giving up;
//! - [`admin`]: a tiny HTTP server for a handful of exact paths;
//! - [`logging`]: tracing as JSON or text, with a level that can be changed at run time;
//! - [`metrics`]: the text exposition of a registry, and a collector for the process itself.

pub mod admin;
pub mod drain;
pub mod listen;
pub mod logging;
pub mod metrics;
pub mod ready;
pub mod signal;
