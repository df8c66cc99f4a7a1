//! A program with twenty hands and ten milliseconds of work, and callers that wait for 200 ms.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use govern::concurrency::{Adaptive, End, Rule};

use super::{MS, Random, SECOND};

const HANDS: u32 = 20;
const WORK: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_millis(200);
const RULE: Rule = Rule {
    min: 1,
    max: 10_000,
    tolerance_percent: 25,
};

/// What it answers in time at so many percent of what it can do, as a part of what it can do: over 20 s, after 20 s.
pub(crate) fn run(is_limited: bool, load_percent: u32, seed: u64) -> f64 {
    let mut random = Random(seed);
    let start = Instant::now();
    let mut adaptive = Adaptive::new(&RULE, 50, start);
    let mut hands: BinaryHeap<Reverse<Instant>> = (0..HANDS).map(|_| Reverse(start)).collect();
    let mut ends: BinaryHeap<Reverse<(Instant, Instant, u32)>> = BinaryHeap::new();
    let (mut in_flight, mut good) = (0u32, 0u32);
    let per_second = HANDS * 100; // each hand does a hundred a second
    let pause = SECOND * 100 / (per_second * load_percent);
    let (from, until) = (start + 20 * SECOND, start + 40 * SECOND);
    let mut now = start;
    while now < until {
        now += pause;
        while let Some(Reverse((end, began, with))) = ends.peek().copied() {
            if end > now {
                break;
            }
            ends.pop();
            in_flight -= 1;
            let took = end - began;
            let is_late = took > PATIENCE;
            good += u32::from(!is_late && end > from);
            let ended = if is_late { End::Lost } else { End::Answered };
            adaptive.observe(&RULE, (took, ended), with, end);
        }
        if is_limited && in_flight >= adaptive.limit(&RULE) {
            continue;
        }
        let Some(Reverse(free)) = hands.pop() else {
            continue;
        };
        // Between nine and eleven tenths of the work.
        let spread = MS * 2 * u32::try_from(random.next() % 1000).unwrap_or(0) / 1000;
        let end = free.max(now) + WORK - MS + spread;
        hands.push(Reverse(end));
        in_flight += 1;
        ends.push(Reverse((end, now, in_flight)));
    }
    f64::from(good) / f64::from(per_second * 20)
}
