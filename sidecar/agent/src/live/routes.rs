//! Where calls to a service go: to itself, to a part of it, or to another one. Chosen once, when a call begins; what is
//! chosen is a service like any other, with the places of that way.

use std::sync::Arc;
use std::time::Instant;

use govern::route::Split;
use hyper::HeaderMap;
use plan::{Address, Addresses, CallMatch, Merge, Pattern, Routing, Target};
use wire::meta::Meta;

use super::{Live, Mirror, Place, Service, WayOf};
use crate::discovery::Known;
use crate::governed::Rules;
use crate::governed::balancing::Balancing;

/// What names the route group of a call (motan-clients.md 1.7).
const ROUTE_GROUP: &str = "motan-route-group";

/// Where calls to one service go.
#[derive(Debug)]
pub(crate) struct Routes {
    named: Box<[(Pattern, usize)]>,
    rules: Box<[(CallMatch, Split<usize>)]>,
    merged: Option<Split<usize>>,
    backup: Box<[usize]>,
    /// The service itself.
    itself: usize,
    ways: Box<[Arc<Service>]>,
}

/// What a call says of itself.
#[derive(Clone, Copy)]
pub(crate) enum Facts<'a> {
    /// Of Motan 2: its method and metadata.
    Motan(&'a [u8], Meta<'a>),
    /// Of Motan 1: its method and attachments.
    Motan1(&'a wire::motan1::Request<'a>),
    /// Of HTTP: its normal path and headers.
    Http(&'a [u8], &'a HeaderMap),
}

impl Facts<'_> {
    fn method(&self) -> &[u8] {
        match self {
            Self::Motan(method, _) | Self::Http(method, _) => method,
            Self::Motan1(request) => request.method(),
        }
    }

    /// Whether what it says under this key is so.
    fn says(&self, key: &str, is_so: impl Fn(&[u8]) -> bool) -> bool {
        match self {
            Self::Motan(_, meta) => meta.find(key.as_bytes()).is_some_and(is_so),
            Self::Motan1(request) => {
                let mut pairs = request.attachments().pairs();
                pairs.any(|(found, value)| *found == *key.as_bytes() && is_so(&value))
            }
            Self::Http(_, headers) => {
                let mut values = headers.get_all(key).iter();
                values.any(|value| is_so(value.as_bytes()))
            }
        }
    }

    fn is(&self, wanted: &CallMatch) -> bool {
        let CallMatch {
            methods,
            metadata,
            callers: _, // decided for all calls of this agent
        } = wanted;
        let is_method = |pattern: &Pattern| pattern.matches(self.method());
        (methods.is_empty() || methods.iter().any(is_method))
            && metadata
                .iter()
                .all(|(key, pattern)| self.says(key, |value| pattern.matches(value)))
    }
}

impl Routes {
    /// The way of one call; `usable` is whether somebody can answer there now.
    pub(crate) fn choose(
        &self,
        facts: Facts<'_>,
        random: u64,
        usable: impl Fn(&Service) -> bool,
    ) -> &Arc<Service> {
        let usable = |way: &usize| usable(&self.ways[*way]);
        let chosen = self
            .named(facts, usable)
            .or_else(|| {
                let split = self.rules.iter().find(|(wanted, _)| facts.is(wanted));
                let split = split.map(|(_, split)| split).or(self.merged.as_ref())?;
                split.among(random, usable).copied()
            })
            .or_else(|| usable(&self.itself).then_some(self.itself))
            .or_else(|| self.backup.iter().copied().find(usable))
            .unwrap_or(self.itself);
        &self.ways[chosen]
    }

    fn named(&self, facts: Facts<'_>, usable: impl Fn(&usize) -> bool) -> Option<usize> {
        let find = |name: &[u8]| {
            let found = self.named.iter().find(|(pattern, _)| pattern.matches(name));
            found.map(|(_, way)| *way).filter(|way| usable(way))
        };
        if self.named.is_empty() {
            return None;
        }
        let chosen = std::cell::Cell::new(None);
        facts.says(ROUTE_GROUP, |list| {
            let mut names = list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            chosen.set(names.find_map(find));
            chosen.get().is_some()
        });
        chosen.get()
    }

    /// The way that leads there.
    pub(super) fn find(&self, to: &Target, is_strict: bool) -> Option<&Arc<Service>> {
        self.ways.iter().find(|service| {
            let way = service.way.as_deref();
            way.is_some_and(|way| way.to == *to && way.is_strict == is_strict)
        })
    }
}

/// The routes of those services that have some, by their place in the list, which is the plan's.
pub(super) fn build(
    services: &[Service],
    previous: Option<&Live>,
    known: &Known,
    now: Instant,
) -> Vec<(usize, Routes)> {
    let declared = known.plan.services.iter().enumerate();
    declared
        .filter_map(|(at, declared)| {
            let routing = declared.policy.routing.as_deref()?;
            let builder = Builder::new((services, at), previous, known, &routing.addresses, now);
            Some((at, builder.build(routing)))
        })
        .collect()
}

/// Who gets copies of calls, by the place of their service in the list.
pub(super) fn mirrors(
    services: &[Service],
    previous: Option<&Live>,
    known: &Known,
    now: Instant,
) -> Vec<(usize, Mirror)> {
    let declared = known.plan.services.iter().enumerate();
    declared
        .filter_map(|(at, declared)| {
            let plan::Mirror { to, percent } = declared.policy.mirror.as_ref()?;
            let builder = Builder::new((services, at), previous, known, &[], now);
            let mut to = builder.make(to, false);
            if let Some(way) = &mut to.way {
                way.is_mirror = true;
            }
            Some((
                at,
                Mirror {
                    percent: percent.get(),
                    to: Arc::new(to),
                },
            ))
        })
        .collect()
}

struct Builder<'a> {
    services: &'a [Service],
    declared: &'a plan::Service,
    itself: &'a Service,
    previous: Option<&'a Live>,
    known: &'a Known,
    now: Instant,
    addresses: &'a [Addresses],
    ways: Vec<Arc<Service>>,
}

impl<'a> Builder<'a> {
    /// For the ways of the service at this place in the list.
    fn new(
        (services, at): (&'a [Service], usize),
        previous: Option<&'a Live>,
        known: &'a Known,
        addresses: &'a [Addresses],
        now: Instant,
    ) -> Self {
        Self {
            services,
            declared: &known.plan.services[at],
            itself: &services[at],
            previous,
            known,
            now,
            addresses,
            ways: Vec::new(),
        }
    }

    fn build(mut self, routing: &Routing) -> Routes {
        let Routing {
            named,
            rules,
            merge,
            addresses: _, // of each way
            backup,
        } = routing;
        let application = self.known.plan.workload.application.as_bytes();
        let is_for_us = |callers: &[Pattern]| {
            callers.is_empty() || callers.iter().any(|caller| caller.matches(application))
        };
        let itself = self.one(&Target::ITSELF);
        let named = named
            .iter()
            .map(|named| (named.name.clone(), self.one(&named.to)))
            .collect();
        let mut split_rules = Vec::new();
        for rule in rules.iter().filter(|rule| is_for_us(&rule.matches.callers)) {
            let ways = rule.to.iter().map(|way| (&way.to, way.weight.get()));
            split_rules.push((rule.matches.clone(), self.split(&ways.collect::<Vec<_>>())));
        }
        let merged = merge.as_ref().map(|merge| match merge {
            Merge::Split(ways) => {
                let ways: Vec<_> = ways.iter().map(|way| (&way.to, way.weight.get())).collect();
                self.split(&ways)
            }
            Merge::Mixed(targets) => {
                // One list of endpoints: each group has as many calls as it has of them.
                let targets: Vec<_> = targets.iter().map(|to| (to, 1)).collect();
                let split = self.choices(&targets);
                let count = |way: usize| u32::try_from(self.ways[way].places.len()).unwrap_or(u32::MAX);
                Split::new(split.into_iter().map(|(way, _)| (way, count(way))))
            }
        });
        let backup = backup.iter().map(|to| self.one(to)).collect();
        Routes {
            named,
            rules: split_rules.into(),
            merged,
            backup,
            itself,
            ways: self.ways.into(),
        }
    }

    /// A way that is the only one of its kind.
    fn one(&mut self, to: &Target) -> usize {
        let is_strict = self.remains(to);
        self.way(to, is_strict)
    }

    fn split(&mut self, ways: &[(&Target, u32)]) -> Split<usize> {
        Split::new(self.choices(ways))
    }

    fn choices(&mut self, ways: &[(&Target, u32)]) -> Vec<(usize, u32)> {
        let is_strict = ways.iter().any(|(to, _)| self.remains(to));
        ways.iter()
            .map(|(to, weight)| (self.way(to, is_strict), *weight))
            .collect()
    }

    /// Whether the rules by address leave somebody there.
    fn remains(&self, to: &Target) -> bool {
        self.addresses.is_empty()
            || self
                .of(to)
                .is_some_and(|service| self.places(service, to, true).count() > 0)
    }

    fn of(&self, to: &Target) -> Option<&Service> {
        match &to.service {
            None => Some(self.itself),
            Some(name) => self.services.iter().find(|service| service.name == *name),
        }
    }

    /// The places of a service on the way to a target, each with what is known of its endpoint.
    fn places<'s>(
        &'s self,
        service: &'s Service,
        to: &'s Target,
        is_strict: bool,
    ) -> impl Iterator<Item = (&'s Place, &'s plan::Endpoint)> {
        let listed = self.known.endpoints(&service.name);
        service.places.iter().zip(listed).filter(move |(_, listed)| {
            let is_in = to
                .subset
                .as_ref()
                .is_none_or(|subset| listed.subsets.contains(subset));
            is_in && (!is_strict || may_go(self.addresses, &listed.address))
        })
    }

    fn way(&mut self, to: &Target, is_strict: bool) -> usize {
        let is_this = |service: &Arc<Service>| {
            let way = service.way.as_deref();
            way.is_some_and(|way| way.to == *to && way.is_strict == is_strict)
        };
        if let Some(known) = self.ways.iter().position(is_this) {
            return known;
        }
        let service = self.make(to, is_strict);
        self.ways.push(Arc::new(service));
        self.ways.len() - 1
    }

    fn make(&self, to: &Target, is_strict: bool) -> Service {
        // A plan lists every service that its routings name.
        let of = self.of(to).unwrap_or(self.itself);
        let (places, listed): (Vec<_>, Vec<_>) = self
            .places(of, to, is_strict)
            .map(|(place, listed)| (place.clone(), listed.clone()))
            .unzip();
        let policy = &self.declared.policy;
        let rules = if of.name == self.itself.name {
            Arc::clone(&self.itself.rules)
        } else {
            let before = self.previous.and_then(|live| {
                let routes = live.named(&self.declared.name)?.routes.as_deref()?;
                routes.find(to, is_strict)
            });
            Arc::new(Rules::new(
                policy,
                !of.protocol.is_motan(),
                before.map(|before| &*before.rules),
                self.now,
            ))
        };
        Service {
            name: of.name.clone(),
            path: of.path.clone(),
            group: of.group.clone(),
            version: of.version.clone(),
            protocol: of.protocol,
            motan1: of.motan1,
            external: of.external,
            direct: places.iter().any(|place| place.direct),
            rules,
            routes: None,
            mirror: self.itself.mirror.clone(),
            way: Some(Box::new(WayOf {
                by: self.declared.name.clone(),
                to: to.clone(),
                is_strict,
                is_mirror: false,
            })),
            balancing: Balancing::new(
                &policy.balance,
                &listed,
                self.known.plan.workload.zone.as_ref(),
                self.now,
            ),
            fleet: Arc::clone(&of.fleet),
            mingz_size: policy.mingz_size,
            places: places.into(),
            motan: Arc::clone(&of.motan),
            http: Arc::clone(&of.http),
        }
    }
}

/// Whether rules by address let calls go there.
fn may_go(rules: &[Addresses], address: &Address) -> bool {
    let host = address.as_str().rsplit_once(':').map_or("", |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    rules.iter().all(|rule| rule.matches(host))
}
