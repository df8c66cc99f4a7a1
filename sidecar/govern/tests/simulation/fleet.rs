//! Nodes that answer after a while, well or not, and one agent that calls them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use govern::balance::Chooser;
use govern::ewma::Ewma;
use govern::outlier::{self, Outlier, Standing};

use super::Random;

const HEALTH: outlier::Rule = outlier::Rule {
    consecutive_failures: 5,
    failure_percent: Some(80),
    latency_percent: None,
    min_calls: 20,
    base: Duration::from_secs(1),
    longest: Duration::from_secs(30),
    max_ejected_percent: 50,
};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    pub(crate) latency: Duration,
    pub(crate) fails_percent: u64,
}

impl Node {
    pub(crate) const fn well(latency: Duration) -> Self {
        Self {
            latency,
            fails_percent: 0,
        }
    }
}

/// How the agent chooses among the two that are drawn.
pub(crate) struct Policy {
    by_latency: bool,
    is_watched: bool,
}

impl Policy {
    pub(crate) const fn plain(by_latency: bool) -> Self {
        Self {
            by_latency,
            is_watched: false,
        }
    }

    pub(crate) const fn watched() -> Self {
        Self {
            by_latency: false,
            is_watched: true,
        }
    }
}

/// What callers saw, and where their calls went.
#[derive(Debug)]
pub(crate) struct Seen {
    calls: Vec<u32>,
    pub(crate) failed: u32,
    /// Calls for which there was nobody.
    pub(crate) unplaced: u32,
}

impl Seen {
    pub(crate) fn share(&self, node: usize) -> f64 {
        f64::from(self.calls[node]) / f64::from(self.calls.iter().sum::<u32>())
    }
}

pub(crate) struct Fleet {
    pub(crate) nodes: Vec<Node>,
    in_flight: Vec<u32>,
    latencies: Vec<Ewma>,
    health: Vec<Outlier>,
    /// When each call under way ends, where, and when it began.
    ends: BinaryHeap<Reverse<(Instant, usize, Instant, bool)>>,
    now: Instant,
    random: Random,
}

impl Fleet {
    pub(crate) fn new(nodes: Vec<Node>, seed: u64) -> Self {
        let count = nodes.len();
        Self {
            nodes,
            in_flight: vec![0; count],
            latencies: vec![Ewma::default(); count],
            health: vec![Outlier::default(); count],
            ends: BinaryHeap::new(),
            now: Instant::now(),
            random: Random(seed),
        }
    }

    pub(crate) fn out(&self) -> usize {
        self.health.iter().filter(|health| health.is_out()).count()
    }

    /// One call each `pause`, for so long.
    pub(crate) fn run(&mut self, policy: &Policy, length: Duration, pause: Duration) -> Seen {
        let mut seen = Seen {
            calls: vec![0; self.nodes.len()],
            failed: 0,
            unplaced: 0,
        };
        let until = self.now + length;
        while self.now < until {
            self.now += pause;
            self.end_those_due(policy, &mut seen);
            match self.pick(policy) {
                Some(node) => self.send(node, policy, &mut seen),
                None => seen.unplaced += 1,
            }
        }
        seen
    }

    fn standing(&self, node: usize, policy: &Policy) -> Standing {
        if policy.is_watched {
            self.health[node].standing(self.now)
        } else {
            Standing::In
        }
    }

    /// The better of two that are in or to be tried out; where neither is, the best of all.
    fn pick(&mut self, policy: &Policy) -> Option<usize> {
        let count = self.nodes.len();
        let random = (self.random.next(), 0, None);
        let drawn = Chooser::TwoChoices.draw(count, random, |node| self.in_flight[node])?;
        let cost = |node: usize| {
            if policy.by_latency {
                self.latencies[node].cost(self.in_flight[node], self.now)
            } else {
                f64::from(self.in_flight[node])
            }
        };
        let is_usable = |node: &usize| self.standing(*node, policy) != Standing::Out;
        let two = [drawn.first, drawn.second].into_iter().filter(is_usable);
        let best = |left: &usize, right: &usize| cost(*left).total_cmp(&cost(*right));
        two.min_by(best)
            .or_else(|| (0..count).filter(is_usable).min_by(best))
    }

    fn send(&mut self, node: usize, policy: &Policy, seen: &mut Seen) {
        if self.standing(node, policy) == Standing::Probe {
            self.health[node].probe(self.now);
        }
        let Node {
            latency,
            fails_percent,
        } = self.nodes[node];
        let fails = self.random.next() % 100 < fails_percent;
        // Between three and five quarters of the latency.
        let spread = latency / 2 * u32::try_from(self.random.next() % 1000).unwrap_or(0) / 1000;
        let end = self.now + latency * 3 / 4 + spread;
        self.ends.push(Reverse((end, node, self.now, !fails)));
        self.in_flight[node] += 1;
        seen.calls[node] += 1;
    }

    fn end_those_due(&mut self, policy: &Policy, seen: &mut Seen) {
        while let Some(Reverse((end, node, began, is_good))) = self.ends.peek().copied() {
            if end > self.now {
                return;
            }
            self.ends.pop();
            self.in_flight[node] -= 1;
            self.latencies[node].observe(end - began, end);
            seen.failed += u32::from(!is_good);
            if policy.is_watched {
                let (out, all) = (self.out(), self.nodes.len());
                let may_eject = || outlier::may_eject(&HEALTH, out, all);
                let random = self.random.next();
                self.health[node].ended(&HEALTH, (began, is_good), may_eject, (end, random));
            }
        }
    }
}
