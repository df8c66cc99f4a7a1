//! How many calls a program takes: rates, and calls at once. Shared by all workers, and kept over plans that don't change
//! them. A call that may not come in has certainly not reached the program.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use foldhash::{HashMap, HashMapExt};
use govern::rate::{self, Rate};
use plan::Pattern;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::failure::{Failure, Kind};
use crate::observe::metrics::{Action, CallMetrics};

/// Callers of one service that are told apart at once; those that come beyond share one rate.
const MAX_CALLERS: usize = 1024;

/// The limits of one service.
#[derive(Debug)]
pub(crate) struct Limits {
    plan: plan::Limits,
    service: Limit,
    methods: Box<[(Pattern, Limit)]>,
    callers: Option<Callers>,
    /// What moments are counted from.
    born: Instant,
}

/// Of the service, or of some of its methods.
#[derive(Debug)]
struct Limit {
    rate: Option<Meter>,
    at_once: Option<AtOnce>,
}

#[derive(Debug)]
struct Meter {
    rate: Rate,
    /// When the calls so far would be through at this rate, in nanoseconds since `born`.
    through_at: AtomicU64,
}

#[derive(Debug)]
struct Callers {
    rate: Rate,
    through_at: Mutex<HashMap<Box<[u8]>, u64>>,
    others: Meter,
}

#[derive(Debug)]
struct AtOnce {
    places: Arc<Semaphore>,
    count: u32,
    queue: Option<plan::Queue>,
    queued: Arc<AtomicU32>,
}

/// The place of a call among those that the program works on: it is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    _places: [Option<OwnedSemaphorePermit>; 2],
}

/// What becomes of a call.
pub(crate) enum Admission {
    /// It may come in.
    In(Option<Box<Permit>>),
    /// All places are taken; it may wait for one.
    Wait(Waiting),
}

/// A call that waits for a place.
pub(crate) struct Waiting {
    places: [Option<Arc<Semaphore>>; 2],
    until: Instant,
    words: String,
    _queued: Queued,
}

/// One call in a queue.
struct Queued(Arc<AtomicU32>);

impl Drop for Queued {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Limits {
    /// `None` where nothing is limited.
    pub(crate) fn new(plan: &plan::Limits, before: Option<&Arc<Self>>, now: Instant) -> Option<Arc<Self>> {
        if *plan == plan::Limits::default() {
            return None;
        }
        if let Some(before) = before.filter(|before| before.plan == *plan) {
            return Some(Arc::clone(before));
        }
        let methods = plan.methods.iter().map(|method| {
            let limit = Limit::new(method.rate, method.concurrency);
            (method.matches.clone(), limit)
        });
        Some(Arc::new(Self {
            service: Limit::new(plan.rate, plan.concurrency),
            methods: methods.collect(),
            callers: plan.per_caller.map(|rate| Callers {
                rate: of(rate),
                through_at: Mutex::new(HashMap::new()),
                others: Meter::new(rate),
            }),
            plan: plan.clone(),
            born: now,
        }))
    }

    /// Judges a call of `method` by `caller` (`M_s`).
    ///
    /// # Errors
    /// It comes too fast, or there is no place and none to wait at.
    pub(crate) fn admit(
        &self,
        (method, caller): (&[u8], &[u8]),
        (deadline, now): (Instant, Instant),
        calls: &CallMetrics,
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
        let at_once = limits.map(|limit| limit.and_then(|(_, limit)| limit.at_once.as_ref()));
        enter(at_once, (deadline, now), calls)
    }
}

impl Waiting {
    /// Waits for a place.
    ///
    /// # Errors
    /// None was free in time.
    pub(crate) async fn place(self) -> Result<Box<Permit>, Failure> {
        let Self {
            places: [first, second],
            until,
            words,
            _queued,
        } = self;
        let entering = async {
            Box::new(Permit {
                _places: [place(first).await, place(second).await],
            })
        };
        let entered = tokio::time::timeout_at(until.into(), entering).await;
        entered.map_err(|_| Failure::unsent(Kind::Overloaded, words))
    }
}

async fn place(places: Option<Arc<Semaphore>>) -> Option<OwnedSemaphorePermit> {
    places?.acquire_owned().await.ok()
}

fn enter(
    at_once: [Option<&AtOnce>; 2],
    (deadline, now): (Instant, Instant),
    calls: &CallMetrics,
) -> Result<Admission, Failure> {
    let mut places = [None, None];
    for (limit, place) in at_once.iter().zip(&mut places) {
        let Some(limit) = limit else { continue };
        if let Ok(free) = Arc::clone(&limit.places).try_acquire_owned() {
            *place = Some(free);
            continue;
        }
        drop(places);
        let words = format!(
            "{} is busy with {} calls at once, which is its limit",
            calls.service(),
            limit.count
        );
        let Some(queued) = limit.queue_up() else {
            return Err(Failure::unsent(Kind::Overloaded, words));
        };
        calls.acted(Action::Queued).inc();
        let longest = limit
            .queue
            .map_or(Duration::ZERO, |queue| queue.timeout_ms.duration());
        return Ok(Admission::Wait(Waiting {
            places: at_once.map(|limit| limit.map(|limit| Arc::clone(&limit.places))),
            until: deadline.min(now + longest),
            words,
            _queued: queued,
        }));
    }
    let is_limited = places.iter().any(Option::is_some);
    Ok(Admission::In(
        is_limited.then(|| Box::new(Permit { _places: places })),
    ))
}

impl Limit {
    fn new(rate: Option<plan::Rate>, at_once: Option<plan::Concurrency>) -> Self {
        Self {
            rate: rate.map(Meter::new),
            at_once: at_once.map(AtOnce::new),
        }
    }
}

impl AtOnce {
    fn new(plan: plan::Concurrency) -> Self {
        Self {
            places: Arc::new(Semaphore::new(plan.at_once.get() as usize)),
            count: plan.at_once.get(),
            queue: plan.queue,
            queued: Arc::default(),
        }
    }

    /// A place in the queue; `None` where there is none, or all are taken.
    fn queue_up(&self) -> Option<Queued> {
        let length = self.queue?.length.get();
        let before = self.queued.fetch_add(1, Ordering::Relaxed);
        let queued = Queued(Arc::clone(&self.queued));
        (before < length).then_some(queued)
    }
}

impl Meter {
    fn new(rate: plan::Rate) -> Self {
        Self {
            rate: of(rate),
            through_at: AtomicU64::new(0),
        }
    }

    fn take(&self, now: u64) -> Result<(), Duration> {
        let mut known = self.through_at.load(Ordering::Relaxed);
        loop {
            let next = rate::take(known, now, self.rate)?;
            match self
                .through_at
                .compare_exchange_weak(known, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return Ok(()),
                Err(newer) => known = newer,
            }
        }
    }
}

impl Callers {
    fn take(&self, caller: &[u8], now: u64) -> Result<(), Duration> {
        let mut known = self.through_at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(through_at) = known.get_mut(caller) {
            *through_at = rate::take(*through_at, now, self.rate)?;
            return Ok(());
        }
        if known.len() >= MAX_CALLERS {
            // Whoever is through is as if it had never called.
            known.retain(|_, through_at| *through_at > now);
        }
        if known.len() >= MAX_CALLERS {
            drop(known);
            return self.others.take(now);
        }
        let through_at = rate::take(0, now, self.rate)?;
        known.insert(Box::from(caller), through_at);
        Ok(())
    }
}

fn of(rate: plan::Rate) -> Rate {
    Rate::new(rate.per_second.get(), rate.burst.get())
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
