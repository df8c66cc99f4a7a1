//! Rates of all pods of a service together: who may let in how much of them.
//!
//! Each sidecar says how many calls come at it and what it lets in; the replica that leads keeps a [`ledger`] for each
//! service and moves shares to where calls come. [`fair`] says what would be right, the ledger how to come there without
//! letting in more than the rate on the way: shares are taken first, and given to others only when their sidecars say that
//! they have let go. [`book`] holds all ledgers, [`seats`] what this replica's sidecars say and are told, and [`run`] brings
//! them together once a second, with the leader where that is another replica.

pub mod book;
pub mod fair;
pub mod ledger;
pub mod run;
pub mod seats;

pub use seats::{Seat, Seats};
