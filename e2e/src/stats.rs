//! What a load program saw: counts and latencies, kept in a few kilobytes however long it runs.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

/// Buckets grow by this factor, so a quantile is at most 5 % too high.
const GROWTH: f64 = 1.05;
/// Microseconds to 60 s in steps of 5 %.
const BUCKETS: usize = 368;
/// Distinct failures that are told apart; the rest is counted together.
const MAX_KINDS: usize = 32;

/// Counts and latencies of calls.
#[derive(Debug, Clone)]
pub struct Stats {
    sent: u64,
    ok: u64,
    failed: u64,
    failures: BTreeMap<String, u64>,
    answered_by: BTreeMap<String, u64>,
    buckets: Vec<u64>,
    slowest: Duration,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            sent: 0,
            ok: 0,
            failed: 0,
            failures: BTreeMap::new(),
            answered_by: BTreeMap::new(),
            buckets: vec![0; BUCKETS],
            slowest: Duration::ZERO,
        }
    }
}

/// What is printed and read by tests; one JSON object.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Report {
    /// Calls begun.
    pub sent: u64,
    /// Calls answered as they should be.
    pub ok: u64,
    /// Calls that were not.
    pub failed: u64,
    /// Failures by kind.
    pub failures: BTreeMap<String, u64>,
    /// Answers by the instance that gave them.
    pub answered_by: BTreeMap<String, u64>,
    /// Latency from the intended send time, milliseconds.
    pub p50_ms: f64,
    /// As above.
    pub p90_ms: f64,
    /// As above.
    pub p99_ms: f64,
    /// As above.
    pub max_ms: f64,
}

impl Stats {
    /// A call begins.
    pub fn begin(&mut self) {
        self.sent += 1;
    }

    /// A call was answered by `instance`, `latency` after it should have been sent.
    pub fn answered(&mut self, instance: &str, latency: Duration) {
        self.ok += 1;
        count(&mut self.answered_by, instance);
        self.slowest = self.slowest.max(latency);
        self.buckets[bucket(latency)] += 1;
    }

    /// A call failed.
    pub fn failed(&mut self, kind: &str) {
        self.failed += 1;
        count(&mut self.failures, kind);
    }

    /// All of it.
    #[must_use]
    pub fn report(&self) -> Report {
        Report {
            sent: self.sent,
            ok: self.ok,
            failed: self.failed,
            failures: self.failures.clone(),
            answered_by: self.answered_by.clone(),
            p50_ms: self.quantile(0.5),
            p90_ms: self.quantile(0.9),
            p99_ms: self.quantile(0.99),
            max_ms: self.slowest.as_secs_f64() * 1_000.0,
        }
    }

    fn quantile(&self, share: f64) -> f64 {
        let wanted = share * self.ok as f64;
        let mut seen = 0.0;
        for (index, count) in self.buckets.iter().enumerate() {
            let count = *count as f64;
            seen += count;
            if seen >= wanted && count > 0.0 {
                return GROWTH.powi(index as i32) / 1_000.0;
            }
        }
        0.0
    }
}

fn count(counts: &mut BTreeMap<String, u64>, key: &str) {
    let known = counts.contains_key(key) || counts.len() < MAX_KINDS;
    *counts
        .entry(if known { key } else { "other" }.to_owned())
        .or_default() += 1;
}

fn bucket(latency: Duration) -> usize {
    let micros = latency.as_secs_f64() * 1e6;
    let index = (micros.max(1.0).ln() / GROWTH.ln()).ceil() as usize;
    index.min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_five_percent() {
        let mut stats = Stats::default();
        for millis in 1..=1_000 {
            stats.begin();
            stats.answered("a", Duration::from_millis(millis));
        }
        let report = stats.report();
        for (seen, real) in [
            (report.p50_ms, 500.0),
            (report.p90_ms, 900.0),
            (report.p99_ms, 990.0),
        ] {
            assert!((seen / real - 1.0).abs() < 0.051, "{seen} for {real}");
        }
        assert_eq!(
            (report.sent, report.ok, report.failed, report.max_ms),
            (1_000, 1_000, 0, 1_000.0)
        );
    }

    #[test]
    fn kinds_of_failures_are_bounded() {
        let mut stats = Stats::default();
        for kind in 0..100 {
            stats.failed(&kind.to_string());
        }
        assert!(stats.report().failures.len() <= MAX_KINDS + 1);
        assert_eq!(stats.report().failures.values().sum::<u64>(), 100);
    }
}
