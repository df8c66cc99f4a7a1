//! What a provider takes: motan-go's rates and concurrency as limits.

use crds::{Limits, MethodLimit};

use super::{
    Error,
    entry::Entry,
    governed::{has, is_pattern},
    read::Text,
};

const MOST: u32 = 10_000_000; // calls a second
const MOST_METHODS: usize = 64;
const LEAST_BURST: f64 = 1000.0; // motan-go's bounds of what it works out by itself
const MOST_BURST: f64 = 5000.0;

/// The limits of a service.
pub(super) fn of_provider(entry: &mut Entry, filters: &[String]) -> Result<Option<Limits>, Error> {
    let mut limits = Limits::default();
    if has(filters, "rateLimit") {
        rates(entry, &mut limits)?;
    }
    if filters
        .iter()
        .any(|name| name == "circuitBreaker" || name == "clusterCircuitBreaker")
    {
        limits.concurrency = entry.number("circuitBreaker.maxConcurrent", 1..=1_000_000)?;
    }
    Ok((limits != Limits::default()).then_some(limits))
}

fn rates(entry: &mut Entry, limits: &mut Limits) -> Result<(), Error> {
    let capacity = entry.number("capacity", 1..=MOST)?;
    if let Some(text) = entry.text("rateLimit") {
        let path = entry.path("rateLimit");
        (limits.requests_per_second, limits.burst) = rate(&text, &path, capacity)?;
    }
    let capacities = entry.of_methods(&["capacity"]);
    for (method, text) in entry.beginning("rateLimit.") {
        let key = format!("rateLimit.{method}");
        if !is_pattern(&method) {
            entry.note(
                &key,
                &text.value,
                "this is no name of a method, so nothing is written for it",
            );
            continue;
        }
        let of_method = capacities.iter().find(|of| of.method == method);
        let own = of_method.and_then(|of| of.value.value.trim().parse().ok());
        let (requests_per_second, burst) = rate(&text, &entry.path(&key), own.or(capacity))?;
        limits.methods.push(MethodLimit {
            matches: method,
            requests_per_second,
            burst,
            concurrency: None,
        });
    }
    if limits.methods.len() > MOST_METHODS {
        return Err(Error::Key {
            file: entry.file.to_string(),
            key: entry.place(),
            what: format!(
                "{} methods have rates of their own: keep at most {MOST_METHODS} of them",
                limits.methods.len()
            ),
        });
    }
    if *limits != Limits::default() {
        entry.note(
            "filter",
            "rateLimit",
            "calls over a rate are refused at once (429, with Retry-After) where motan-go lets them wait",
        );
    }
    Ok(())
}

/// A rate and its burst: twice the rate, in motan-go's bounds, where none is said.
fn rate(text: &Text, path: &str, capacity: Option<u32>) -> Result<(Option<u32>, Option<u32>), Error> {
    let wrong = |what: String| Error::Key {
        file: text.file.to_string(),
        key: path.to_owned(),
        what,
    };
    let rate: f64 = text.value.trim().parse().map_err(|_| {
        wrong(format!(
            "{:?} is not a number of calls a second: write for example 500",
            text.value
        ))
    })?;
    if !(rate > 0.0 && rate <= f64::from(MOST)) {
        return Err(wrong(format!(
            "{rate} calls a second can't be: write from 1 to {MOST}, or remove it"
        )));
    }
    let usual = || counted((rate * 2.0).clamp(LEAST_BURST, MOST_BURST));
    let burst = capacity.unwrap_or_else(usual).clamp(1, MOST);
    Ok((Some(counted(rate)), Some(burst)))
}

/// Rounded up, so that less than one a second is one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it was compared with both bounds"
)]
fn counted(number: f64) -> u32 {
    number.ceil() as u32
}
