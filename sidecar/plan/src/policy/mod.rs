//! How calls are governed: numbers, fully resolved by the operator.

mod backup;
mod bounded;
mod call;
mod limits;
mod mirror;
mod pattern;
mod routing;
mod service;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use backup::{Backup, BackupAfter};
pub use bounded::{Bounded, MAX_TIMEOUT, Millis, OutOfBounds, Percent};
pub use call::{
    Abort, Breaker, CallPolicy, Degrade, Fault, FixedReply, InvalidReply, MAX_FAULTS, MAX_REPLY, ReplyBody,
    Retries, RetryOn, Status,
};
pub use limits::{
    Adaptive, ClusterRate, Concurrency, Limits, MAX_PRIORITIES, MethodLimits, Priority, PriorityRule, Queue,
    Rate,
};
pub use mirror::Mirror;
pub use pattern::{InvalidPattern, Pattern};
pub use routing::{
    AddressRule, Addresses, CallMatch, InvalidAddressRule, MAX_ROUTING_RULES, MAX_WAYS, Merge, NamedTarget,
    Routing, RoutingRule, Target, Way, WayWeight,
};
pub use service::{Balance, BalanceMode, Budget, HashBy, Health, Locality};

/// The timeout of a call where nobody set one: motan-go's `requestTimeout` (motan-wire.md 10.3).
pub const DEFAULT_TIMEOUT: Millis = Bounded::literal::<1_000>();
/// The most methods that a policy names.
pub const MAX_METHODS: usize = 64;

/// How calls to one service are governed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    /// One call, where no method says otherwise.
    #[serde(flatten)]
    pub call: CallPolicy,
    /// Calls of some methods: the first that matches counts, and says everything. At most [`MAX_METHODS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<MethodPolicy>,
    /// Bodies longer than this are compressed between the two agents (motan-wire.md 2.7), in bytes; never without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mingz_size: Option<u32>,
    /// How much may be repeated.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub budget: Budget,
    /// Where calls go, where that is not always the service itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routing: Option<Box<Routing>>,
    /// Which calls are copied to somebody else; none without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Mirror>,
    /// Which endpoint a call goes to.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub balance: Balance,
    /// When an endpoint gets no calls for a while.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub health: Outliers,
}

/// Whether endpoints are judged by what becomes of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outliers {
    /// They are not.
    Off,
    /// They are.
    #[serde(untagged)]
    On(Health),
}

impl Default for Outliers {
    fn default() -> Self {
        Self::On(Health::default())
    }
}

/// How calls of some methods are governed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MethodPolicy {
    /// Which methods: of Motan by name, of HTTP by path.
    #[serde(rename = "match")]
    pub matches: Pattern,
    /// How.
    #[serde(flatten)]
    pub call: CallPolicy,
}

impl Policy {
    /// Everywhere that calls, or copies of them, go.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        let routing = self.routing.iter();
        let copies = self.mirror.iter().map(|mirror| &mirror.to);
        routing.flat_map(|routing| routing.targets()).chain(copies)
    }

    /// One that only bounds the time.
    #[must_use]
    pub fn within(timeout_ms: Millis) -> Self {
        let call = CallPolicy {
            timeout_ms,
            ..CallPolicy::default()
        };
        Self {
            call,
            ..Self::default()
        }
    }
}
