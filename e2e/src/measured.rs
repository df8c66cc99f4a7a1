//! What a run of the load generator saw: the one JSON line that it prints and the bench reads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    /// Connections.
    pub connections: usize,
    /// Requests under way on each; absent in an open loop.
    pub depth: Option<usize>,
    /// Calls a second that were meant; absent in a closed loop.
    pub meant_rate: Option<f64>,
    /// Bytes of the argument.
    pub payload: usize,
    /// Seconds that were measured, without the warm-up.
    pub seconds: f64,
    /// Good answers in that time.
    pub answers: u64,
    /// Good answers a second.
    pub rate: f64,
    /// Good answers from the first to the last, those of the warm-up too.
    pub all: u64,
    /// Calls that did not end well, from the start.
    pub failed: u64,
    /// Those by kind.
    pub failures: BTreeMap<String, u64>,
    /// Latency of the good answers.
    pub latency: Latency,
    /// Processor time of the load itself, seconds, in the time that was measured.
    pub cpu_seconds: f64,
}

/// Microseconds; in an open loop from when the call should have been sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// Half of the calls took at most this long.
    pub p50_us: f64,
    /// 99 of 100.
    pub p99_us: f64,
    /// 999 of 1 000.
    pub p999_us: f64,
    /// All of them.
    pub max_us: f64,
}
