//! The promises that need no cluster: real sidecars, programs and loads on this machine, one loopback address a pod.
//!
//! Each test takes loopback addresses of its own, so they run together, twice, and beside others.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests from top to bottom, their helpers too; what they measured is shown"
)]

mod local {
    mod calls;
    mod capture;
    mod direct;
    mod faults;
    mod governed;
    mod hostile;
    mod life;
    mod manage;
    mod operator;
    mod plans;
    mod rates;
    mod stream;
    mod streams;
    mod thin;
    mod world;
}
