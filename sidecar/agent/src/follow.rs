//! From what is known to what the workers run: builds the tables for each change and hands them over.
//!
//! It owns the tables of before, so that what did not change is kept. The plan and what the program says by itself are
//! brought together here. What the workers run, and what the program asks for in vain, is told back to discovery, which
//! tells the operator.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use plan::stream::RateShare;
use process::drain;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::discovery::stream::{Applied, Tell};
use crate::discovery::{Current, Known, Metrics as ControlMetrics};
use crate::live::{Live, build};
use crate::meta::Meta;
use crate::observe::metrics::Metrics as CallMetrics;
use crate::registry::{Entries, Registry};
use crate::worker::{WorkerError, Workers};

/// How often the operator may hear how fast calls come whose rate is shared.
const RATES: Duration = Duration::from_secs(1);

/// The one who builds tables.
#[derive(Debug)]
pub struct Follow {
    live: Arc<Live>,
    calls: CallMetrics,
    control: ControlMetrics,
    tell: Tell,
    program: Program,
}

/// The program beside this sidecar, as far as it speaks for itself.
#[derive(Debug, Clone)]
pub struct Program {
    /// What it calls and serves.
    pub registry: Registry,
    /// What it tells of itself.
    pub meta: Meta,
    /// Where what it serves is called.
    pub local: IpAddr,
}

impl Program {
    /// What is known, with exports as the program serves them.
    fn overlay(&self, entries: &Entries, known: &Known) -> Known {
        Known {
            plan: entries.overlay(&known.plan, self.local),
            endpoints: known.endpoints.clone(),
        }
    }
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
        tell: Tell,
        program: Program,
    ) -> Result<(Self, Workers), WorkerError> {
        program.registry.settle(&first.known.plan);
        let known = program.overlay(&program.registry.entries().borrow(), &first.known);
        let mut live = build(None, &known, &calls, std::time::Instant::now());
        live.meta = program.meta.clone();
        let live = Arc::new(live);
        let workers = Workers::start(threads, Arc::clone(&live), &calls)?;
        let follow = Self {
            live,
            calls,
            control,
            tell,
            program,
        };
        follow.tell(first);
        Ok((follow, workers))
    }

    /// Applies every change, of the plan or by the program, until the drain starts. Changes that come faster than
    /// tables are built are skipped, but for the last.
    pub async fn run(
        mut self,
        (mut current, mut shares): (watch::Receiver<Option<Current>>, watch::Receiver<Vec<RateShare>>),
        workers: Workers,
        mut drain: drain::Watch,
    ) {
        let mut entries = self.program.registry.entries();
        let weights = self.live.weights.clone();
        let mut weighed = weights.changes();
        let mut tick = interval(RATES);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = drain.started() => return,
                _ = tick.tick(), if self.live.shares_rates() => {
                    self.tell_rates();
                    continue;
                }
                changed = shares.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.live.share(&shares.borrow_and_update(), std::time::Instant::now());
                    self.tell_rates();
                    continue;
                }
                changed = current.changed() => if changed.is_err() { return },
                changed = entries.changed() => if changed.is_err() { return },
                changed = weighed.changed() => if changed.is_err() { return },
            }
            weighed.borrow_and_update();
            let Some(latest) = current.borrow_and_update().clone() else {
                continue;
            };
            self.program.registry.settle(&latest.known.plan);
            let known = self.program.overlay(&entries.borrow_and_update(), &latest.known);
            let known = weights.overlay(known);
            self.live = Arc::new(build(
                Some(&self.live),
                &known,
                &self.calls,
                std::time::Instant::now(),
            ));
            workers.apply(Arc::clone(&self.live));
            self.tell(&latest);
        }
    }

    /// Shares are no tables: what changes is in them.
    fn tell_rates(&self) {
        let rates = self.live.rates(std::time::Instant::now());
        self.tell.rates.send_if_modified(|before| {
            let is_news = *before != rates;
            *before = rates;
            is_news
        });
    }

    fn tell(&self, current: &Current) {
        let plan = &current.known.plan;
        let now = Applied {
            revision: plan.revision,
            hash: plan.hash.clone(),
        };
        self.tell_rates();
        let asked = self.program.registry.entries().borrow().asked();
        self.tell.undeclared.send_if_modified(|before| {
            let news = *before != asked;
            *before = asked;
            news
        });
        let news = self.tell.applied.send_if_modified(|before| {
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
