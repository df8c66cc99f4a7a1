//! How many calls a program takes at once, learnt from how soon it answers: as many as it can while answers take about as
//! long as they do at rest. More would only wait inside it. After the gradient controllers of Envoy and of Netflix'
//! concurrency-limits; the latency at rest is measured again and again, so that a queue that stands is never taken for it.

use std::time::{Duration, Instant};

/// The least time between two changes of the limit.
const WINDOW: Duration = Duration::from_millis(100);
/// The longest, where a program answers slowly.
const LONGEST_WINDOW: Duration = Duration::from_secs(2);
/// Answers below which a window says nothing and goes on.
const MIN_ANSWERS: u32 = 10;
/// How often the latency at rest is measured.
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// The limit while it is measured, of the limit before: half drains any queue that the limit lets stand, and costs half of
/// the throughput for two windows in 10 s.
const WHILE_PROBING: f64 = 0.5;
/// Of the latency at rest that was known: less than this shows that calls had waited in it.
const STILL_BETTER: f64 = 0.8;
/// One window lowers the limit at most to this part of it.
const STEEPEST: f64 = 0.5;
/// The part of the limit that is left by a window in which calls were lost.
const AFTER_LOSS: f64 = 0.8;
/// A call that its caller gave up counts as lost from so many times the latency at rest on: it was too slow for someone.
const GIVEN_UP: f64 = 2.0;

/// Between which limits, and what is taken for slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The lowest limit; 0 counts as 1.
    pub min: u32,
    /// The highest.
    pub max: u32,
    /// How much longer than at rest answers may take before the limit comes down, in percent. 25 is usual.
    pub tolerance_percent: u32,
}

/// How a call ended that a program had a place for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The program has answered.
    Answered,
    /// It had no answer in time.
    Lost,
    /// Its caller went away first.
    GivenUp,
}

/// A limit that is learnt.
#[derive(Debug, Clone)]
pub struct Adaptive {
    limit: f64,
    /// How long an answer takes at rest, in nanoseconds.
    at_rest: Option<f64>,
    phase: Phase,
    window: Window,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// The limit follows the latency.
    Steady { until: Instant },
    /// The limit is lowered, and what came before is still being answered.
    Draining { held: f64 },
    /// What is answered now came while the limit was low.
    Measuring { held: f64 },
}

#[derive(Debug, Clone, Copy)]
struct Window {
    since: Instant,
    length: Duration,
    answers: u32,
    nanos: f64,
    busiest: u32,
    lost: bool,
}

impl Adaptive {
    /// Begins at `first`, within the bounds of the rule.
    #[must_use]
    pub fn new(rule: &Rule, first: u32, now: Instant) -> Self {
        Self {
            limit: bounded(rule, f64::from(first)),
            at_rest: None,
            // The first load may be too much already.
            phase: Phase::Steady { until: now },
            window: Window::new(now, WINDOW),
        }
    }

    /// How many calls may be under way at once.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "kept between two numbers that fit"
    )]
    pub fn limit(&self, rule: &Rule) -> u32 {
        let limit = match self.phase {
            Phase::Steady { .. } => self.limit,
            Phase::Draining { .. } | Phase::Measuring { .. } => self.limit * WHILE_PROBING,
        };
        bounded(rule, limit) as u32
    }

    /// A call has ended after `took`, with `in_flight` under way when it began. Calls that were refused, or that the
    /// program failed by itself, are not to be told: they end sooner than an answer.
    pub fn observe(&mut self, rule: &Rule, (took, end): (Duration, End), in_flight: u32, now: Instant) {
        let lost = match end {
            End::Answered => false,
            End::Lost => true,
            End::GivenUp => {
                let nanos = took.as_nanos() as f64;
                if self.at_rest.is_none_or(|at_rest| nanos < at_rest * GIVEN_UP) {
                    return;
                }
                true
            }
        };
        self.window.count(took, lost, in_flight);
        if !self.window.is_over(now) {
            return;
        }
        let Window {
            answers,
            nanos,
            busiest,
            lost,
            ..
        } = self.window;
        if answers == 0 {
            // Nothing but losses.
            self.limit = bounded(rule, self.limit * STEEPEST);
            self.window = Window::new(now, WINDOW);
            return;
        }
        let mean = nanos / f64::from(answers);
        self.phase = match self.phase {
            Phase::Steady { until } => {
                let at_rest = self.at_rest.map_or(mean, |known| known.min(mean));
                self.at_rest = Some(at_rest);
                self.step(rule, (mean, at_rest), busiest, lost);
                if now >= until {
                    Phase::Draining { held: self.limit }
                } else {
                    Phase::Steady { until }
                }
            }
            Phase::Draining { held } => Phase::Measuring { held },
            Phase::Measuring { held } => {
                let known = self.at_rest.replace(mean);
                self.limit = held;
                // Where half of the limit was that much better, half of the next one may be better still.
                let was_queue = known.is_some_and(|known| mean < known * STILL_BETTER);
                let pause = if was_queue { Duration::ZERO } else { PROBE_EVERY };
                Phase::Steady { until: now + pause }
            }
        };
        // Two answers' time, so that a window sees what the last change has done.
        let length = Duration::from_nanos((mean * 2.0) as u64).clamp(WINDOW, LONGEST_WINDOW);
        self.window = Window::new(now, length);
    }

    fn step(&mut self, rule: &Rule, (mean, at_rest): (f64, f64), busiest: u32, lost: bool) {
        let tolerated = at_rest * (1.0 + f64::from(rule.tolerance_percent) / 100.0);
        let gradient = (tolerated / mean).clamp(STEEPEST, 1.0);
        let next = if lost {
            self.limit * gradient.min(AFTER_LOSS)
        } else if gradient < 1.0 || f64::from(busiest) * 2.0 >= self.limit {
            // The root is what may wait, so that a program that got faster is found to be.
            self.limit * gradient + self.limit.sqrt()
        } else {
            self.limit // nobody asks for more, and more was not tried
        };
        self.limit = bounded(rule, next);
    }
}

impl Window {
    const fn new(since: Instant, length: Duration) -> Self {
        Self {
            since,
            length,
            answers: 0,
            nanos: 0.0,
            busiest: 0,
            lost: false,
        }
    }

    fn count(&mut self, took: Duration, lost: bool, in_flight: u32) {
        self.busiest = self.busiest.max(in_flight);
        if lost {
            self.lost = true;
        } else {
            self.answers += 1;
            self.nanos += took.as_nanos() as f64;
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.since);
        passed >= self.length && (self.answers >= MIN_ANSWERS || passed >= LONGEST_WINDOW)
    }
}

fn bounded(rule: &Rule, limit: f64) -> f64 {
    let min = f64::from(rule.min.max(1));
    limit.clamp(min, f64::from(rule.max).max(min))
}

/// How much a call matters, against the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// It can be done later, or not at all: a batch.
    Low,
    /// As most calls.
    #[default]
    Normal,
    /// The last to be refused.
    Critical,
}

impl Priority {
    /// All of them, the lowest first.
    pub const ALL: [Self; 3] = [Self::Low, Self::Normal, Self::Critical];
}

/// Up to how many calls under way one more of this priority is let in, where `limit` is the limit of all: the last fifth
/// is not for the low ones, the last twentieth for the critical ones only. At least 1.
#[must_use]
pub const fn room(limit: u32, priority: Priority) -> u32 {
    let kept_free = match priority {
        Priority::Low => limit.div_ceil(5),
        Priority::Normal => limit / 20,
        Priority::Critical => 0,
    };
    let room = limit - kept_free;
    if room == 0 { 1 } else { room }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule {
        min: 2,
        max: 1000,
        tolerance_percent: 25,
    };
    const MS: Duration = Duration::from_millis(1);

    /// Feeds calls for so long, one each millisecond, each taking what `latency` says for the limit of then.
    fn run(
        adaptive: &mut Adaptive,
        millis: std::ops::Range<u32>,
        start: Instant,
        latency: impl Fn(u32) -> Duration,
    ) {
        for step in millis {
            let limit = adaptive.limit(&RULE);
            adaptive.observe(&RULE, (latency(limit), End::Answered), limit, start + MS * step);
        }
    }

    /// A program with 20 hands and 10 ms of work: what comes beyond waits.
    fn twenty_hands(limit: u32) -> Duration {
        10 * MS * limit.max(20) / 20
    }

    #[test]
    fn it_finds_how_much_a_program_can_do_from_both_sides() {
        for first in [2, 20, 900] {
            let start = Instant::now();
            let mut adaptive = Adaptive::new(&RULE, first, start);
            run(&mut adaptive, 0..60_000, start, twenty_hands);
            let limit = adaptive.limit(&RULE);
            assert!((15..=45).contains(&limit), "{first}: {limit}");
        }
    }

    #[test]
    fn it_follows_a_program_that_gets_slower_and_faster() {
        let start = Instant::now();
        let mut adaptive = Adaptive::new(&RULE, 20, start);
        run(&mut adaptive, 0..20_000, start, twenty_hands);
        let before = adaptive.limit(&RULE);
        run(&mut adaptive, 20_000..60_000, start, |limit| {
            10 * MS * limit.max(5) / 5
        });
        let slower = adaptive.limit(&RULE);
        assert!(slower * 2 < before, "{before} {slower}");
        run(&mut adaptive, 60_000..100_000, start, |limit| {
            10 * MS * limit.max(80) / 80
        });
        let faster = adaptive.limit(&RULE);
        assert!(faster > before, "{before} {faster}");
    }

    #[test]
    fn it_stays_where_nobody_asks_for_more() {
        let start = Instant::now();
        let mut adaptive = Adaptive::new(&RULE, 50, start);
        for step in 0..9_000 {
            adaptive.observe(&RULE, (MS, End::Answered), 3, start + MS * step);
        }
        assert_eq!(adaptive.limit(&RULE), 50);
    }

    #[test]
    fn losses_bring_it_down_to_the_least() {
        let start = Instant::now();
        let mut adaptive = Adaptive::new(&RULE, 500, start);
        for step in 0..60_000 {
            adaptive.observe(&RULE, (MS, End::Lost), 500, start + MS * step);
        }
        assert_eq!(adaptive.limit(&RULE), RULE.min);
    }

    #[test]
    fn calls_given_up_early_say_nothing_and_late_ones_are_losses() {
        let start = Instant::now();
        let mut adaptive = Adaptive::new(&RULE, 500, start);
        adaptive.at_rest = Some(10e6);
        for step in 0..60_000 {
            adaptive.observe(&RULE, (MS, End::GivenUp), 500, start + MS * step);
        }
        assert_eq!(adaptive.limit(&RULE), 500);
        for step in 60_000..120_000 {
            adaptive.observe(&RULE, (20 * MS, End::GivenUp), 500, start + MS * step);
        }
        assert_eq!(adaptive.limit(&RULE), RULE.min);
    }

    #[test]
    fn the_limit_is_halved_while_the_latency_at_rest_is_measured() {
        let start = Instant::now();
        let mut adaptive = Adaptive::new(&RULE, 40, start);
        let mut lows = 0;
        for step in 0..25_000 {
            let before = adaptive.limit(&RULE);
            adaptive.observe(&RULE, (10 * MS, End::Answered), 0, start + MS * step);
            lows += u32::from(adaptive.limit(&RULE) * 2 == before);
        }
        assert_eq!(lows, 3); // at once, and every 10 s
        assert_eq!(adaptive.limit(&RULE), 40);
    }

    #[test]
    fn the_last_places_are_for_those_who_matter() {
        let rows = [
            (100, 80, 95, 100),
            (10, 8, 10, 10),
            (2, 1, 2, 2),
            (1, 1, 1, 1),
            (0, 1, 1, 1),
        ];
        for (limit, low, normal, high) in rows {
            let rooms = Priority::ALL.map(|priority| room(limit, priority));
            assert_eq!(rooms, [low, normal, high], "{limit}");
        }
    }
}
