//! Good and bad ends of calls over the last while, in ten parts that are forgotten one by one.

use std::time::{Duration, Instant};

const SLOTS: usize = 10;

/// Ends of calls over ten slots.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    since: Instant,
    at: usize,
    good: [u32; SLOTS],
    bad: [u32; SLOTS],
}

impl Window {
    /// One in which nothing has ended.
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            since: now,
            at: 0,
            good: [0; SLOTS],
            bad: [0; SLOTS],
        }
    }

    /// Counts an end; the window is `length` long, at least 10 ms.
    pub(crate) fn count(&mut self, is_good: bool, length: Duration, now: Instant) {
        self.turn(length, now);
        let slots = if is_good { &mut self.good } else { &mut self.bad };
        slots[self.at] = slots[self.at].saturating_add(1);
    }

    /// Whether at least so many ends were counted, and this share of them is bad, in percent.
    pub(crate) fn is_bad(&self, min_calls: u32, percent: u32) -> bool {
        let sum = |slots: &[u32]| slots.iter().map(|count| u64::from(*count)).sum::<u64>();
        let (good, bad) = (sum(&self.good), sum(&self.bad));
        let all = good + bad;
        all >= u64::from(min_calls) && bad * 100 >= all * u64::from(percent)
    }

    fn turn(&mut self, length: Duration, now: Instant) {
        let slot = (length / SLOTS as u32).max(Duration::from_millis(1));
        let passed = now.saturating_duration_since(self.since).as_nanos() / slot.as_nanos();
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        for _ in 0..passed.min(SLOTS as u32) {
            self.at = (self.at + 1) % SLOTS;
            self.good[self.at] = 0;
            self.bad[self.at] = 0;
        }
        self.since += slot.saturating_mul(passed);
    }
}
