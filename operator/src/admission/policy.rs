//! What is allowed in a policy and may surprise: pure.

use plan::{BackupAfter, Pattern, RetryOn};

use crate::world::{CallWish, PolicyWish, Twice};

const USUAL_ATTEMPTS: u32 = 2; // `plan::Retries` by default

/// What to warn of in what an object says, where it stands over what `weaker` says; `at` is where its policy is.
pub(super) fn warnings(said: &PolicyWish, weaker: &PolicyWish, at: &str) -> Vec<String> {
    let mut warnings = of_call(&said.call, &said.call.or(&weaker.call), at);
    for (number, entry) in said.methods.iter().enumerate() {
        let at = format!("{at}.methods[{number}]");
        let alike = |pattern: &Pattern| *pattern == entry.matches;
        if said
            .methods
            .iter()
            .take(number)
            .any(|earlier| alike(&earlier.matches))
        {
            warnings.push(format!(
                "{at}.match: {} is listed before, and the first entry counts: remove one",
                entry.matches
            ));
        }
        let theirs = weaker.methods.iter().find(|theirs| alike(&theirs.matches));
        let mut whole = entry.call.or(&said.call);
        if let Some(theirs) = theirs {
            whole = whole.or(&theirs.call);
        }
        warnings.extend(of_call(&entry.call, &whole.or(&weaker.call), &at));
    }
    warnings
}

/// Of one level: what it says by itself, and what holds with it.
fn of_call(own: &CallWish, whole: &CallWish, at: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    warnings.extend(of_backup(own, whole, at));
    let speaks_of_retries = own.attempts.is_some() || own.retry_on.is_some() || own.attempt_timeout.is_some();
    let attempts = whole.attempts.map_or(USUAL_ATTEMPTS, plan::Bounded::get);
    if attempts == 0 || !(speaks_of_retries || own.timeout.is_some() || own.idempotent.is_some()) {
        return warnings;
    }
    let on = whole.retry_on.as_deref().unwrap_or_default();
    let unsafe_ones: Vec<_> = [(RetryOn::Timeout, "timeout"), (RetryOn::Status5xx, "status5xx")]
        .into_iter()
        .filter(|(failure, _)| on.contains(failure))
        .map(|(_, word)| word)
        .collect();
    if !unsafe_ones.is_empty()
        && whole.idempotent != Some(true)
        && (speaks_of_retries || own.idempotent.is_some())
    {
        warnings.push(format!(
            "{at}.retries.retryOn: after {} the program may have done the call already, so only GET, HEAD, OPTIONS, TRACE, PUT and \
             DELETE of HTTP are repeated: add idempotent: true where the others may be too",
            unsafe_ones.join(" and ")
        ));
    }
    if on.contains(&RetryOn::Timeout) && whole.attempt_timeout.is_none() && speaks_of_retries {
        warnings.push(format!(
            "{at}.retries.retryOn: an attempt has the whole timeout, so none is left after it: add perAttemptTimeout"
        ));
    }
    let Some((attempt, timeout)) = whole.attempt_timeout.zip(whole.timeout) else {
        return warnings;
    };
    let (attempt, timeout) = (attempt.get(), timeout.get());
    if timeout <= attempt {
        warnings.push(format!(
            "{at}.retries.perAttemptTimeout: {attempt}ms is not below the timeout of {timeout}ms, so no attempt ends by it: lower \
             it"
        ));
    } else if attempt.saturating_mul(attempts + 1) > timeout {
        warnings.push(format!(
            "{at}.retries: {} attempts of {attempt}ms may take longer than the timeout of {timeout}ms, which ends the last of them: \
             lower perAttemptTimeout or attempts, or raise timeout",
            attempts + 1
        ));
    }
    warnings
}

/// Of second attempts that are never sent.
fn of_backup(own: &CallWish, whole: &CallWish, at: &str) -> Option<String> {
    let Some(Twice::After(backup)) = whole.backup else {
        return None;
    };
    if own.backup.is_some() && whole.idempotent != Some(true) {
        return Some(format!(
            "{at}.backup: only GET, HEAD, OPTIONS, TRACE, PUT and DELETE of HTTP are sent a second time: add idempotent: true where \
             the others may be too"
        ));
    }
    let (BackupAfter::Delay(delay), Some(timeout)) = (backup.after, whole.timeout) else {
        return None;
    };
    let (delay, timeout) = (delay.get(), timeout.get());
    let is_said = own.backup.is_some() || own.timeout.is_some();
    (is_said && delay >= timeout).then(|| {
        format!(
            "{at}.backup.delay: {delay}ms is not below the timeout of {timeout}ms, so no call is sent a second time: lower it"
        )
    })
}
