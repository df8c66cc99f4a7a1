//! Every decision about a call. No I/O, no clock, no randomness of its own: time and random numbers come in as
//! arguments, a verdict goes out.

pub mod backup;
pub mod balance;
pub mod breaker;
pub mod bucket;
pub mod budget;
pub mod concurrency;
pub mod deadline;
pub mod ewma;
pub mod health;
pub mod locality;
pub mod outlier;
pub mod pace;
pub mod places;
pub mod rate;
pub mod retry;
pub mod route;
mod window;
