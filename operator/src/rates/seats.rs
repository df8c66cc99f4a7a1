//! What this replica's sidecars say of their rates and are told, by pod; and all ledgers, while it leads.
//!
//! A stream holds a [`Seat`]; whoever decides (the ledgers here, or the leader's answer) gives shares to seats and wakes
//! their streams. Nothing is queued: a stream that takes its time is told the latest.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use plan::stream::{MAX_RATES, RateHeld, RateShare};
use tokio::{sync::Notify, time::Instant};

use super::book::{Book, Given, Report, Shared};

/// All of it.
#[derive(Debug, Default)]
pub struct Seats {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    seats: HashMap<Box<str>, Taken>,
    next: u64,
    /// While this replica leads.
    book: Option<Book>,
}

#[derive(Debug)]
struct Taken {
    number: u64,
    rates: Vec<RateHeld>,
    shares: Vec<RateShare>,
    given: Arc<Notify>,
}

/// One stream's place; dropping it leaves.
#[derive(Debug)]
pub struct Seat {
    uid: Box<str>,
    number: u64,
    given: Arc<Notify>,
    of: Arc<Seats>,
}

impl Seats {
    /// Takes the seat of a pod, by its UID; who had it before has lost it.
    #[must_use]
    pub fn take(self: &Arc<Self>, uid: &str) -> Seat {
        let given = Arc::new(Notify::new());
        let mut state = self.state();
        state.next += 1;
        let number = state.next;
        let taken = Taken {
            number,
            rates: Vec::new(),
            shares: Vec::new(),
            given: Arc::clone(&given),
        };
        state.seats.insert(uid.into(), taken);
        drop(state);
        Seat {
            uid: uid.into(),
            number,
            given,
            of: Arc::clone(self),
        }
    }

    /// What this replica's sidecars say, of those that share a rate.
    #[must_use]
    pub fn reports(&self) -> Vec<Report> {
        self.state().reports()
    }

    /// Gives shares to those who sit here.
    pub fn give(&self, given: Vec<Given>) {
        self.state().give(given);
    }

    /// This replica leads from now on; see [`Book::new`].
    pub fn lead(&self, number: u64, now: Instant) {
        self.state().book = Some(Book::new(number, now));
    }

    /// It does not.
    pub fn follow(&self) {
        self.state().book = None;
    }

    /// One step of all ledgers, with what sidecars here say; nothing while another replica leads.
    pub fn step(&self, services: &[Shared], now: Instant) {
        let mut state = self.state();
        let reports = state.reports();
        let Some(book) = &mut state.book else { return };
        book.set(services);
        book.hear(&reports, now);
        book.step(now);
        let given = reports.iter().map(|report| book.given(report)).collect();
        state.give(given);
    }

    /// Another replica's sidecars say this: what they are told; `None` where this replica does not lead.
    #[must_use]
    pub fn answer(&self, reports: &[Report], now: Instant) -> Option<Vec<Given>> {
        let mut state = self.state();
        let book = state.book.as_mut()?;
        book.hear(reports, now);
        Some(reports.iter().map(|report| book.given(report)).collect())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn reports(&self) -> Vec<Report> {
        let speaking = self.seats.iter().filter(|(_, taken)| !taken.rates.is_empty());
        speaking
            .map(|(uid, taken)| Report {
                uid: uid.clone(),
                rates: taken.rates.clone(),
            })
            .collect()
    }

    fn give(&mut self, given: Vec<Given>) {
        for Given { uid, shares } in given {
            if let Some(taken) = self.seats.get_mut(&uid)
                && taken.shares != shares
            {
                taken.shares = shares;
                taken.given.notify_one();
            }
        }
    }
}

impl Seat {
    /// The sidecar says how fast calls come at it.
    pub fn say(&self, mut rates: Vec<RateHeld>) {
        rates.truncate(MAX_RATES);
        self.mine(|taken| taken.rates = rates);
    }

    /// Returns once shares were given since the last call.
    pub async fn given(&self) {
        self.given.notified().await;
    }

    /// All its shares.
    #[must_use]
    pub fn shares(&self) -> Vec<RateShare> {
        self.mine(|taken| taken.shares.clone()).unwrap_or_default()
    }

    fn mine<T>(&self, with: impl FnOnce(&mut Taken) -> T) -> Option<T> {
        let mut state = self.of.state();
        let taken = state.seats.get_mut(&self.uid)?;
        (taken.number == self.number).then(|| with(taken))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.of.state();
        if state
            .seats
            .get(&self.uid)
            .is_some_and(|taken| taken.number == self.number)
        {
            state.seats.remove(&self.uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use plan::{Bounded, ClusterRate, ServiceName};

    use super::*;

    fn user() -> ServiceName {
        ServiceName::of("shop", "user").unwrap()
    }

    fn held(demand: u32, share: u32, number: u64) -> Vec<RateHeld> {
        vec![RateHeld {
            service: user(),
            demand,
            share,
            number,
        }]
    }

    fn shared(pods: &[&str]) -> Vec<Shared> {
        vec![Shared {
            service: user(),
            rate: ClusterRate {
                per_second: Bounded::literal::<100>(),
                burst: Bounded::literal::<10>(),
                among: Bounded::literal::<2>(),
            },
            pods: pods.iter().map(|pod| Box::from(*pod)).collect(),
        }]
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_moves_from_a_sidecar_here_to_one_of_another_replica() {
        let (leader, follower) = (Arc::new(Seats::default()), Arc::new(Seats::default()));
        let (here, there) = (leader.take("a"), follower.take("b"));
        here.say(held(0, 50, 0));
        there.say(held(900, 50, 0));
        let start = Instant::now();
        assert_eq!(
            leader.answer(&follower.reports(), start),
            None,
            "it does not lead"
        );
        leader.lead(0, start);
        let mut now = start + Duration::from_secs(40);
        let pass_on = |now| {
            leader.step(&shared(&["a", "b"]), now);
            follower.give(leader.answer(&follower.reports(), now).unwrap());
        };
        pass_on(now);
        pass_on(now);
        here.given().await;
        assert!(there.shares().is_empty(), "nothing is free yet");
        let [told] = <[RateShare; 1]>::try_from(here.shares()).unwrap();
        here.say(held(0, told.share, told.number));
        now += Duration::from_secs(1);
        pass_on(now);
        there.given().await;
        assert_eq!(there.shares()[0].share, 100 - told.share);
    }

    #[test]
    fn a_second_stream_of_a_pod_has_the_seat_and_is_told_anew() {
        let seats = Arc::new(Seats::default());
        let first = seats.take("a");
        first.say(held(1, 2, 0));
        let second = seats.take("a");
        first.say(held(3, 4, 0));
        assert!(
            seats.reports().is_empty(),
            "the first has lost it, the second has not spoken"
        );
        second.say(held(5, 6, 0));
        drop(first);
        assert_eq!(seats.reports().len(), 1);
        drop(second);
        assert!(seats.reports().is_empty());
    }
}
