//! The proxy. A call enters through a listener, is governed, and leaves through a link; on the far side it enters
//! through a listener, is governed, and is provided. The client agent (`outbound`) and the server agent (`inbound`)
//! are one binary walking the same rooms in two directions.
//!
//! A Motan call, there and back: `listen::motan` reads the frame, `outbound` finds the service, `attempt` picks an
//! endpoint and puts the call into the worker's `relay` core, `link` carries it; on the far side `listen::motan`
//! reads it, `inbound` finds the export, `provide` hands it to the program; the reply walks back and `record` closes.
//! An HTTP call enters by `listen::http` and from there waits in the same slab.
//!
//! What the program says by itself, by the management API of Motan clients, is [`registry`]'s; `snapshot` writes what is
//! known for thin clients whose sidecar is away.
//!
//! A change of the plan, from the operator to a call: [`discovery`] hears and merges it, [`follow`] builds [`live`]
//! from it and hands that to the [`worker`]s, whose next call reads it. [`app`] puts all of it together and takes it
//! apart in order.

pub mod admin;
mod answer;
pub mod app;
pub mod ask;
mod body;
pub mod boot;
mod call;
pub mod capture;
pub mod discovery;
pub mod failure;
pub mod follow;
pub mod governed;
mod http;
mod inbound;
pub mod life;
pub mod link;
pub mod listen;
pub mod live;
pub mod meta;
pub mod observe;
mod outbound;
mod provide;
mod record;
pub mod registry;
mod said;
mod snapshot;
pub mod worker;
