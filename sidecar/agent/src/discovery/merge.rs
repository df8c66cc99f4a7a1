//! Precedence among the sources: which plan wins, and whose word on endpoints counts.
//!
//! Plans: the highest revision wins, wherever it came from; of two with one revision the one that came later. What is
//! older than the plan that runs is refused, so a ConfigMap that lags behind the stream changes nothing. Endpoints of
//! a service: what the live stream said, ever since it first said something; before that those last known on disk;
//! before that the plan's seeds. All of them pass the shrink guard. No I/O, no clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use plan::{Address, Endpoint, Plan, PlanHash, ServiceName};
use tokio::time::Instant;

use super::known::sorted;
use super::saved::Saved;
use super::shrink::Shrink;
use super::{Known, Source};

/// How many endpoints of one service are kept; more than a service of the largest clusters has pods.
pub(crate) const MAX_ENDPOINTS: usize = 10_000;

/// What became of a plan that a source offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It runs from now on.
    Taken,
    /// It is older than what runs.
    Older,
}

/// A change of one service's endpoints, as the stream tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which service.
    pub service: ServiceName,
    /// `set` is all there is.
    pub reset: bool,
    /// New or changed.
    pub set: Vec<Endpoint>,
    /// Gone.
    pub removed: Vec<Address>,
}

/// What became of a change of endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noted {
    /// It counts.
    Yes,
    /// The plan that runs has no such service.
    NoSuchService,
    /// It counts, but not all of it: a service has at most [`MAX_ENDPOINTS`].
    Cut,
}

/// All that the sources have said.
#[derive(Debug, Default)]
pub(crate) struct Merge {
    chosen: Option<Chosen>,
    services: BTreeMap<ServiceName, Provided>,
    /// Endpoints from the state directory, of services that the stream has said nothing of.
    saved: BTreeMap<ServiceName, Vec<Endpoint>>,
}

#[derive(Debug)]
struct Chosen {
    plan: Arc<Plan>,
    source: Source,
    content: PlanHash,
}

/// Where one service is provided.
#[derive(Debug)]
struct Provided {
    /// From the stream; `None` until it has said something.
    live: Option<BTreeMap<Address, Endpoint>>,
    /// What counted when last looked at, without what is held.
    listed: Arc<[Endpoint]>,
    shrink: Shrink,
    /// What is published.
    shown: Arc<[Endpoint]>,
}

impl Merge {
    /// Starts from what a process before this one left.
    #[must_use]
    pub(crate) fn from_saved(saved: Saved, now: Instant) -> Self {
        let Saved { plan, endpoints } = saved;
        let mut merge = Self {
            saved: endpoints,
            ..Self::default()
        };
        merge.take(plan, Source::Saved, now);
        merge
    }

    /// The plan that runs, and who it came from.
    #[must_use]
    pub(crate) fn chosen(&self) -> Option<(&Arc<Plan>, Source)> {
        self.chosen.as_ref().map(|chosen| (&chosen.plan, chosen.source))
    }

    /// A source has this plan.
    pub(crate) fn offer(&mut self, plan: Plan, source: Source, now: Instant) -> Verdict {
        if let Some(Chosen {
            plan: runs,
            source: of,
            content,
        }) = &self.chosen
        {
            let foreign = *of == Source::Saved && !same_pod(runs, &plan);
            if plan.revision < runs.revision && !foreign {
                return Verdict::Older;
            }
            // A document that was written anew has fresher seeds than the endpoints on disk.
            let anew = plan.revision > runs.revision && plan.content_hash() != *content;
            if foreign || (source == Source::File && anew) {
                self.saved.clear();
            }
        }
        self.take(plan, source, now);
        Verdict::Taken
    }

    fn take(&mut self, plan: Plan, source: Source, now: Instant) {
        let names = plan.service_names();
        self.services.retain(|name, _| names.contains(name));
        self.saved.retain(|name, _| names.contains(name));
        let content = plan.content_hash();
        for service in &plan.services {
            let provided = self
                .services
                .entry(service.name.clone())
                .or_insert_with(Provided::unknown);
            if provided.live.is_none() {
                let last = self.saved.get(&service.name).unwrap_or(&service.seeds);
                provided.list(sorted(last.clone()), now);
            }
        }
        self.chosen = Some(Chosen {
            plan: Arc::new(plan),
            source,
            content,
        });
    }

    /// The stream says where a service is provided.
    pub(crate) fn note(&mut self, change: Change, now: Instant) -> Noted {
        let Change {
            service,
            reset,
            set,
            removed,
        } = change;
        let Some(provided) = self.services.get_mut(&service) else {
            return Noted::NoSuchService;
        };
        self.saved.remove(&service);
        let live = provided.live.get_or_insert_with(BTreeMap::new);
        if reset {
            live.clear();
        }
        for address in &removed {
            live.remove(address);
        }
        let mut noted = Noted::Yes;
        for endpoint in set {
            if live.len() < MAX_ENDPOINTS || live.contains_key(&endpoint.address) {
                live.insert(endpoint.address.clone(), endpoint);
            } else {
                noted = Noted::Cut;
            }
        }
        let listed = live.values().cloned().collect();
        provided.list(listed, now);
        noted
    }

    /// What is known at `now`; `None` before the first plan.
    pub(crate) fn known(&mut self, now: Instant) -> Option<Known> {
        let plan = Arc::clone(&self.chosen.as_ref()?.plan);
        let mut endpoints = BTreeMap::new();
        for (name, provided) in &mut self.services {
            endpoints.insert(name.clone(), provided.show(now));
        }
        Some(Known { plan, endpoints })
    }

    /// When [`Merge::known`] next changes by itself.
    #[must_use]
    pub(crate) fn next(&self) -> Option<Instant> {
        self.services
            .values()
            .filter_map(|provided| provided.shrink.next())
            .min()
    }

    /// How many services list endpoints that the operator does not list any more.
    #[must_use]
    pub(crate) fn services_held(&self) -> usize {
        self.services
            .values()
            .filter(|provided| provided.shown != provided.listed)
            .count()
    }

    /// What the next process should start from. Seeds are not in it: they are in the plan.
    #[must_use]
    pub(crate) fn to_save(&self) -> Option<Saved> {
        let plan = Plan::clone(&self.chosen.as_ref()?.plan);
        let live = self
            .services
            .iter()
            .filter(|(_, provided)| provided.live.is_some());
        let mut endpoints = self.saved.clone();
        endpoints.extend(live.map(|(name, provided)| (name.clone(), provided.listed.to_vec())));
        Some(Saved { plan, endpoints })
    }
}

impl Provided {
    fn unknown() -> Self {
        Self {
            live: None,
            listed: Arc::default(),
            shrink: Shrink::default(),
            shown: Arc::default(),
        }
    }

    fn list(&mut self, listed: Arc<[Endpoint]>, now: Instant) {
        if self.listed != listed {
            self.shrink.step(&self.listed, &listed, now);
            self.listed = listed;
        }
    }

    /// The same `Arc` as before where nothing changed.
    fn show(&mut self, now: Instant) -> Arc<[Endpoint]> {
        let held = self.shrink.held(&self.listed, now);
        let shown = if held.is_empty() {
            Arc::clone(&self.listed)
        } else {
            sorted(self.listed.iter().cloned().chain(held).collect())
        };
        if self.shown != shown {
            self.shown = shown;
        }
        Arc::clone(&self.shown)
    }
}

/// A state directory that another pod's sidecar left behind is of no use to this one.
fn same_pod(one: &Plan, other: &Plan) -> bool {
    (&one.workload.namespace, &one.workload.pod) == (&other.workload.namespace, &other.workload.pod)
}

#[cfg(test)]
mod tests;
