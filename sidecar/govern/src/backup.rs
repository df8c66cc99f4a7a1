//! When a call that is not answered yet is sent a second time, elsewhere (motan-agent 4, `backupRequest`). Only for calls
//! that may be repeated; whoever answers first is heard.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A delay that is learnt is never shorter: of a service that answers at once nobody waits long.
const SHORTEST: Duration = Duration::from_millis(10);
/// Below so many answers nothing is known of how long they take.
const MIN_ANSWERS: u32 = 100;
/// How long one half of what is looked back on lasts.
const TURN: Duration = Duration::from_secs(10);
/// Answers faster than 2^16 ns (66 µs) are counted as one.
const FIRST_BIT: u32 = 16;
/// Steps per doubling: a percentile is at most an eighth too high.
const STEPS: usize = 8;
/// From 66 µs to 69 s, by 20 doublings.
const BUCKETS: usize = 20 * STEPS;

/// After how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delay {
    /// Always this.
    Fixed(Duration),
    /// When this share of answers of late, in percent, would have come; at least 10 ms.
    Percentile(u8),
}

/// How long to wait for an answer before a call is sent a second time; `None` while nobody can tell.
#[must_use]
pub fn delay(rule: Delay, latencies: &Latencies) -> Option<Duration> {
    match rule {
        Delay::Fixed(delay) => Some(delay),
        Delay::Percentile(percent) => Some(latencies.percentile(percent)?.max(SHORTEST)),
    }
}

/// How long answers of one service took over the last 10 to 20 s. Counted by many threads at a time without a lock: of those
/// that come just as a turn begins a few may be lost, or counted for twice as long.
#[derive(Debug)]
pub struct Latencies {
    born: Instant,
    /// The turn that the last answer came in.
    turn: AtomicU64,
    /// Of even turns, and of odd ones.
    counts: [Counts; 2],
}

#[derive(Debug)]
struct Counts {
    all: AtomicU32,
    buckets: [AtomicU32; BUCKETS],
}

impl Counts {
    const fn none() -> Self {
        Self {
            all: AtomicU32::new(0),
            buckets: [const { AtomicU32::new(0) }; BUCKETS],
        }
    }

    fn forget(&self) {
        self.all.store(0, Ordering::Relaxed);
        for bucket in &self.buckets {
            bucket.store(0, Ordering::Relaxed);
        }
    }
}

impl Latencies {
    /// None so far.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            born: now,
            turn: AtomicU64::new(0),
            counts: [const { Counts::none() }; 2],
        }
    }

    /// An answer took so long.
    pub fn observe(&self, took: Duration, now: Instant) {
        let turn = now.saturating_duration_since(self.born).as_secs() / TURN.as_secs();
        let [this, last] = [turn % 2, (turn + 1) % 2].map(|parity| &self.counts[parity as usize]);
        let known = self.turn.load(Ordering::Relaxed);
        let turns = || {
            self.turn
                .compare_exchange(known, turn, Ordering::Relaxed, Ordering::Relaxed)
        };
        if known < turn && turns().is_ok() {
            this.forget();
            if known + 1 < turn {
                last.forget();
            }
        }
        this.buckets[bucket(took)].fetch_add(1, Ordering::Relaxed);
        this.all.fetch_add(1, Ordering::Relaxed);
    }

    /// What so many percent of them took at most; `None` below 100 answers.
    #[must_use]
    pub fn percentile(&self, percent: u8) -> Option<Duration> {
        let [one, other] = &self.counts;
        let count = |count: &AtomicU32| u64::from(count.load(Ordering::Relaxed));
        let all = count(&one.all) + count(&other.all);
        if all < u64::from(MIN_ANSWERS) {
            return None;
        }
        let wanted = (all * u64::from(percent.min(100))).div_ceil(100).max(1);
        let mut seen = 0;
        let counts = one.buckets.iter().zip(&other.buckets);
        for (index, (one, other)) in counts.enumerate() {
            seen += count(one) + count(other);
            if seen >= wanted {
                return Some(end_of(index));
            }
        }
        Some(end_of(BUCKETS - 1))
    }
}

/// Eight steps of equal width in each doubling.
fn bucket(took: Duration) -> usize {
    let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    let bit = nanos.checked_ilog2().unwrap_or(0);
    if bit < FIRST_BIT {
        return 0;
    }
    let step = (nanos >> (bit - STEPS.ilog2())) as usize % STEPS;
    ((bit - FIRST_BIT) as usize * STEPS + step).min(BUCKETS - 1)
}

const fn end_of(bucket: usize) -> Duration {
    let width = (1u64 << (bucket / STEPS)) << (FIRST_BIT - STEPS.ilog2());
    Duration::from_nanos(width * (STEPS + bucket % STEPS + 1) as u64)
}

/// Bounds how many calls are sent a second time: a share of all calls, and never more in a row than that share of a
/// hundred. Takes no time, and nothing from calls that are answered soon.
#[derive(Debug, Clone, Copy, Default)]
pub struct Share {
    /// Calls that had begun when it was asked last.
    calls: u64,
    /// Hundredths of a second attempt.
    credit: u64,
}

impl Share {
    /// Whether one more call may be sent a second time, which is counted then. `calls` is how many calls have begun ever.
    pub fn allow(&mut self, max_percent: u8, calls: u64) -> bool {
        let percent = u64::from(max_percent.min(100));
        let came = calls.saturating_sub(self.calls);
        self.calls = calls;
        self.credit = came
            .saturating_mul(percent)
            .saturating_add(self.credit)
            .min(100 * percent);
        let is_allowed = self.credit >= 100;
        if is_allowed {
            self.credit -= 100;
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn every_duration_lies_in_its_bucket() {
        let mut nanos = 1u64;
        while nanos < 60_000_000_000 {
            let took = Duration::from_nanos(nanos);
            let index = bucket(took);
            assert!(took < end_of(index), "{took:?}");
            assert!(index == 0 || took >= end_of(index - 1), "{took:?}");
            nanos += nanos / 13 + 1;
        }
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_percentile_is_at_most_an_eighth_too_high() {
        let now = Instant::now();
        let latencies = Latencies::new(now);
        for millis in 1..=1000 {
            latencies.observe(MS * millis, now);
        }
        for percent in [1, 50, 90, 95, 99, 100] {
            let exact = MS * 10 * u32::from(percent);
            let found = latencies.percentile(percent).unwrap();
            assert!(
                found >= exact && found <= exact.mul_f64(1.125) + MS,
                "{percent}: {found:?}"
            );
        }
    }

    #[test]
    fn a_delay_is_known_after_a_hundred_answers_and_is_at_least_ten_milliseconds() {
        let now = Instant::now();
        let latencies = Latencies::new(now);
        for _ in 0..99 {
            latencies.observe(MS, now);
        }
        assert_eq!(delay(Delay::Percentile(95), &latencies), None);
        assert_eq!(delay(Delay::Fixed(MS), &latencies), Some(MS));
        latencies.observe(MS, now);
        assert_eq!(delay(Delay::Percentile(95), &latencies), Some(SHORTEST));
    }

    #[test]
    fn what_was_twenty_seconds_ago_counts_no_more() {
        let start = Instant::now();
        let latencies = Latencies::new(start);
        let at = |seconds, took| {
            for _ in 0..200 {
                latencies.observe(took, start + Duration::from_secs(seconds));
            }
            latencies.percentile(100).unwrap()
        };
        assert!(at(0, 500 * MS) >= 500 * MS);
        assert!(at(10, 50 * MS) >= 500 * MS);
        assert!(at(20, 50 * MS) < 60 * MS);
        assert!(at(100, 20 * MS) < 25 * MS);
    }

    #[test]
    fn second_attempts_stay_a_share_of_calls() {
        let mut share = Share::default();
        let allowed = (1..=10_000).filter(|calls| share.allow(15, *calls)).count();
        assert_eq!(allowed, 1500);
        // Many calls that asked for nothing are no hoard.
        let at_once = (0..1000).filter(|_| share.allow(15, 1_000_000)).count();
        assert_eq!(at_once, 15);
        assert!(!Share::default().allow(0, u64::MAX));
    }
}
