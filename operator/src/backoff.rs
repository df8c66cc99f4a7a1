//! How long to wait before trying again: doubling, with full jitter. Pure but for its own small random state.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    time::Duration,
};

/// A pause that doubles from `first` to `most`, each drawn between half and all of it.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    tries: u32,
    random: RandomState,
}

impl Backoff {
    /// Starts at `first`, never above `most`.
    #[must_use]
    pub fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            tries: 0,
            random: RandomState::new(),
        }
    }

    /// The next pause.
    pub fn pause(&mut self) -> Duration {
        let full = self.first.saturating_mul(1 << self.tries.min(16)).min(self.most);
        self.tries = self.tries.saturating_add(1);
        spread(full, full / 2, &self.random, self.tries)
    }

    /// It worked: start again from the first.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

/// A duration drawn evenly from `least..=most`; randomly seeded per call.
#[must_use]
pub fn between(least: Duration, most: Duration) -> Duration {
    spread(most, most.saturating_sub(least), &RandomState::new(), 0)
}

/// `full` less a random share of `width`.
fn spread(full: Duration, width: Duration, random: &RandomState, salt: u32) -> Duration {
    let mut hasher = random.build_hasher();
    hasher.write_u32(salt);
    let share = u32::try_from(hasher.finish() >> 40).unwrap_or(0); // 24 random bits
    full - width * share / (1 << 24)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_most_and_keep_at_least_half() {
        let (first, most) = (Duration::from_millis(500), Duration::from_secs(20));
        let mut backoff = Backoff::new(first, most);
        for turn in 0..40u32 {
            let full = first.saturating_mul(1 << turn.min(16)).min(most);
            let pause = backoff.pause();
            assert!(
                pause <= full && pause >= full / 2,
                "{turn}: {pause:?} of {full:?}"
            );
        }
        backoff.reset();
        assert!(backoff.pause() <= first);
    }

    #[test]
    fn a_drawn_duration_stays_within_its_bounds() {
        let (least, most) = (Duration::from_secs(1800), Duration::from_secs(3600));
        for _ in 0..1000 {
            let drawn = between(least, most);
            assert!(drawn >= least && drawn <= most);
        }
    }
}
