//! The end of a process, told to all its tasks and waited for.
//!
//! Every task that must end in order holds a [`Watch`]. [`Trigger::start`] tells them; [`Trigger::drained`] returns
//! when the last one is dropped. Which tasks end before which is the caller's business: one channel for each step.

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

/// Tells, and waits. Dropping it tells as well, so that no task outlives the one who would have ended it.
#[derive(Debug)]
pub struct Trigger {
    started: watch::Sender<bool>,
    held: mpsc::Receiver<Infallible>,
}

/// Held by a task for as long as it has something to finish; clones count one by one.
#[derive(Debug, Clone)]
pub struct Watch {
    started: watch::Receiver<bool>,
    _held: mpsc::Sender<Infallible>,
}

/// Some watches were still held when the deadline passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("tasks were still busy after {0:?}")]
pub struct Late(pub Duration);

/// A drain with nobody watching yet.
#[must_use]
pub fn channel() -> (Trigger, Watch) {
    let (started_in, started) = watch::channel(false);
    let (holding, held) = mpsc::channel(1);
    let trigger = Trigger {
        started: started_in,
        held,
    };
    let watch = Watch {
        started,
        _held: holding,
    };
    (trigger, watch)
}

impl Trigger {
    /// Tells everyone; telling twice is telling once.
    pub fn start(&self) {
        self.started.send_replace(true);
    }

    /// Waits until every [`Watch`] is dropped, tasks that were never told included.
    ///
    /// # Errors
    /// [`Late`] when some are still held after `deadline`.
    pub async fn drained(mut self, deadline: Duration) -> Result<(), Late> {
        self.start();
        match tokio::time::timeout(deadline, self.held.recv()).await {
            Ok(_none) => Ok(()),
            Err(_elapsed) => Err(Late(deadline)),
        }
    }
}

impl Watch {
    /// Returns once the drain has started, at once if it has already.
    pub async fn started(&mut self) {
        // An error means that the trigger is gone, which says the same.
        let _ = self.started.wait_for(|started| *started).await;
    }

    /// Whether the drain has started.
    #[must_use]
    pub fn has_started(&self) -> bool {
        *self.started.borrow() || self.started.has_changed().is_err()
    }

    /// Runs `work` until it ends or the drain starts; `None` in the second case, with `work` dropped where it stood.
    pub async fn or<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.started() => None,
            done = work => Some(done),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_drain_ends_when_the_last_watch_is_dropped() {
        let (trigger, mut first) = channel();
        let second = first.clone();
        assert!(!second.has_started());
        let task = tokio::spawn(async move {
            first.started().await;
            drop(second);
        });
        assert_eq!(trigger.drained(SOON).await, Ok(()));
        task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_end_makes_the_drain_late() {
        let (trigger, held) = channel();
        assert_eq!(trigger.drained(SOON).await, Err(Late(SOON)));
        assert!(held.has_started());
    }

    #[tokio::test]
    async fn a_dropped_trigger_tells_as_well() {
        let (trigger, mut watch) = channel();
        drop(trigger);
        watch.started().await;
        assert!(watch.has_started());
    }

    #[tokio::test]
    async fn work_is_dropped_where_it_stands_when_the_drain_starts() {
        let (trigger, mut watch) = channel();
        assert_eq!(watch.or(async { 1 }).await, Some(1));
        trigger.start();
        assert_eq!(watch.or(std::future::pending::<()>()).await, None);
    }
}
