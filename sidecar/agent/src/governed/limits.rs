//! How many calls a program takes: rates, and calls at once. Shared by all workers, and kept over plans that don't change
//! them. A call that may not come in has certainly not reached the program.

mod at_once;
mod rates;
mod shared;

use std::sync::Arc;
use std::time::{Duration, Instant};

use govern::concurrency::{End, Priority};
use govern::rate::Rate;
use plan::{Pattern, Protocol};

use self::at_once::{Asked, AtOnce, Place, Plan, Waiter};
use self::rates::{Callers, Meter};
use self::shared::TooFast;
pub(crate) use self::shared::{Held, Shared};
use crate::failure::{Failure, Kind};
use crate::observe::metrics::{Action, CallMetrics, Metrics, Outcome};

/// The limits of one service.
#[derive(Debug)]
pub(crate) struct Limits {
    plan: plan::Limits,
    service: Limit,
    methods: Box<[(Pattern, Limit)]>,
    callers: Option<Callers>,
    /// A rate of all pods, of which this one has a share.
    shared: Option<Arc<Shared>>,
    /// What moments are counted from.
    born: Instant,
}

/// Of the service, or of some of its methods.
#[derive(Debug)]
struct Limit {
    rate: Option<Meter>,
    at_once: Option<Arc<AtOnce>>,
}

/// The place of a call among those that the program works on: it is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Permit([Option<Place>; 2]);

/// What becomes of a call.
pub(crate) enum Admission {
    /// It may come in.
    In(Option<Box<Permit>>),
    /// All places are taken; it may wait for one.
    Wait(Waiting),
}

/// A call that waits for a place.
pub(crate) struct Waiting {
    /// What it has already.
    held: Option<Place>,
    waiter: Waiter,
    /// Where it needs a place after this one.
    then: Option<Arc<AtOnce>>,
    until: Instant,
    priority: Priority,
    calls: Arc<CallMetrics>,
}

impl Limits {
    /// `None` where nothing is limited. `metrics` show, by the service's name, how many calls there may be at once, and what
    /// share it has.
    pub(crate) fn new(
        plan: &plan::Limits,
        before: Option<&Arc<Self>>,
        (metrics, name): (&Metrics, &str),
        now: Instant,
    ) -> Option<Arc<Self>> {
        if *plan == plan::Limits::default() {
            return None;
        }
        if let Some(before) = before.filter(|before| before.is_for(plan)) {
            if let Some((shared, rate)) = before.shared.as_ref().zip(plan.cluster_rate) {
                shared.change(rate, now);
            }
            return Some(Arc::clone(before));
        }
        let methods = plan.methods.iter().map(|method| {
            let at_once = method.concurrency.map(Plan::Fixed);
            let limit = Limit {
                rate: method.rate.map(Meter::new),
                // Nothing is kept free in it: it may be of those alone who matter least.
                at_once: at_once.map(|plan| AtOnce::new(plan, Priority::Low, None, now)),
            };
            (method.matches.clone(), limit)
        });
        let at_once = Plan::of(plan).map(|at_once| {
            let highest = highest(plan);
            let before = before.and_then(|before| before.service.at_once.as_ref());
            match before.filter(|before| before.is_for(at_once, highest)) {
                Some(before) => Arc::clone(before),
                None => AtOnce::new(at_once, highest, Some(metrics.limit(name)), now),
            }
        });
        let shared = plan
            .cluster_rate
            .map(|rate| match before.and_then(|before| before.shared.as_ref()) {
                Some(before) => {
                    before.change(rate, now);
                    Arc::clone(before)
                }
                None => Shared::new(rate, metrics.share(name), now),
            });
        Some(Arc::new(Self {
            service: Limit {
                rate: plan.rate.map(Meter::new),
                at_once,
            },
            methods: methods.collect(),
            callers: plan.per_caller.map(Callers::new),
            shared,
            plan: plan.clone(),
            born: now,
        }))
    }

    /// Whether it can be kept for a plan: what is shared among pods may change in it, as it does when there are more of them.
    fn is_for(&self, plan: &plan::Limits) -> bool {
        let alike = plan::Limits {
            cluster_rate: self.plan.cluster_rate,
            ..plan.clone()
        };
        self.plan.cluster_rate.is_some() == plan.cluster_rate.is_some() && self.plan == alike
    }

    /// Whether it says how many calls there may be at once.
    pub(crate) const fn is_of_places(&self) -> bool {
        self.service.at_once.is_some()
    }

    /// The rate that all pods share.
    pub(crate) const fn shared(&self) -> Option<&Arc<Shared>> {
        self.shared.as_ref()
    }

    /// Judges a call of `method` by `caller` (`M_s`).
    ///
    /// # Errors
    /// It comes too fast, or there is no place and none to wait at.
    pub(crate) fn admit(
        &self,
        (method, caller): (&[u8], &[u8]),
        (deadline, now): (Instant, Instant),
        calls: &Arc<CallMetrics>,
    ) -> Result<Admission, Failure> {
        let of_method = self.methods.iter().find(|(pattern, _)| pattern.matches(method));
        let of_method = of_method.map(|(pattern, limit)| (Some(pattern), limit));
        let nanos = u64::try_from(now.saturating_duration_since(self.born).as_nanos()).unwrap_or(u64::MAX);
        // The narrower comes first, so that a caller who asks too much takes nothing from the others.
        if let Some(callers) = &self.callers
            && let Err(wait) = callers.take(caller, nanos)
        {
            let caller = String::from_utf8_lossy(caller);
            let words = format!("{} calls by {caller:?}", per_second(callers.rate));
            return Err(too_fast(calls, &words, wait));
        }
        let limits = [of_method, Some((None, &self.service))];
        for (pattern, limit) in limits.into_iter().flatten() {
            if let Some(meter) = &limit.rate
                && let Err(wait) = meter.take(nanos)
            {
                let words = match pattern {
                    Some(pattern) => format!("{} calls of {pattern}", per_second(meter.rate)),
                    None => format!("{} calls", per_second(meter.rate)),
                };
                return Err(too_fast(calls, &words, wait));
            }
        }
        if let Some(shared) = &self.shared
            && let Err(TooFast { wait, rate, share }) = shared.take(now)
        {
            let words = format!("{rate} a second at all its pods together, {share} of them here");
            return Err(too_fast(calls, &words, wait));
        }
        let at_once = limits.map(|limit| limit.and_then(|(_, limit)| limit.at_once.as_ref()));
        if at_once.iter().all(Option::is_none) {
            return Ok(Admission::In(None));
        }
        enter(at_once, self.priority(method, caller), (deadline, now), calls)
    }

    fn priority(&self, method: &[u8], caller: &[u8]) -> Priority {
        let mut rules = self.plan.priorities.iter();
        let rule = rules.find(|rule| rule.matches(method, caller));
        rule.map_or(Priority::Normal, |rule| of(rule.priority))
    }
}

impl Permit {
    /// The call has ended, or its program has answered what is still coming. What the program failed at by itself tells
    /// nothing of how much it can do: it may be sooner than an answer.
    pub(crate) fn ended(&mut self, outcome: Outcome, protocol: Protocol, now: Instant) {
        let end = match outcome {
            Outcome::Ok => End::Answered,
            Outcome::AppError if protocol.is_motan() => End::Answered,
            Outcome::Failed(Kind::Timeout) => End::Lost,
            Outcome::Cancelled => End::GivenUp,
            Outcome::AppError | Outcome::RemoteError | Outcome::Failed(_) => return,
        };
        for place in self.0.iter_mut().flatten() {
            place.ended(end, now);
        }
    }
}

impl Waiting {
    /// Waits for a place.
    ///
    /// # Errors
    /// None was free in time, or calls that matter more took it.
    pub(crate) async fn place(self) -> Result<Box<Permit>, Failure> {
        let Self {
            held,
            waiter,
            then,
            until,
            priority,
            calls,
        } = self;
        let first = wait(waiter, until, priority, &calls).await?;
        let second = match then {
            None => None,
            Some(then) => Some(match then.ask(priority, crate::worker::now()) {
                Asked::In(place) => place,
                Asked::Wait(waiter) => wait(waiter, until, priority, &calls).await?,
                Asked::Busy(limit) => return Err(busy(limit, priority, &calls)),
            }),
        };
        Ok(Box::new(match held {
            Some(held) => Permit([Some(held), Some(first)]),
            None => Permit([Some(first), second]),
        }))
    }
}

async fn wait(
    waiter: Waiter,
    until: Instant,
    priority: Priority,
    calls: &CallMetrics,
) -> Result<Place, Failure> {
    let of = Arc::clone(waiter.of());
    let place = tokio::time::timeout_at(until.into(), waiter.place()).await;
    let place = place.ok().flatten();
    place.ok_or_else(|| busy(of.limit(), priority, calls))
}

fn enter(
    [first, second]: [Option<&Arc<AtOnce>>; 2],
    priority: Priority,
    (deadline, now): (Instant, Instant),
    calls: &Arc<CallMetrics>,
) -> Result<Admission, Failure> {
    let queued = |held, waiter: Waiter, then: Option<&Arc<AtOnce>>| {
        calls.acted(Action::Queued).inc();
        Admission::Wait(Waiting {
            held,
            until: deadline.min(now + waiter.of().longest()),
            waiter,
            then: then.map(Arc::clone),
            priority,
            calls: Arc::clone(calls),
        })
    };
    let held = match first.map(|limit| limit.ask(priority, now)) {
        None => None,
        Some(Asked::In(place)) => Some(place),
        Some(Asked::Wait(waiter)) => return Ok(queued(None, waiter, second)),
        Some(Asked::Busy(limit)) => return Err(busy(limit, priority, calls)),
    };
    match second.map(|limit| limit.ask(priority, now)) {
        None => Ok(Admission::In(Some(Box::new(Permit([held, None]))))),
        Some(Asked::In(place)) => Ok(Admission::In(Some(Box::new(Permit([held, Some(place)]))))),
        Some(Asked::Wait(waiter)) => Ok(queued(held, waiter, None)),
        Some(Asked::Busy(limit)) => Err(busy(limit, priority, calls)),
    }
}

/// The most that a call may matter; others than those that rules name are normal.
fn highest(plan: &plan::Limits) -> Priority {
    let named = plan.priorities.iter().map(|rule| of(rule.priority)).max();
    named.map_or(Priority::Normal, |named| named.max(Priority::Normal))
}

const fn of(priority: plan::Priority) -> Priority {
    match priority {
        plan::Priority::Low => Priority::Low,
        plan::Priority::Normal => Priority::Normal,
        plan::Priority::Critical => Priority::Critical,
    }
}

fn busy(limit: u32, priority: Priority, calls: &CallMetrics) -> Failure {
    let action = match priority {
        Priority::Low => Action::ShedLow,
        Priority::Normal => Action::ShedNormal,
        Priority::Critical => Action::ShedCritical,
    };
    calls.acted(action).inc();
    let words = format!(
        "{} is busy with {limit} calls at once, which is its limit",
        calls.service()
    );
    Failure::unsent(Kind::Overloaded, words)
}

fn per_second(rate: Rate) -> String {
    format!("{} a second", rate.per_second())
}

fn too_fast(calls: &CallMetrics, limit: &str, wait: Duration) -> Failure {
    let words = format!(
        "{} takes {limit}: try again in {} ms",
        calls.service(),
        wait.as_millis().max(1)
    );
    Failure::unsent(Kind::RateLimited, words)
}
