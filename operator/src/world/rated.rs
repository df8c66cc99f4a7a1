//! The services whose rate is shared among all their pods.

use std::collections::BTreeSet;

use plan::Bounded;

use super::{ObjectKey, Offer, Pod, Service, World};
use crate::rates::book::Shared;

impl World {
    /// Among how many pods a rate of this service is shared, rounded up to a power of two.
    #[must_use]
    pub fn among(&self, service: &ObjectKey) -> Bounded<1, 1_048_576> {
        rounded(self.sharing(service).count())
    }

    /// All services whose rate is shared, and the pods that share each.
    #[must_use]
    pub fn shared(&self) -> Vec<Shared> {
        let shared = |service: &Service| {
            let offer = service.offer.as_ref().ok()?;
            let mut rate = offer.limits.cluster_rate?;
            rate.among = self.among(&service.key);
            Some(Shared {
                service: offer.name.clone(),
                rate,
                pods: self
                    .sharing(&service.key)
                    .filter(|pod| pod.ip.is_some()) // without one its sidecar can't have started
                    .map(|pod| pod.uid.clone())
                    .collect(),
            })
        };
        self.services.values().filter_map(shared).collect()
    }

    /// The pods whose plans differ because another one came to services or left them: `before` and `after` are those that it
    /// provided with a sidecar, and provides.
    pub(super) fn shared_otherwise(
        &self,
        pod: &ObjectKey,
        before: Option<&BTreeSet<ObjectKey>>,
        after: &BTreeSet<ObjectKey>,
    ) -> BTreeSet<ObjectKey> {
        let is_meshed = self.pods.get(pod).is_some_and(Pod::is_meshed);
        let was_in = |service: &ObjectKey| before.is_some_and(|before| before.contains(service));
        let is_in = |service: &ObjectKey| is_meshed && after.contains(service);
        let concerned: BTreeSet<&ObjectKey> = before.into_iter().flatten().chain(after).collect();
        let mut pods = BTreeSet::new();
        for service in concerned {
            if was_in(service) == is_in(service) || !self.is_shared(service) {
                continue;
            }
            let now = self.sharing(service).count();
            let then = if is_in(service) { now - 1 } else { now + 1 };
            if rounded(now) != rounded(then) {
                pods.extend(self.sharing(service).map(|pod| pod.key.clone()));
            }
        }
        pods
    }

    fn is_shared(&self, service: &ObjectKey) -> bool {
        let offer: Option<&Offer> = self
            .services
            .get(service)
            .and_then(|service| service.offer.as_ref().ok());
        offer.is_some_and(|offer| offer.limits.cluster_rate.is_some())
    }

    fn sharing(&self, service: &ObjectKey) -> impl Iterator<Item = &Pod> {
        self.providers(service).filter(|pod| pod.is_meshed())
    }
}

fn rounded(pods: usize) -> Bounded<1, 1_048_576> {
    let pods = u32::try_from(pods.max(1).next_power_of_two()).ok();
    pods.and_then(Bounded::new)
        .unwrap_or(Bounded::literal::<1_048_576>())
}
