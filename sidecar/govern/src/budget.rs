//! How much may be repeated: a share of the calls of late, and a few a second whatever the load. Asked only when something
//! is to be repeated, so that a call that succeeds pays nothing.

use std::time::{Duration, Instant};

/// What a budget looks back on: slots of a second.
const SLOTS: usize = 10;
const SLOT: Duration = Duration::from_secs(1);

/// How much may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The share of calls, in percent.
    pub percent: u32,
    /// So many a second are always allowed.
    pub min_per_second: u32,
}

/// What was repeated of late, over one service.
#[derive(Debug, Clone)]
pub struct Budget {
    /// When the slot at `at` began.
    since: Option<Instant>,
    at: usize,
    repeated: [u32; SLOTS],
    /// All calls that had begun when each slot did.
    calls: [u64; SLOTS],
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            since: None,
            at: 0,
            repeated: [0; SLOTS],
            calls: [0; SLOTS],
        }
    }
}

impl Budget {
    /// Whether one more call may be repeated, which is counted then. `calls` is how many calls, first attempts, have begun
    /// ever.
    pub fn allow(&mut self, rule: Rule, calls: u64, now: Instant) -> bool {
        self.turn(calls, now);
        let repeated: u64 = self.repeated.iter().map(|count| u64::from(*count)).sum();
        let oldest = self.calls[(self.at + 1) % SLOTS];
        let of_late = calls.saturating_sub(oldest);
        let by_share = of_late * u64::from(rule.percent) / 100;
        let always = u64::from(rule.min_per_second) * SLOTS as u64;
        let of_this_second = self.repeated[self.at];
        let is_allowed = repeated < by_share || repeated < always && of_this_second < rule.min_per_second;
        if is_allowed {
            self.repeated[self.at] += 1;
        }
        is_allowed
    }

    /// Begins the slots that are due. Calls of slots in which nobody asked are taken to have come evenly.
    fn turn(&mut self, calls: u64, now: Instant) {
        let Some(since) = self.since else {
            self.since = Some(now);
            // Nothing is known of the time before; what came then must not become a hoard.
            self.calls = [calls; SLOTS];
            return;
        };
        let passed = now.saturating_duration_since(since).as_nanos() / SLOT.as_nanos();
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        if passed == 0 {
            return;
        }
        let before = self.calls[self.at];
        let came = calls.saturating_sub(before);
        for step in passed - passed.min(SLOTS as u32)..passed {
            self.at = (self.at + 1) % SLOTS;
            self.repeated[self.at] = 0;
            let share = u128::from(came) * u128::from(step + 1) / u128::from(passed);
            self.calls[self.at] = before.saturating_add(u64::try_from(share).unwrap_or(u64::MAX));
        }
        self.since = Some(since + SLOT.saturating_mul(passed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule {
        percent: 20,
        min_per_second: 10,
    };

    /// A load of `per_second` calls that all want to be repeated once, for so many seconds; gives how many were.
    fn storm(
        budget: &mut Budget,
        rule: Rule,
        per_second: u64,
        seconds: u64,
        start: Instant,
        calls: &mut u64,
    ) -> u64 {
        let mut repeated = 0;
        for step in 0..per_second * seconds {
            *calls += 1;
            let now = start + Duration::from_nanos(step * 1_000_000_000 / per_second);
            repeated += u64::from(budget.allow(rule, *calls, now));
        }
        repeated
    }

    #[test]
    fn a_storm_is_bounded_by_the_share() {
        let mut budget = Budget::default();
        let mut calls = 0;
        let repeated = storm(&mut budget, RULE, 1000, 60, Instant::now(), &mut calls);
        let share = repeated as f64 / calls as f64;
        assert!((0.15..0.23).contains(&share), "{share}");
    }

    #[test]
    fn a_small_load_may_always_repeat_a_few() {
        let mut budget = Budget::default();
        let mut calls = 0;
        assert_eq!(storm(&mut budget, RULE, 8, 30, Instant::now(), &mut calls), 240);
    }

    #[test]
    fn nothing_is_repeated_where_nothing_may_be() {
        let mut budget = Budget::default();
        let rule = Rule {
            percent: 0,
            min_per_second: 0,
        };
        let mut calls = 0;
        assert_eq!(storm(&mut budget, rule, 1000, 5, Instant::now(), &mut calls), 0);
    }

    #[test]
    fn a_long_peace_is_no_hoard_and_no_hunger() {
        let start = Instant::now();
        let mut budget = Budget::default();
        let mut calls = 0;
        storm(&mut budget, RULE, 1000, 1, start, &mut calls);
        // An hour of 1000 calls a second in which nobody asked.
        calls += 3_600_000;
        let later = start + Duration::from_secs(3601);
        let at_once = (0..100_000).filter(|_| budget.allow(RULE, calls, later)).count();
        // A fifth of the calls of ten seconds.
        assert!((1_700..=2_100).contains(&at_once), "{at_once}");
    }

    #[test]
    fn the_first_to_ask_has_the_minimum() {
        let mut budget = Budget::default();
        let now = Instant::now();
        let at_once = (0..1000).filter(|_| budget.allow(RULE, 1_000_000, now)).count();
        assert_eq!(at_once, 10);
    }
}
