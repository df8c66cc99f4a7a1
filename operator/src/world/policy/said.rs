//! What is said, and what becomes of it where several say something.

use std::collections::BTreeMap;

use crds::MingzSize;
use plan::{
    Backup, Balance, Bounded, Breaker, Budget, CallPolicy, Degrade, Fault, MAX_METHODS, Millis, Outliers,
    Pattern, Policy, RetryOn,
};
use serde::Serialize;

use super::{CopyWish, RoutingWish, TargetWish};

/// What one object says of how calls are governed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyWish {
    /// Of one call.
    pub call: CallWish,
    /// Of calls of some methods, the first that matches counts.
    pub methods: Vec<MethodWish>,
    /// From which size on bodies are compressed; never is a wish as well.
    pub mingz_size: Option<MingzSize>,
    /// The share of calls that may be repeated.
    pub budget_percent: Option<Bounded<0, 100>>,
    /// How many may always be repeated in a second.
    pub budget_min: Option<Bounded<0, 100_000>>,
    /// Where calls go.
    pub routing: Option<RoutingWish>,
    /// Which calls are copied to somebody else.
    pub mirror: Option<CopyWish>,
    /// Which endpoint a call goes to.
    pub balance: Option<Balance>,
    /// When an endpoint gets no calls.
    pub health: Option<Outliers>,
}

/// What one object says of calls of some methods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodWish {
    /// Which methods.
    pub matches: Pattern,
    /// What.
    pub call: CallWish,
}

/// What is said of one call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallWish {
    /// How long it may take.
    pub timeout: Option<Millis>,
    /// Whether it may be repeated.
    pub idempotent: Option<bool>,
    /// How often.
    pub attempts: Option<Bounded<0, 10>>,
    /// After which failures; sorted.
    pub retry_on: Option<Vec<RetryOn>>,
    /// How long one attempt may take.
    pub attempt_timeout: Option<Millis>,
    /// When it is sent a second time before it is answered.
    pub backup: Option<Twice>,
    /// When it is not let through.
    pub breaker: Option<Breaker>,
    /// The switch.
    pub degrade: Option<Degrade>,
    /// What is made to fail.
    pub faults: Option<Vec<Fault>>,
}

/// Whether a call is sent a second time before it is answered: never is a wish as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Twice {
    /// It is not.
    Never,
    /// It is, then.
    #[serde(untagged)]
    After(Backup),
}

impl CallWish {
    /// This, and what `weaker` says of the fields that this doesn't speak of.
    #[must_use]
    pub fn or(&self, weaker: &Self) -> Self {
        Self {
            timeout: self.timeout.or(weaker.timeout),
            idempotent: self.idempotent.or(weaker.idempotent),
            attempts: self.attempts.or(weaker.attempts),
            retry_on: self.retry_on.clone().or_else(|| weaker.retry_on.clone()),
            attempt_timeout: self.attempt_timeout.or(weaker.attempt_timeout),
            backup: self.backup.or(weaker.backup),
            breaker: self.breaker.or(weaker.breaker),
            degrade: self.degrade.clone().or_else(|| weaker.degrade.clone()),
            faults: self.faults.clone().or_else(|| weaker.faults.clone()),
        }
    }

    /// With the defaults of what nobody speaks of.
    #[must_use]
    pub fn resolve(self, timeout: Millis) -> CallPolicy {
        let Self {
            timeout: said,
            idempotent,
            attempts,
            retry_on,
            attempt_timeout,
            backup,
            breaker,
            degrade,
            faults,
        } = self;
        let mut call = CallPolicy {
            timeout_ms: said.unwrap_or(timeout),
            idempotent: idempotent.unwrap_or_default(),
            backup: match backup {
                Some(Twice::After(backup)) => Some(backup),
                Some(Twice::Never) | None => None,
            },
            breaker,
            degrade,
            faults: faults.unwrap_or_default(),
            ..CallPolicy::default()
        };
        call.retries.attempts = attempts.unwrap_or(call.retries.attempts);
        call.retries.on = retry_on.unwrap_or(call.retries.on);
        call.retries.attempt_timeout_ms = attempt_timeout;
        call
    }

    fn leaves(&self, below: &str, leaves: &mut Leaves) {
        let Self {
            timeout,
            idempotent,
            attempts,
            retry_on,
            attempt_timeout,
            backup,
            breaker,
            degrade,
            faults,
        } = self;
        leaves.add(below, "timeout", timeout.map(in_ms));
        leaves.add(below, "idempotent", *idempotent);
        leaves.add(below, "retries.attempts", *attempts);
        leaves.add(below, "retries.retryOn", retry_on.as_ref());
        leaves.add(below, "retries.perAttemptTimeout", attempt_timeout.map(in_ms));
        leaves.add(below, "backup", *backup);
        leaves.add(below, "breaker", *breaker);
        leaves.add(below, "degrade", degrade.as_ref());
        leaves.add(below, "faults", faults.as_ref());
    }
}

impl PolicyWish {
    /// This, and what `weaker` says of the fields that this doesn't speak of. An entry of `weaker` for methods that this has an
    /// entry for adds to that one; others come after all of this.
    #[must_use]
    pub fn or(&self, weaker: &Self) -> Self {
        let mut methods = self.methods.clone();
        for entry in &weaker.methods {
            match methods.iter_mut().find(|own| own.matches == entry.matches) {
                Some(own) => own.call = own.call.or(&entry.call),
                None => methods.push(entry.clone()),
            }
        }
        Self {
            call: self.call.or(&weaker.call),
            methods,
            ..self.fleet_or(weaker)
        }
    }

    /// How calls are governed where a dependency says this of a service that says `weaker`: its own level is over every entry
    /// for methods of the service.
    #[must_use]
    pub fn over(&self, weaker: &Self, timeout: Millis) -> Policy {
        let own = self.methods.iter().map(|entry| {
            let same = weaker
                .methods
                .iter()
                .find(|theirs| theirs.matches == entry.matches);
            let call = entry.call.or(&self.call);
            let call = same.map_or_else(|| call.clone(), |theirs| call.or(&theirs.call));
            (&entry.matches, call)
        });
        let is_own = |entry: &&MethodWish| self.methods.iter().all(|own| own.matches != entry.matches);
        let theirs = weaker.methods.iter().filter(is_own);
        let theirs = theirs.map(|entry| (&entry.matches, self.call.or(&entry.call)));
        let methods = own.chain(theirs).map(|(matches, call)| plan::MethodPolicy {
            matches: matches.clone(),
            call: call.or(&weaker.call).resolve(timeout),
        });
        let fleet = self.fleet_or(weaker);
        let usual = Budget::default();
        Policy {
            call: self.call.or(&weaker.call).resolve(timeout),
            methods: methods.take(MAX_METHODS).collect(),
            mingz_size: fleet.mingz_size.and_then(MingzSize::bytes),
            budget: Budget {
                percent: fleet.budget_percent.unwrap_or(usual.percent),
                min_per_second: fleet.budget_min.unwrap_or(usual.min_per_second),
            },
            routing: None, // its names, and those below, are looked up by the compiler
            mirror: None,
            balance: fleet.balance.unwrap_or_default(),
            health: fleet.health.unwrap_or_default(),
        }
    }

    /// Everywhere that calls, or copies of them, are to go.
    pub fn targets(&self) -> impl Iterator<Item = &TargetWish> {
        let routing = self.routing.iter().flat_map(|routing| routing.targets());
        let copies = self.mirror.iter().filter_map(CopyWish::mirror);
        routing.chain(copies.map(|mirror| &mirror.to))
    }

    /// How many entries for methods there are where this is over `weaker`.
    #[must_use]
    pub fn methods_over(&self, weaker: &Self) -> usize {
        let is_own = |entry: &&MethodWish| self.methods.iter().any(|own| own.matches == entry.matches);
        self.methods.len() + weaker.methods.iter().filter(|entry| !is_own(entry)).count()
    }

    /// What the agent beside the program needs of it.
    #[must_use]
    pub fn at_the_program(&self, timeout: Millis) -> Policy {
        let only_time = |call: &CallWish| CallWish {
            timeout: call.timeout,
            ..CallWish::default()
        };
        let mut methods = Vec::new();
        if self.methods.iter().any(|entry| entry.call.timeout.is_some()) {
            methods.extend(self.methods.iter().map(|entry| MethodWish {
                matches: entry.matches.clone(),
                call: only_time(&entry.call),
            }));
        }
        let wish = Self {
            call: only_time(&self.call),
            methods,
            mingz_size: self.mingz_size,
            ..Self::default()
        };
        wish.over(&Self::default(), timeout)
    }

    /// Every field that is said, by its path below `policy`, as people may read it.
    #[must_use]
    pub fn leaves(&self) -> BTreeMap<String, String> {
        let Self {
            call,
            methods,
            mingz_size,
            budget_percent,
            budget_min,
            routing,
            mirror,
            balance,
            health,
        } = self;
        let mut leaves = Leaves(BTreeMap::new());
        call.leaves("", &mut leaves);
        leaves.add("", "mingzSize", *mingz_size);
        leaves.add("", "retries.budget.percent", *budget_percent);
        leaves.add("", "retries.budget.minPerSecond", *budget_min);
        leaves.add("", "routing", routing.as_ref());
        leaves.add("", "mirror", mirror.as_ref());
        leaves.add("", "balance", balance.as_ref());
        leaves.add("", "health", *health);
        for entry in methods {
            entry
                .call
                .leaves(&format!("methods[{}].", entry.matches), &mut leaves);
        }
        leaves.0
    }

    /// What holds for all endpoints together; nothing of calls.
    fn fleet_or(&self, weaker: &Self) -> Self {
        Self {
            call: CallWish::default(),
            methods: Vec::new(),
            mingz_size: self.mingz_size.or(weaker.mingz_size),
            budget_percent: self.budget_percent.or(weaker.budget_percent),
            budget_min: self.budget_min.or(weaker.budget_min),
            routing: self.routing.clone().or_else(|| weaker.routing.clone()),
            mirror: self.mirror.clone().or_else(|| weaker.mirror.clone()),
            balance: self.balance.clone().or_else(|| weaker.balance.clone()),
            health: self.health.or(weaker.health),
        }
    }
}

/// Fields by path.
struct Leaves(BTreeMap<String, String>);

impl Leaves {
    fn add<T: Serialize>(&mut self, below: &str, field: &str, value: Option<T>) {
        let text = |value: T| match serde_json::to_value(value) {
            Ok(serde_json::Value::String(text)) => text,
            Ok(other) => other.to_string(),
            Err(error) => error.to_string(), // numbers, names and lists of them: none in practice
        };
        self.0
            .extend(value.map(|value| (format!("{below}{field}"), text(value))));
    }
}

fn in_ms(millis: Millis) -> String {
    format!("{}ms", millis.get())
}
