//! How an entry's calls are governed: timeouts, repetitions, balancing, health and circuits as policies.

use std::str::FromStr;

use crds::{
    Backup, Balance, BalanceMode, Breaker, Health, MethodPolicy, MethodRetries, MingzSize, Policy, Retries,
    RetryOn, Routing, Timeout, TrafficCommands,
};

use super::{
    Error,
    entry::{Entry, OfMethod, whole},
    why,
};

const USUAL_TIMEOUT: u32 = 1000; // motan-go's, in milliseconds, where an entry says none
const HOUR: u32 = 3_600_000; // the longest timeout, in milliseconds
const MOST_METHODS: usize = 64;
const MOST_GROUPS: usize = 16;
const USUAL_RATIO: u32 = 90; // motan-go's percentile, where an entry says neither delay nor ratio
const FAILFAST: u32 = 10; // the filter's failures in a row, and its seconds
const ENTRY_FILTERS: [&str; 2] = ["circuitBreaker", "clusterCircuitBreaker"];

/// The filters of an entry: its own and the agent's, less those it does without.
pub(super) fn filters(entry: &mut Entry, agent: &AgentFilters) -> Vec<String> {
    let mut all = entry.list("filter");
    let without_default = entry.list("disableDefaultFilter");
    let without_global = entry.list("disableGlobalFilter");
    let AgentFilters { default, global } = agent;
    let agents = default.iter().filter(|name| !without_default.contains(name));
    for name in agents.chain(global.iter().filter(|name| !without_global.contains(name))) {
        if !all.contains(name) {
            all.push(name.clone());
        }
    }
    for name in &all {
        if let Some(what) = why::filter(name) {
            entry.note("filter", name, what);
        }
    }
    all
}

/// The filters of all entries.
#[derive(Debug, Default)]
pub(super) struct AgentFilters {
    pub(super) default: Vec<String>,
    pub(super) global: Vec<String>,
}

/// What is said of calls, of all or of one method.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Own {
    timeout: Option<u32>,
    retries: Option<u32>,
}

/// How a caller's calls are governed.
pub(super) fn of_caller(entry: &mut Entry, filters: &[String]) -> Result<Policy, Error> {
    let strategy = entry.word("haStrategy");
    let fails_over = match strategy.as_deref() {
        None | Some("failover") => true,
        Some("backupRequest") => false,
        Some(other) => {
            entry.note("haStrategy", other, "a strategy of your own has no counterpart");
            false
        }
    };
    let every = Own {
        timeout: timeout(entry)?,
        retries: if fails_over {
            entry.number("retries", 0..=10)?
        } else {
            None
        },
    };
    let (timeout, retries) = together(every, fails_over);
    let mut policy = Policy {
        timeout: timeout.map(duration),
        methods: methods(entry, every, fails_over)?,
        ..Policy::default()
    };
    if let Some(MethodRetries {
        attempts,
        retry_on,
        per_attempt_timeout,
    }) = retries
    {
        policy.retries = Some(Retries {
            attempts,
            retry_on,
            per_attempt_timeout,
            budget: None,
        });
    }
    let repeats = |retries: &Option<MethodRetries>| {
        retries
            .as_ref()
            .is_some_and(|retries| retries.attempts != Some(0))
    };
    let one_repeats = policy.methods.iter().any(|method| repeats(&method.retries));
    if one_repeats
        || policy
            .retries
            .as_ref()
            .is_some_and(|retries| retries.attempts != Some(0))
    {
        policy.idempotent = Some(true);
        entry.remark(
            "motan-go repeats calls that the program may have done already, so policy.idempotent is written: remove it where \
             that is wrong; requestTimeout is of one attempt there, policy.timeout of all of them together",
        );
    }
    if strategy.as_deref() == Some("backupRequest") {
        policy.backup = backup(entry)?;
        if policy.backup.is_some() {
            policy.idempotent = Some(true);
            entry.remark(
                "motan-go sends a second request whatever the call does, so policy.idempotent is written: remove it, and \
                 policy.backup with it, where that is wrong",
            );
        }
    }
    policy.balance = balance(entry);
    policy.mingz_size = mingz(entry)?;
    policy.health = health(entry, filters)?;
    if has(filters, "clusterCircuitBreaker") {
        policy.breaker = Some(breaker(entry)?);
    }
    Ok(policy)
}

/// When a second request is sent beside one that is slow (motan-agent 4, `backupRequest`): never without retries.
fn backup(entry: &mut Entry) -> Result<Option<Backup>, Error> {
    let retries = entry.number("retries", 0..=10)?.unwrap_or(0);
    let delay = entry
        .number("backupRequestDelayTime", 0..=HOUR)?
        .filter(|delay| *delay > 0);
    let ratio = entry.number("backupRequestDelayRatio", 1..=99)?;
    let share = entry.number("backupRequestMaxRetryRatio", 0..=100)?;
    if retries == 0 {
        entry.note(
            "haStrategy",
            "backupRequest",
            "without retries it is a plain call, and nothing is written",
        );
        return Ok(None);
    }
    Ok(Some(Backup {
        percentile: delay.is_none().then_some(ratio.unwrap_or(USUAL_RATIO)),
        delay: delay.map(duration),
        max_percent: share,
    }))
}

/// The groups whose nodes are one list with those of the entry's own.
pub(super) fn mixed(entry: &mut Entry, own: Option<&str>) -> Option<Routing> {
    let text = entry.peek("mixGroups")?.value.clone();
    let groups = entry.list("mixGroups");
    let Some(own) = own else {
        let what = "the entry names no group of its own to mix others with: write policy.routing.commands.mergeGroups";
        entry.note("mixGroups", &text, what);
        return None;
    };
    let mut merge_groups = vec![own.to_owned()];
    for group in groups {
        if !merge_groups.contains(&group) {
            merge_groups.push(group);
        }
    }
    if merge_groups.len() == 1 {
        return None;
    }
    if merge_groups.len() > MOST_GROUPS {
        let what = "more than 16 groups can't be merged: name them in policy.routing of fewer";
        entry.note("mixGroups", &text, what);
        return None;
    }
    if merge_groups.iter().any(|group| group.contains(':')) {
        let what = "a colon in the name of a group begins a weight in policy.routing.commands.mergeGroups: rename the group";
        entry.note("mixGroups", &text, what);
        return None;
    }
    entry.remark("the MeshServices of the groups in mergeGroups are of the teams that provide them: each must be there");
    Some(Routing {
        commands: Some(TrafficCommands {
            merge_groups,
            ..TrafficCommands::default()
        }),
        ..Routing::default()
    })
}

/// What a provider says for all of its callers.
pub(super) fn of_provider(entry: &mut Entry, filters: &[String]) -> Result<Policy, Error> {
    let every = Own {
        timeout: timeout(entry)?,
        retries: None,
    };
    let mut policy = Policy {
        timeout: every.timeout.map(duration),
        methods: methods(entry, every, false)?,
        mingz_size: mingz(entry)?,
        ..Policy::default()
    };
    if ENTRY_FILTERS.iter().any(|name| has(filters, name)) {
        policy.breaker = Some(breaker(entry)?);
        entry.remark("the circuit breaker is kept by each calling sidecar, not by the provider's");
    }
    Ok(policy)
}

/// Nothing, where nothing is said.
pub(super) fn said(policy: Policy) -> Option<Policy> {
    (policy != Policy::default()).then_some(policy)
}

pub(super) fn has(filters: &[String], name: &str) -> bool {
    filters.iter().any(|filter| filter == name)
}

fn timeout(entry: &mut Entry) -> Result<Option<u32>, Error> {
    let Some(text) = entry.text("requestTimeout") else {
        return Ok(None);
    };
    match whole(&text, &entry.path("requestTimeout"))? {
        0 => {
            entry.note(
                "requestTimeout",
                "0",
                "it means motan-go's default, 1 s, which is the mesh's too",
            );
            Ok(None)
        }
        millis => Ok(Some(entry.bounded("requestTimeout", millis, 1..=HOUR))),
    }
}

/// motan-go gives each attempt the whole timeout; here the timeout is of the call.
fn together(own: Own, fails_over: bool) -> (Option<u32>, Option<MethodRetries>) {
    let Own { timeout, retries } = own;
    match retries.filter(|_| fails_over) {
        None => (timeout, None),
        Some(0) => (
            timeout,
            Some(MethodRetries {
                attempts: Some(0),
                ..MethodRetries::default()
            }),
        ),
        Some(attempts) => {
            let each = timeout.unwrap_or(USUAL_TIMEOUT);
            let all = each.saturating_mul(attempts.saturating_add(1)).min(HOUR);
            let retries = MethodRetries {
                attempts: Some(attempts),
                retry_on: Some(vec![RetryOn::Unavailable, RetryOn::Timeout, RetryOn::Overloaded]),
                per_attempt_timeout: Some(duration(each)),
            };
            (Some(all), Some(retries))
        }
    }
}

fn methods(entry: &mut Entry, every: Own, fails_over: bool) -> Result<Vec<MethodPolicy>, Error> {
    let wanted: &[&str] = if fails_over {
        &["requestTimeout", "retries"]
    } else {
        &["requestTimeout"]
    };
    let mut by_method: Vec<(String, Own)> = Vec::new();
    for OfMethod { method, key, value } in entry.of_methods(wanted) {
        let path = format!("{method}(…).{key}");
        if !is_pattern(&method) {
            entry.note(
                &path,
                &value.value,
                "this is no name of a method, so nothing is written for it",
            );
            continue;
        }
        let number = whole(&value, &entry.path(&path))?;
        let at = by_method.iter().position(|(known, _)| *known == method);
        let at = at.unwrap_or_else(|| {
            by_method.push((method.clone(), Own::default()));
            by_method.len() - 1
        });
        let Some((_, own)) = by_method.get_mut(at) else {
            continue;
        };
        let (slot, bounds) = if key == "requestTimeout" {
            (&mut own.timeout, 1..=HOUR)
        } else {
            (&mut own.retries, 0..=10)
        };
        if slot.is_some() {
            entry.note(
                &path,
                &value.value,
                "methods are told apart by name, not by types: the first one counts",
            );
            continue;
        }
        *slot = Some(entry.bounded(&path, number, bounds));
    }
    if by_method.len() > MOST_METHODS {
        return Err(Error::Key {
            file: entry.file.to_string(),
            key: entry.place(),
            what: format!(
                "{} methods have values of their own: keep at most {MOST_METHODS} of them",
                by_method.len()
            ),
        });
    }
    let entries = by_method.into_iter().map(|(matches, own)| {
        let whole = Own {
            timeout: own.timeout.or(every.timeout),
            retries: own.retries.or(every.retries),
        };
        let (timeout, retries) = together(whole, fails_over);
        let repeats = retries.filter(|_| whole.retries != Some(0) || own.retries.is_some());
        MethodPolicy {
            matches,
            timeout: timeout.map(duration),
            retries: repeats,
            ..MethodPolicy::default()
        }
    });
    Ok(entries.collect())
}

/// Whether it may stand in `match`: a star would match others as well.
pub(super) fn is_pattern(method: &str) -> bool {
    (1..=253).contains(&method.len()) && method.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'*')
}

fn balance(entry: &mut Entry) -> Option<Balance> {
    let word = entry.word("loadbalance")?;
    let mode = match word.as_str() {
        "random" => BalanceMode::Random,
        "roundrobin" => BalanceMode::RoundRobin,
        "wrr" => BalanceMode::Weighted,
        "consistentHashKey" => BalanceMode::ConsistentHash,
        other => {
            entry.note(
                "loadbalance",
                other,
                "a balancer of your own has no counterpart: the less busy of two is taken",
            );
            return None;
        }
    };
    if mode == BalanceMode::Weighted {
        entry.note(
            "loadbalance",
            &word,
            "weights are the annotation motanmesh.io/weight of the provider's pods",
        );
    }
    Some(Balance {
        mode,
        ..Balance::default()
    })
}

fn mingz(entry: &mut Entry) -> Result<Option<MingzSize>, Error> {
    let Some(text) = entry.text("mingzSize") else {
        return Ok(None);
    };
    let bytes = match whole(&text, &entry.path("mingzSize"))? {
        0 => 0,
        bytes => entry.bounded("mingzSize", bytes, 128..=1 << 20),
    };
    Ok(MingzSize::try_from(bytes).ok())
}

/// When endpoints are left alone: errors in a row, and motan-go's circuit breaker of each node.
fn health(entry: &mut Entry, filters: &[String]) -> Result<Option<Health>, Error> {
    let mut health = Health::default();
    if has(filters, "failfast") {
        let time = FAILFAST * 1000;
        health.consecutive_failures = Some(FAILFAST);
        health.base_ejection = Some(duration(time));
        health.max_ejection = Some(duration(time));
        entry.note(
            "filter",
            "failfast",
            "business exceptions don't count as failures in policy.health",
        );
    }
    if let Some(text) = entry.text("errorCountThreshold") {
        match whole(&text, &entry.path("errorCountThreshold"))? {
            0 => health.enabled = Some(false),
            count => {
                health.consecutive_failures = Some(entry.bounded("errorCountThreshold", count, 1..=1000))
            }
        }
    }
    if has(filters, "circuitBreaker") {
        let Breaker {
            failure_percent,
            min_calls,
            open_for,
            ..
        } = if has(filters, "clusterCircuitBreaker") {
            entry.remark("the circuit breaker of single nodes is policy.health, with its own defaults");
            Breaker::default()
        } else {
            breaker(entry)?
        };
        health.failure_percent = failure_percent.or(Some(50));
        health.min_calls = min_calls;
        if let Some(first) = open_for {
            let longest = health
                .max_ejection
                .take()
                .map_or(30_000, |longest| longest.millis());
            health.max_ejection = Some(duration(longest.max(first.millis())));
            health.base_ejection = Some(first);
        }
    }
    Ok((health != Health::default()).then_some(health))
}

fn breaker(entry: &mut Entry) -> Result<Breaker, Error> {
    Ok(Breaker {
        min_calls: entry.number("circuitBreaker.requestThreshold", 1..=100_000)?,
        open_for: entry
            .number("circuitBreaker.sleepWindow", 100..=600_000)?
            .map(duration),
        failure_percent: entry.number("circuitBreaker.errorPercent", 1..=100)?,
        probes: Some(1), // as hystrix tries again
        window: None,
    })
}

/// Milliseconds as people write them.
pub(super) fn duration(millis: u32) -> Timeout {
    let millis = millis.clamp(1, HOUR);
    let text = if millis.is_multiple_of(1000) {
        format!("{}s", millis / 1000)
    } else {
        format!("{millis}ms")
    };
    Timeout::from_str(&text).expect("a number from 1ms to 1h is a duration")
}
