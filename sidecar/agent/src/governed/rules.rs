//! How calls to one service are governed, method by method.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use govern::budget::{self, Budget};
use govern::retry;
use plan::{CallPolicy, Pattern, Policy, RetryOn};

use super::backup::Backup;
use super::gate::Gate;
use crate::http;
use crate::observe::metrics::{Action, CallMetrics};

/// How calls to one service are governed, method by method.
#[derive(Debug)]
pub struct Rules {
    /// The first is for methods that no pattern matches, the others are those of `patterns`.
    rules: Box<[Rule]>,
    patterns: Box<[Pattern]>,
    budget: budget::Rule,
    repeated: Arc<Mutex<Budget>>,
}

/// How calls of some methods are governed.
#[derive(Debug)]
pub struct Rule {
    /// How long a call may take where its caller does not say.
    pub timeout: Duration,
    /// Calls may be repeated even where the program has seen them.
    pub is_idempotent: bool,
    /// How often, and after what.
    pub(crate) retry: retry::Rule,
    /// How long one attempt may take, where that is less.
    pub(crate) attempt_timeout: Option<Duration>,
    /// When a call that may be repeated is sent a second time before it is answered.
    pub(crate) backup: Option<Arc<Backup>>,
    /// What is asked before a call is sent, where there is something to ask.
    pub(crate) gate: Option<Box<Gate>>,
}

/// How long calls of each method may take, for the agent that provides them.
#[derive(Debug)]
pub(crate) struct Timeouts {
    any: Duration,
    methods: Box<[(Pattern, Duration)]>,
}

impl Timeouts {
    pub(crate) fn new(policy: &Policy) -> Self {
        let methods = policy.methods.iter();
        let methods = methods.map(|method| (method.matches.clone(), method.call.timeout_ms.duration()));
        Self {
            any: policy.call.timeout_ms.duration(),
            methods: methods.collect(),
        }
    }

    /// Of this method.
    pub(crate) fn of(&self, method: &[u8]) -> Duration {
        let found = self.methods.iter().find(|(pattern, _)| pattern.matches(method));
        found.map_or(self.any, |(_, timeout)| *timeout)
    }

    /// Of an HTTP request, by its path as it came.
    pub(crate) fn of_path(&self, path: &str) -> Duration {
        if self.methods.is_empty() {
            return self.any;
        }
        self.of(&http::path::normal(path.as_bytes()))
    }
}

/// Names a rule within the rules of one service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RuleId(u16);

impl RuleId {
    /// Of methods that no pattern matches.
    pub(crate) const ANY: Self = Self(0);
}

impl Rules {
    /// The rules of a policy. State that `before` keeps for the same rule of the same service goes on; `by_status` where the
    /// program speaks HTTP.
    #[must_use]
    pub fn new(policy: &Policy, by_status: bool, before: Option<&Self>, now: Instant) -> Self {
        let Policy {
            call,
            methods,
            budget,
            mingz_size: _, // of the body's form
            routing: _,    // comes before: it says whose rules count
            mirror: _,     // likewise
            balance: _,    // of `Balancing`
            health: _,     // of `Member`
        } = policy;
        let patterns: Box<[Pattern]> = methods.iter().map(|method| method.matches.clone()).collect();
        let named = patterns
            .iter()
            .map(Some)
            .zip(methods.iter().map(|method| &method.call));
        let all = std::iter::once((None, call)).chain(named);
        let rules = all.map(|(pattern, call)| {
            let before = before.and_then(|before| before.named(pattern));
            Rule::new(call, by_status, before, now)
        });
        Self {
            rules: rules.collect(),
            patterns,
            budget: budget::Rule {
                percent: budget.percent.get(),
                min_per_second: budget.min_per_second.get(),
            },
            repeated: before
                .map(|before| Arc::clone(&before.repeated))
                .unwrap_or_default(),
        }
    }

    /// The rule of a method: a Motan method's name, or the path of an HTTP request. The first pattern that matches
    /// counts.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "a plan has at most 64 methods")]
    pub fn of(&self, method: &[u8]) -> RuleId {
        let found = self.patterns.iter().position(|pattern| pattern.matches(method));
        RuleId(found.map_or(0, |index| index as u16 + 1))
    }

    /// The rule of an HTTP request, by its path as it came.
    #[must_use]
    pub fn of_path(&self, path: &str) -> RuleId {
        if self.patterns.is_empty() {
            return RuleId::ANY;
        }
        self.of(&http::path::normal(path.as_bytes()))
    }

    /// The rule of this name; of another service's name, that for all methods.
    #[must_use]
    pub fn get(&self, id: RuleId) -> &Rule {
        self.rules.get(usize::from(id.0)).unwrap_or(&self.rules[0])
    }

    /// Whether one more of the service's calls may be repeated, which is counted then; `begun` is how many there were ever.
    pub(crate) fn may_repeat(&self, begun: u64, calls: &CallMetrics, now: Instant) -> bool {
        let mut repeated = self.repeated.lock().unwrap_or_else(PoisonError::into_inner);
        let may = repeated.allow(self.budget, begun, now);
        if !may {
            calls.acted(Action::RetryDenied).inc();
        }
        may
    }

    fn named(&self, pattern: Option<&Pattern>) -> Option<&Rule> {
        let Some(pattern) = pattern else {
            return self.rules.first();
        };
        let at = self.patterns.iter().position(|known| known == pattern)?;
        self.rules.get(at + 1)
    }
}

impl Rule {
    fn new(policy: &CallPolicy, by_status: bool, before: Option<&Self>, now: Instant) -> Self {
        let retries = &policy.retries;
        let on = |on| retries.on.contains(&on);
        let gate = before.and_then(|before| before.gate.as_deref());
        let backup = before.and_then(|before| before.backup.as_ref());
        Self {
            timeout: policy.timeout_ms.duration(),
            is_idempotent: policy.idempotent,
            retry: retry::Rule {
                attempts: retries.attempts.get(),
                unavailable: on(RetryOn::Unavailable),
                timeout: on(RetryOn::Timeout),
                status5xx: on(RetryOn::Status5xx),
                refused: on(RetryOn::Overloaded),
            },
            attempt_timeout: retries.attempt_timeout_ms.map(plan::Millis::duration),
            backup: Backup::new(policy.backup, backup, now),
            gate: Gate::new(policy, by_status, gate, now).map(Box::new),
        }
    }

    /// Whether a large body may pass through: one that does can't be sent again, and is not looked at twice.
    pub(crate) const fn lets_pass(&self) -> bool {
        self.gate.is_none() && self.attempt_timeout.is_none()
    }
}
