//! Whether an endpoint can be connected to, as far as one worker knows.

use std::time::{Duration, Instant};

/// The pause after the first connection that failed.
const FIRST: Duration = Duration::from_millis(25);
/// The longest pause: an endpoint that comes back is found within about this.
const LONGEST: Duration = Duration::from_secs(1);

/// What trying to connect has shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Health {
    failures: u32,
    not_before: Option<Instant>,
}

impl Health {
    /// A connection was made.
    pub const fn connected(&mut self) {
        self.failures = 0;
        self.not_before = None;
    }

    /// A connection failed: the next try comes after 25 ms, doubling to 1 s, plus up to half as much again by
    /// `random`, so that many callers don't come back at once.
    pub fn failed(&mut self, now: Instant, random: u64) {
        let doubled = FIRST.saturating_mul(1 << self.failures.min(10));
        let pause = doubled.min(LONGEST);
        let jitter = pause.mul_f64(0.5 * (random as f64 / u64::MAX as f64));
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + pause + jitter);
    }

    /// It says that it goes away: no try before the longest pause.
    pub fn leaving(&mut self, now: Instant) {
        self.not_before = Some(now + LONGEST);
    }

    /// It has gone, as it had said: the next try comes as after a first failure.
    pub fn gone(&mut self, now: Instant) {
        self.not_before = Some(now + FIRST);
    }

    /// Whether a connection may be tried now.
    #[must_use]
    pub fn may_try(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|not_before| not_before <= now)
    }

    /// Connections that failed in a row.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_second() {
        let now = Instant::now();
        let mut health = Health::default();
        assert!(health.may_try(now));
        for pause in [25, 50, 100, 200, 400, 800, 1000, 1000] {
            health.failed(now, 0);
            let end = now + Duration::from_millis(pause);
            assert!(!health.may_try(end - Duration::from_millis(1)), "{pause}");
            assert!(health.may_try(end), "{pause}");
        }
        health.connected();
        assert!(health.may_try(now));
        assert_eq!(health.failures(), 0);
    }

    #[test]
    fn whoever_has_gone_is_tried_sooner_than_whoever_only_goes() {
        let now = Instant::now();
        let mut health = Health::default();
        health.leaving(now);
        assert!(!health.may_try(now + FIRST));
        health.gone(now);
        assert!(!health.may_try(now));
        assert!(health.may_try(now + FIRST));
    }

    #[test]
    fn jitter_adds_at_most_half() {
        let now = Instant::now();
        let mut health = Health::default();
        health.failed(now, u64::MAX);
        assert!(!health.may_try(now + Duration::from_millis(37)));
        assert!(health.may_try(now + Duration::from_millis(38)));
    }
}
