//! Rates that all pods of a service share: what the operator is told of them, and what it tells.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use plan::ServiceName;
use plan::stream::{MAX_RATES, RateHeld, RateShare};

use super::Live;
use crate::governed::limits::{Held, Shared};

impl Live {
    /// How fast calls come of each service whose rate is shared, and how fast they may.
    #[must_use]
    pub fn rates(&self, now: Instant) -> Vec<RateHeld> {
        let held = |(service, shared): (&ServiceName, &Arc<Shared>)| {
            let Held {
                demand,
                share,
                number,
            } = shared.held(now);
            RateHeld {
                service: service.clone(),
                demand,
                share,
                number,
            }
        };
        self.shared().into_iter().take(MAX_RATES).map(held).collect()
    }

    /// Whether there is such a service.
    #[must_use]
    pub fn shares_rates(&self) -> bool {
        let mut exports = self.exports.values().flatten();
        exports.any(|export| {
            export
                .limits
                .as_ref()
                .is_some_and(|limits| limits.shared().is_some())
        })
    }

    /// The operator tells shares. Those of services that are not provided here any more, or not by such a rate, are dropped.
    pub fn share(&self, shares: &[RateShare], now: Instant) {
        if shares.is_empty() {
            return;
        }
        let shared = self.shared();
        for share in shares {
            if let Some(shared) = shared.get(&share.service) {
                shared.give(share, now);
            }
        }
    }

    fn shared(&self) -> BTreeMap<&ServiceName, &Arc<Shared>> {
        let exports = self.exports.values().flatten();
        exports
            .filter_map(|export| Some((&export.name, export.limits.as_ref()?.shared()?)))
            .collect()
    }
}
