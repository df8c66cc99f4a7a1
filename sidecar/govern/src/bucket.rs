//! A rate that changes while calls come: a token bucket that is filled at the rate of now. What has been saved stays when
//! the rate grows, and what is over the new bucket's size is lost when it shrinks. So of several whose rates and sizes are
//! parts of one whole at every moment, no more passes in any time than the size and the rate of the whole.

use std::time::Duration;

/// One call, in the parts that a bucket is counted in: what a rate of 1 a second saves in a nanosecond is one of them.
const CALL: u64 = 1_000_000_000;

/// Calls that may come now, and how fast there will be more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    per_second: u32,
    /// In parts of a [`CALL`]: at least one call.
    size: u64,
    saved: u64,
    /// When it was looked at last, in nanoseconds.
    seen: u64,
}

impl Bucket {
    /// A full one at `now`, in nanoseconds from any one moment on. `burst` calls at once are for `whole` calls a second:
    /// a part of them for a part of the rate, at least one. 0 of anything counts as 1, but no part of the rate has no more
    /// than one call of the burst.
    #[must_use]
    pub fn full(per_second: u32, (burst, whole): (u32, u32), now: u64) -> Self {
        let size = size(per_second, burst, whole);
        Self {
            per_second: per_second.max(1),
            size,
            saved: size,
            seen: now,
        }
    }

    /// Calls a second.
    #[must_use]
    pub const fn per_second(&self) -> u32 {
        self.per_second
    }

    /// Another rate from `now` on; as for [`full`](Self::full).
    pub fn change(&mut self, per_second: u32, (burst, whole): (u32, u32), now: u64) {
        self.fill(now);
        self.per_second = per_second.max(1);
        self.size = size(per_second, burst, whole);
        self.saved = self.saved.min(self.size);
    }

    /// Takes one call.
    ///
    /// # Errors
    /// It comes too early: by so much.
    pub fn take(&mut self, now: u64) -> Result<(), Duration> {
        self.fill(now);
        match self.saved.checked_sub(CALL) {
            Some(left) => {
                self.saved = left;
                Ok(())
            }
            None => {
                let lack = CALL - self.saved;
                Err(Duration::from_nanos(lack.div_ceil(u64::from(self.per_second))))
            }
        }
    }

    fn fill(&mut self, now: u64) {
        let passed = now.saturating_sub(self.seen);
        let more = passed.saturating_mul(u64::from(self.per_second));
        self.saved = self.saved.saturating_add(more).min(self.size);
        self.seen = self.seen.max(now);
    }
}

/// The part of a burst that goes with a part of its rate.
fn size(per_second: u32, burst: u32, whole: u32) -> u64 {
    let burst = u128::from(burst.max(1)) * u128::from(CALL);
    let part = burst * u128::from(per_second) / u128::from(whole.max(1));
    u64::try_from(part).unwrap_or(u64::MAX).max(CALL)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many calls it takes at once.
    fn takes(bucket: &mut Bucket, now: u64) -> u64 {
        std::iter::from_fn(|| bucket.take(now).ok()).count() as u64
    }

    #[test]
    fn a_part_of_the_rate_has_its_part_of_the_burst_and_one_call_at_least() {
        for (share, burst) in [(100, 20), (50, 10), (5, 1), (1, 1), (200, 40)] {
            let mut bucket = Bucket::full(share, (20, 100), 0);
            assert_eq!(takes(&mut bucket, 0), burst, "{share}");
            assert_eq!(takes(&mut bucket, CALL * 60), burst, "{share}");
        }
    }

    #[test]
    fn what_was_saved_stays_when_the_rate_grows_and_is_cut_when_it_shrinks() {
        let mut bucket = Bucket::full(50, (20, 100), 0);
        bucket.change(100, (20, 100), 0);
        assert_eq!(takes(&mut bucket, 0), 10, "nothing more at once");
        assert_eq!(takes(&mut bucket, CALL), 20);
        let mut bucket = Bucket::full(100, (20, 100), 0);
        bucket.change(10, (20, 100), 0);
        bucket.change(100, (20, 100), 0);
        assert_eq!(takes(&mut bucket, 0), 2);
    }

    #[test]
    fn who_comes_too_early_is_told_when_to_come_again() {
        let mut bucket = Bucket::full(10, (1, 10), 0);
        assert_eq!(bucket.take(0), Ok(()));
        assert_eq!(bucket.take(0), Err(Duration::from_millis(100)));
        assert!(bucket.take(99_999_999).is_err());
        assert_eq!(bucket.take(100_000_000), Ok(()));
    }

    #[test]
    fn extremes_neither_overflow_nor_stick() {
        let mut bucket = Bucket::full(u32::MAX, (u32::MAX, 1), 0);
        assert_eq!(bucket.take(u64::MAX), Ok(()));
        assert_eq!(
            bucket.take(0),
            Ok(()),
            "a clock that goes back saves nothing and takes nothing"
        );
        assert_eq!(takes(&mut Bucket::full(0, (0, 0), 5), 5), 1);
    }

    proptest::proptest! {
        #[test]
        fn parts_of_a_rate_let_in_no_more_together_than_the_whole(
            rate in 1u32..1000, burst in 1u32..200, cuts in proptest::collection::vec((0u32..=1000, 0u64..CALL), 1..40),
        ) {
            let whole = (burst, rate);
            let part = |cut: u32| (u64::from(rate) * u64::from(cut) / 1000) as u32;
            let mut held = [part(500), rate - part(500)];
            let mut buckets = held.map(|share| Bucket::full(share, whole, 0));
            let (mut now, mut passed) = (0, 0);
            for (cut, wait) in cuts {
                passed += buckets.iter_mut().map(|bucket| takes(bucket, now)).sum::<u64>();
                now += wait;
                // The one that falls hears first, the other later; in between calls come.
                let next = [part(cut), rate - part(cut)];
                for order in [0, 1] {
                    for at in 0..2 {
                        if (next[at] < held[at]) == (order == 0) {
                            buckets[at].change(next[at], whole, now);
                        }
                    }
                    passed += buckets.iter_mut().map(|bucket| takes(bucket, now)).sum::<u64>();
                }
                held = next;
            }
            // One call, and one a second, for each that has next to nothing.
            let most = u128::from(burst) + 2 + (u128::from(rate) + 2) * u128::from(now) / u128::from(CALL);
            proptest::prop_assert!(u128::from(passed) <= most + 1, "{passed} of {most}");
        }
    }
}
