//! How long to wait before the operator is asked again.

use std::time::Duration;

/// The first wait is up to this.
const FIRST: Duration = Duration::from_millis(500);

/// No wait is longer.
const LONGEST: Duration = Duration::from_secs(30);

/// After a goodbye: at once, but not all sidecars in the same instant.
const GOODBYE: Duration = Duration::from_millis(200);

/// Doubling with full jitter: each wait is drawn from nothing to a bound that doubles from 0.5 s to 30 s, so that the
/// sidecars that one operator leaves behind don't come back together.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after a failure; `random` is any number.
    pub(super) fn failed(&mut self, random: u64) -> Duration {
        let bound = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        part(bound, random)
    }

    /// The wait after a goodbye.
    pub(super) fn parted(random: u64) -> Duration {
        part(GOODBYE, random)
    }

    /// The operator has spoken: the next wait is a first one.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }
}

/// From nothing to `bound`, evenly.
fn part(bound: Duration, random: u64) -> Duration {
    Duration::from_micros(random % (1 + u64::try_from(bound.as_micros()).unwrap_or(u64::MAX - 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_to_thirty_seconds_and_starts_anew_after_a_success() {
        let mut backoff = Backoff::default();
        for bound in [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
            assert_eq!(
                Backoff { ..backoff }.failed(bound * 1_000),
                Duration::from_millis(bound)
            );
            assert_eq!(Backoff { ..backoff }.failed(bound * 1_000 + 1), Duration::ZERO);
            backoff.failed(0);
        }
        backoff.succeeded();
        assert!(backoff.failed(u64::MAX) <= FIRST);
        assert!(Backoff::parted(u64::MAX) <= GOODBYE);
    }
}
