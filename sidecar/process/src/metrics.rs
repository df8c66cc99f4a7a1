//! The text exposition of a metric registry, and a collector for the process itself.
//!
//! The registry is made in `main` and every room registers its own families; after that it is only read.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

/// What the `Content-Type` of an exposition must say (OpenMetrics 1.0).
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A registry that is complete; clones share it.
#[derive(Debug, Clone)]
pub struct Exposition(Arc<Registry>);

impl Exposition {
    /// Nothing can be registered after this.
    #[must_use]
    pub fn of(registry: Registry) -> Self {
        Self(Arc::new(registry))
    }

    /// All metrics as OpenMetrics text.
    ///
    /// # Errors
    /// A collector that fails to encode itself.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.0)?;
        Ok(text)
    }
}

/// Ticks of process times in /proc: `USER_HZ`, 100 on every architecture that this is built for.
const TICKS_PER_SECOND: f64 = 100.0;

/// Memory, descriptors, processor time, threads and start time of this process, read from /proc at each scrape under
/// the names that Prometheus clients agree on. A value that can't be read is left out.
#[derive(Debug)]
pub struct ProcessCollector {
    started: Option<Duration>,
}

impl ProcessCollector {
    /// Registers the collector; `now` dates the start of the process.
    pub fn register(registry: &mut Registry, now: SystemTime) {
        let started = started_ago().and_then(|ago| now.duration_since(UNIX_EPOCH).ok()?.checked_sub(ago));
        registry.register_collector(Box::new(Self { started }));
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut gauge = |name: &str, help: &str, unit: Option<&Unit>, value: Option<f64>| match value {
            Some(value) => {
                let gauge = ConstGauge::new(value);
                gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
            }
            None => Ok(()),
        };
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = field_of(&status, "VmRSS:").map(|kib| kib * 1024.0);
        gauge(
            "process_resident_memory",
            "Memory in use",
            Some(&Unit::Bytes),
            resident,
        )?;
        gauge("process_threads", "Threads", None, field_of(&status, "Threads:"))?;
        gauge(
            "process_open_fds",
            "Open file descriptors",
            None,
            open_descriptors(),
        )?;
        let started = self.started.map(|at| at.as_secs_f64());
        gauge(
            "process_start_time",
            "When the process started, since 1970",
            Some(&Unit::Seconds),
            started,
        )?;
        if let Some(seconds) = Stat::read().map(|stat| stat.cpu_seconds()) {
            let counter = ConstCounter::new(seconds);
            let (help, unit) = ("Processor time used, user and system", Some(&Unit::Seconds));
            counter.encode(encoder.encode_descriptor("process_cpu", help, unit, counter.metric_type())?)?;
        }
        Ok(())
    }
}

/// The number after `name` in /proc/self/status.
fn field_of(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn open_descriptors() -> Option<f64> {
    // The directory handle that counts is one of those counted.
    let count = std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    u32::try_from(count).ok().map(f64::from)
}

/// What /proc/self/stat says, in ticks.
#[derive(Debug, PartialEq)]
struct Stat {
    user: f64,
    system: f64,
    started: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// Fields are counted after the name of the program, which stands in brackets and may hold anything (proc(5)).
    fn parse(stat: &str) -> Option<Self> {
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse().ok();
        Some(Self {
            user: number(11)?,
            system: number(12)?,
            started: number(19)?,
        })
    }

    fn cpu_seconds(&self) -> f64 {
        (self.user + self.system) / TICKS_PER_SECOND
    }
}

/// How long ago this process started.
fn started_ago() -> Option<Duration> {
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let uptime: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(uptime - Stat::read()?.started / TICKS_PER_SECOND).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_brackets_and_blanks_does_not_shift_the_fields() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194304 103 0 0 0 250 50 0 0 20 0 3 0 8941 2 1 0 0";
        let stat = Stat::parse(stat).unwrap();
        assert_eq!(
            stat,
            Stat {
                user: 250.0,
                system: 50.0,
                started: 8941.0
            }
        );
        assert!((stat.cpu_seconds() - 3.0).abs() < f64::EPSILON);
    }

    #[test]
    fn the_process_shows_its_memory_threads_descriptors_time_and_start() {
        let mut registry = Registry::default();
        ProcessCollector::register(&mut registry, SystemTime::now());
        let text = Exposition::of(registry).text().unwrap();
        for name in [
            "process_resident_memory_bytes",
            "process_threads",
            "process_open_fds",
            "process_start_time_seconds",
            "process_cpu_seconds_total",
        ] {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap_or_else(|| panic!("{name}: {text}"));
            assert!(line.trim().parse::<f64>().unwrap() >= 0.0, "{name}{line}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
