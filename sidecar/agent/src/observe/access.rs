//! Access lines: one per call that the plan wants written down, through the tracing target `access`. Formatted only
//! where it is wanted.

use std::time::Duration;

use plan::AccessLog;

use super::metrics::{CallMetrics, Outcome};

/// The target of access lines.
pub const TARGET: &str = "access";

/// Whether a call that ended like this gets a line.
#[must_use]
pub const fn wanted(log: AccessLog, outcome: Outcome) -> bool {
    match log {
        AccessLog::Off => false,
        AccessLog::Errors => !matches!(outcome, Outcome::Ok),
        AccessLog::All => true,
    }
}

/// What a line says beside the counters' labels.
#[derive(Debug, Clone, Copy)]
pub struct Detail<'a> {
    /// `M_m`: a method or a URL path.
    pub method: &'a str,
    /// Where the last attempt went; empty where there was none.
    pub endpoint: &'a str,
    /// How often it was tried.
    pub attempts: u32,
}

/// Writes one line.
pub fn write(calls: &CallMetrics, outcome: Outcome, took: Duration, detail: Detail<'_>) {
    let Detail {
        method,
        endpoint,
        attempts,
    } = detail;
    tracing::info!(
        target: TARGET,
        role = calls.role(),
        service = calls.service(),
        protocol = calls.protocol().as_str(),
        method,
        endpoint,
        attempts,
        outcome = outcome.as_str(),
        micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        "call"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Kind;

    #[test]
    fn a_line_is_written_where_the_plan_wants_it() {
        let failed = [
            Outcome::AppError,
            Outcome::RemoteError,
            Outcome::Failed(Kind::Timeout),
            Outcome::Cancelled,
        ];
        for outcome in failed {
            assert!(wanted(AccessLog::Errors, outcome) && wanted(AccessLog::All, outcome));
            assert!(!wanted(AccessLog::Off, outcome));
        }
        assert!(wanted(AccessLog::All, Outcome::Ok) && !wanted(AccessLog::Errors, Outcome::Ok));
    }
}
