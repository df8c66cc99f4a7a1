//! How many writes the API server is asked for: a token bucket. Pure but for the time that comes in.

use std::time::Duration;

use tokio::time::Instant;

/// So many writes a second, and twice as many at once after a rest.
#[derive(Debug)]
pub struct Bucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    /// A full bucket; `per_second` is at least one.
    #[must_use]
    pub fn new(per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second.max(1));
        let burst = per_second * 2.0;
        Self {
            per_second,
            burst,
            tokens: burst,
            filled: now,
        }
    }

    /// Takes one token, or says how long to wait for the next.
    ///
    /// # Errors
    /// The time until there is one.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.burst);
        self.filled = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        // A microsecond more, so that rounding never makes the caller ask again at once.
        Err(Duration::from_secs_f64((1.0 - self.tokens) / self.per_second) + Duration::from_micros(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rested_bucket_gives_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(50, start);
        for _ in 0..100 {
            assert_eq!(bucket.take(start), Ok(()));
        }
        let wait = bucket.take(start).unwrap_err();
        assert!(
            wait > Duration::from_millis(19) && wait < Duration::from_millis(21),
            "{wait:?}"
        );
        assert_eq!(bucket.take(start + wait), Ok(()));
        assert!(bucket.take(start + wait).is_err());
    }

    #[test]
    fn over_a_minute_no_more_than_rate_and_burst_are_given() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, start);
        let given = (0..60_000u64)
            .filter(|ms| bucket.take(start + Duration::from_millis(*ms)).is_ok())
            .count();
        assert!((610..=620).contains(&given), "{given}");
    }

    #[test]
    fn waiting_never_saves_up_more_than_the_burst() {
        let start = Instant::now();
        let mut bucket = Bucket::new(1, start);
        let later = start + Duration::from_secs(3600);
        assert_eq!((bucket.take(later), bucket.take(later)), (Ok(()), Ok(())));
        assert!(bucket.take(later).is_err());
    }
}
