//! Where the routing of services and dependencies leads, and whose routing leads to a service.

use std::collections::BTreeSet;

use super::{At, Claim, Dependency, ObjectKey, Offer, PolicyWish, Service, TargetWish, World};

impl World {
    /// The service that a target of the routing of another one means; `None` where there is no such.
    #[must_use]
    pub fn meant_by(&self, target: &TargetWish, asked: &ObjectKey, offer: &Offer) -> Option<ObjectKey> {
        match &target.at {
            At::Itself => Some(asked.clone()),
            At::Group(group) if *group == offer.group => Some(asked.clone()),
            At::Group(group) => {
                let claim = Claim::Motan(group.clone(), offer.path.clone());
                let oldest = self
                    .claimants(&claim)
                    .min_by_key(|service| (service.age, &service.key));
                oldest.map(|service| service.key.clone())
            }
            At::Service(key) => self.services.contains_key(key).then(|| key.clone()),
        }
    }

    /// The dependencies whose pods may call a service because the routing of another one leads to it; `offer` is what
    /// it offers, or has offered.
    pub(super) fn led_to(&self, key: &ObjectKey, offer: &Offer) -> BTreeSet<ObjectKey> {
        let leads = |wish: &PolicyWish, from: &Offer| {
            wish.targets().any(|target| match &target.at {
                At::Itself => false,
                At::Group(group) => *group == offer.group && from.path == offer.path,
                At::Service(named) => named == key,
            })
        };
        let mut found = BTreeSet::new();
        let others = self.routing.iter().filter(|other| *other != key);
        for other in others.filter_map(|other| self.services.get(other)) {
            let Ok(from) = &other.offer else { continue };
            let all = leads(&from.policy, from);
            for dependency in self
                .index
                .named
                .to(&other.key)
                .filter_map(|key| self.dependencies.get(key))
            {
                let mut wants = dependency.wants.iter().filter(|want| want.service == other.key);
                let says = wants.any(|want| want.policy.as_ref().is_ok_and(|wish| leads(wish, from)));
                if all || says {
                    found.insert(dependency.key.clone());
                }
            }
        }
        found
    }

    /// Notes whether calls to these services are routed by anybody.
    pub(super) fn note_routing(&mut self, services: impl IntoIterator<Item = ObjectKey>) {
        for key in services {
            let own = self.services.get(&key).is_some_and(has_routing);
            let is_routed = own
                || self.index.named.to(&key).any(|dependency| {
                    let dependency = self.dependencies.get(dependency);
                    dependency.is_some_and(|dependency| routes(dependency, &key))
                });
            if is_routed {
                self.routing.insert(key);
            } else {
                self.routing.remove(&key);
            }
        }
    }
}

fn leads_on(policy: &PolicyWish) -> bool {
    policy.targets().next().is_some()
}

fn has_routing(service: &Service) -> bool {
    service.offer.as_ref().is_ok_and(|offer| leads_on(&offer.policy))
}

fn routes(dependency: &Dependency, service: &ObjectKey) -> bool {
    let mut wants = dependency.wants.iter();
    wants.any(|want| {
        let policy = want.policy.as_ref();
        want.service == *service && policy.is_ok_and(leads_on)
    })
}
