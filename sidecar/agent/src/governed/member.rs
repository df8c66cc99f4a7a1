//! An endpoint as one service knows it: whether its calls go well, and how soon they are answered. Shared by all workers,
//! and kept over plans and changes of endpoints.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use govern::ewma::Ewma;
use govern::outlier::{self, Change, Outlier, Rule, Standing};

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
}

/// All endpoints of a service.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    out: AtomicUsize,
    total: AtomicUsize,
}

impl Fleet {
    /// So many are there now.
    pub(crate) fn count(&self, total: usize) {
        self.total.store(total, Ordering::Relaxed);
    }
}

impl Member {
    pub(crate) fn new(
        health: Option<Rule>,
        by_latency: bool,
        fleet: &Arc<Fleet>,
        since: Option<Instant>,
    ) -> Self {
        Self {
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
    pub(crate) fn anew(&self, health: Option<Rule>, by_latency: bool) -> Self {
        Self::new(health, by_latency, &self.fleet, self.since)
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
        if is_good && !self.is_failing.load(Ordering::Relaxed) && rule.failure_percent.is_none() {
            return;
        }
        let mut outlier = self.outlier();
        let Fleet { out, total } = &*self.fleet;
        // Two that are judged at once may both count themselves in; what is too much by one comes back by itself.
        let may_eject =
            || outlier::may_eject(rule, out.load(Ordering::Relaxed), total.load(Ordering::Relaxed));
        let change = outlier.ended(rule, (began, is_good), may_eject, (now, random));
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

/// What a call that failed counts as, where latencies are compared: a program that fails at once would have all calls.
const FAILED_TAKES: Duration = Duration::from_secs(1);

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
