//! The shrink guard: endpoints that vanish without a word are not believed gone when most of a service goes with them.
//!
//! An operator that has lost its view of the cluster, or a node that is cut off from the API server, looks like a
//! service whose providers all left at once. In a real departure a provider is said to be draining first. So an
//! endpoint that was ready and is suddenly not listed is remembered for [`HOLD`], and while more endpoints have
//! vanished than are ready (the set shrank below half, or to nothing) those remembered stay listed as *draining*:
//! they get a call only when nothing else is usable, and only if they still answer. A departure that was announced,
//! and one that leaves half or more, is believed at once. After the hold the operator's word stands.

use std::collections::BTreeMap;
use std::time::Duration;

use plan::{Address, Endpoint, EndpointState};
use tokio::time::Instant;

/// How long a vanished endpoint is remembered: longer than an operator takes to restart and list the cluster again.
pub(crate) const HOLD: Duration = Duration::from_secs(30);

/// What is remembered of one service's endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shrink {
    /// Those that vanished, and when they are forgotten.
    vanished: BTreeMap<Address, (Endpoint, Instant)>,
}

impl Shrink {
    /// The list was `before` and is now `after`: remembers what vanished, forgets what is listed again.
    pub(crate) fn step(&mut self, before: &[Endpoint], after: &[Endpoint], now: Instant) {
        let ready_before = before
            .iter()
            .filter(|endpoint| endpoint.state == EndpointState::Ready);
        for endpoint in ready_before {
            self.vanished
                .insert(endpoint.address.clone(), (endpoint.clone(), now + HOLD));
        }
        for endpoint in after {
            self.vanished.remove(&endpoint.address);
        }
    }

    /// The endpoints to hold on to beside those `listed`.
    pub(crate) fn held(&mut self, listed: &[Endpoint], now: Instant) -> Vec<Endpoint> {
        self.vanished.retain(|_, (_, until)| *until > now);
        let ready = listed
            .iter()
            .filter(|endpoint| endpoint.state == EndpointState::Ready)
            .count();
        if self.vanished.len() <= ready {
            return Vec::new();
        }
        let draining = |(endpoint, _): &(Endpoint, Instant)| Endpoint {
            state: EndpointState::Draining,
            ..endpoint.clone()
        };
        self.vanished.values().map(draining).collect()
    }

    /// When something is next forgotten, so that the caller asks again.
    #[must_use]
    pub(crate) fn next(&self) -> Option<Instant> {
        self.vanished.values().map(|(_, until)| *until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `"1 2 3d"`: endpoints 10.0.0.1 and .2 ready, .3 draining.
    fn list(text: &str) -> Vec<Endpoint> {
        let endpoint = |word: &str| {
            let address = Address::new(format!("10.0.0.{}:9982", word.trim_end_matches('d'))).unwrap();
            let state = if word.ends_with('d') {
                EndpointState::Draining
            } else {
                EndpointState::Ready
            };
            Endpoint::agent(address, state)
        };
        text.split_whitespace().map(endpoint).collect()
    }

    /// Walks through lists one second apart and returns what is held after the last.
    fn held_after(lists: &[&str]) -> Vec<Endpoint> {
        let mut shrink = Shrink::default();
        let mut now = Instant::now();
        for pair in lists.windows(2) {
            now += Duration::from_secs(1);
            shrink.step(&list(pair[0]), &list(pair[1]), now);
        }
        shrink.held(&list(lists[lists.len() - 1]), now)
    }

    #[test]
    fn a_set_that_shrinks_below_half_or_to_nothing_is_held() {
        let table: &[(&[&str], &str)] = &[
            (&["1 2 3 4", ""], "1d 2d 3d 4d"),
            (&["1 2 3 4", "1"], "2d 3d 4d"),
            (&["1 2 3 4", "1 2"], ""),
            (&["1", ""], "1d"),
            (&["1 2", "1"], ""),
            (&["", ""], ""),
            (&["1 2 3 4", "1 2 3 4 5"], ""),
        ];
        for (lists, held) in table {
            assert_eq!(held_after(lists), list(held), "{lists:?}");
        }
    }

    #[test]
    fn a_set_that_loses_one_after_the_other_is_held_as_if_all_went_at_once() {
        assert_eq!(
            held_after(&["1 2 3 4", "1 2 3", "1 2", "1", ""]),
            list("1d 2d 3d 4d")
        );
    }

    #[test]
    fn an_announced_departure_is_believed_at_once() {
        assert_eq!(held_after(&["1 2", "1d 2d", ""]), []);
        assert_eq!(held_after(&["1 2", "1d 2d", "1d 2d 3", "3"]), []);
    }

    #[test]
    fn all_replaced_by_as_many_others_is_believed_at_once() {
        assert_eq!(held_after(&["1 2", "3 4"]), []);
        assert_eq!(held_after(&["1 2 5", "3 4"]), list("1d 2d 5d"));
    }

    #[test]
    fn endpoints_that_come_back_are_not_held_any_more() {
        assert_eq!(held_after(&["1 2 3", "", "2"]), list("1d 3d"));
        assert_eq!(held_after(&["1 2 3", "", "1 2"]), []);
    }

    #[test]
    fn after_the_hold_the_operator_is_believed() {
        let (mut shrink, start) = (Shrink::default(), Instant::now());
        shrink.step(&list("1"), &[], start);
        assert_eq!(shrink.next(), Some(start + HOLD));
        assert_eq!(
            shrink.held(&[], start + HOLD - Duration::from_millis(1)),
            list("1d")
        );
        assert_eq!(shrink.held(&[], start + HOLD), []);
        assert_eq!(shrink.next(), None);
    }
}
