//! HTTP and gRPC by those whom others wrote: suites of conformance, and clients of several languages, through real
//! sidecars. What they run is built by `peers/build`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests from top to bottom, their helpers too"
)]

#[path = "local/world.rs"]
#[expect(dead_code, reason = "the tests beside it need more of it")]
mod world;

mod http {
    use super::world;

    mod clients;
    mod corpus;
    mod curl;
    mod grpc;
    mod h2spec;
    mod recorder;
    mod smuggling;
    mod stage;
    mod tools;
}
