//! How fast calls may come: the generic cell rate algorithm (GCRA, ITU-T I.371), whose whole state is one moment, so that
//! whoever counts can keep it in one atomic number.

use std::time::Duration;

const SECOND: u64 = 1_000_000_000;

/// So many calls a second, and so many at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    per_second: u32,
    /// Nanoseconds between two calls.
    interval: u64,
    /// How far ahead of the rate calls may be, in nanoseconds.
    tolerance: u64,
}

impl Rate {
    /// `per_second` calls in the long run, `burst` at once; 0 of either counts as 1.
    #[must_use]
    pub const fn new(per_second: u32, burst: u32) -> Self {
        let per_second = if per_second == 0 { 1 } else { per_second };
        let burst = if burst == 0 { 1 } else { burst };
        let interval = SECOND / per_second as u64;
        let interval = if interval == 0 { 1 } else { interval };
        Self {
            per_second,
            interval,
            tolerance: interval.saturating_mul(burst as u64 - 1),
        }
    }

    /// Calls a second.
    #[must_use]
    pub const fn per_second(self) -> u32 {
        self.per_second
    }
}

/// Judges a call at `now`; `through_at` is when the calls before it would be through at this rate, both in nanoseconds from
/// any one moment on. Gives the next `through_at`.
///
/// # Errors
/// It comes too early: by so much. The state stays as it is.
pub fn take(through_at: u64, now: u64, rate: Rate) -> Result<u64, Duration> {
    let from = through_at.max(now);
    let ahead = from - now;
    if ahead > rate.tolerance {
        return Err(Duration::from_nanos(ahead - rate.tolerance));
    }
    Ok(from.saturating_add(rate.interval))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of calls at these moments (nanoseconds) pass.
    fn passed(rate: Rate, moments: impl IntoIterator<Item = u64>) -> usize {
        let mut through_at = 0;
        let mut passed = 0;
        for now in moments {
            if let Ok(next) = take(through_at, now, rate) {
                through_at = next;
                passed += 1;
            }
        }
        passed
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let rate = Rate::new(10, 5);
        assert_eq!(passed(rate, [7 * SECOND; 20]), 5);
        // Ten times the rate for ten seconds: the burst and ten a second.
        let moments = (0..1000).map(|step| SECOND + step * SECOND / 100);
        assert_eq!(passed(rate, moments), 5 + 99);
    }

    #[test]
    fn who_keeps_to_the_rate_is_never_refused() {
        let moments = (0..1000).map(|step| step * SECOND / 10);
        assert_eq!(passed(Rate::new(10, 1), moments), 1000);
    }

    #[test]
    fn who_comes_too_early_is_told_when_to_come_again() {
        let rate = Rate::new(10, 1);
        let through_at = take(0, SECOND, rate).unwrap();
        let wait = take(through_at, SECOND, rate).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        assert!(take(through_at, SECOND + 100_000_000, rate).is_ok());
        assert!(take(through_at, SECOND + 99_999_999, rate).is_err());
    }

    #[test]
    fn extremes_neither_overflow_nor_stick() {
        assert!(take(u64::MAX, 0, Rate::new(1, u32::MAX)).is_err());
        assert_eq!(take(0, u64::MAX, Rate::new(u32::MAX, 1)), Ok(u64::MAX));
        assert_eq!(passed(Rate::new(0, 0), [SECOND, SECOND, 2 * SECOND]), 2);
    }

    proptest::proptest! {
        #[test]
        fn in_any_time_no_more_passes_than_the_burst_and_the_rate(
            per_second in 1u32..1000, burst in 1u32..50, mut moments in proptest::collection::vec(0u64..3 * SECOND, 1..300),
        ) {
            moments.sort_unstable();
            let length = moments.last().unwrap() - moments[0];
            let most = u64::from(burst) + length / (SECOND / u64::from(per_second));
            proptest::prop_assert!(passed(Rate::new(per_second, burst), moments) as u64 <= most);
        }
    }
}
