//! The promises, on a real cluster with real programs at both ends, by the state of the world.
//!
//! Each test takes a namespace of its own and may run beside others. A name that begins with `disturbing_` touches the
//! operator itself: `e2e/run-tests` runs those alone, in order, the last of them uninstalls the mesh.
#![allow(
    clippy::print_stdout,
    reason = "figures are what a reader of the test's log looks for"
)]

mod cluster {
    mod calls;
    mod capture;
    mod clients;
    mod direct;
    mod disturbing;
    mod governed;
    mod governed_balance;
    mod governed_failures;
    mod governed_mirror;
    mod governed_places;
    mod governed_rates;
    mod governed_routing;
    mod governed_twice;
    mod governed_zones;
    mod injection;
    mod java;
    mod objects;
    mod outside;
    mod rollout;
}
