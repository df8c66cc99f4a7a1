//! What is written down about calls: numbers ([`metrics`]) and lines ([`access`]).

pub mod access;
pub mod metrics;
