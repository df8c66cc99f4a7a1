//! When calls of some methods are sent a second time before they are answered. Shared by all workers; a lock is taken only for
//! calls that are about to be.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use govern::backup::{self, Delay, Latencies, Share};
use plan::BackupAfter;

/// How long a delay that was learnt stands before it is looked up anew: the answers of 10 s change little in it.
const REFRESH: Duration = Duration::from_millis(100);
/// A call that could not be sent a second time, as a connection is being made, tries again after at least this.
const AGAIN: Duration = Duration::from_millis(10);

/// When calls of some methods are sent a second time.
#[derive(Debug)]
pub(crate) struct Backup {
    plan: plan::Backup,
    latencies: Latencies,
    /// What was learnt last, in nanoseconds; 0: nothing.
    learnt: AtomicU64,
    /// When, in milliseconds since `born`.
    looked: AtomicU64,
    born: Instant,
    /// Calls that ever began.
    begun: AtomicU64,
    share: Mutex<Share>,
}

impl Backup {
    /// `None` where no call is. What `before` has learnt goes on where its rule is the same.
    pub(super) fn new(
        plan: Option<plan::Backup>,
        before: Option<&Arc<Self>>,
        now: Instant,
    ) -> Option<Arc<Self>> {
        let plan = plan?;
        if let Some(before) = before.filter(|before| before.plan == plan) {
            return Some(Arc::clone(before));
        }
        Some(Arc::new(Self {
            plan,
            latencies: Latencies::new(now),
            learnt: AtomicU64::new(0),
            looked: AtomicU64::new(0),
            born: now,
            begun: AtomicU64::new(0),
            share: Mutex::default(),
        }))
    }

    /// A call that may be sent a second time has begun.
    pub(crate) fn begins(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    /// How long its answer is waited for; `None` while nobody can tell.
    pub(crate) fn delay(&self, now: Instant) -> Option<Duration> {
        let rule = match self.plan.after {
            BackupAfter::Delay(delay) => return Some(delay.duration()),
            BackupAfter::Percentile(percent) => {
                Delay::Percentile(u8::try_from(percent.get()).unwrap_or(u8::MAX))
            }
        };
        let millis = nanos(now.saturating_duration_since(self.born)) / 1_000_000;
        let looked = self.looked.load(Ordering::Relaxed);
        if millis.saturating_sub(looked) >= nanos(REFRESH) / 1_000_000 {
            let learnt = backup::delay(rule, &self.latencies);
            self.learnt.store(learnt.map_or(0, nanos), Ordering::Relaxed);
            self.looked.store(millis, Ordering::Relaxed);
        }
        let learnt = self.learnt.load(Ordering::Relaxed);
        (learnt > 0).then(|| Duration::from_nanos(learnt))
    }

    /// When to look again at a call that is to be sent a second time, and can't be yet.
    pub(crate) fn again(&self, now: Instant) -> Instant {
        now + self.delay(now).unwrap_or_default().max(AGAIN)
    }

    /// Such a call was answered so long after it was sent first.
    pub(crate) fn answered(&self, took: Duration, now: Instant) {
        if let BackupAfter::Percentile(_) = self.plan.after {
            self.latencies.observe(took, now);
        }
    }

    /// Whether one more may be sent a second time, which is counted then.
    pub(crate) fn may(&self) -> bool {
        let percent = u8::try_from(self.plan.max_percent.get()).unwrap_or(u8::MAX);
        let mut share = self.share.lock().unwrap_or_else(PoisonError::into_inner);
        share.allow(percent, self.begun.load(Ordering::Relaxed))
    }
}

/// Up to five hundred years.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
