//! The operator's pure rooms, from outside: clusters and pods in, plans, patches, verdicts and statuses out.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

mod cli;
mod cluster;
mod compile;
mod golden;
mod import;
mod inject;
mod status;
mod validate;
mod world;
