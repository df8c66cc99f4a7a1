//! From what is known to what the workers run: builds the tables for each change and hands them over.
//!
//! It owns the tables of before, so that what did not change is kept. What the workers run is told back to discovery,
//! which acknowledges it to the operator.

use std::sync::Arc;

use process::drain;
use tokio::sync::watch;

use crate::discovery::stream::Applied;
use crate::discovery::{Current, Metrics as ControlMetrics};
use crate::live::{Live, build};
use crate::observe::metrics::Metrics as CallMetrics;
use crate::worker::{WorkerError, Workers};

/// The one who builds tables.
#[derive(Debug)]
pub struct Follow {
    live: Arc<Live>,
    calls: CallMetrics,
    control: ControlMetrics,
    applied: watch::Sender<Applied>,
}

impl Follow {
    /// Starts `threads` workers with what is known first.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        threads: usize,
        first: &Current,
        (calls, control): (CallMetrics, ControlMetrics),
        applied: watch::Sender<Applied>,
    ) -> Result<(Self, Workers), WorkerError> {
        let live = Arc::new(build(None, &first.known, &calls));
        let workers = Workers::start(threads, Arc::clone(&live), &calls)?;
        let follow = Self {
            live,
            calls,
            control,
            applied,
        };
        follow.tell(first);
        Ok((follow, workers))
    }

    /// Applies every change until the drain starts. Changes that come faster than tables are built are skipped, but
    /// for the last.
    pub async fn run(
        mut self,
        mut current: watch::Receiver<Option<Current>>,
        workers: Workers,
        mut drain: drain::Watch,
    ) {
        while let Some(Ok(())) = drain.or(current.changed()).await {
            let Some(latest) = current.borrow_and_update().clone() else {
                continue;
            };
            self.live = Arc::new(build(Some(&self.live), &latest.known, &self.calls));
            workers.apply(Arc::clone(&self.live));
            self.tell(&latest);
        }
    }

    fn tell(&self, current: &Current) {
        let plan = &current.known.plan;
        let now = Applied {
            revision: plan.revision,
            hash: plan.hash.clone(),
        };
        let news = self.applied.send_if_modified(|before| {
            let news = *before != now;
            *before = now;
            news
        });
        if news {
            self.control.applied.inc();
            tracing::info!(
                revision = %plan.revision,
                source = current.source.as_str(),
                services = plan.services.len(),
                exports = plan.exports.len(),
                "plan applied"
            );
        }
    }
}
