//! What one sidecar must be told next: the difference between what it has and what it should have. Pure: no socket,
//! no clock.
//!
//! A session holds what was sent last, never a queue: however long a sidecar takes to read, the next lines lead it
//! from there to the latest state.

use std::collections::{BTreeMap, BTreeSet};

use plan::{Address, Endpoint, Plan, PlanHash, Revision, ServiceName, stream::FromOperator};

/// What a sidecar should have, as this replica sees it.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its plan; `revision` is the replica's mark: everything up to there is in it.
    pub plan: Plan,
    /// Every endpoint of every service of the plan.
    pub endpoints: BTreeMap<ServiceName, Vec<Endpoint>>,
}

/// What to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Send these lines, in this order; none where nothing has changed.
    Send(Vec<FromOperator>),
    /// The sidecar knows more than this replica: wait until it has caught up.
    CatchUp,
}

/// How far the catching up of this replica with its sidecar is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lag {
    /// It may still be behind another replica.
    Possible,
    /// It has waited long enough: what it sees is the truth.
    Over,
}

/// One sidecar's state on this stream.
#[derive(Debug)]
pub struct Session {
    plan: (Revision, PlanHash),
    endpoints: BTreeMap<ServiceName, BTreeMap<Address, Endpoint>>,
    lag: Lag,
}

impl Session {
    /// A sidecar that says hello with what it runs.
    #[must_use]
    pub fn hello(revision: Revision, hash: PlanHash) -> Self {
        Self {
            plan: (revision, hash),
            endpoints: BTreeMap::new(),
            lag: Lag::Possible,
        }
    }

    /// What it has been told last, or held when it came.
    #[must_use]
    pub fn plan(&self) -> &(Revision, PlanHash) {
        &self.plan
    }

    /// The lines that lead from what was sent to what is wanted. The caller sends all of them or ends the stream.
    pub fn next(&mut self, wanted: Wanted, lag: Lag) -> Next {
        if self.lag == Lag::Possible && lag == Lag::Possible && self.is_ahead_of(&wanted.plan) {
            return Next::CatchUp;
        }
        self.lag = Lag::Over;
        let Wanted { plan, endpoints } = wanted;
        let names: BTreeSet<ServiceName> = plan.services.iter().map(|service| service.name.clone()).collect();
        let mut lines = Vec::new();
        lines.extend(self.plan_line(plan));
        self.endpoints.retain(|name, _| names.contains(name));
        for name in names {
            let now = endpoints.get(&name).map(Vec::as_slice).unwrap_or_default();
            lines.extend(self.endpoints_line(name, now));
        }
        Next::Send(lines)
    }

    /// A sidecar that was told more by another replica than this one has seen. Equal revisions of different content
    /// are no order either.
    fn is_ahead_of(&self, plan: &Plan) -> bool {
        let (revision, hash) = &self.plan;
        *revision > plan.revision || (*revision == plan.revision && *hash != plan.hash)
    }

    /// The plan, where its content is another one. Its revision is this replica's mark, and always above the last.
    fn plan_line(&mut self, mut plan: Plan) -> Option<FromOperator> {
        let (held, hash) = &self.plan;
        if *hash == plan.hash {
            return None;
        }
        plan.revision = after(*held, plan.revision);
        self.plan = (plan.revision, plan.hash.clone());
        Some(FromOperator::Plan { plan: Box::new(plan) })
    }

    fn endpoints_line(&mut self, service: ServiceName, now: &[Endpoint]) -> Option<FromOperator> {
        let new: BTreeMap<Address, Endpoint> = now
            .iter()
            .map(|endpoint| (endpoint.address.clone(), endpoint.clone()))
            .collect();
        let line = match self.endpoints.get(&service) {
            None => FromOperator::Endpoints {
                service: service.clone(),
                reset: true,
                set: new.values().cloned().collect(),
                removed: Vec::new(),
            },
            Some(old) if *old == new => return None,
            Some(old) => delta(service.clone(), old, &new),
        };
        self.endpoints.insert(service, new);
        Some(line)
    }
}

/// The revision of a plan whose content differs from the one of revision `before`.
#[must_use]
pub fn after(before: Revision, mark: Revision) -> Revision {
    mark.max(Revision(before.0.saturating_add(1)))
}

fn delta(
    service: ServiceName,
    old: &BTreeMap<Address, Endpoint>,
    new: &BTreeMap<Address, Endpoint>,
) -> FromOperator {
    let changed = new
        .values()
        .filter(|endpoint| old.get(&endpoint.address) != Some(endpoint));
    let gone = old.keys().filter(|address| !new.contains_key(*address));
    FromOperator::Endpoints {
        service,
        reset: false,
        set: changed.cloned().collect(),
        removed: gone.cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    use plan::{EndpointState, Observe, Policy, Protocol, Service, Undeclared, Workload};

    use super::*;

    fn name(text: &str) -> ServiceName {
        serde_json::from_value(text.into()).unwrap()
    }

    fn plan(mark: u64, services: &[&str]) -> Plan {
        let mut plan = Plan {
            revision: Revision(mark),
            hash: PlanHash::default(),
            workload: Workload {
                namespace: "shop".to_owned(),
                pod: "web-0".to_owned(),
                application: "web".to_owned(),
                zone: None,
            },
            control: None,
            inbound: None,
            services: services
                .iter()
                .map(|service| Service {
                    name: name(service),
                    path: serde_json::from_value("path".into()).unwrap(),
                    group: serde_json::from_value("group".into()).unwrap(),
                    version: None,
                    protocol: Protocol::Http,
                    motan1: false,
                    external: false,
                    plain: false,
                    indirect: false,
                    hosts: Vec::new(),
                    locations: Vec::new(),
                    listen: Vec::new(),
                    http_exception: false,
                    rewrites: Vec::new(),
                    policy: Policy::default(),
                    seeds: Vec::new(),
                })
                .collect(),
            exports: Vec::new(),
            undeclared: Undeclared::default(),
            observe: Observe::default(),
        };
        plan.hash = plan.content_hash();
        plan
    }

    fn endpoint(port: u16, state: EndpointState) -> Endpoint {
        Endpoint::agent(Address::of(([10, 0, 0, 1], port).into()), state)
    }

    fn wanted(plan: Plan, endpoints: &[Endpoint]) -> Wanted {
        let endpoints = plan
            .services
            .iter()
            .map(|service| (service.name.clone(), endpoints.to_vec()))
            .collect();
        Wanted { plan, endpoints }
    }

    fn lines(next: Next) -> Vec<FromOperator> {
        match next {
            Next::Send(lines) => lines,
            Next::CatchUp => panic!("must not wait"),
        }
    }

    #[test]
    fn a_sidecar_without_a_plan_gets_it_and_then_every_endpoint_as_a_reset() {
        let mut session = Session::hello(Revision(0), PlanHash::default());
        let ready = endpoint(1, EndpointState::Ready);
        let lines = lines(session.next(
            wanted(plan(7, &["shop/user"]), std::slice::from_ref(&ready)),
            Lag::Possible,
        ));
        let [
            FromOperator::Plan { plan },
            FromOperator::Endpoints {
                reset, set, removed, ..
            },
        ] = &lines[..]
        else {
            panic!("{lines:?}")
        };
        assert_eq!(plan.revision, Revision(7));
        assert!(*reset && removed.is_empty());
        assert_eq!(set, &[ready]);
    }

    #[test]
    fn a_sidecar_that_runs_the_plan_already_gets_endpoints_only() {
        let plan = plan(7, &["shop/user"]);
        let mut session = Session::hello(Revision(5), plan.hash.clone());
        let first = lines(session.next(wanted(plan.clone(), &[]), Lag::Possible));
        assert!(matches!(&first[..], [FromOperator::Endpoints { reset: true, set, .. }] if set.is_empty()));
        assert_eq!(
            lines(session.next(wanted(plan, &[]), Lag::Possible)),
            [],
            "nothing twice"
        );
    }

    #[test]
    fn later_endpoints_come_as_the_difference_to_what_was_sent() {
        let plan = plan(7, &["shop/user"]);
        let mut session = Session::hello(Revision(7), plan.hash.clone());
        let (a, b) = (
            endpoint(1, EndpointState::Ready),
            endpoint(2, EndpointState::Ready),
        );
        session.next(wanted(plan.clone(), &[a, b.clone()]), Lag::Possible);
        let (draining, c) = (
            endpoint(1, EndpointState::Draining),
            endpoint(3, EndpointState::Ready),
        );
        let sent = lines(session.next(wanted(plan, &[draining.clone(), c.clone()]), Lag::Possible));
        let [
            FromOperator::Endpoints {
                reset: false,
                set,
                removed,
                ..
            },
        ] = &sent[..]
        else {
            panic!("{sent:?}")
        };
        assert_eq!(set, &[draining, c]);
        assert_eq!(removed, &[b.address]);
    }

    #[test]
    fn an_endpoint_of_another_weight_is_sent_again() {
        let plan = plan(7, &["shop/user"]);
        let mut session = Session::hello(Revision(7), plan.hash.clone());
        let plain = endpoint(1, EndpointState::Ready);
        session.next(wanted(plan.clone(), std::slice::from_ref(&plain)), Lag::Possible);
        let heavy = Endpoint {
            weight: plan::Weight::new(50),
            ..plain
        };
        let sent = lines(session.next(wanted(plan, std::slice::from_ref(&heavy)), Lag::Possible));
        let [
            FromOperator::Endpoints {
                reset: false, set, ..
            },
        ] = &sent[..]
        else {
            panic!("{sent:?}")
        };
        assert_eq!(set, &[heavy]);
    }

    #[test]
    fn a_service_that_leaves_the_plan_and_comes_back_begins_with_a_reset() {
        let both = plan(7, &["shop/cart", "shop/user"]);
        let one = plan(8, &["shop/user"]);
        let mut session = Session::hello(Revision(7), both.hash.clone());
        session.next(wanted(both.clone(), &[]), Lag::Possible);
        assert!(matches!(
            &lines(session.next(wanted(one, &[]), Lag::Possible))[..],
            [FromOperator::Plan { .. }]
        ));
        let mut again = both;
        again.revision = Revision(9);
        let sent = lines(session.next(wanted(again, &[]), Lag::Possible));
        let [
            FromOperator::Plan { .. },
            FromOperator::Endpoints {
                service, reset: true, ..
            },
        ] = &sent[..]
        else {
            panic!("{sent:?}")
        };
        assert_eq!(service, &name("shop/cart"));
    }

    #[test]
    fn a_replica_that_is_behind_its_sidecar_catches_up_before_it_says_anything() {
        let old = plan(7, &["shop/user"]);
        let mut session = Session::hello(Revision(9), PlanHash("other".to_owned()));
        assert_eq!(
            session.next(wanted(old.clone(), &[]), Lag::Possible),
            Next::CatchUp
        );
        let mut same_mark = old.clone();
        same_mark.revision = Revision(9);
        assert_eq!(session.next(wanted(same_mark, &[]), Lag::Possible), Next::CatchUp);
        let mut caught_up = old;
        caught_up.revision = Revision(12);
        let sent = lines(session.next(wanted(caught_up, &[]), Lag::Possible));
        assert!(matches!(&sent[0], FromOperator::Plan { plan } if plan.revision == Revision(12)));
    }

    #[test]
    fn a_replica_that_never_catches_up_sends_one_above_what_is_held() {
        let mut session = Session::hello(Revision(9), PlanHash("other".to_owned()));
        let sent = lines(session.next(wanted(plan(7, &[]), &[]), Lag::Over));
        assert!(matches!(&sent[..], [FromOperator::Plan { plan }] if plan.revision == Revision(10)));
        let sent = lines(session.next(wanted(plan(7, &["shop/user"]), &[]), Lag::Possible));
        assert!(
            matches!(&sent[0], FromOperator::Plan { plan } if plan.revision == Revision(11)),
            "once the waiting is over it does not begin again"
        );
    }

    #[test]
    fn revisions_of_different_contents_always_rise() {
        for (before, mark, expected) in [(5, 7, 7), (7, 7, 8), (9, 7, 10), (u64::MAX, 7, u64::MAX)] {
            assert_eq!(after(Revision(before), Revision(mark)), Revision(expected));
        }
    }
}
