//! Which endpoint the calls of one service go to.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use govern::balance::{self, Chooser, Drawn, Members, Weights};
use hyper::HeaderMap;
use hyper::header::COOKIE;
use plan::{Balance, BalanceMode, HashBy, Zone};
use wire::meta::Meta;

use super::nearby::Nearby;

/// The weight of an endpoint that says none (motan-agent.md 4, `wrr`).
const DEFAULT_WEIGHT: u32 = 10;

/// Which endpoint the calls of one service go to.
#[derive(Debug)]
pub(crate) struct Balancing {
    chooser: Chooser,
    /// Where zones count and there are endpoints in the caller's and in others.
    nearby: Option<Nearby>,
    hash: Option<HashBy>,
    pub(crate) slow_start: Option<Duration>,
    turn: AtomicU64,
}

impl Balancing {
    /// Of these endpoints, for callers in `zone`.
    pub(crate) fn new(
        plan: &Balance,
        endpoints: &[plan::Endpoint],
        zone: Option<&Zone>,
        now: Instant,
    ) -> Self {
        let Balance {
            mode,
            hash,
            slow_start_ms,
            locality,
        } = plan;
        let listed = || endpoints.iter();
        let nearby = locality.and_then(|rule| Nearby::new(*mode, &rule, endpoints, (zone?, now)));
        Self {
            chooser: chooser(*mode, listed()),
            nearby,
            hash: (*mode == BalanceMode::ConsistentHash).then(|| hash.clone()),
            slow_start: slow_start_ms.map(plan::Millis::duration),
            turn: AtomicU64::new(0),
        }
    }

    /// Whether calls are shared by weight.
    pub(crate) const fn is_by_weight(&self) -> bool {
        matches!(self.chooser, Chooser::Weighted(_))
    }

    /// Two of `count` endpoints for a call with this key. `load` tells how many calls are under way at one, `is_usable` whether
    /// calls may go there.
    pub(crate) fn draw(
        &self,
        count: usize,
        (random, key, now): (impl Fn() -> u64, Option<u64>, Instant),
        load: impl Fn(usize) -> u32,
        is_usable: impl Fn(usize) -> bool,
    ) -> Option<Drawn> {
        let turn = match self.chooser {
            Chooser::RoundRobin => self.turn.fetch_add(1, Ordering::Relaxed),
            Chooser::TwoChoices | Chooser::Random | Chooser::Weighted(_) | Chooser::Hashed(_) => 0,
        };
        match &self.nearby {
            // A part of the list is not what was divided by zones.
            Some(nearby) if nearby.is_of(count) => nearby.draw((random, turn, now), load, is_usable),
            _ => self.chooser.draw(count, (random(), turn, key), load),
        }
    }

    /// What a Motan call is hashed by.
    pub(crate) fn key(&self, meta: Meta<'_>) -> Option<u64> {
        match self.hash.as_ref()? {
            HashBy::Metadata(name) => meta.find(name.as_bytes()).map(balance::hash),
            HashBy::Cookie(_) | HashBy::PathSegment(_) => None,
        }
    }

    /// What an HTTP request is hashed by.
    pub(crate) fn key_of_http(&self, headers: &HeaderMap, path: &str) -> Option<u64> {
        let value = match self.hash.as_ref()? {
            HashBy::Metadata(name) => headers.get(name)?.as_bytes(),
            HashBy::Cookie(name) => cookie(headers, name)?.as_bytes(),
            HashBy::PathSegment(number) => {
                let segments = path.split('/').filter(|segment| !segment.is_empty());
                let mut segments = segments.skip(number.get() as usize - 1);
                segments.next()?.as_bytes()
            }
        };
        Some(balance::hash(value))
    }
}

/// How one of these endpoints is chosen.
pub(super) fn chooser<'e>(mode: BalanceMode, endpoints: impl Iterator<Item = &'e plan::Endpoint>) -> Chooser {
    match mode {
        BalanceMode::LeastRequest | BalanceMode::PeakEwma => Chooser::TwoChoices,
        BalanceMode::Random => Chooser::Random,
        BalanceMode::RoundRobin => Chooser::RoundRobin,
        BalanceMode::Weighted => {
            let weights = endpoints.map(|endpoint| endpoint.weight.map_or(DEFAULT_WEIGHT, plan::Weight::get));
            Chooser::Weighted(Weights::new(&weights.collect::<Vec<_>>()))
        }
        BalanceMode::ConsistentHash => Chooser::Hashed(Members::new(
            endpoints.map(|endpoint| endpoint.address.as_str().as_bytes()),
        )),
    }
}

fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let pairs = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|cookies| cookies.to_str().ok());
    let mut pairs = pairs.flat_map(|cookies| cookies.split(';'));
    pairs.find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then_some(value)
    })
}
