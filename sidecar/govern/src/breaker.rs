//! A circuit: closed while calls go well, open when too many fail, half open when some may try again.

use std::time::{Duration, Instant};

use crate::window::Window;

/// When it opens, and how it closes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The share of failures, in percent, from which on it opens.
    pub failure_percent: u32,
    /// It never opens below so many calls.
    pub min_calls: u32,
    /// What it looks back on.
    pub window: Duration,
    /// How long nothing is let through.
    pub open_for: Duration,
    /// How many calls try then, all of which must be good.
    pub probes: u32,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was answered well.
    Good,
    /// It failed.
    Bad,
    /// Nobody knows: its caller went away.
    Unknown,
}

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// It has opened.
    Opened,
    /// It has closed again.
    Closed,
}

/// Lets a call through: given back with its end, so that calls of before a change count for nothing after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass(u32);

/// One circuit.
#[derive(Debug, Clone)]
pub struct Breaker {
    state: State,
    /// Counts the states, so that a call is judged only in that in which it was let through.
    era: u32,
}

#[derive(Debug, Clone)]
enum State {
    Closed(Window),
    Open { until: Instant },
    HalfOpen { tries: u32, good: u32 },
}

impl Breaker {
    /// A closed one.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            state: State::Closed(Window::new(now)),
            era: 0,
        }
    }

    /// Whether a call may pass.
    ///
    /// # Errors
    /// It is open, for so long; zero where other calls are trying right now.
    pub fn pass(&mut self, rule: &Rule, now: Instant) -> Result<Pass, Duration> {
        if let State::Open { until } = self.state {
            if now < until {
                return Err(until - now);
            }
            self.enter(State::HalfOpen { tries: 0, good: 0 });
        }
        if let State::HalfOpen { tries, good } = &mut self.state {
            if *tries + *good >= rule.probes.max(1) {
                return Err(Duration::ZERO);
            }
            *tries += 1;
        }
        Ok(Pass(self.era))
    }

    /// A call that was let through has ended.
    pub fn ended(&mut self, rule: &Rule, pass: Pass, end: End, now: Instant) -> Change {
        if pass.0 != self.era {
            return Change::None;
        }
        match &mut self.state {
            State::Open { .. } => Change::None, // nothing is let through in it
            State::Closed(window) => {
                if end != End::Unknown {
                    window.count(end == End::Good, rule.window, now);
                }
                if end == End::Bad && window.is_bad(rule.min_calls, rule.failure_percent) {
                    self.open(rule, now)
                } else {
                    Change::None
                }
            }
            State::HalfOpen { tries, good } => {
                *tries = tries.saturating_sub(1);
                match end {
                    End::Bad => self.open(rule, now),
                    End::Unknown => Change::None, // another one may try
                    End::Good => {
                        *good += 1;
                        if *good < rule.probes.max(1) {
                            return Change::None;
                        }
                        self.enter(State::Closed(Window::new(now)));
                        Change::Closed
                    }
                }
            }
        }
    }

    /// Whether nothing is let through now.
    #[must_use]
    pub fn is_open(&self, now: Instant) -> bool {
        matches!(self.state, State::Open { until } if now < until)
    }

    fn open(&mut self, rule: &Rule, now: Instant) -> Change {
        self.enter(State::Open {
            until: now + rule.open_for,
        });
        Change::Opened
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.era = self.era.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule {
        failure_percent: 50,
        min_calls: 10,
        window: Duration::from_secs(10),
        open_for: Duration::from_secs(5),
        probes: 2,
    };

    fn after(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    fn call(breaker: &mut Breaker, end: End, now: Instant) -> Option<Change> {
        let pass = breaker.pass(&RULE, now).ok()?;
        Some(breaker.ended(&RULE, pass, end, now))
    }

    #[test]
    fn it_opens_at_the_share_and_not_below_so_many_calls() {
        let start = Instant::now();
        let mut breaker = Breaker::new(start);
        for _ in 0..9 {
            assert_eq!(call(&mut breaker, End::Bad, start), Some(Change::None));
        }
        assert_eq!(call(&mut breaker, End::Bad, start), Some(Change::Opened));
        assert_eq!(
            breaker.pass(&RULE, after(start, 1000)),
            Err(Duration::from_secs(4))
        );

        let mut breaker = Breaker::new(start);
        for _ in 0..100 {
            assert_eq!(call(&mut breaker, End::Good, start), Some(Change::None));
        }
        for count in 1..=100 {
            let expected = if count == 100 {
                Change::Opened
            } else {
                Change::None
            };
            assert_eq!(call(&mut breaker, End::Bad, start), Some(expected), "{count}");
        }
    }

    #[test]
    fn what_is_older_than_the_window_counts_no_more() {
        let start = Instant::now();
        let mut breaker = Breaker::new(start);
        for _ in 0..9 {
            call(&mut breaker, End::Bad, start);
        }
        assert_eq!(
            call(&mut breaker, End::Bad, after(start, 10_000)),
            Some(Change::None)
        );
    }

    fn opened(start: Instant) -> Breaker {
        let mut breaker = Breaker::new(start);
        while call(&mut breaker, End::Bad, start) != Some(Change::Opened) {}
        breaker
    }

    #[test]
    fn after_the_pause_some_try_and_all_must_be_good() {
        let start = Instant::now();
        let mut breaker = opened(start);
        let now = after(start, 5000);
        let first = breaker.pass(&RULE, now).unwrap();
        let second = breaker.pass(&RULE, now).unwrap();
        assert_eq!(breaker.pass(&RULE, now), Err(Duration::ZERO));
        assert_eq!(breaker.ended(&RULE, first, End::Good, now), Change::None);
        // Not a third one: two good ones are enough.
        assert!(breaker.pass(&RULE, now).is_err());
        assert_eq!(breaker.ended(&RULE, second, End::Good, now), Change::Closed);
        assert!(breaker.pass(&RULE, now).is_ok());
    }

    #[test]
    fn one_bad_try_opens_it_again() {
        let start = Instant::now();
        let mut breaker = opened(start);
        let now = after(start, 5000);
        assert_eq!(call(&mut breaker, End::Bad, now), Some(Change::Opened));
        assert!(breaker.is_open(after(start, 9999)));
        assert!(breaker.pass(&RULE, after(start, 10_000)).is_ok());
    }

    #[test]
    fn a_try_whose_caller_went_away_makes_room_for_another() {
        let start = Instant::now();
        let mut breaker = opened(start);
        let now = after(start, 5000);
        for _ in 0..10 {
            assert_eq!(call(&mut breaker, End::Unknown, now), Some(Change::None));
        }
        assert_eq!(call(&mut breaker, End::Good, now), Some(Change::None));
        assert_eq!(call(&mut breaker, End::Good, now), Some(Change::Closed));
    }

    #[test]
    fn calls_of_before_it_opened_count_for_nothing_after() {
        let start = Instant::now();
        let mut breaker = Breaker::new(start);
        let old = breaker.pass(&RULE, start).unwrap();
        while call(&mut breaker, End::Bad, start) != Some(Change::Opened) {}
        let now = after(start, 5000);
        let new = breaker.pass(&RULE, now).unwrap();
        assert_eq!(breaker.ended(&RULE, old, End::Bad, now), Change::None);
        assert_eq!(breaker.ended(&RULE, old, End::Good, now), Change::None);
        assert_eq!(breaker.ended(&RULE, new, End::Good, now), Change::None);
    }
}
