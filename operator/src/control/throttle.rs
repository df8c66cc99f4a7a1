//! What is due when: each thing at most once in an interval, however often it is touched. Pure.

use std::{collections::HashMap, hash::Hash, time::Duration};

use tokio::time::Instant;

/// Keeps things apart in time.
#[derive(Debug)]
pub(super) struct Throttle<K> {
    every: Duration,
    due: HashMap<K, Instant>,
    last: HashMap<K, Instant>,
}

impl<K: Clone + Eq + Hash> Throttle<K> {
    /// At most once in `every`.
    #[must_use]
    pub(super) fn new(every: Duration) -> Self {
        Self {
            every,
            due: HashMap::new(),
            last: HashMap::new(),
        }
    }

    /// It should be done: now, or as soon as the interval since the last time is over.
    pub(super) fn touch(&mut self, key: K, now: Instant) {
        let at = self
            .last
            .get(&key)
            .map_or(now, |last| (*last + self.every).max(now));
        self.due.entry(key).or_insert(at);
    }

    /// Everything that is due now; it counts as done now.
    pub(super) fn take(&mut self, now: Instant) -> Vec<K> {
        self.last.retain(|_, last| now.duration_since(*last) < self.every);
        let due: Vec<K> = self
            .due
            .extract_if(|_, at| *at <= now)
            .map(|(key, _)| key)
            .collect();
        self.last.extend(due.iter().cloned().map(|key| (key, now)));
        due
    }

    /// When something is due next.
    #[must_use]
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.values().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(1);

    #[test]
    fn the_first_touch_is_due_at_once_and_the_next_after_the_interval() {
        let mut throttle = Throttle::new(EVERY);
        let start = Instant::now();
        throttle.touch("a", start);
        assert_eq!(throttle.take(start), ["a"]);
        throttle.touch("a", start + EVERY / 2);
        throttle.touch("a", start + EVERY / 2);
        assert_eq!(throttle.take(start + EVERY / 2), [""; 0]);
        assert_eq!(throttle.next(), Some(start + EVERY));
        assert_eq!(throttle.take(start + EVERY), ["a"]);
        assert_eq!(throttle.next(), None);
    }

    #[test]
    fn touching_for_ever_gives_one_turn_an_interval() {
        let mut throttle = Throttle::new(EVERY);
        let start = Instant::now();
        let turns: usize = (0..10_000u64)
            .map(|ms| {
                let now = start + Duration::from_millis(ms);
                throttle.touch((), now);
                throttle.take(now).len()
            })
            .sum();
        assert_eq!(turns, 10);
    }
}
