//! Calls that the program works on at once: as many as are said, or as many as it turns out to do well. Shared by all
//! workers; whoever waits is told by the one that leaves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use govern::concurrency::{self, Adaptive, End, Priority};
use govern::places::{Places, Queued, Ticket};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::oneshot;

use crate::worker::now;

/// How much longer than at rest answers may take before a learnt limit comes down, in percent: what varies by itself in
/// most programs.
const TOLERANCE_PERCENT: u32 = 25;

/// How many calls a program works on at once.
#[derive(Debug)]
pub(super) struct AtOnce {
    plan: Plan,
    rule: Option<concurrency::Rule>,
    highest: Priority,
    gauge: Option<Gauge>,
    state: Mutex<State>,
}

/// What is said of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    Fixed(plan::Concurrency),
    Learnt(plan::Adaptive),
}

#[derive(Debug)]
struct State {
    places: Places<oneshot::Sender<Turn>>,
    limit: u32,
    learnt: Option<Adaptive>,
}

/// What one that waits is told.
#[derive(Debug)]
enum Turn {
    In,
    Shed,
}

/// What becomes of a call.
pub(super) enum Asked {
    In(Place),
    /// It may wait.
    Wait(Waiter),
    /// There are so many already.
    Busy(u32),
}

/// The place of a call: it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    of: Arc<AtOnce>,
    since: Instant,
    /// Under way when it came in.
    among: u32,
    is_told: bool,
}

/// A call that waits for a place.
pub(super) struct Waiter {
    of: Arc<AtOnce>,
    priority: Priority,
    ticket: Ticket,
    turn: oneshot::Receiver<Turn>,
    is_over: bool,
}

impl AtOnce {
    /// `highest`: no call matters more than this here.
    pub(super) fn new(plan: Plan, highest: Priority, gauge: Option<Gauge>, now: Instant) -> Arc<Self> {
        let rule = plan.rule();
        let learnt = rule.map(|rule| {
            // As far from the one bound as from the other.
            let first = (f64::from(rule.min) * f64::from(rule.max)).sqrt();
            Adaptive::new(&rule, first as u32, now)
        });
        let limit = match (plan, &learnt, &rule) {
            (Plan::Learnt(_), Some(learnt), Some(rule)) => learnt.limit(rule),
            (Plan::Learnt(plan), ..) => plan.max.get(),
            (Plan::Fixed(plan), ..) => plan.at_once.get(),
        };
        if let Some(gauge) = &gauge {
            gauge.set(limit.into());
        }
        Arc::new(Self {
            plan,
            rule,
            highest,
            gauge,
            state: Mutex::new(State {
                places: Places::new(highest),
                limit,
                learnt,
            }),
        })
    }

    /// Whether it is what this plan asks for.
    pub(super) fn is_for(&self, plan: Plan, highest: Priority) -> bool {
        self.plan == plan && self.highest == highest
    }

    /// How long a call may wait.
    pub(super) fn longest(&self) -> Duration {
        self.plan
            .queue()
            .map_or(Duration::ZERO, |queue| queue.timeout_ms.duration())
    }

    /// A call wants to come in.
    pub(super) fn ask(self: &Arc<Self>, priority: Priority, now: Instant) -> Asked {
        let mut state = self.state();
        let limit = state.limit;
        if state.places.enter(limit, priority) {
            let among = state.places.under_way();
            drop(state);
            return Asked::In(Place::new(self, among, now));
        }
        let Some(queue) = self.plan.queue() else {
            return Asked::Busy(limit);
        };
        let (told, turn) = oneshot::channel();
        let ticket = match state.places.wait(queue.length.get(), priority, || told) {
            Queued::Waits(ticket) => ticket,
            Queued::InsteadOf(ticket, (_, gone)) => {
                let _ = gone.send(Turn::Shed); // it may have given up this moment
                ticket
            }
            Queued::Full => return Asked::Busy(limit),
        };
        Asked::Wait(Waiter {
            of: Arc::clone(self),
            priority,
            ticket,
            turn,
            is_over: false,
        })
    }

    /// How many may come in now.
    pub(super) fn limit(&self) -> u32 {
        self.state().limit
    }

    fn leave(&self) {
        let mut state = self.state();
        state.places.leave();
        state.let_in();
    }

    fn observe(&self, (took, end): (Duration, End), among: u32, now: Instant) {
        let Some(rule) = &self.rule else { return };
        let mut state = self.state();
        let Some(learnt) = &mut state.learnt else { return };
        learnt.observe(rule, (took, end), among, now);
        let limit = learnt.limit(rule);
        if limit != state.limit {
            state.limit = limit;
            if let Some(gauge) = &self.gauge {
                gauge.set(limit.into());
            }
            state.let_in();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// All who wait and have a place now. They are told while this is locked, so that whoever gives up knows whether it
    /// was let in.
    fn let_in(&mut self) {
        while let Some(waiter) = self.places.next(self.limit) {
            if waiter.send(Turn::In).is_err() {
                self.places.leave();
            }
        }
    }
}

impl Plan {
    /// What a service says; `None` where it takes any number.
    pub(super) fn of(limits: &plan::Limits) -> Option<Self> {
        let learnt = limits.adaptive.map(Self::Learnt);
        learnt.or_else(|| limits.concurrency.map(Self::Fixed))
    }

    const fn queue(self) -> Option<plan::Queue> {
        match self {
            Self::Fixed(plan) => plan.queue,
            Self::Learnt(plan) => plan.queue,
        }
    }

    fn rule(self) -> Option<concurrency::Rule> {
        match self {
            Self::Fixed(_) => None,
            Self::Learnt(plan) => Some(concurrency::Rule {
                min: plan.min.get(),
                max: plan.max.get(),
                tolerance_percent: TOLERANCE_PERCENT,
            }),
        }
    }
}

impl Place {
    fn new(of: &Arc<AtOnce>, among: u32, since: Instant) -> Self {
        Self {
            of: Arc::clone(of),
            since,
            among,
            is_told: false,
        }
    }

    /// The call has ended, or its program has answered what is still coming; the first time counts.
    pub(super) fn ended(&mut self, end: End, now: Instant) {
        if !std::mem::replace(&mut self.is_told, true) {
            let took = now.saturating_duration_since(self.since);
            self.of.observe((took, end), self.among, now);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.of.leave();
    }
}

impl Waiter {
    /// Waits for its turn; `None` where one that matters more has taken its place in the queue.
    pub(super) async fn place(mut self) -> Option<Place> {
        let turn = (&mut self.turn).await;
        self.is_over = true;
        match turn {
            Ok(Turn::In) => {
                let among = self.of.state().places.under_way();
                Some(Place::new(&self.of, among, now()))
            }
            Ok(Turn::Shed) | Err(_) => None,
        }
    }

    /// Where it waits.
    pub(super) const fn of(&self) -> &Arc<AtOnce> {
        &self.of
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let waited = self.of.state().places.give_up(self.priority, self.ticket);
        if !waited && matches!(self.turn.try_recv(), Ok(Turn::In)) {
            self.of.leave();
        }
    }
}
