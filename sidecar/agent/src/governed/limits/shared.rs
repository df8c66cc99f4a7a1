//! A rate of all pods of a service: this pod's share of it, which the operator tells, and how fast calls come here, which
//! the operator is told. Until it has told a share, and whenever it can't be reached, the last one stays.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use govern::bucket::Bucket;
use plan::ClusterRate;
use plan::stream::RateShare;
use prometheus_client::metrics::gauge::Gauge;

/// What is said of how fast calls come is said again when it is off by more than this part of it, 1/8: the operator leaves
/// as much room.
const NEWS: u32 = 8;

/// One service's rate of all pods, as this one keeps it.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Calls that came, let in or not.
    came: AtomicU64,
    /// What moments are counted from.
    born: Instant,
    gauge: Gauge,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rate: ClusterRate,
    bucket: Bucket,
    /// Which share this is; 0 for the first, which nobody has told.
    number: u64,
    measured: Measured,
}

#[derive(Debug)]
struct Measured {
    at: Instant,
    /// How many had come then.
    came: u64,
    demand: u32,
}

/// How fast calls come, and how fast they may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) demand: u32,
    pub(crate) share: u32,
    pub(crate) number: u64,
}

/// A call that came too fast.
#[derive(Debug, Clone, Copy)]
pub(super) struct TooFast {
    pub(super) wait: Duration,
    /// Calls a second at all pods.
    pub(super) rate: u32,
    /// Of them here.
    pub(super) share: u32,
}

impl Shared {
    /// With the first share.
    pub(super) fn new(rate: ClusterRate, gauge: Gauge, now: Instant) -> Arc<Self> {
        let bucket = Bucket::full(rate.first(), whole(rate), 0);
        gauge.set(i64::from(bucket.per_second()));
        Arc::new(Self {
            came: AtomicU64::new(0),
            born: now,
            gauge,
            state: Mutex::new(State {
                rate,
                bucket,
                number: 0,
                measured: Measured {
                    at: now,
                    came: 0,
                    demand: 0,
                },
            }),
        })
    }

    /// A plan says another rate, or that it is shared among more or fewer. A share only shrinks by that: only the operator
    /// knows what others still have.
    pub(super) fn change(&self, rate: ClusterRate, now: Instant) {
        let now = self.nanos(now);
        let mut state = self.state();
        if state.rate == rate {
            return;
        }
        let share = state.bucket.per_second();
        let most = match state.number {
            0 => rate.first(),
            _ => part(share, rate.per_second.get(), state.rate.per_second.get()),
        };
        state.rate = rate;
        state.bucket.change(share.min(most), whole(rate), now);
        self.show(&state);
    }

    /// The operator tells a share.
    pub(crate) fn give(&self, share: &RateShare, now: Instant) {
        let now = self.nanos(now);
        let mut state = self.state();
        if state.number == share.number {
            return;
        }
        state.number = share.number;
        let (most, whole) = (state.rate.per_second.get(), whole(state.rate));
        state.bucket.change(share.share.min(most), whole, now);
        self.show(&state);
    }

    /// Takes one call.
    ///
    /// # Errors
    /// It comes too early.
    pub(super) fn take(&self, now: Instant) -> Result<(), TooFast> {
        self.came.fetch_add(1, Ordering::Relaxed);
        let now = self.nanos(now);
        let mut state = self.state();
        state.bucket.take(now).map_err(|wait| TooFast {
            wait,
            rate: state.rate.per_second.get(),
            share: state.bucket.per_second(),
        })
    }

    /// What the operator should know; looks once a second how fast calls come.
    pub(crate) fn held(&self, now: Instant) -> Held {
        let came = self.came.load(Ordering::Relaxed);
        let mut state = self.state();
        let past = now.saturating_duration_since(state.measured.at);
        if past >= Duration::from_secs(1) {
            let new = per_second(came.saturating_sub(state.measured.came), past);
            let said = state.measured.demand;
            let is_news = new == 0 || new.abs_diff(said) > said / NEWS;
            state.measured = Measured {
                at: now,
                came,
                demand: if is_news { new } else { said },
            };
        }
        Held {
            demand: state.measured.demand,
            share: state.bucket.per_second(),
            number: state.number,
        }
    }

    fn show(&self, state: &State) {
        self.gauge.set(i64::from(state.bucket.per_second()));
    }

    fn nanos(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.born).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Held for a few additions: calls of all workers take from it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn whole(rate: ClusterRate) -> (u32, u32) {
    (rate.burst.get(), rate.per_second.get())
}

/// As great a part of `new` as `share` is of `old`.
fn part(share: u32, new: u32, old: u32) -> u32 {
    let part = u64::from(share) * u64::from(new) / u64::from(old.max(1));
    u32::try_from(part).unwrap_or(u32::MAX)
}

/// Rounded up.
fn per_second(calls: u64, past: Duration) -> u32 {
    let rate = (u128::from(calls) * 1_000_000_000).div_ceil(past.as_nanos().max(1));
    u32::try_from(rate).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use plan::{Bounded, ServiceName};

    use super::*;

    fn rate(per_second: u32, among: u32) -> ClusterRate {
        ClusterRate {
            per_second: Bounded::new(per_second).unwrap(),
            burst: Bounded::new(10).unwrap(),
            among: Bounded::new(among).unwrap(),
        }
    }

    fn share(share: u32, number: u64) -> RateShare {
        RateShare {
            service: ServiceName::of("shop", "user").unwrap(),
            share,
            number,
        }
    }

    fn holds(shared: &Shared, now: Instant) -> (u32, u64) {
        let Held { share, number, .. } = shared.held(now);
        (share, number)
    }

    #[test]
    fn a_share_grows_by_the_operator_alone_and_shrinks_with_the_plan() {
        let now = Instant::now();
        let gauge = Gauge::default();
        let shared = Shared::new(rate(100, 2), gauge.clone(), now);
        assert_eq!(holds(&shared, now), (50, 0));
        shared.change(rate(100, 4), now);
        assert_eq!(holds(&shared, now), (25, 0), "among more pods");
        shared.change(rate(1000, 1), now);
        assert_eq!(holds(&shared, now), (25, 0));
        shared.give(&share(600, 7), now);
        assert_eq!(holds(&shared, now), (600, 7));
        shared.change(rate(1000, 8), now);
        assert_eq!(
            holds(&shared, now),
            (600, 7),
            "how many there are says nothing of its own"
        );
        shared.change(rate(100, 8), now);
        assert_eq!((holds(&shared, now), gauge.get()), ((60, 7), 60));
        shared.give(&share(5000, 8), now);
        assert_eq!(holds(&shared, now), (100, 8), "no more than there is");
        shared.give(&share(0, 9), now);
        assert_eq!(holds(&shared, now), (1, 9));
    }

    #[test]
    fn demand_is_what_came_within_a_second_and_small_changes_are_no_news() {
        let start = Instant::now();
        let shared = Shared::new(rate(10, 1), Gauge::default(), start);
        let second = |n: u64| start + Duration::from_secs(n);
        let demand = |n: u64, calls: u32| {
            for _ in 0..calls {
                let _ = shared.take(second(n));
            }
            shared.held(second(n)).demand
        };
        assert_eq!(demand(0, 50), 0, "not a second yet");
        assert_eq!(demand(1, 50), 100);
        assert_eq!(demand(2, 105), 100);
        assert_eq!(demand(3, 120), 120);
        assert_eq!(demand(5, 4), 2);
        assert_eq!(demand(6, 0), 0);
    }
}
