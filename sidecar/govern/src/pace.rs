//! How long calls take at an endpoint of late, and whether that is much more than elsewhere.

use std::time::{Duration, Instant};

const SLOTS: usize = 10;
/// A mean is of so long, in tenths that are forgotten one by one.
const SLOT: Duration = Duration::from_secs(1);
/// An endpoint is not slow by less than this, whatever the others take.
const FLOOR: Duration = Duration::from_millis(10);
/// Fewer have no median that says anything of one of them.
const LEAST: usize = 3;

/// How long calls took at an endpoint over the last 10 s.
#[derive(Debug, Clone)]
pub struct Pace {
    since: Instant,
    at: usize,
    slots: [(u32, Duration); SLOTS],
}

impl Pace {
    /// One in which nothing has ended.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            since: now,
            at: 0,
            slots: [(0, Duration::ZERO); SLOTS],
        }
    }

    /// A call took so long.
    pub fn observe(&mut self, took: Duration, now: Instant) {
        self.turn(now);
        let (count, sum) = &mut self.slots[self.at];
        *count = count.saturating_add(1);
        *sum = sum.saturating_add(took);
    }

    /// The mean, where there were at least so many calls.
    pub fn mean(&mut self, min_calls: u32, now: Instant) -> Option<Duration> {
        self.turn(now);
        let count: u32 = self
            .slots
            .iter()
            .fold(0, |all, (count, _)| all.saturating_add(*count));
        let sum: Duration = self.slots.iter().map(|(_, sum)| *sum).sum();
        (count >= min_calls).then(|| sum.checked_div(count)).flatten()
    }

    fn turn(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since).as_secs();
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        for _ in 0..passed.min(SLOTS as u32) {
            self.at = (self.at + 1) % SLOTS;
            self.slots[self.at] = (0, Duration::ZERO);
        }
        self.since += SLOT.saturating_mul(passed);
    }
}

/// Whether an endpoint where calls take `own` is slow beside `all` of the service's, itself among them: it takes over
/// `percent` of their median, and 10 ms more. Below three nobody is.
#[must_use]
pub fn is_slow(percent: u32, own: Duration, all: &mut [Duration]) -> bool {
    if all.len() < LEAST {
        return false;
    }
    let middle = (all.len() - 1) / 2;
    let (_, median, _) = all.select_nth_unstable(middle);
    own > *median + FLOOR && own.as_secs_f64() * 100.0 > median.as_secs_f64() * f64::from(percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_mean_is_of_the_last_ten_seconds_and_of_enough_calls() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        for _ in 0..3 {
            pace.observe(ms(10), start);
        }
        pace.observe(ms(50), start + ms(9_000));
        assert_eq!(pace.mean(5, start + ms(9_999)), None);
        assert_eq!(pace.mean(4, start + ms(9_999)), Some(ms(20)));
        assert_eq!(pace.mean(1, start + ms(10_000)), Some(ms(50)));
        assert_eq!(pace.mean(0, start + ms(60_000)), None);
    }

    #[test]
    fn slow_is_who_takes_much_longer_than_the_median() {
        let rows: [(u32, u64, &[u64], bool); 8] = [
            (300, 100, &[10, 10, 100], true),
            (300, 100, &[10, 100], false),
            (300, 100, &[10, 100, 100], false),
            (300, 100, &[100, 10, 20, 30], true),
            (300, 40, &[40, 11, 12, 13], true),
            (300, 11, &[1, 1, 11], false),
            (300, 12, &[1, 1, 12], true),
            (500, 40, &[10, 10, 40], false),
        ];
        for (percent, own, all, expected) in rows {
            let mut listed: Vec<_> = all.iter().map(|millis| ms(*millis)).collect();
            assert_eq!(is_slow(percent, ms(own), &mut listed), expected, "{own} {all:?}");
        }
    }
}
