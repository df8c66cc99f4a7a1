//! From what is known to what is looked up. Pure: the same knowledge gives the same tables, and an endpoint that was
//! there before keeps its counters.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::{HashMap, HashMapExt};
use govern::outlier;
use plan::{Address, BalanceMode, Outliers, Protocol, ServiceName};

use super::location::Hosts;
use super::route::{Cluster, Offers};
use super::routes;
use super::{Endpoint, EndpointId, EndpointKind, Export, Front, Live, Place, Rewrites, Service, Unknown};
use crate::discovery::Known;
use crate::governed::balancing::Balancing;
use crate::governed::limits::Limits;
use crate::governed::member::Fleet;
use crate::governed::rules::Timeouts;
use crate::governed::{Member, Rules};
use crate::observe::metrics::{CallMetrics, Metrics, Role, UNKNOWN_SERVICE};

/// Makes the tables for what is known now; `metrics` resolves the labels.
#[must_use]
pub fn build(previous: Option<&Live>, known: &Known, metrics: &Metrics, now: Instant) -> Live {
    let plan = &known.plan;
    let mut builder = Builder {
        previous,
        known,
        metrics,
        now,
        endpoints: HashMap::new(),
        next_endpoint: previous.map_or(0, |live| live.next_endpoint),
        rewrites: Arc::default(),
    };
    let mut paths: HashMap<Box<[u8]>, Cluster> = HashMap::new();
    let mut hosts = Hosts::default();
    let mut names = HashMap::new();
    let mut services: Vec<Service> = plan
        .services
        .iter()
        .map(|declared| builder.service(declared))
        .collect();
    for (at, mirror) in routes::mirrors(&services, previous, known, now) {
        services[at].mirror = Some(Arc::new(mirror));
    }
    for (at, routes) in routes::build(&services, previous, known, now) {
        services[at].routes = Some(Box::new(routes));
    }
    for (declared, service) in plan.services.iter().zip(services) {
        let service = Arc::new(service);
        names.insert(declared.name.clone(), Arc::clone(&service));
        if declared.indirect {
            continue; // it can't be called by name
        }
        hosts.add(declared, &service);
        match paths.get_mut(declared.path.as_str().as_bytes()) {
            Some(cluster) => cluster.add(service),
            None => {
                let path = Box::from(declared.path.as_str().as_bytes());
                paths.insert(path, Cluster::One(service));
            }
        }
    }
    let mut exports: HashMap<Box<[u8]>, Offers> = HashMap::new();
    for declared in &plan.exports {
        let path = Box::from(declared.path.as_str().as_bytes());
        let export = Arc::new(builder.export(declared));
        exports.entry(path).or_default().push(export);
    }
    Live {
        revision: plan.revision,
        application: Box::from(plan.workload.application.as_str()),
        access: plan.observe.access_log,
        unknown: previous.map_or_else(|| unknown(metrics), |live| live.unknown.clone()),
        meta: previous.map(|live| live.meta.clone()).unwrap_or_default(),
        weights: previous.map(|live| live.weights.clone()).unwrap_or_default(),
        paths,
        names,
        hosts,
        exports,
        endpoints: builder.endpoints,
        next_endpoint: builder.next_endpoint,
    }
}

struct Builder<'a> {
    previous: Option<&'a Live>,
    known: &'a Known,
    metrics: &'a Metrics,
    now: Instant,
    endpoints: HashMap<(EndpointKind, Address), Arc<Endpoint>>,
    next_endpoint: u32,
    /// Those of the service whose places are being made.
    rewrites: Arc<Rewrites>,
}

impl Builder<'_> {
    fn service(&mut self, declared: &plan::Service) -> Service {
        let plan::Service {
            name,
            path,
            group,
            version,
            protocol,
            motan1,
            external,
            plain: _,    // for those who call without an agent
            indirect: _, // of the tables of names
            hosts: _,    // of the table of hosts
            locations: _,
            listen: _,         // opened by the control thread
            http_exception: _, // of places without an agent
            rewrites,
            policy,
            seeds: _, // what is known stands in for them
        } = declared;
        let known = self.known;
        let listed = known.endpoints(name).iter();
        let http = self.calls(Role::Client, name, Protocol::Http);
        let has_bare = listed.clone().any(|place| place.direct);
        self.rewrites = Arc::new(Rewrites::new(if has_bare { rewrites } else { &[] }));
        let before = self.previous.and_then(|live| live.named(name)).map(Arc::clone);
        let members = Members::new(policy, before);
        let places: Box<[Place]> = listed
            .map(|place| self.place(place, declared, &members, &http))
            .collect();
        members.fleet.count(places.iter().map(|place| &place.member));
        let by_status = !protocol.is_motan();
        let before = members.before.as_deref();
        Service {
            direct: places.iter().any(|place| place.direct),
            rules: Arc::new(Rules::new(
                policy,
                by_status,
                before.map(|before| &*before.rules),
                self.now,
            )),
            routes: None, // they lead to services that are not all made yet
            mirror: None, // likewise
            way: None,
            balancing: Balancing::new(
                &policy.balance,
                known.endpoints(name),
                known.plan.workload.zone.as_ref(),
                self.now,
            ),
            fleet: members.fleet,
            mingz_size: policy.mingz_size,
            places,
            name: name.clone(),
            path: path.clone(),
            group: group.clone(),
            version: version.clone(),
            protocol: *protocol,
            motan1: *motan1,
            external: *external,
            motan: self.calls(Role::Client, name, Protocol::Motan2),
            http,
        }
    }

    fn place(
        &mut self,
        listed: &plan::Endpoint,
        of: &plan::Service,
        members: &Members,
        calls: &Arc<CallMetrics>,
    ) -> Place {
        let plan::Endpoint {
            address,
            state,
            direct,
            motan1,
            weight: _, // both of the balancing
            zone: _,
            subsets: _, // of the routing
        } = listed;
        let kind = if of.external {
            EndpointKind::Outside // whatever is behind it, it takes Motan frames
        } else if !*direct {
            EndpointKind::Agent
        } else if of.protocol.is_motan() {
            EndpointKind::Outside
        } else {
            EndpointKind::Web
        };
        let endpoint = self.endpoint(address, kind);
        let web = (kind == EndpointKind::Web).then(|| {
            Arc::new(Export {
                name: of.name.clone(),
                path: of.path.clone(),
                group: of.group.clone(),
                protocol: of.protocol,
                timeout: Timeouts::new(&of.policy),
                mingz_size: of.policy.mingz_size,
                limits: None, // its own agent's
                backend: Arc::clone(&endpoint),
                motan1: None,
                plain: false,
                http_exception: of.http_exception,
                rewrites: Arc::clone(&self.rewrites),
                front: Arc::default(), // a word of the service to its agents
                metrics: Arc::clone(calls),
            })
        });
        Place {
            member: members.of(&endpoint, self.now),
            endpoint,
            state: *state,
            direct: *direct,
            web,
            motan1: motan1.as_ref().map(|address| self.endpoint(address, kind)),
        }
    }

    fn export(&mut self, declared: &plan::Export) -> Export {
        let plan::Export {
            name,
            path,
            group,
            version: _, // the server agent looks at group and path only (motan-wire 3.5)
            protocol,
            backend,
            motan1,
            plain,
            http_exception,
            rewrites,
            policy,
            limits,
            http: _, // both in its front
            grpc: _,
        } = declared;
        let before = self.previous.and_then(|live| live.offered(path, group));
        let limited = before.and_then(|before| before.limits.as_ref());
        let limits = Limits::new(limits, limited, (self.metrics, name.as_str()), self.now);
        if !limits.as_ref().is_some_and(|limits| limits.is_of_places()) {
            self.metrics.no_limit(name.as_str());
        }
        if limits.as_ref().is_none_or(|limits| limits.shared().is_none()) {
            self.metrics.no_share(name.as_str());
        }
        Export {
            limits,
            front: Front::of(declared, before.map(|export| &export.front)),
            backend: self.endpoint(backend, EndpointKind::Program),
            motan1: motan1.as_ref().map(|at| self.endpoint(at, EndpointKind::Program)),
            plain: *plain,
            http_exception: *http_exception,
            rewrites: Arc::new(Rewrites::new(rewrites)),
            name: name.clone(),
            path: path.clone(),
            group: group.clone(),
            protocol: *protocol,
            timeout: Timeouts::new(policy),
            mingz_size: policy.mingz_size,
            metrics: self.calls(Role::Server, name, *protocol),
        }
    }

    fn endpoint(&mut self, address: &Address, kind: EndpointKind) -> Arc<Endpoint> {
        let key = (kind, address.clone());
        let before = self.previous.and_then(|live| live.endpoints.get(&key));
        let next = &mut self.next_endpoint;
        let endpoint = self.endpoints.entry(key);
        Arc::clone(endpoint.or_insert_with(|| match before {
            Some(endpoint) => Arc::clone(endpoint),
            None => {
                let id = EndpointId(*next);
                *next = next.wrapping_add(1);
                Arc::new(Endpoint::new(address.clone(), kind, id))
            }
        }))
    }

    fn calls(&self, role: Role, service: &ServiceName, protocol: Protocol) -> Arc<CallMetrics> {
        Arc::new(self.metrics.of_service(role, service.as_str(), protocol))
    }
}

/// What a service knows of its places, where it was known before.
struct Members {
    before: Option<Arc<Service>>,
    known: HashMap<EndpointId, Arc<Member>>,
    health: Option<outlier::Rule>,
    by_latency: bool,
    fleet: Arc<Fleet>,
}

impl Members {
    fn new(policy: &plan::Policy, before: Option<Arc<Service>>) -> Self {
        let places = before.iter().flat_map(|before| before.places.iter());
        let known = places.map(|place| (place.endpoint.id, Arc::clone(&place.member)));
        let fleet = before.as_ref().map(|before| Arc::clone(&before.fleet));
        Self {
            known: known.collect(),
            health: match policy.health {
                Outliers::Off => None,
                Outliers::On(health) => Some(rule(&health)),
            },
            by_latency: policy.balance.mode == BalanceMode::PeakEwma,
            fleet: fleet.unwrap_or_default(),
            before,
        }
    }

    fn of(&self, endpoint: &Endpoint, now: Instant) -> Arc<Member> {
        match self.known.get(&endpoint.id) {
            Some(member) if member.is_for(self.health, self.by_latency) => Arc::clone(member),
            Some(member) => Arc::new(member.anew(self.health, self.by_latency, now)),
            None => {
                let since = self.before.is_some().then_some(now);
                Arc::new(Member::new(
                    self.health,
                    self.by_latency,
                    &self.fleet,
                    (since, now),
                ))
            }
        }
    }
}

fn rule(health: &plan::Health) -> outlier::Rule {
    outlier::Rule {
        consecutive_failures: health.consecutive_failures.get(),
        failure_percent: health.failure_percent.map(plan::Percent::get),
        latency_percent: health.latency_percent.map(plan::Bounded::get),
        min_calls: health.min_calls.get(),
        base: Duration::from_millis(health.base_ejection_ms.get().into()),
        longest: Duration::from_millis(health.max_ejection_ms.get().into()),
        max_ejected_percent: health.max_ejected_percent.get(),
    }
}

fn unknown(metrics: &Metrics) -> Unknown {
    let calls = |role, protocol| Arc::new(metrics.of_service(role, UNKNOWN_SERVICE, protocol));
    Unknown {
        motan: calls(Role::Client, Protocol::Motan2),
        http: calls(Role::Client, Protocol::Http),
        inbound: calls(Role::Server, Protocol::Motan2),
    }
}
