//! Every decision about a call. No I/O, no clock, no randomness of its own: time and random numbers come in as
//! arguments, a verdict goes out.

pub mod balance;
pub mod deadline;
pub mod health;
pub mod retry;
