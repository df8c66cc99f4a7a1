//! The ledgers of all services, as the leader keeps them. Pure but for the time that comes in.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use plan::{
    ServiceName,
    stream::{RateHeld, RateShare},
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::ledger::{Growth, Ledger, Said, Share};

/// How long a new leader gives nobody more, unless all pods of a service have spoken: sidecars that lost their stream come
/// back within half a minute (their longest pause is 30 s), and may hold any share.
const LISTENING: Duration = Duration::from_secs(35);
/// What a pod says in this time does not count for that: what the leader before has told may still be on its way to it.
const LANDING: Duration = Duration::from_secs(5);

/// What one pod says of its rates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Its UID.
    pub uid: Box<str>,
    /// Each rate.
    pub rates: Vec<RateHeld>,
}

/// What one pod is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// Its UID.
    pub uid: Box<str>,
    /// All its shares.
    pub shares: Vec<RateShare>,
}

/// A service whose rate is shared, as the world has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// Which.
    pub service: ServiceName,
    /// Its rate.
    pub rate: plan::ClusterRate,
    /// The UIDs of the pods that share it.
    pub pods: BTreeSet<Box<str>>,
}

/// All ledgers.
#[derive(Debug)]
pub struct Book {
    since: Instant,
    number: u64,
    ledgers: BTreeMap<ServiceName, Ledger>,
}

impl Book {
    /// An empty one, of a leader that begins now. What it tells is numbered from after `number` on, which no leader
    /// before has come to.
    #[must_use]
    pub fn new(number: u64, now: Instant) -> Self {
        Self {
            since: now,
            number,
            ledgers: BTreeMap::new(),
        }
    }

    /// The services whose rates are shared now: all of them.
    pub fn set(&mut self, services: &[Shared]) {
        let names: BTreeSet<&ServiceName> = services.iter().map(|shared| &shared.service).collect();
        self.ledgers.retain(|name, _| names.contains(name));
        for Shared { service, rate, pods } in services {
            let ledger = self.ledgers.entry(service.clone()).or_default();
            ledger.set(rate.per_second.get(), rate.first(), pods);
        }
    }

    /// Pods speak.
    pub fn hear(&mut self, reports: &[Report], now: Instant) {
        for Report { uid, rates } in reports {
            for held in rates {
                let RateHeld {
                    service,
                    demand,
                    share,
                    number,
                } = held;
                let said = Said {
                    demand: *demand,
                    holds: Share {
                        per_second: *share,
                        number: *number,
                    },
                };
                if let Some(ledger) = self.ledgers.get_mut(service) {
                    ledger.hear(uid, said, now);
                }
            }
        }
    }

    /// Moves shares, one step.
    pub fn step(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.since);
        let number = &mut self.number;
        let mut next = || {
            *number += 1;
            *number
        };
        for ledger in self.ledgers.values_mut() {
            let is_open = age >= LISTENING || ledger.knows_all(self.since + LANDING);
            let growth = if is_open { Growth::Open } else { Growth::Shut };
            ledger.step(growth, now, &mut next);
        }
    }

    /// What the pod of a report is told; nothing where nothing was decided.
    #[must_use]
    pub fn given(&self, report: &Report) -> Given {
        let share = |held: &RateHeld| {
            let share = self.ledgers.get(&held.service)?.told(&report.uid)?;
            Some(RateShare {
                service: held.service.clone(),
                share: share.per_second,
                number: share.number,
            })
        };
        Given {
            uid: report.uid.clone(),
            shares: report.rates.iter().filter_map(share).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use plan::{Bounded, ClusterRate};

    use super::*;

    fn shared(per_second: u32, among: u32, pods: &[&str]) -> Shared {
        Shared {
            service: ServiceName::of("shop", "user").unwrap(),
            rate: ClusterRate {
                per_second: Bounded::new(per_second).unwrap(),
                burst: Bounded::new(1).unwrap(),
                among: Bounded::new(among).unwrap(),
            },
            pods: pods.iter().map(|pod| Box::from(*pod)).collect(),
        }
    }

    fn report(uid: &str, demand: u32, share: u32, number: u64) -> Report {
        Report {
            uid: uid.into(),
            rates: vec![RateHeld {
                service: ServiceName::of("shop", "user").unwrap(),
                demand,
                share,
                number,
            }],
        }
    }

    fn told(book: &Book, uid: &str) -> Option<(u32, u64)> {
        let given = book.given(&report(uid, 0, 0, 0));
        given.shares.first().map(|share| (share.share, share.number))
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_leader_gives_nobody_more_until_all_have_spoken_or_could_have() {
        let start = Instant::now();
        let mut book = Book::new(100, start);
        let mut now = start + LANDING;
        book.set(&[shared(100, 4, &["a", "b", "c"])]);
        book.hear(&[report("a", 900, 20, 9), report("b", 0, 20, 8)], now);
        book.step(now);
        assert_eq!((told(&book, "a"), told(&book, "b")), (None, None));
        // The third has much more than its first share: nobody could have known.
        book.hear(&[report("c", 900, 60, 3)], now);
        book.step(now);
        assert_eq!(told(&book, "a"), None, "nothing is free");
        assert!(told(&book, "c").is_some_and(|(share, number)| share < 60 && number > 100));

        let mut book = Book::new(100, start);
        book.set(&[shared(100, 4, &["a", "b", "c"])]);
        now = start + LISTENING;
        book.hear(&[report("a", 900, 20, 9), report("b", 0, 20, 8)], now);
        book.step(now);
        assert_eq!(
            told(&book, "a").map(|(share, _)| share),
            Some(20 + 100 - 20 - 20 - 25)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_leader_before_has_told_is_waited_for() {
        let start = Instant::now();
        let mut book = Book::new(100, start);
        book.set(&[shared(100, 2, &["a", "b"])]);
        let hear = |book: &mut Book, now| book.hear(&[report("a", 900, 20, 9), report("b", 0, 20, 8)], now);
        hear(&mut book, start);
        book.step(start);
        assert_eq!(told(&book, "a"), None);
        hear(&mut book, start + LANDING);
        book.step(start + LANDING);
        assert!(told(&book, "a").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_shares_nothing_any_more_is_forgotten() {
        let start = Instant::now();
        let now = start + LANDING;
        let mut book = Book::new(0, start);
        book.set(&[shared(100, 1, &["a"])]);
        book.hear(&[report("a", 900, 20, 0)], now);
        book.step(now);
        assert_eq!(told(&book, "a"), Some((100, 1)));
        book.set(&[]);
        assert_eq!(told(&book, "a"), None);
    }
}
