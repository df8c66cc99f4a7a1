//! An endpoint as one service knows it: whether its calls go well, and how soon they are answered. Shared by all workers,
//! and kept over plans and changes of endpoints.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use govern::ewma::Ewma;
use govern::outlier::{self, Change, Outlier, Rule, Standing};
use govern::pace::{self, Pace};

use crate::live::{Endpoint, InFlight};
use crate::observe::metrics::{Action, CallMetrics};

/// An endpoint as one service knows it.
#[derive(Debug)]
pub struct Member {
    health: Option<Rule>,
    fleet: Arc<Fleet>,
    /// When it was seen first; `None` where it was there from the start.
    since: Option<Instant>,
    /// Whether a call that goes well has something to mend.
    is_failing: AtomicBool,
    is_out: AtomicBool,
    outlier: Mutex<Outlier>,
    latency: Option<Mutex<Ewma>>,
    /// Where it may be ejected for being slow.
    paced: Option<Mutex<Paced>>,
}

/// How long calls take at an endpoint.
#[derive(Debug)]
struct Paced {
    pace: Pace,
    /// When it was compared with the others last.
    compared: Instant,
}

/// All endpoints of a service.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    out: AtomicUsize,
    total: AtomicUsize,
    /// Where they may be ejected for being slow.
    members: Mutex<Vec<Weak<Member>>>,
}

impl Fleet {
    /// These are there now.
    pub(crate) fn count<'m>(&self, members: impl ExactSizeIterator<Item = &'m Arc<Member>>) {
        self.total.store(members.len(), Ordering::Relaxed);
        let paced = members.filter(|member| member.paced.is_some());
        *lock(&self.members) = paced.map(Arc::downgrade).collect();
    }

    /// What calls take at each that has had enough of them.
    fn paces(&self, rule: &Rule, now: Instant) -> Vec<Duration> {
        let members = lock(&self.members);
        let members = members.iter().filter_map(Weak::upgrade);
        let pace = |member: Arc<Member>| lock(member.paced.as_ref()?).pace.mean(rule.min_calls, now);
        members.filter_map(pace).collect()
    }
}

impl Member {
    pub(crate) fn new(
        health: Option<Rule>,
        by_latency: bool,
        fleet: &Arc<Fleet>,
        (since, now): (Option<Instant>, Instant),
    ) -> Self {
        let judges_pace = health.is_some_and(|rule| rule.latency_percent.is_some());
        Self {
            paced: judges_pace.then(|| {
                Mutex::new(Paced {
                    pace: Pace::new(now),
                    compared: now,
                })
            }),
            health,
            fleet: Arc::clone(fleet),
            since,
            is_failing: AtomicBool::new(false),
            is_out: AtomicBool::new(false),
            outlier: Mutex::default(),
            latency: by_latency.then(Mutex::default),
        }
    }

    /// Whether it was made for these rules.
    pub(crate) fn is_for(&self, health: Option<Rule>, by_latency: bool) -> bool {
        self.health == health && self.latency.is_some() == by_latency
    }

    /// The same endpoint for other rules: of how it did nothing is known, of when it came all is.
    pub(crate) fn anew(&self, health: Option<Rule>, by_latency: bool, now: Instant) -> Self {
        Self::new(health, by_latency, &self.fleet, (self.since, now))
    }

    /// Counts a call at `endpoint` until what is given is dropped.
    pub(crate) fn enter(self: &Arc<Self>, endpoint: &Arc<Endpoint>, now: Instant) -> InFlight {
        if self.is_out.load(Ordering::Relaxed) {
            let mut outlier = self.outlier();
            if outlier.standing(now) == Standing::Probe {
                outlier.probe(now);
            }
        }
        endpoint.enter_as(Arc::clone(self), now)
    }

    /// Whether calls may go there.
    pub(crate) fn standing(&self, now: Instant) -> Standing {
        if self.is_out.load(Ordering::Relaxed) {
            self.outlier().standing(now)
        } else {
            Standing::In
        }
    }

    /// The share of its calls that it gets, where newcomers get all of them only after `window`.
    pub(crate) fn share(&self, window: Duration, now: Instant) -> f64 {
        self.since.map_or(1.0, |since| {
            govern::balance::slow_start(now.saturating_duration_since(since), window)
        })
    }

    /// What one more call costs there: its latency and the calls under way, or those alone.
    pub(crate) fn cost(&self, in_flight: u32, now: Instant) -> f64 {
        match &self.latency {
            None => f64::from(in_flight),
            Some(latency) => lock(latency).cost(in_flight, now),
        }
    }

    /// A call that began there at `began` has ended, well or not.
    pub(crate) fn ended(
        &self,
        (began, is_good): (Instant, bool),
        (now, random): (Instant, u64),
        calls: &CallMetrics,
    ) {
        if let Some(latency) = &self.latency {
            // One that fails at once must not look quick.
            let took = now.saturating_duration_since(began);
            let took = if is_good { took } else { took.max(FAILED_TAKES) };
            lock(latency).observe(took, now);
        }
        let Some(rule) = &self.health else {
            return;
        };
        let is_slow = is_good && self.is_slow(rule, now.saturating_duration_since(began), now);
        if is_good && !is_slow && !self.is_failing.load(Ordering::Relaxed) && rule.failure_percent.is_none() {
            return;
        }
        let mut outlier = self.outlier();
        let Fleet { out, total, .. } = &*self.fleet;
        // Two that are judged at once may both count themselves in; what is too much by one comes back by itself.
        let may_eject =
            || outlier::may_eject(rule, out.load(Ordering::Relaxed), total.load(Ordering::Relaxed));
        let mut change = outlier.ended(rule, (began, is_good), may_eject, (now, random));
        if is_slow && change == Change::None {
            change = outlier.slow(rule, may_eject, (now, random));
        }
        self.is_failing.store(outlier.is_failing(), Ordering::Relaxed);
        match change {
            Change::None => {}
            Change::Ejected => {
                out.fetch_add(1, Ordering::Relaxed);
                self.is_out.store(true, Ordering::Relaxed);
                calls.acted(Action::Ejected).inc();
            }
            Change::Readmitted => {
                out.fetch_sub(1, Ordering::Relaxed);
                self.is_out.store(false, Ordering::Relaxed);
                calls.acted(Action::Readmitted).inc();
            }
        }
    }

    /// Whether calls take much longer there than elsewhere; asked once in a second.
    fn is_slow(&self, rule: &Rule, took: Duration, now: Instant) -> bool {
        let (Some(percent), Some(paced)) = (rule.latency_percent, &self.paced) else {
            return false;
        };
        let own = {
            let mut paced = lock(paced);
            paced.pace.observe(took, now);
            if now.saturating_duration_since(paced.compared) < COMPARED_EVERY {
                return false;
            }
            paced.compared = now;
            paced.pace.mean(rule.min_calls, now)
        };
        let is_slow = own.is_some_and(|own| pace::is_slow(percent, own, &mut self.fleet.paces(rule, now)));
        if is_slow {
            // What comes after an ejection is judged by itself.
            lock(paced).pace = Pace::new(now);
        }
        is_slow
    }

    fn outlier(&self) -> MutexGuard<'_, Outlier> {
        lock(&self.outlier)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if self.is_out.load(Ordering::Relaxed) {
            self.fleet.out.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// How often an endpoint's latency is compared with that of others.
const COMPARED_EVERY: Duration = Duration::from_secs(1);
/// What a call that failed counts as, where latencies are compared: a program that fails at once would have all calls.
const FAILED_TAKES: Duration = Duration::from_secs(1);

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
