//! The proxy. A call enters through a listener, is governed, and leaves through a link; on the far side it enters
//! through a listener, is governed, and is provided. The client agent (`outbound`) and the server agent (`inbound`)
//! are one binary walking the same rooms in two directions.
//!
//! A Motan call, there and back: `listen::motan` reads the frame, `outbound` finds the service, `attempt` picks an
//! endpoint and puts the call into the worker's `relay` core, `link` carries it; on the far side `listen::motan`
//! reads it, `inbound` finds the export, `provide` hands it to the program; the reply walks back and `record` closes.
//! An HTTP call enters by `listen::http` and from there waits in the same slab.

pub mod discovery;
pub mod failure;
pub mod live;
pub mod observe;
pub mod worker;
