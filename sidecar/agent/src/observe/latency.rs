//! How long calls take, counted without a lock: a data thread counts every call, and must not wait for who reads.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Upper bounds of the classes: from a loopback hop to the longest usual timeout. What is above them has its own.
const BOUNDS: [Duration; 14] = [
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// A histogram of durations, exposed in seconds. A clone counts the same thing. A reader may see a call in its class
/// and not yet in the sum.
#[derive(Debug, Clone, Default)]
pub struct Latency(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    classes: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
}

impl Latency {
    /// Counts one call.
    pub fn observe(&self, took: Duration) {
        let class = BOUNDS
            .iter()
            .position(|bound| took <= *bound)
            .unwrap_or(BOUNDS.len());
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0.classes[class].fetch_add(1, Ordering::Relaxed);
        self.0.nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}

impl TypedMetric for Latency {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Latency {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a sum of 2^53 ns is a hundred days of calls"
    )]
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let counts = self.0.classes.iter().map(|count| count.load(Ordering::Relaxed));
        let bounds = BOUNDS.iter().map(Duration::as_secs_f64).chain([f64::INFINITY]);
        let classes: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = classes.iter().map(|(_, count)| count).sum();
        let seconds = self.0.nanos.load(Ordering::Relaxed) as f64 / 1e9;
        encoder.encode_histogram::<NoLabelSet>(seconds, count, &classes, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn a_call_counts_in_its_class_and_all_above_it() {
        let (latency, mut registry) = (Latency::default(), Registry::default());
        registry.register("took_seconds", "Time", latency.clone());
        for millis in [0, 1, 3, 60_000] {
            latency.observe(Duration::from_millis(millis));
        }
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
        for line in [
            "took_seconds_sum 60.004",
            "took_seconds_count 4",
            "took_seconds_bucket{le=\"0.0005\"} 1",
            "took_seconds_bucket{le=\"0.001\"} 2",
            "took_seconds_bucket{le=\"0.005\"} 3",
            "took_seconds_bucket{le=\"10.0\"} 3",
            "took_seconds_bucket{le=\"+Inf\"} 4",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} in {page}");
        }
    }
}
