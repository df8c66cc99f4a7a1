//! Conditions, in the words of the Gateway API.

/// The object is well-formed and in force.
pub const ACCEPTED: &str = "Accepted";
/// Every service it names exists.
pub const RESOLVED_REFS: &str = "ResolvedRefs";
/// Every pod that it concerns runs it.
pub const PROGRAMMED: &str = "Programmed";
/// Calls can be made now.
pub const READY: &str = "Ready";
/// Every pod that it concerns has the names of the services it calls, where they offer some (`spec.ports`).
pub const NAMES_IN_PODS: &str = "NamesInPods";
/// Programs of its pods subscribe by themselves to services that it does not declare.
pub const UNDECLARED_SUBSCRIPTIONS: &str = "UndeclaredSubscriptions";
