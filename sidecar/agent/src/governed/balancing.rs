//! Which endpoint the calls of one service go to.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use govern::balance::{self, Chooser, Drawn, Members, Weights};
use hyper::HeaderMap;
use hyper::header::COOKIE;
use plan::{Balance, BalanceMode, HashBy};
use wire::meta::Meta;

/// The weight of an endpoint that says none (motan-agent.md 4, `wrr`).
const DEFAULT_WEIGHT: u32 = 10;

/// Which endpoint the calls of one service go to.
#[derive(Debug)]
pub(crate) struct Balancing {
    chooser: Chooser,
    hash: Option<HashBy>,
    pub(crate) slow_start: Option<Duration>,
    turn: AtomicU64,
}

impl Balancing {
    pub(crate) fn new(plan: &Balance, endpoints: &[plan::Endpoint]) -> Self {
        let Balance {
            mode,
            hash,
            slow_start_ms,
        } = plan;
        let weights = || {
            let weights = endpoints
                .iter()
                .map(|endpoint| endpoint.weight.map_or(DEFAULT_WEIGHT, plan::Weight::get));
            weights.collect::<Vec<_>>()
        };
        let names = || {
            endpoints
                .iter()
                .map(|endpoint| endpoint.address.as_str().as_bytes())
        };
        Self {
            chooser: match mode {
                BalanceMode::LeastRequest | BalanceMode::PeakEwma => Chooser::TwoChoices,
                BalanceMode::Random => Chooser::Random,
                BalanceMode::RoundRobin => Chooser::RoundRobin,
                BalanceMode::Weighted => Chooser::Weighted(Weights::new(&weights())),
                BalanceMode::ConsistentHash => Chooser::Hashed(Members::new(names())),
            },
            hash: (*mode == BalanceMode::ConsistentHash).then(|| hash.clone()),
            slow_start: slow_start_ms.map(plan::Millis::duration),
            turn: AtomicU64::new(0),
        }
    }

    /// Two of `count` endpoints for a call with this key.
    pub(crate) fn draw(
        &self,
        count: usize,
        (random, key): (u64, Option<u64>),
        load: impl Fn(usize) -> u32,
    ) -> Option<Drawn> {
        let turn = match self.chooser {
            Chooser::RoundRobin => self.turn.fetch_add(1, Ordering::Relaxed),
            Chooser::TwoChoices | Chooser::Random | Chooser::Weighted(_) | Chooser::Hashed(_) => 0,
        };
        self.chooser.draw(count, (random, turn, key), load)
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
