//! From what is written to what is said.

use plan::{
    Backup, BackupAfter, Balance, BalanceMode, Bounded, Breaker, Degrade, Fault, HashBy, Locality,
    MAX_FAULTS, MAX_METHODS, Outliers, RetryOn,
};

use super::said::Twice;
use super::{CallWish, MethodWish, PolicyFlaw, PolicyWish, bounded, millis, mirror, pattern, routing};

/// The share of calls that are sent a second time at most, in percent: motan-go's `backupRequestMaxRetryRatio`.
const USUAL_SHARE: u32 = 15;

/// Reads the policy of a service, or of a dependency's entry, in the namespace `home`.
pub(in crate::world) fn policy(written: &crds::Policy, home: &str) -> Result<PolicyWish, PolicyFlaw> {
    let crds::Policy {
        timeout,
        mingz_size,
        idempotent,
        retries,
        backup,
        routing,
        mirror,
        balance,
        health,
        breaker,
        degrade,
        faults,
        methods,
    } = written;
    if methods.len() > MAX_METHODS {
        let what = format!("{} are listed: write at most {MAX_METHODS}", methods.len());
        return Err(PolicyFlaw::new("policy.methods", what));
    }
    let crds::Retries {
        attempts,
        retry_on,
        per_attempt_timeout,
        budget,
    } = retries.clone().unwrap_or_default();
    let crds::RetryBudget {
        percent,
        min_per_second,
    } = budget.unwrap_or_default();
    let every = crds::MethodPolicy {
        matches: String::new(), // of the policy itself, which is for all
        timeout: timeout.clone(),
        idempotent: *idempotent,
        retries: Some(crds::MethodRetries {
            attempts,
            retry_on,
            per_attempt_timeout,
        }),
        backup: backup.clone(),
        breaker: breaker.clone(),
        degrade: degrade.clone(),
        faults: faults.clone(),
    };
    Ok(PolicyWish {
        call: call(&every, "policy")?,
        methods: methods
            .iter()
            .enumerate()
            .map(|(at, entry)| method(entry, &format!("policy.methods[{at}]")))
            .collect::<Result<_, _>>()?,
        mingz_size: *mingz_size,
        budget_percent: percent
            .map(|percent| bounded(percent, "policy.retries.budget.percent"))
            .transpose()?,
        budget_min: min_per_second
            .map(|least| bounded(least, "policy.retries.budget.minPerSecond"))
            .transpose()?,
        routing: routing
            .as_ref()
            .map(|routing| routing::routing(routing, home))
            .transpose()?,
        mirror: mirror
            .as_ref()
            .map(|mirror| mirror::mirror(mirror, home))
            .transpose()?,
        balance: balance.as_ref().map(read_balance).transpose()?,
        health: health.as_ref().map(read_health).transpose()?,
    })
}

fn method(written: &crds::MethodPolicy, at: &str) -> Result<MethodWish, PolicyFlaw> {
    Ok(MethodWish {
        matches: pattern(&written.matches, format!("{at}.match"))?,
        call: call(written, at)?,
    })
}

fn call(written: &crds::MethodPolicy, at: &str) -> Result<CallWish, PolicyFlaw> {
    let crds::MethodPolicy {
        matches: _, // whose call it is, not what
        timeout,
        idempotent,
        retries,
        backup,
        breaker,
        degrade,
        faults,
    } = written;
    let crds::MethodRetries {
        attempts,
        retry_on: on,
        per_attempt_timeout,
    } = retries.clone().unwrap_or_default();
    let time = |written: Option<&crds::Timeout>, field: &str| {
        let field = format!("{at}.{field}");
        written.map(|written| millis(written, field)).transpose()
    };
    Ok(CallWish {
        timeout: time(timeout.as_ref(), "timeout")?,
        idempotent: *idempotent,
        attempts: attempts
            .map(|attempts| bounded(attempts, format!("{at}.retries.attempts")))
            .transpose()?,
        retry_on: on.map(retry_on),
        attempt_timeout: time(per_attempt_timeout.as_ref(), "retries.perAttemptTimeout")?,
        backup: backup
            .as_ref()
            .map(|backup| read_backup(backup, at))
            .transpose()?,
        breaker: breaker
            .as_ref()
            .map(|breaker| read_breaker(breaker, at))
            .transpose()?,
        degrade: degrade
            .as_ref()
            .map(|degrade| read_degrade(degrade, at))
            .transpose()?,
        faults: faults
            .as_ref()
            .map(|faults| read_faults(faults, at))
            .transpose()?,
    })
}

fn retry_on(written: Vec<crds::RetryOn>) -> Vec<RetryOn> {
    let mut on: Vec<_> = written
        .into_iter()
        .map(|failure| match failure {
            crds::RetryOn::Unavailable => RetryOn::Unavailable,
            crds::RetryOn::Timeout => RetryOn::Timeout,
            crds::RetryOn::Overloaded => RetryOn::Overloaded,
            crds::RetryOn::Status5xx => RetryOn::Status5xx,
        })
        .collect();
    on.sort_unstable();
    on.dedup();
    on
}

fn read_backup(written: &crds::Backup, at: &str) -> Result<Twice, PolicyFlaw> {
    let crds::Backup {
        delay,
        percentile,
        max_percent,
    } = written;
    let after = match (delay, percentile) {
        (Some(delay), None) => BackupAfter::Delay(millis(delay, format!("{at}.backup.delay"))?),
        (None, Some(percent)) => {
            BackupAfter::Percentile(bounded(*percent, format!("{at}.backup.percentile"))?)
        }
        (None, None) if *max_percent == Some(0) => return Ok(Twice::Never),
        (None, None) | (Some(_), Some(_)) => {
            let what = "write exactly one of delay (for example 50ms) and percentile (for example 95)";
            return Err(PolicyFlaw::new(format!("{at}.backup"), what));
        }
    };
    if *max_percent == Some(0) {
        return Ok(Twice::Never);
    }
    Ok(Twice::After(Backup {
        after,
        max_percent: bounded(
            max_percent.unwrap_or(USUAL_SHARE),
            format!("{at}.backup.maxPercent"),
        )?,
    }))
}

fn read_breaker(written: &crds::Breaker, at: &str) -> Result<Breaker, PolicyFlaw> {
    let crds::Breaker {
        failure_percent,
        min_calls,
        window,
        open_for,
        probes,
    } = written;
    Ok(Breaker {
        failure_percent: bounded(
            failure_percent.unwrap_or(50),
            format!("{at}.breaker.failurePercent"),
        )?,
        min_calls: bounded(min_calls.unwrap_or(20), format!("{at}.breaker.minCalls"))?,
        window_ms: window.as_ref().map_or_else(
            || Ok(Bounded::literal::<10_000>()),
            |window| millis(window, format!("{at}.breaker.window")),
        )?,
        open_ms: open_for.as_ref().map_or_else(
            || Ok(Bounded::literal::<5_000>()),
            |open_for| millis(open_for, format!("{at}.breaker.openFor")),
        )?,
        probes: bounded(probes.unwrap_or(3), format!("{at}.breaker.probes"))?,
    })
}

fn read_degrade(written: &crds::Degrade, at: &str) -> Result<Degrade, PolicyFlaw> {
    let crds::Degrade { message, reply } = written;
    let reply = reply.as_ref().map(|crds::FixedReply { json, status }| {
        Ok(plan::FixedReply {
            status: bounded(status.unwrap_or(200), format!("{at}.degrade.reply.status"))?,
            json: plan::ReplyBody::new(json.as_str())
                .map_err(|error| PolicyFlaw::new(format!("{at}.degrade.reply.json"), error.to_string()))?,
        })
    });
    Ok(Degrade {
        message: message.clone(),
        reply: reply.transpose()?,
    })
}

fn read_faults(written: &[crds::Fault], at: &str) -> Result<Vec<Fault>, PolicyFlaw> {
    if written.len() > MAX_FAULTS {
        let what = format!("{} are listed: write at most {MAX_FAULTS}", written.len());
        return Err(PolicyFlaw::new(format!("{at}.faults"), what));
    }
    let faults = written.iter().enumerate();
    faults
        .map(|(number, fault)| read_fault(fault, &format!("{at}.faults[{number}]")))
        .collect()
}

fn read_fault(written: &crds::Fault, at: &str) -> Result<Fault, PolicyFlaw> {
    let crds::Fault {
        percent,
        delay,
        abort,
        callers,
    } = written;
    if delay.is_none() && abort.is_none() {
        return Err(PolicyFlaw::new(at, "it does nothing: add delay, or abort"));
    }
    let abort = abort.as_ref().map(|crds::Abort { status, message }| {
        Ok(plan::Abort {
            status: bounded(*status, format!("{at}.abort.status"))?,
            message: message.clone(),
        })
    });
    Ok(Fault {
        percent: bounded(*percent, format!("{at}.percent"))?,
        delay_ms: delay
            .as_ref()
            .map(|delay| millis(delay, format!("{at}.delay")))
            .transpose()?,
        abort: abort.transpose()?,
        callers: callers
            .iter()
            .map(|caller| pattern(caller, format!("{at}.callers")))
            .collect::<Result<_, _>>()?,
    })
}

fn read_balance(written: &crds::Balance) -> Result<Balance, PolicyFlaw> {
    let crds::Balance {
        mode,
        hash,
        slow_start,
        locality,
    } = written;
    let mode = match mode {
        crds::BalanceMode::LeastRequest => BalanceMode::LeastRequest,
        crds::BalanceMode::Random => BalanceMode::Random,
        crds::BalanceMode::RoundRobin => BalanceMode::RoundRobin,
        crds::BalanceMode::Weighted => BalanceMode::Weighted,
        crds::BalanceMode::ConsistentHash => BalanceMode::ConsistentHash,
        crds::BalanceMode::PeakEwma => BalanceMode::PeakEwma,
    };
    if hash.is_some() && mode != BalanceMode::ConsistentHash {
        let what = "it says what is hashed: remove it, or write mode: consistentHash";
        return Err(PolicyFlaw::new("policy.balance.hash", what));
    }
    if locality.is_some() && mode == BalanceMode::ConsistentHash {
        let what =
            "a key has one endpoint, wherever that is: remove it, or choose another mode than consistentHash";
        return Err(PolicyFlaw::new("policy.balance.locality", what));
    }
    Ok(Balance {
        mode,
        hash: hash.as_ref().map_or_else(|| Ok(HashBy::default()), read_hash)?,
        slow_start_ms: slow_start
            .as_ref()
            .map(|time| millis(time, "policy.balance.slowStart"))
            .transpose()?,
        locality: locality.as_ref().map(read_locality).transpose()?,
    })
}

fn read_locality(written: &crds::Locality) -> Result<Locality, PolicyFlaw> {
    let crds::Locality {
        spill_above,
        spill_percent,
    } = *written;
    let mut locality = Locality::default();
    if let Some(calls) = spill_above {
        locality.spill_above = bounded(calls, "policy.balance.locality.spillAbove")?;
    }
    if let Some(percent) = spill_percent {
        locality.spill_percent = bounded(percent, "policy.balance.locality.spillPercent")?;
    }
    Ok(locality)
}

fn read_hash(written: &crds::HashBy) -> Result<HashBy, PolicyFlaw> {
    let crds::HashBy {
        metadata,
        header,
        cookie,
        path_segment,
    } = written;
    match (metadata, header, cookie, path_segment) {
        // One name in a plan: an agent looks where the call at hand has it.
        (Some(key), None, None, None) | (None, Some(key), None, None) => Ok(HashBy::Metadata(key.clone())),
        (None, None, Some(name), None) => Ok(HashBy::Cookie(name.clone())),
        (None, None, None, Some(at)) => {
            bounded(*at, "policy.balance.hash.pathSegment").map(HashBy::PathSegment)
        }
        _ => {
            let what = "write exactly one of metadata, header, cookie and pathSegment";
            Err(PolicyFlaw::new("policy.balance.hash", what))
        }
    }
}

fn read_health(written: &crds::Health) -> Result<Outliers, PolicyFlaw> {
    let crds::Health {
        enabled,
        consecutive_failures,
        failure_percent,
        latency_percent,
        min_calls,
        base_ejection,
        max_ejection,
        max_ejected_percent,
    } = written;
    let mut health = plan::Health::default();
    if let Some(failures) = *consecutive_failures {
        health.consecutive_failures = bounded(failures, "policy.health.consecutiveFailures")?;
    }
    if let Some(percent) = *failure_percent {
        health.failure_percent = Some(bounded(percent, "policy.health.failurePercent")?);
    }
    if let Some(percent) = *latency_percent {
        health.latency_percent = Some(bounded(percent, "policy.health.latencyPercent")?);
    }
    if let Some(calls) = *min_calls {
        health.min_calls = bounded(calls, "policy.health.minCalls")?;
    }
    if let Some(time) = base_ejection {
        health.base_ejection_ms = millis(time, "policy.health.baseEjection")?;
        health.max_ejection_ms = health.max_ejection_ms.max(health.base_ejection_ms);
    }
    if let Some(time) = max_ejection {
        health.max_ejection_ms = millis(time, "policy.health.maxEjection")?;
        if base_ejection.is_none() {
            health.base_ejection_ms = health.base_ejection_ms.min(health.max_ejection_ms);
        }
    }
    if let Some(percent) = *max_ejected_percent {
        health.max_ejected_percent = bounded(percent, "policy.health.maxEjectedPercent")?;
    }
    if health.max_ejection_ms < health.base_ejection_ms {
        let what = "it is shorter than the first ejection: raise it, or lower policy.health.baseEjection";
        return Err(PolicyFlaw::new("policy.health.maxEjection", what));
    }
    match enabled {
        Some(false) => Ok(Outliers::Off),
        Some(true) | None => Ok(Outliers::On(health)),
    }
}
