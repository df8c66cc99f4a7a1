//! Whether a call that failed is tried again, and when.

use std::time::{Duration, Instant};

/// How many different endpoints are tried without a pause.
const AT_ONCE: u32 = 3;
/// The pauses after that; the last one repeats.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
];

/// How far the failed attempt got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// It has certainly not reached the program.
    Unsent,
    /// It may have: only a call that may be repeated is tried again, after a failure that the rule names.
    Perhaps(On),
    /// It has not, because a limit of the service stood before it: it is safe to try again, but not again and again.
    Refused,
}

/// A failure after which a call may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// Nobody can tell what became of it.
    Unavailable,
    /// The attempt took too long.
    Timeout,
    /// The program says that it can't at present.
    Status5xx,
}

/// What is tried again, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Attempts after the first, where the call may have been seen or was refused.
    pub attempts: u32,
    /// After [`On::Unavailable`].
    pub unavailable: bool,
    /// After [`On::Timeout`].
    pub timeout: bool,
    /// After [`On::Status5xx`].
    pub status5xx: bool,
    /// After [`Reached::Refused`].
    pub refused: bool,
}

impl Rule {
    const fn names(&self, on: On) -> bool {
        match on {
            On::Unavailable => self.unavailable,
            On::Timeout => self.timeout,
            On::Status5xx => self.status5xx,
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Try again, at once.
    Now,
    /// Try again then.
    At(Instant),
    /// Tell the caller.
    Never,
}

/// What a verdict needs to know of a call.
#[derive(Debug, Clone, Copy)]
pub struct Tried {
    /// Attempts so far, the failed one included.
    pub attempts: u32,
    /// Those of them that count: what was certainly not sent is not held against a call.
    pub counted: u32,
    /// How many endpoints there are.
    pub endpoints: usize,
    /// Whether the call may be repeated even where the program has seen it.
    pub repeatable: bool,
    /// When its caller stops waiting.
    pub deadline: Instant,
}

/// Judges a failed attempt: three different endpoints at once, then with pauses until the deadline. What may have been seen,
/// or was refused, is repeated as often as the rule says, while `budget` allows it, which is asked last.
#[must_use]
pub fn verdict(
    reached: Reached,
    tried: &Tried,
    rule: &Rule,
    budget: impl FnOnce() -> bool,
    now: Instant,
) -> Verdict {
    let Tried {
        attempts,
        counted,
        endpoints,
        repeatable,
        deadline,
    } = *tried;
    let may_repeat = match reached {
        Reached::Unsent => true,
        Reached::Perhaps(on) => repeatable && rule.names(on) && counted <= rule.attempts,
        Reached::Refused => rule.refused && counted <= rule.attempts,
    };
    if !may_repeat {
        return Verdict::Never;
    }
    let at_once = AT_ONCE.min(u32::try_from(endpoints).unwrap_or(AT_ONCE)).max(1);
    let when = if attempts < at_once {
        now
    } else {
        let step = (attempts - at_once) as usize;
        now + PAUSES[step.min(PAUSES.len() - 1)]
    };
    if when >= deadline || reached != Reached::Unsent && !budget() {
        Verdict::Never
    } else if when == now {
        Verdict::Now
    } else {
        Verdict::At(when)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule {
        attempts: 2,
        unavailable: true,
        timeout: false,
        status5xx: false,
        refused: false,
    };

    fn verdict(reached: Reached, tried: &Tried, now: Instant) -> Verdict {
        super::verdict(reached, tried, &RULE, || true, now)
    }

    fn tried(attempts: u32, endpoints: usize, deadline: Instant) -> Tried {
        Tried {
            attempts,
            counted: attempts,
            endpoints,
            repeatable: false,
            deadline,
        }
    }

    #[test]
    fn an_unsent_call_tries_three_endpoints_then_pauses_until_the_deadline() {
        let now = Instant::now();
        let deadline = now + Duration::from_secs(10);
        let at = |millis| Verdict::At(now + Duration::from_millis(millis));
        let rows = [
            (1, 5, Verdict::Now),
            (2, 5, Verdict::Now),
            (3, 5, at(25)),
            (4, 5, at(50)),
            (5, 5, at(100)),
            (6, 5, at(200)),
            (60, 5, at(200)),
            (1, 2, Verdict::Now),
            (2, 2, at(25)),
            (1, 1, at(25)),
            (1, 0, at(25)),
        ];
        for (attempts, endpoints, expected) in rows {
            let tried = tried(attempts, endpoints, deadline);
            assert_eq!(verdict(Reached::Unsent, &tried, now), expected, "{tried:?}");
        }
    }

    #[test]
    fn nothing_is_tried_after_the_deadline() {
        let now = Instant::now();
        let soon = now + Duration::from_millis(25);
        assert_eq!(verdict(Reached::Unsent, &tried(1, 3, now), now), Verdict::Never);
        assert_eq!(verdict(Reached::Unsent, &tried(3, 3, soon), now), Verdict::Never);
    }

    #[test]
    fn what_may_have_been_seen_is_repeated_only_where_that_is_safe() {
        let now = Instant::now();
        let mut tried = tried(1, 3, now + Duration::from_secs(1));
        let lost = Reached::Perhaps(On::Unavailable);
        assert_eq!(verdict(lost, &tried, now), Verdict::Never);
        tried.repeatable = true;
        assert_eq!(verdict(lost, &tried, now), Verdict::Now);
    }

    #[test]
    fn it_is_repeated_as_often_as_the_rule_says_after_what_it_names() {
        let now = Instant::now();
        let mut tried = tried(1, 5, now + Duration::from_secs(1));
        tried.repeatable = true;
        let judge = |rule: &Rule, reached, tried: &Tried| super::verdict(reached, tried, rule, || true, now);
        for (on, named) in [
            (On::Unavailable, RULE),
            (
                On::Timeout,
                Rule {
                    timeout: true,
                    ..RULE
                },
            ),
            (
                On::Status5xx,
                Rule {
                    status5xx: true,
                    ..RULE
                },
            ),
        ] {
            assert_eq!(
                judge(&named, Reached::Perhaps(on), &tried),
                Verdict::Now,
                "{on:?}"
            );
        }
        assert_eq!(
            judge(&RULE, Reached::Perhaps(On::Timeout), &tried),
            Verdict::Never
        );
        assert_eq!(
            judge(&RULE, Reached::Perhaps(On::Status5xx), &tried),
            Verdict::Never
        );
        assert_eq!(judge(&RULE, Reached::Refused, &tried), Verdict::Never);
        tried.repeatable = false; // a limit stood before the program
        assert_eq!(
            judge(
                &Rule {
                    refused: true,
                    ..RULE
                },
                Reached::Refused,
                &tried
            ),
            Verdict::Now
        );
        tried.repeatable = true;
        tried.counted = 2;
        assert_eq!(
            judge(&RULE, Reached::Perhaps(On::Unavailable), &tried),
            Verdict::Now
        );
        tried.counted = 3;
        assert_eq!(
            judge(&RULE, Reached::Perhaps(On::Unavailable), &tried),
            Verdict::Never
        );
        assert_eq!(judge(&RULE, Reached::Unsent, &tried), Verdict::Now);
    }

    #[test]
    fn the_budget_is_asked_only_for_what_counts_and_only_where_it_would_be_repeated() {
        let now = Instant::now();
        let mut tried = tried(1, 5, now + Duration::from_secs(1));
        let mut asked = 0;
        let mut judge = |reached, tried: &Tried| {
            super::verdict(
                reached,
                tried,
                &RULE,
                || {
                    asked += 1;
                    false
                },
                now,
            )
        };
        assert_eq!(judge(Reached::Unsent, &tried), Verdict::Now);
        assert_eq!(judge(Reached::Perhaps(On::Unavailable), &tried), Verdict::Never);
        tried.repeatable = true;
        assert_eq!(judge(Reached::Perhaps(On::Unavailable), &tried), Verdict::Never);
        assert_eq!(asked, 1);
    }
}
