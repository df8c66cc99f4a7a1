//! Endpoints in the caller's zone and elsewhere: calls stay in the zone as long as there are enough there and they are not much
//! busier.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use govern::balance::{Chooser, Drawn};
use govern::locality::{self, Rule, Side, Way};
use plan::{BalanceMode, Locality, Zone};

use super::balancing::chooser;

/// How often it is counted who may get calls.
const COUNTED_EVERY: Duration = Duration::from_millis(50);

/// Endpoints in the caller's zone, and others.
#[derive(Debug)]
pub(super) struct Nearby {
    rule: Rule,
    near: Part,
    far: Part,
    since: Instant,
    /// When it was counted last, in milliseconds; 0 for never.
    counted: AtomicU64,
}

/// Some of a service's endpoints.
#[derive(Debug)]
struct Part {
    /// Where they are in the list of all.
    at: Box<[usize]>,
    chooser: Chooser,
    usable: AtomicU32,
}

impl Nearby {
    /// Of endpoints of which some are in `zone` and some are not; `None` where that says nothing.
    pub(super) fn new(
        mode: BalanceMode,
        rule: &Locality,
        endpoints: &[plan::Endpoint],
        (zone, now): (&Zone, Instant),
    ) -> Option<Self> {
        let part = |is_near: bool| {
            let wanted = |at: &usize| (endpoints[*at].zone.as_ref() == Some(zone)) == is_near;
            let at: Box<[usize]> = (0..endpoints.len()).filter(wanted).collect();
            Part {
                chooser: chooser(mode, at.iter().map(|at| &endpoints[*at])),
                at,
                usable: AtomicU32::new(0),
            }
        };
        let (near, far) = (part(true), part(false));
        let is_divided = !near.at.is_empty() && !far.at.is_empty();
        is_divided.then(|| Self {
            rule: Rule {
                free_per_endpoint: rule.spill_above.get(),
                busier_percent: rule.spill_percent.get(),
            },
            near,
            far,
            since: now,
            counted: AtomicU64::new(0),
        })
    }

    /// Whether it divides a list of this length.
    pub(super) fn is_of(&self, count: usize) -> bool {
        self.near.at.len() + self.far.at.len() == count
    }

    /// Two endpoints of one side.
    pub(super) fn draw(
        &self,
        (random, turn, now): (impl Fn() -> u64, u64, Instant),
        load: impl Fn(usize) -> u32,
        is_usable: impl Fn(usize) -> bool,
    ) -> Option<Drawn> {
        self.count(is_usable, now);
        let near = self.near.draw((random(), turn), &load)?;
        let far = self.far.draw((random(), turn), &load)?;
        // Each side as busy as the one that would get the call.
        let near_side = self.near.side(&near, &load);
        let far_side = self.far.side(&far, &load);
        match locality::way(&self.rule, near_side, far_side, random()) {
            Some(Way::Near) | None => Some(near),
            Some(Way::Far) => Some(far),
        }
    }

    fn count(&self, is_usable: impl Fn(usize) -> bool, now: Instant) {
        let passed = now.saturating_duration_since(self.since).as_millis();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX).max(1);
        let counted = self.counted.load(Ordering::Relaxed);
        let is_fresh = passed < counted.saturating_add(COUNTED_EVERY.as_millis() as u64);
        if counted != 0 && is_fresh {
            return;
        }
        self.counted.store(passed, Ordering::Relaxed);
        for part in [&self.near, &self.far] {
            let usable = part.at.iter().filter(|at| is_usable(**at)).count();
            let usable = u32::try_from(usable).unwrap_or(u32::MAX);
            part.usable.store(usable, Ordering::Relaxed);
        }
    }
}

impl Part {
    fn draw(&self, (random, turn): (u64, u64), load: impl Fn(usize) -> u32) -> Option<Drawn> {
        let drawn = self
            .chooser
            .draw(self.at.len(), (random, turn, None), |own| load(self.at[own]))?;
        Some(Drawn {
            first: self.at[drawn.first],
            second: self.at[drawn.second],
            by_load: drawn.by_load,
        })
    }

    fn side(&self, drawn: &Drawn, load: impl Fn(usize) -> u32) -> Side {
        let usable = self.usable.load(Ordering::Relaxed);
        let first = load(drawn.first);
        let each = if drawn.by_load {
            first.min(load(drawn.second))
        } else {
            first
        };
        Side {
            total: u32::try_from(self.at.len()).unwrap_or(u32::MAX),
            usable,
            in_flight: each.saturating_mul(usable),
        }
    }
}
