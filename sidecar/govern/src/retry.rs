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
    /// It may have: only a call that may be repeated is tried again.
    Perhaps,
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
    /// How many endpoints there are.
    pub endpoints: usize,
    /// Whether the call may be repeated even where the program has seen it.
    pub repeatable: bool,
    /// When its caller stops waiting.
    pub deadline: Instant,
}

/// Judges a failed attempt: three different endpoints at once, then with pauses until the deadline.
#[must_use]
pub fn verdict(reached: Reached, tried: &Tried, now: Instant) -> Verdict {
    let Tried {
        attempts,
        endpoints,
        repeatable,
        deadline,
    } = *tried;
    if reached == Reached::Perhaps && !repeatable {
        return Verdict::Never;
    }
    let at_once = AT_ONCE.min(u32::try_from(endpoints).unwrap_or(AT_ONCE)).max(1);
    let when = if attempts < at_once {
        now
    } else {
        let step = (attempts - at_once) as usize;
        now + PAUSES[step.min(PAUSES.len() - 1)]
    };
    if when >= deadline {
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

    fn tried(attempts: u32, endpoints: usize, deadline: Instant) -> Tried {
        Tried {
            attempts,
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
        assert_eq!(verdict(Reached::Perhaps, &tried, now), Verdict::Never);
        tried.repeatable = true;
        assert_eq!(verdict(Reached::Perhaps, &tried, now), Verdict::Now);
    }
}
