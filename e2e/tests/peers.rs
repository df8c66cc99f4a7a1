//! Real Motan programs through real sidecars: motan-java, motan-go and ours, every caller with every server, and the
//! reference agent in the place of either sidecar. What they run is built by `peers/build`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests from top to bottom, their helpers too"
)]

#[path = "local/world.rs"]
#[expect(dead_code, reason = "the tests beside it need more of it")]
mod world;

mod peers {
    use super::world;

    mod chains;
    mod client;
    mod failures;
    mod gzip;
    mod matrix;
    mod mesh;
    mod motan1;
    mod process;
    mod registry;
    mod rest;
    mod restarts;
    mod rust;
    mod server;
    mod values;
}
