//! Services outside of the mesh may be named by DNS: their names are looked up again and again, and what is published
//! holds addresses. What was last found stays where a look-up fails.
//!
//! [`Names`] is the table, and pure; [`run`] is the only one that asks the system.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use plan::{Address, Endpoint, ServiceName};
use tokio::sync::{mpsc, watch};

use super::Known;
use super::known::sorted;

/// How often a name is looked up: what cluster DNS lets its answers live.
const EVERY: Duration = Duration::from_secs(30);

/// How soon again while a name has never been found: a caller waits for it.
const SOON: Duration = Duration::from_secs(2);

/// How long one look-up may take: the resolver's own first attempt.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Look-ups at one time; each takes a thread of the control runtime while it lasts.
const AT_ONCE: usize = 2;

/// How many addresses of one name are used.
const MAX_ADDRESSES: usize = plan::MAX_SEEDS;

/// What a look-up gave.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: Address,
    pub(super) addresses: io::Result<Vec<SocketAddr>>,
}

/// Names in use, and where they lead.
#[derive(Debug)]
pub(super) struct Names {
    wanted: watch::Sender<BTreeSet<Address>>,
    found: BTreeMap<Address, Arc<[Address]>>,
    /// Names whose last look-up failed: the log says it once.
    failing: BTreeSet<Address>,
    /// What was published last, so that a list that did not change stays the same one.
    shown: BTreeMap<ServiceName, Arc<[Endpoint]>>,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            wanted: watch::channel(BTreeSet::new()).0,
            found: BTreeMap::new(),
            failing: BTreeSet::new(),
            shown: BTreeMap::new(),
        }
    }
}

impl Names {
    /// The names to look up, from now on.
    pub(super) fn wanted(&self) -> watch::Receiver<BTreeSet<Address>> {
        self.wanted.subscribe()
    }

    /// Whether every name has been looked up once, found or not.
    pub(super) fn is_settled(&self) -> bool {
        let wanted = self.wanted.borrow();
        wanted
            .iter()
            .all(|name| self.found.contains_key(name) || self.failing.contains(name))
    }

    /// Takes a result.
    ///
    /// # Errors
    /// The look-up failed, and it is the first one of this name that did.
    pub(super) fn note(&mut self, found: Found) -> io::Result<()> {
        let Found { name, addresses } = found;
        match addresses.and_then(some) {
            Ok(addresses) => {
                self.failing.remove(&name);
                self.found.insert(name, addresses);
                Ok(())
            }
            Err(error) if self.failing.insert(name) => Err(error),
            Err(_) => Ok(()),
        }
    }

    /// Puts addresses in the place of names. Names that were never found are left out.
    pub(super) fn expand(&mut self, mut known: Known) -> Known {
        let mut names = BTreeSet::new();
        let mut shown = BTreeMap::new();
        let plan = Arc::clone(&known.plan);
        for service in plan.services.iter().filter(|service| service.external) {
            let Some(listed) = known.endpoints.get_mut(&service.name) else {
                continue;
            };
            if listed.iter().all(|endpoint| is_resolved(&endpoint.address)) {
                continue;
            }
            names.extend(
                listed
                    .iter()
                    .map(|endpoint| &endpoint.address)
                    .filter(|name| !is_resolved(name))
                    .cloned(),
            );
            let expanded = sorted(listed.iter().flat_map(|endpoint| self.places(endpoint)).collect());
            let before = self
                .shown
                .get(&service.name)
                .filter(|before| **before == expanded);
            *listed = before.map_or(expanded, Arc::clone);
            shown.insert(service.name.clone(), Arc::clone(listed));
        }
        self.shown = shown;
        self.found.retain(|name, _| names.contains(name));
        self.failing.retain(|name| names.contains(name));
        self.wanted
            .send_if_modified(|wanted| super::replace(wanted, names));
        known
    }

    fn places(&self, endpoint: &Endpoint) -> Vec<Endpoint> {
        if is_resolved(&endpoint.address) {
            return vec![endpoint.clone()];
        }
        let found = self.found.get(&endpoint.address).map_or(&[][..], |found| found);
        let place = |address: &Address| Endpoint {
            address: address.clone(),
            ..endpoint.clone()
        };
        found.iter().map(place).collect()
    }
}

fn is_resolved(address: &Address) -> bool {
    address.as_str().parse::<SocketAddr>().is_ok()
}

/// Sorted, so that the answers of a server that turns them around are the same list.
fn some(addresses: Vec<SocketAddr>) -> io::Result<Arc<[Address]>> {
    let addresses: BTreeSet<SocketAddr> = addresses.into_iter().collect();
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(addresses
        .into_iter()
        .take(MAX_ADDRESSES)
        .map(Address::of)
        .collect())
}

/// Looks up what is wanted, at once when that changes and then again and again. Ends with those who ask.
pub(super) async fn run(mut wanted: watch::Receiver<BTreeSet<Address>>, found: mpsc::Sender<Found>) {
    let mut known = BTreeSet::new();
    loop {
        let names = wanted.borrow_and_update().clone();
        known.retain(|name| names.contains(name));
        let mut looking = stream::iter(names.clone()).map(look_up).buffer_unordered(AT_ONCE);
        while let Some(result) = looking.next().await {
            if result.addresses.is_ok() {
                known.insert(result.name.clone());
            }
            if found.send(result).await.is_err() {
                return;
            }
        }
        let pause = if names.is_subset(&known) {
            around(EVERY, random())
        } else {
            SOON
        };
        let changed = async {
            if names.is_empty() {
                wanted.changed().await
            } else {
                tokio::time::timeout(pause, wanted.changed())
                    .await
                    .unwrap_or(Ok(()))
            }
        };
        if changed.await.is_err() {
            return;
        }
    }
}

async fn look_up(name: Address) -> Found {
    let asking = tokio::time::timeout(TIMEOUT, tokio::net::lookup_host(name.as_str().to_owned()));
    let addresses = match asking.await {
        Ok(answer) => answer.map(Iterator::collect),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer within 5 s")),
    };
    Found { name, addresses }
}

fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// Between four and six fifths of `pause`, so that sidecars started together don't ask together.
fn around(pause: Duration, random: u64) -> Duration {
    pause * 4 / 5 + pause * u32::from((random & 0xff) as u8) / 255 * 2 / 5
}

#[cfg(test)]
mod tests {
    use plan::Plan;

    use super::*;

    fn known(endpoints: &str) -> Known {
        let text = format!(
            r#"{{"revision": 1, "workload": {{"namespace": "shop", "pod": "web-1", "application": "web"}}, "services": [
            {{"name": "shop/old", "path": "old", "group": "g", "protocol": "motan2", "external": true,
              "policy": {{"timeoutMs": 100}}, "seeds": [{endpoints}]}},
            {{"name": "shop/user", "path": "user", "group": "g", "protocol": "motan2",
              "policy": {{"timeoutMs": 100}}, "seeds": [{{"address": "user.shop:9982"}}]}}]}}"#
        );
        Known::seeded(Arc::new(Plan::parse(text.as_bytes()).unwrap()))
    }

    fn old(known: &Known) -> Vec<&str> {
        let endpoints = known.endpoints(&ServiceName::of("shop", "old").unwrap());
        endpoints
            .iter()
            .map(|endpoint| endpoint.address.as_str())
            .collect()
    }

    fn found(name: &str, addresses: io::Result<Vec<&str>>) -> Found {
        Found {
            name: Address::new(name).unwrap(),
            addresses: addresses.map(|list| list.iter().map(|address| address.parse().unwrap()).collect()),
        }
    }

    const NAME: &str = r#"{"address": "old.example:9982"}, {"address": "10.0.0.9:9982"}"#;

    #[test]
    fn names_outside_are_replaced_by_what_was_found_and_kept_when_that_fails() {
        let mut names = Names::default();
        let wanted = names.wanted();
        assert!(names.is_settled());
        assert_eq!(old(&names.expand(known(NAME))), ["10.0.0.9:9982"]);
        assert!(!names.is_settled());
        assert_eq!(
            wanted.borrow().len(),
            1,
            "the names of the mesh's own services are none of its business"
        );
        let two = Ok(vec!["10.0.0.2:9982", "10.0.0.1:9982", "10.0.0.2:9982"]);
        names.note(found("old.example:9982", two)).unwrap();
        let before = names.expand(known(NAME));
        assert_eq!(old(&before), ["10.0.0.1:9982", "10.0.0.2:9982", "10.0.0.9:9982"]);
        let fails = || found("old.example:9982", Err(io::ErrorKind::NotFound.into()));
        assert!(
            names.note(fails()).is_err() && names.note(fails()).is_ok(),
            "said once"
        );
        assert!(
            names.note(found("old.example:9982", Ok(Vec::new()))).is_ok(),
            "no address is a failure"
        );
        let after = names.expand(known(NAME));
        let name = ServiceName::of("shop", "old").unwrap();
        assert!(Arc::ptr_eq(&before.endpoints[&name], &after.endpoints[&name]));
    }

    #[test]
    fn a_name_that_is_not_found_is_not_waited_for() {
        let mut names = Names::default();
        names.expand(known(NAME));
        let fails = found("old.example:9982", Err(io::ErrorKind::NotFound.into()));
        assert!(names.note(fails).is_err() && names.is_settled());
    }

    #[test]
    fn what_no_plan_names_is_forgotten() {
        let mut names = Names::default();
        names.expand(known(NAME));
        names
            .note(found("old.example:9982", Ok(vec!["10.0.0.1:9982"])))
            .unwrap();
        assert_eq!(
            old(&names.expand(known(r#"{"address": "10.0.0.9:9982"}"#))),
            ["10.0.0.9:9982"]
        );
        assert!(names.wanted().borrow().is_empty() && names.found.is_empty());
    }

    #[test]
    fn a_name_leads_to_32_addresses_at_most() {
        let many = (0..40)
            .map(|host| SocketAddr::from(([10, 0, 0, host], 9982)))
            .collect();
        assert_eq!(some(many).unwrap().len(), 32);
    }

    #[test]
    fn pauses_differ_by_a_fifth() {
        assert_eq!(around(EVERY, 0), Duration::from_secs(24));
        assert_eq!(around(EVERY, u64::MAX), Duration::from_secs(36));
    }

    #[tokio::test]
    async fn the_system_is_asked_when_a_name_is_wanted() {
        let mut names = Names::default();
        let (found_in, mut found) = mpsc::channel(1);
        let asking = tokio::spawn(run(names.wanted(), found_in));
        names.expand(known(r#"{"address": "localhost:9982"}"#));
        let result = tokio::time::timeout(Duration::from_secs(30), found.recv())
            .await
            .unwrap()
            .unwrap();
        names.note(result).unwrap();
        let known = names.expand(known(r#"{"address": "localhost:9982"}"#));
        assert!(
            old(&known)
                .iter()
                .all(|address| address.parse::<SocketAddr>().unwrap().ip().is_loopback())
        );
        assert!(!old(&known).is_empty());
        drop((names, found));
        asking.await.unwrap();
    }
}
