//! Rates: of a service, of some of its methods, and of each of its callers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use foldhash::{HashMap, HashMapExt};
use govern::rate::{self, Rate};

/// Callers of one service that are told apart at once; those that come beyond share one rate.
const MAX_CALLERS: usize = 1024;

/// One rate.
#[derive(Debug)]
pub(super) struct Meter {
    pub(super) rate: Rate,
    /// When the calls so far would be through at this rate, in nanoseconds.
    through_at: AtomicU64,
}

/// One rate for each caller.
#[derive(Debug)]
pub(super) struct Callers {
    pub(super) rate: Rate,
    through_at: Mutex<HashMap<Box<[u8]>, u64>>,
    others: Meter,
}

impl Meter {
    pub(super) fn new(rate: plan::Rate) -> Self {
        Self {
            rate: of(rate),
            through_at: AtomicU64::new(0),
        }
    }

    /// Takes one call at `now`, in nanoseconds.
    ///
    /// # Errors
    /// It comes too early: by so much.
    pub(super) fn take(&self, now: u64) -> Result<(), Duration> {
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
    pub(super) fn new(rate: plan::Rate) -> Self {
        Self {
            rate: of(rate),
            through_at: Mutex::new(HashMap::new()),
            others: Meter::new(rate),
        }
    }

    /// As [`Meter::take`], for one caller.
    pub(super) fn take(&self, caller: &[u8], now: u64) -> Result<(), Duration> {
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
