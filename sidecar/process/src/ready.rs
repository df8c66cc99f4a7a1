//! Readiness as guards: a process is ready when nothing is pending any more.
//!
//! Each step that readiness waits for holds a [`Pending`] and calls [`Pending::done`]. A guard that is dropped without
//! it leaves its step pending for ever: a task that died is not a task that got ready.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is still pending; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    pending: Arc<Mutex<BTreeMap<&'static str, usize>>>,
}

/// One step that readiness waits for.
#[derive(Debug)]
#[must_use = "a step stays pending until its guard says `done`"]
pub struct Pending {
    name: &'static str,
    of: Readiness,
}

impl Readiness {
    /// Adds a step; from now on the process is not ready until it is done. A name may be used twice.
    pub fn pending(&self, name: &'static str) -> Pending {
        *self.lock().entry(name).or_default() += 1;
        Pending {
            name,
            of: self.clone(),
        }
    }

    /// The names of the steps that are not done, sorted; empty when ready.
    #[must_use]
    pub fn waits_for(&self) -> Vec<&'static str> {
        self.lock().keys().copied().collect()
    }

    /// Whether nothing is pending.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, usize>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    /// The step is done.
    pub fn done(self) {
        let Self { name, of } = self;
        let mut pending = of.lock();
        if let Some(count) = pending.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                pending.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_that_nothing_is_pending() {
        let readiness = Readiness::default();
        assert!(readiness.is_ready());
        let plan = readiness.pending("plan");
        let listeners = readiness.pending("listeners");
        assert_eq!(readiness.waits_for(), ["listeners", "plan"]);
        plan.done();
        assert_eq!(readiness.waits_for(), ["listeners"]);
        listeners.done();
        assert!(readiness.is_ready());
    }

    #[test]
    fn a_step_named_twice_is_done_when_both_are() {
        let readiness = Readiness::default();
        let (one, two) = (readiness.pending("watch"), readiness.pending("watch"));
        one.done();
        assert!(!readiness.is_ready());
        two.done();
        assert!(readiness.is_ready());
    }

    #[test]
    fn a_guard_dropped_by_a_task_that_died_stays_pending() {
        let readiness = Readiness::default();
        drop(readiness.pending("plan"));
        assert_eq!(readiness.waits_for(), ["plan"]);
    }
}
