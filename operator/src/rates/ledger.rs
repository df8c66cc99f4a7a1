//! Who has what of one service's rate. Pure: what sidecars say and the time come in, shares go out.
//!
//! A pod may let in what it says that it does, and what it has been told and has not answered yet: the larger of both is
//! its *claim*. Shares are lowered at once, and raised only out of the rate less all claims. So a share that moves from
//! one pod to another is gone from the first before the second has it, and whatever is lost or late on the way, sidecars
//! that the ledger has heard never let in more than the rate together.
//!
//! What it can't know: a pod that has said nothing yet is taken to have its first share ([`plan::ClusterRate::first`]);
//! one that starts its sidecar again has that at once, whatever it was told before.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

use super::fair::{fair, part};

/// A pod that is silent for this long is out of reach, and keeps what it has: its replica speaks for it once a second.
const SILENT: Duration = Duration::from_secs(10);
/// What it lacks less than this part of its share, 1/16, is not worth taking from all others.
const LACK: u32 = 16;
/// Where nobody lacks anything, shares that are nearer than this part, 1/8, to what is fair stay: a calm service
/// needs no messages.
const CALM: u32 = 8;
/// What it could let in beyond what came in the last second, as a part of that, 1/8: what a sidecar says may be so
/// much less than what comes.
const HEADROOM: u32 = 8;

/// One service's rate, and who has what of it.
#[derive(Debug, Default)]
pub struct Ledger {
    rate: u32,
    first: u32,
    pods: BTreeMap<Box<str>, Entry>,
}

/// One pod.
#[derive(Debug, Default)]
struct Entry {
    heard: Option<Heard>,
    told: Option<Share>,
}

/// What a pod has said last.
#[derive(Debug, Clone, Copy)]
struct Heard {
    said: Said,
    at: Instant,
}

/// What a pod says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// Calls that came within a second.
    pub demand: u32,
    /// What it lets in, calls a second, and the number of the share that it was told last, 0 where none was.
    pub holds: Share,
}

/// What a pod may let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Calls a second.
    pub per_second: u32,
    /// Which telling this is.
    pub number: u64,
}

/// Whether shares may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// They may.
    Open,
    /// Not yet: pods that have not spoken may have more than is known.
    Shut,
}

impl Ledger {
    /// The rate, what a pod has at first, and the pods that share it, by UID. A pod that is not among them any more is
    /// forgotten: what it had is free.
    pub fn set(&mut self, rate: u32, first: u32, pods: &BTreeSet<Box<str>>) {
        self.rate = rate;
        self.first = first;
        self.pods.retain(|pod, _| pods.contains(pod));
        for pod in pods {
            if !self.pods.contains_key(pod) {
                self.pods.insert(pod.clone(), Entry::default());
            }
        }
    }

    /// A pod speaks; one that does not share the rate is not heard.
    pub fn hear(&mut self, pod: &str, said: Said, now: Instant) {
        if let Some(entry) = self.pods.get_mut(pod) {
            entry.heard = Some(Heard { said, at: now });
        }
    }

    /// Whether each pod has spoken since then.
    #[must_use]
    pub fn knows_all(&self, since: Instant) -> bool {
        let has_spoken = |entry: &Entry| entry.heard.is_some_and(|heard| heard.at >= since);
        self.pods.values().all(has_spoken)
    }

    /// What a pod is told: the same until it answers.
    #[must_use]
    pub fn told(&self, pod: &str) -> Option<Share> {
        self.pods.get(pod)?.told
    }

    /// All claims together, calls a second: no more than the rate, once pods that had too much have let go.
    #[must_use]
    pub fn claims(&self) -> u64 {
        total(self.pods.values(), self.first)
    }

    /// Moves shares to where calls come, one step; `next` numbers what is told.
    pub fn step(&mut self, growth: Growth, now: Instant, next: &mut impl FnMut() -> u64) {
        // As long as pods that have something may still speak, nobody is made to give for those that have not: they may well
        // have it already.
        let first = match growth {
            Growth::Open => self.first,
            Growth::Shut => 0,
        };
        let pods = u64::try_from(self.pods.len()).unwrap_or(u64::MAX);
        let claims = total(self.pods.values(), first);
        let is_over = claims > u64::from(self.rate).max(pods);
        if growth == Growth::Shut && !is_over {
            return;
        }
        let (present, away): (Vec<&mut Entry>, Vec<&mut Entry>) =
            self.pods.values_mut().partition(|entry| entry.is_present(now));
        let kept = total(away.iter().map(|entry| &**entry), first);
        let wants: Vec<u32> = present.iter().map(|entry| entry.want()).collect();
        let fair = fair(less(self.rate, kept), &wants);
        let mut moves: Vec<Move<'_>> = present
            .into_iter()
            .zip(wants.into_iter().zip(fair))
            .filter_map(|(entry, (want, fair))| Move::of(entry, want, fair))
            .collect();
        let is_pressed = is_over || moves.iter().any(Move::lacks);
        for step in &mut moves {
            step.lower(is_pressed);
        }
        if growth == Growth::Open {
            raise(&mut moves, less(self.rate, claims));
        }
        for step in moves {
            if step.then != step.has && (is_pressed || step.is_worth_it()) {
                let number = next();
                step.entry.told = Some(Share {
                    per_second: step.then,
                    number,
                });
            }
        }
    }
}

/// The claims of these together, where a pod that has not spoken has `first`.
fn total<'e>(entries: impl Iterator<Item = &'e Entry>, first: u32) -> u64 {
    entries.map(|entry| u64::from(entry.claim(first))).sum()
}

/// What is left of a rate.
fn less(rate: u32, taken: u64) -> u32 {
    let left = u64::from(rate).saturating_sub(taken);
    u32::try_from(left).unwrap_or(rate)
}

/// Spreads what is free: first to those whom calls wait for, then to the others.
fn raise(moves: &mut [Move<'_>], mut free: u32) {
    for wanted in [true, false] {
        let goal = |step: &Move<'_>| {
            if wanted {
                step.fair.min(step.want)
            } else {
                step.fair
            }
        };
        let mut lacking: Vec<&mut Move<'_>> = moves
            .iter_mut()
            .filter(|step| step.then >= step.has && goal(step) > step.then)
            .collect();
        lacking.sort_by_key(|step| goal(step) - step.then);
        let all = lacking.len();
        for (place, step) in lacking.into_iter().enumerate() {
            let more = (goal(step) - step.then).min(part(free, all - place));
            step.then += more;
            free -= more;
        }
    }
}

/// A pod that may be told another share.
struct Move<'e> {
    entry: &'e mut Entry,
    has: u32,
    want: u32,
    fair: u32,
    then: u32,
}

impl<'e> Move<'e> {
    /// `None` for one that has not answered what it was told last.
    fn of(entry: &'e mut Entry, want: u32, fair: u32) -> Option<Self> {
        let has = entry.settled()?;
        Some(Self {
            entry,
            has,
            want,
            fair,
            then: has,
        })
    }

    /// Whether it has so much too little that others should give.
    fn lacks(&self) -> bool {
        self.want > self.has && self.fair > self.has.saturating_add(self.has / LACK)
    }

    fn lower(&mut self, is_pressed: bool) {
        if self.fair < self.has && (is_pressed || self.has - self.fair > self.has / CALM) {
            self.then = self.fair;
        }
    }

    /// Whether a change is worth a message where nobody lacks anything.
    fn is_worth_it(&self) -> bool {
        let needs = self.want > self.has && self.then > self.has;
        needs || self.then.abs_diff(self.has) > self.has / CALM
    }
}

impl Entry {
    /// What it may let in at most, as far as can be known.
    fn claim(&self, first: u32) -> u32 {
        match (&self.heard, self.told) {
            (None, _) => first,
            (Some(heard), Some(told)) if told.number != heard.said.holds.number => {
                heard.said.holds.per_second.max(told.per_second)
            }
            (Some(heard), _) => heard.said.holds.per_second,
        }
    }

    /// What it lets in, where nothing else is on its way to it.
    fn settled(&self) -> Option<u32> {
        let holds = self.heard?.said.holds;
        let is_answered = self.told.is_none_or(|told| told.number == holds.number);
        is_answered.then_some(holds.per_second)
    }

    fn is_present(&self, now: Instant) -> bool {
        self.heard
            .is_some_and(|heard| now.saturating_duration_since(heard.at) < SILENT)
    }

    fn want(&self) -> u32 {
        let demand = self.heard.map_or(0, |heard| heard.said.demand);
        demand.saturating_add(demand / HEADROOM).saturating_add(1)
    }
}

#[cfg(test)]
mod tests;
