//! Whether an endpoint is well, by what becomes of calls: one that fails again and again gets none for a while, then one
//! that tries it out.

use std::time::{Duration, Instant};

use crate::window::Window;

/// What a share of failures is of.
const WINDOW: Duration = Duration::from_secs(10);
/// A call that tries an endpoint out and is not heard of for so long makes room for another one.
const PATIENCE: Duration = Duration::from_secs(1);
/// An endpoint that was well for so many of its longest ejections has its past forgiven.
const FORGIVEN_AFTER: u32 = 4;

/// When an endpoint is ejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// After so many failures in a row.
    pub consecutive_failures: u32,
    /// At this share of failures over 10 s, in percent.
    pub failure_percent: Option<u32>,
    /// Where calls take so much of what they take at the median, in percent.
    pub latency_percent: Option<u32>,
    /// Shares and latencies are not judged below so many calls.
    pub min_calls: u32,
    /// How long the first ejection takes.
    pub base: Duration,
    /// The longest one.
    pub longest: Duration,
    /// The share of endpoints that may be out at once, in percent.
    pub max_ejected_percent: u32,
}

/// Whether one more of `total` endpoints may be ejected where `ejected` are out: one always stays.
#[must_use]
pub fn may_eject(rule: &Rule, ejected: usize, total: usize) -> bool {
    ejected + 1 < total && (ejected + 1) * 100 <= total * rule.max_ejected_percent as usize
}

/// Whether calls may go to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// They may.
    In,
    /// One may, to try it out.
    Probe,
    /// None may.
    Out,
}

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// It is ejected.
    Ejected,
    /// It is back.
    Readmitted,
}

/// How an endpoint has done of late.
#[derive(Debug, Clone, Default)]
pub struct Outlier {
    failures: u32,
    out: Option<Out>,
    /// Ejections, one after the other.
    ejections: u32,
    /// When it came back last.
    back_since: Option<Instant>,
    window: Option<Window>,
}

#[derive(Debug, Clone, Copy)]
struct Out {
    since: Instant,
    until: Instant,
    /// When the call that tries it out was sent.
    probed: Option<Instant>,
}

impl Outlier {
    /// Whether calls may go there now.
    #[must_use]
    pub fn standing(&self, now: Instant) -> Standing {
        let Some(out) = self.out else {
            return Standing::In;
        };
        let is_probed = out
            .probed
            .is_some_and(|sent| now.saturating_duration_since(sent) < PATIENCE);
        if now < out.until || is_probed {
            Standing::Out
        } else {
            Standing::Probe
        }
    }

    /// Whether it is out, trying or not.
    #[must_use]
    pub const fn is_out(&self) -> bool {
        self.out.is_some()
    }

    /// Whether it has failed since it was last well: only then a success changes anything where no share is judged.
    #[must_use]
    pub const fn is_failing(&self) -> bool {
        self.failures > 0 || self.out.is_some()
    }

    /// A call is sent there to try it out.
    pub fn probe(&mut self, now: Instant) {
        if let Some(out) = &mut self.out {
            out.probed = Some(now);
        }
    }

    /// A call that began at `began` has ended, well or not; `may_eject` is the word of [`may_eject`], `random` spreads
    /// ejections that begin together. What began before the endpoint was ejected says nothing of how it is now.
    pub fn ended(
        &mut self,
        rule: &Rule,
        (began, is_good): (Instant, bool),
        may_eject: impl FnOnce() -> bool,
        (now, random): (Instant, u64),
    ) -> Change {
        if let Some(out) = self.out {
            if began < out.since {
                return Change::None;
            }
            if is_good {
                self.out = None;
                self.failures = 0;
                self.window = None;
                self.back_since = Some(now);
                return Change::Readmitted;
            }
            self.eject(rule, now, random);
            return Change::None; // it was out already
        }
        let mut is_share = false;
        if let Some(percent) = rule.failure_percent {
            let window = self.window.get_or_insert(Window::new(now));
            window.count(is_good, WINDOW, now);
            is_share = window.is_bad(rule.min_calls, percent);
        }
        if is_good {
            self.failures = 0;
            return Change::None;
        }
        self.failures = self.failures.saturating_add(1);
        let is_bad = self.failures >= rule.consecutive_failures || is_share;
        if is_bad && may_eject() {
            self.eject(rule, now, random);
            return Change::Ejected;
        }
        Change::None
    }

    /// Its calls take much longer than elsewhere.
    pub fn slow(
        &mut self,
        rule: &Rule,
        may_eject: impl FnOnce() -> bool,
        (now, random): (Instant, u64),
    ) -> Change {
        if self.out.is_some() || !may_eject() {
            return Change::None;
        }
        self.eject(rule, now, random);
        Change::Ejected
    }

    fn eject(&mut self, rule: &Rule, now: Instant, random: u64) {
        let forgiven = rule.longest.saturating_mul(FORGIVEN_AFTER);
        if self
            .back_since
            .is_some_and(|back| now.saturating_duration_since(back) >= forgiven)
        {
            self.ejections = 0;
        }
        let doubled = rule.base.saturating_mul(1 << self.ejections.min(16));
        let pause = doubled.min(rule.longest.max(rule.base));
        let jitter = pause.mul_f64(0.5 * (random as f64 / u64::MAX as f64));
        self.ejections = self.ejections.saturating_add(1);
        self.failures = 0;
        self.window = None;
        self.back_since = None;
        self.out = Some(Out {
            since: now,
            until: now + pause + jitter,
            probed: None,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule {
        consecutive_failures: 3,
        failure_percent: None,
        latency_percent: None,
        min_calls: 20,
        base: Duration::from_secs(1),
        longest: Duration::from_secs(8),
        max_ejected_percent: 50,
    };

    fn after(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    fn end(outlier: &mut Outlier, rule: &Rule, is_good: bool, now: Instant) -> Change {
        outlier.ended(rule, (now, is_good), || true, (now, 0))
    }

    fn ejected(now: Instant) -> Outlier {
        let mut outlier = Outlier::default();
        for expected in [Change::None, Change::None, Change::Ejected] {
            assert_eq!(end(&mut outlier, &RULE, false, now), expected);
        }
        outlier
    }

    #[test]
    fn failures_in_a_row_eject_and_one_success_between_them_does_not() {
        let now = Instant::now();
        let mut outlier = Outlier::default();
        for is_good in [false, false, true, false, false, true] {
            assert_eq!(end(&mut outlier, &RULE, is_good, now), Change::None);
        }
        assert_eq!(outlier.standing(now), Standing::In);
        assert_eq!(ejected(now).standing(now), Standing::Out);
    }

    #[test]
    fn after_the_pause_one_call_tries_it_out() {
        let now = Instant::now();
        let mut outlier = ejected(now);
        assert_eq!(outlier.standing(after(now, 999)), Standing::Out);
        let then = after(now, 1000);
        assert_eq!(outlier.standing(then), Standing::Probe);
        outlier.probe(then);
        assert_eq!(outlier.standing(then), Standing::Out);
        // One that is never heard of does not keep it out for ever.
        assert_eq!(outlier.standing(then + PATIENCE), Standing::Probe);
        assert_eq!(end(&mut outlier, &RULE, true, then), Change::Readmitted);
        assert_eq!(outlier.standing(then), Standing::In);
    }

    #[test]
    fn each_ejection_after_another_takes_twice_as_long_up_to_the_longest() {
        let mut now = Instant::now();
        let mut outlier = ejected(now);
        for millis in [1000, 2000, 4000, 8000, 8000] {
            assert_eq!(
                outlier.standing(after(now, millis - 1)),
                Standing::Out,
                "{millis}"
            );
            now = after(now, millis);
            assert_eq!(outlier.standing(now), Standing::Probe, "{millis}");
            outlier.probe(now);
            assert_eq!(end(&mut outlier, &RULE, false, now), Change::None);
        }
    }

    #[test]
    fn what_was_long_ago_is_forgiven() {
        let now = Instant::now();
        let mut outlier = ejected(now);
        let back = after(now, 1000);
        end(&mut outlier, &RULE, true, back);
        let later = back + RULE.longest * FORGIVEN_AFTER;
        for _ in 0..3 {
            end(&mut outlier, &RULE, false, later);
        }
        assert_eq!(outlier.standing(after(later, 1000)), Standing::Probe);
    }

    #[test]
    fn calls_that_began_before_say_nothing() {
        let now = Instant::now();
        let mut outlier = ejected(after(now, 10));
        let late = after(now, 500);
        let old = |is_good| (now, is_good);
        assert_eq!(outlier.ended(&RULE, old(true), || true, (late, 0)), Change::None);
        assert_eq!(outlier.ended(&RULE, old(false), || true, (late, 0)), Change::None);
        assert_eq!(outlier.standing(after(now, 1010)), Standing::Probe);
    }

    #[test]
    fn a_share_of_failures_ejects_too() {
        let rule = Rule {
            consecutive_failures: 1000,
            failure_percent: Some(50),
            ..RULE
        };
        let now = Instant::now();
        let mut outlier = Outlier::default();
        for count in 0..19 {
            assert_eq!(end(&mut outlier, &rule, count % 2 == 0, now), Change::None);
        }
        assert_eq!(end(&mut outlier, &rule, false, now), Change::Ejected);
        // What is older than ten seconds counts no more.
        let mut outlier = Outlier::default();
        for _ in 0..19 {
            end(&mut outlier, &rule, false, now);
        }
        assert_eq!(end(&mut outlier, &rule, false, after(now, 10_000)), Change::None);
    }

    #[test]
    fn one_stays_in_and_no_more_than_the_share_are_out() {
        let rows = [
            (0, 1, false),
            (0, 2, true),
            (1, 2, false),
            (1, 3, false),
            (1, 4, true),
            (2, 4, false),
            (0, 3, true),
        ];
        for (out, total, expected) in rows {
            assert_eq!(may_eject(&RULE, out, total), expected, "{out} of {total}");
        }
        let all = Rule {
            max_ejected_percent: 100,
            ..RULE
        };
        assert!(may_eject(&all, 8, 10));
        assert!(!may_eject(&all, 9, 10));
        let mut outlier = Outlier::default();
        let now = Instant::now();
        for _ in 0..10 {
            let change = outlier.ended(&RULE, (now, false), || false, (now, 0));
            assert_eq!(change, Change::None);
        }
        assert_eq!(outlier.standing(now), Standing::In);
    }

    #[test]
    fn jitter_adds_at_most_half() {
        let now = Instant::now();
        let mut outlier = Outlier::default();
        for _ in 0..3 {
            outlier.ended(&RULE, (now, false), || true, (now, u64::MAX));
        }
        assert_eq!(outlier.standing(after(now, 1499)), Standing::Out);
        assert_eq!(outlier.standing(after(now, 1500)), Standing::Probe);
    }
}
