//! How many calls a service takes.

use plan::{Concurrency, Limits, MAX_METHODS, MethodLimits, Queue, Rate};

use super::{PolicyFlaw, bounded, millis, pattern};

/// Reads the limits of a service.
pub(in crate::world) fn limits(written: &crds::Limits) -> Result<Limits, PolicyFlaw> {
    let crds::Limits {
        requests_per_second,
        burst,
        concurrency,
        queue,
        per_caller,
        methods,
    } = written;
    if methods.len() > MAX_METHODS {
        let what = format!("{} are listed: write at most {MAX_METHODS}", methods.len());
        return Err(PolicyFlaw::new("limits.methods", what));
    }
    if queue.is_some() && concurrency.is_none() {
        let what = "calls over concurrency wait there: add concurrency, or remove queue";
        return Err(PolicyFlaw::new("limits.queue", what));
    }
    let queue = queue.as_ref().map(read_queue).transpose()?;
    let per_caller = per_caller.as_ref().map(|limit| {
        let crds::CallerLimit {
            requests_per_second,
            burst,
        } = limit;
        rate(Some(*requests_per_second), *burst, "limits.perCaller")
    });
    Ok(Limits {
        rate: rate(*requests_per_second, *burst, "limits")?,
        per_caller: per_caller.transpose()?.flatten(),
        concurrency: at_once(*concurrency, queue, "limits")?,
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

fn read_queue(written: &crds::Queue) -> Result<Queue, PolicyFlaw> {
    let crds::Queue { length, timeout } = written;
    Ok(Queue {
        length: bounded(*length, "limits.queue.length")?,
        timeout_ms: millis(timeout, "limits.queue.timeout")?,
    })
}
