//! The ledger of one call: opened when the whole request is here, closed once when its end is known. One that is
//! dropped closes itself: its caller went away.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use plan::AccessLog;
use wire::keys;
use wire::message::{self, Head, Message};
use wire::motan1;
use wire::motan2::DEFAULT_LIMIT;

use crate::governed::gate::Passed;
use crate::governed::limits::Permit;
use crate::observe::access::{self, Detail};
use crate::observe::metrics::{CallMetrics, Outcome};
use crate::worker::{Load, now};

/// The ledger of one call.
pub(crate) struct Record {
    calls: Arc<CallMetrics>,
    load: Arc<Load>,
    access: AccessLog,
    /// When the whole request was here.
    pub(crate) started: Instant,
    /// How often it was sent.
    pub(crate) attempts: u32,
    /// The circuit that has let it through, and is told how it ends.
    pub(crate) passed: Option<Passed>,
    /// Its place among those that the program works on at once, where there are only so many: free when it is closed.
    pub(crate) permit: Option<Box<Permit>>,
    is_open: bool,
}

impl Record {
    pub(crate) fn open(calls: &Arc<CallMetrics>, load: &Arc<Load>, access: AccessLog, now: Instant) -> Self {
        calls.in_flight.inc();
        load.in_flight.fetch_add(1, Ordering::Relaxed);
        Self {
            calls: Arc::clone(calls),
            load: Arc::clone(load),
            access,
            started: now,
            attempts: 0,
            passed: None,
            permit: None,
            is_open: true,
        }
    }

    /// What it is counted by.
    pub(crate) const fn calls(&self) -> &Arc<CallMetrics> {
        &self.calls
    }

    /// The program has answered, and its answer is still coming.
    pub(crate) fn answered(&mut self, outcome: Outcome, now: Instant) {
        if let Some(permit) = &mut self.permit {
            permit.ended(outcome, self.calls.protocol(), now);
        }
    }

    /// Counts one more attempt.
    pub(crate) fn attempt(&mut self) {
        self.attempts += 1;
        if self.attempts > 1 {
            self.calls.retries.inc();
        }
    }

    /// Counts an attempt beside one that is under way.
    pub(crate) const fn second(&mut self) {
        self.attempts += 1;
    }

    /// Writes it. `request` is the encoded frame or its head, read only where a line is wanted; `endpoint` the last one
    /// tried.
    pub(crate) fn close(self, outcome: Outcome, now: Instant, request: &[u8], endpoint: &str) {
        self.close_of(outcome, now, || method(request), endpoint);
    }

    /// Writes it, for a call that is not a frame; `method` is asked for only where a line is wanted.
    pub(crate) fn close_of(
        mut self,
        outcome: Outcome,
        now: Instant,
        method: impl FnOnce() -> String,
        endpoint: &str,
    ) {
        self.write(outcome, now);
        if access::wanted(self.access, outcome) {
            let detail = Detail {
                method: &method(),
                endpoint,
                attempts: self.attempts,
            };
            access::write(&self.calls, outcome, now.duration_since(self.started), detail);
        }
    }

    fn write(&mut self, outcome: Outcome, now: Instant) {
        self.is_open = false;
        if let Some(passed) = self.passed.take() {
            passed.ended(outcome, now, &self.calls);
        }
        self.answered(outcome, now);
        self.permit = None;
        self.calls.in_flight.dec();
        self.calls.ended(outcome).inc();
        self.calls
            .duration
            .observe(now.saturating_duration_since(self.started));
        self.load.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

fn method(request: &[u8]) -> String {
    let head = message::decode_head(request, DEFAULT_LIMIT).ok().flatten();
    let method = match head {
        Some((Head::Two(head), _)) => head.meta.find(keys::METHOD).map(<[u8]>::to_vec),
        Some((Head::One(_), _)) => match message::decode(request, DEFAULT_LIMIT) {
            Ok(Some((Message::One(frame), _))) => motan1::Request::read(frame)
                .ok()
                .map(|request| request.method().to_vec()),
            _ => None,
        },
        None => None,
    };
    String::from_utf8_lossy(&method.unwrap_or_default()).into_owned()
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.is_open {
            self.write(Outcome::Cancelled, now());
        }
    }
}
