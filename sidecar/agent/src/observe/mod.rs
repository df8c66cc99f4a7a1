//! What is written down about calls: numbers ([`metrics`], [`latency`]) and lines ([`access`]).

pub mod access;
pub mod latency;
pub mod metrics;
