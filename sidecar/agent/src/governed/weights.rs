//! What providers say of their own weight at run time (`META_WEIGHT`, motan-wire 8): it counts instead of what the plan says.
//! Data threads ask on their links and learn; the control thread brings it into the tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use plan::{Address, Weight};
use tokio::sync::watch;

use crate::discovery::Known;

/// Weights by address.
type Learnt = BTreeMap<Address, Weight>;

/// Weights that were learnt; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Weights(watch::Sender<Arc<Learnt>>);

impl Weights {
    /// Whoever provides at `address` says this of its weight, or nothing.
    pub(crate) fn learn(&self, address: &Address, weight: Option<Weight>) {
        self.0.send_if_modified(|learnt| {
            if learnt.get(address).copied() == weight {
                return false;
            }
            let learnt = Arc::make_mut(learnt);
            match weight {
                Some(weight) => learnt.insert(address.clone(), weight),
                None => learnt.remove(address),
            };
            true
        });
    }

    /// Tells of each change.
    pub(crate) fn changes(&self) -> watch::Receiver<Arc<Learnt>> {
        self.0.subscribe()
    }

    /// What is known, with what endpoints say of their weight. Whoever is not listed any more is forgotten.
    pub(crate) fn overlay(&self, mut known: Known) -> Known {
        let learnt = Arc::clone(&self.0.borrow());
        if learnt.is_empty() {
            return known;
        }
        let mut seen = Learnt::new();
        for list in known.endpoints.values_mut() {
            if list.iter().any(|place| learnt.contains_key(&place.address)) {
                let weighed = list.iter().map(|place| {
                    let mut place = place.clone();
                    if let Some((address, weight)) = learnt.get_key_value(&place.address) {
                        seen.insert(address.clone(), *weight);
                        place.weight = Some(*weight);
                    }
                    place
                });
                *list = weighed.collect();
            }
        }
        if seen.len() < learnt.len() {
            self.0.send_if_modified(|learnt| {
                Arc::make_mut(learnt).retain(|address, _| seen.contains_key(address));
                false // it is in no table
            });
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(addresses: &[&str]) -> Known {
        let seeds = addresses
            .iter()
            .map(|address| format!(r#"{{"address": "{address}", "weight": 30}}"#));
        let text = format!(
            r#"{{"revision": 1, "workload": {{"namespace": "shop", "pod": "web-1", "application": "web"}}, "services": [
            {{"name": "shop/user", "path": "user", "group": "g", "protocol": "motan2", "policy": {{"timeoutMs": 5}},
              "seeds": [{}]}}]}}"#,
            seeds.collect::<Vec<_>>().join(",")
        );
        Known::seeded(Arc::new(plan::Plan::parse(text.as_bytes()).unwrap()))
    }

    fn weights(known: &Known) -> Vec<u32> {
        let lists = known.endpoints.values();
        lists
            .flat_map(|list| list.iter().map(|place| place.weight.unwrap().get()))
            .collect()
    }

    #[test]
    fn what_an_endpoint_says_wins_until_it_says_nothing_or_goes() {
        let learnt = Weights::default();
        let changes = learnt.changes();
        let both = || known(&["10.0.0.1:9982", "10.0.0.2:9982"]);
        let first = both().endpoints.values().next().unwrap()[0].address.clone();
        assert_eq!(weights(&learnt.overlay(both())), [30, 30]);
        learnt.learn(&first, Weight::new(500));
        assert!(changes.has_changed().unwrap());
        assert_eq!(weights(&learnt.overlay(both())), [500, 30]);
        learnt.learn(&first, None);
        assert_eq!(weights(&learnt.overlay(both())), [30, 30]);
        learnt.learn(&first, Weight::new(1));
        assert_eq!(weights(&learnt.overlay(known(&["10.0.0.2:9982"]))), [30]);
        assert_eq!(weights(&learnt.overlay(both())), [30, 30], "it was forgotten");
    }
}
