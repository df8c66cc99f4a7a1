//! How many calls a service takes.

use plan::{
    Adaptive, Bounded, ClusterRate, Concurrency, Limits, MAX_METHODS, MAX_PRIORITIES, MethodLimits, Pattern,
    Priority, PriorityRule, Queue, Rate,
};

use super::{PolicyFlaw, bounded, millis, pattern};

/// Reads the limits of a service.
pub(in crate::world) fn limits(written: &crds::Limits) -> Result<Limits, PolicyFlaw> {
    let crds::Limits {
        requests_per_second,
        burst,
        cluster_rate,
        concurrency,
        adaptive,
        priorities,
        queue,
        per_caller,
        methods,
    } = written;
    if methods.len() > MAX_METHODS {
        let what = format!("{} are listed: write at most {MAX_METHODS}", methods.len());
        return Err(PolicyFlaw::new("limits.methods", what));
    }
    match (concurrency, adaptive) {
        (Some(_), Some(_)) => {
            let what = "it stands instead of concurrency: remove one of them";
            return Err(PolicyFlaw::new("limits.adaptive", what));
        }
        (None, None) if queue.is_some() => {
            let what = "calls over concurrency wait there: add concurrency or adaptive, or remove queue";
            return Err(PolicyFlaw::new("limits.queue", what));
        }
        (None, None) if !priorities.is_empty() => {
            let what =
                "they are of calls over concurrency: add concurrency or adaptive, or remove priorities";
            return Err(PolicyFlaw::new("limits.priorities", what));
        }
        _ => {}
    }
    if priorities.len() > MAX_PRIORITIES {
        let what = format!("{} are listed: write at most {MAX_PRIORITIES}", priorities.len());
        return Err(PolicyFlaw::new("limits.priorities", what));
    }
    let queue = queue.as_ref().map(read_queue).transpose()?;
    let per_caller = per_caller.as_ref().map(|limit| {
        let crds::CallerLimit {
            requests_per_second,
            burst,
        } = limit;
        rate(Some(*requests_per_second), *burst, "limits.perCaller")
    });
    let cluster_rate = cluster_rate.as_ref().map(of_all_pods).transpose()?;
    Ok(Limits {
        rate: rate(*requests_per_second, *burst, "limits")?,
        cluster_rate: cluster_rate.flatten(),
        per_caller: per_caller.transpose()?.flatten(),
        concurrency: at_once(*concurrency, queue, "limits")?,
        adaptive: adaptive
            .as_ref()
            .map(|adaptive| learnt(adaptive, queue))
            .transpose()?,
        priorities: priorities
            .iter()
            .enumerate()
            .map(|(at, entry)| priority(entry, &format!("limits.priorities[{at}]")))
            .collect::<Result<_, _>>()?,
        methods: methods
            .iter()
            .enumerate()
            .map(|(at, entry)| method(entry, &format!("limits.methods[{at}]")))
            .collect::<Result<_, _>>()?,
    })
}

fn method(written: &crds::MethodLimit, at: &str) -> Result<MethodLimits, PolicyFlaw> {
    let crds::MethodLimit {
        matches,
        requests_per_second,
        burst,
        concurrency,
    } = written;
    if requests_per_second.is_none() && concurrency.is_none() {
        let what = "it limits nothing: add requestsPerSecond, or concurrency";
        return Err(PolicyFlaw::new(at, what));
    }
    Ok(MethodLimits {
        matches: pattern(matches, format!("{at}.match"))?,
        rate: rate(*requests_per_second, *burst, at)?,
        concurrency: at_once(*concurrency, None, at)?,
    })
}

/// A burst that is not said is a tenth of a second's worth: enough for callers that send in turns, and soon over.
fn rate(per_second: Option<u32>, burst: Option<u32>, at: &str) -> Result<Option<Rate>, PolicyFlaw> {
    let burst_field = format!("{at}.burst");
    match (per_second, burst) {
        (Some(per_second), burst) => Ok(Some(Rate {
            per_second: bounded(per_second, format!("{at}.requestsPerSecond"))?,
            burst: bounded(burst.unwrap_or_else(|| (per_second / 10).max(1)), burst_field)?,
        })),
        (None, Some(_)) => {
            let what = "it is of requestsPerSecond: add that, or remove burst";
            Err(PolicyFlaw::new(burst_field, what))
        }
        (None, None) => Ok(None),
    }
}

/// Among how many pods it is shared is known when a plan is made.
fn of_all_pods(written: &crds::ClusterRate) -> Result<Option<ClusterRate>, PolicyFlaw> {
    let crds::ClusterRate {
        requests_per_second,
        burst,
    } = written;
    let rate = rate(Some(*requests_per_second), *burst, "limits.clusterRate")?;
    Ok(rate.map(|Rate { per_second, burst }| ClusterRate {
        per_second,
        burst,
        among: Bounded::literal::<1>(),
    }))
}

fn at_once(
    concurrency: Option<u32>,
    queue: Option<Queue>,
    at: &str,
) -> Result<Option<Concurrency>, PolicyFlaw> {
    let read = |calls| {
        Ok(Concurrency {
            at_once: bounded(calls, format!("{at}.concurrency"))?,
            queue,
        })
    };
    concurrency.map(read).transpose()
}

fn learnt(written: &crds::AdaptiveLimit, queue: Option<Queue>) -> Result<Adaptive, PolicyFlaw> {
    let crds::AdaptiveLimit { min, max } = written;
    if min > max {
        let what = format!("min {min} is above max {max}: lower it, or raise max");
        return Err(PolicyFlaw::new("limits.adaptive", what));
    }
    Ok(Adaptive {
        min: bounded(*min, "limits.adaptive.min")?,
        max: bounded(*max, "limits.adaptive.max")?,
        queue,
    })
}

fn priority(written: &crds::PriorityEntry, at: &str) -> Result<PriorityRule, PolicyFlaw> {
    let crds::PriorityEntry {
        methods,
        callers,
        priority,
    } = written;
    if methods.is_empty() && callers.is_empty() {
        let what = "it must say of which calls: add methods, or callers";
        return Err(PolicyFlaw::new(at, what));
    }
    Ok(PriorityRule {
        methods: patterns(methods, &format!("{at}.methods"))?,
        callers: patterns(callers, &format!("{at}.callers"))?,
        priority: match priority {
            crds::CallPriority::Critical => Priority::Critical,
            crds::CallPriority::Normal => Priority::Normal,
            crds::CallPriority::Low => Priority::Low,
        },
    })
}

fn patterns(written: &[String], at: &str) -> Result<Vec<Pattern>, PolicyFlaw> {
    let read = |(index, text): (usize, &String)| pattern(text, format!("{at}[{index}]"));
    written.iter().enumerate().map(read).collect()
}

fn read_queue(written: &crds::Queue) -> Result<Queue, PolicyFlaw> {
    let crds::Queue { length, timeout } = written;
    Ok(Queue {
        length: bounded(*length, "limits.queue.length")?,
        timeout_ms: millis(timeout, "limits.queue.timeout")?,
    })
}
