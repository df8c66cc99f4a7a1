//! What is asked before a call is sent: whether its method is switched off, whether its circuit is closed, and which share
//! of calls is made to wait or to fail.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use govern::balance::takes;
use govern::breaker::{self, Breaker, Change, End, Pass};
use hyper::StatusCode;
use plan::CallPolicy;

use crate::failure::{Failure, Kind};
use crate::observe::metrics::{Action, CallMetrics, Outcome};

/// What is asked before a call is sent.
#[derive(Debug)]
pub(crate) struct Gate {
    degrade: Option<Degrade>,
    faults: Box<[plan::Fault]>,
    circuit: Option<Arc<Circuit>>,
}

/// A switch that is on.
#[derive(Debug)]
struct Degrade {
    message: String,
    given: Option<Given>,
}

/// What callers get instead of an answer of the service.
#[derive(Debug)]
pub(crate) struct Given {
    /// Of the HTTP response.
    pub(crate) status: StatusCode,
    /// Its body.
    pub(crate) json: Bytes,
    /// The same as a value of serialization `simple`; `None` where it has no such form.
    pub(crate) simple: Option<Vec<u8>>,
}

/// Who asks for what.
pub(crate) struct Asking<'a> {
    /// `M_s` of the program here.
    pub(crate) application: &'a str,
    /// Counts what is done.
    pub(crate) calls: &'a CallMetrics,
    pub(crate) now: Instant,
}

/// What becomes of a call.
pub(crate) enum Entry<'g> {
    /// It is sent, after a pause that may be none; how it ends is told to its circuit.
    Go(Duration, Option<Passed>),
    /// It fails, after a pause that may be none.
    Fail(Duration, Failure),
    /// It is answered here.
    Give(&'g Given),
}

/// The circuit of some methods of a service, shared by all workers.
#[derive(Debug)]
pub(crate) struct Circuit {
    rule: breaker::Rule,
    /// What the program answers may be a failure: it speaks HTTP, where failures have statuses.
    by_status: bool,
    state: Mutex<Breaker>,
}

/// A call that a circuit has let through.
#[derive(Debug)]
pub(crate) struct Passed {
    circuit: Arc<Circuit>,
    pass: Pass,
}

impl Gate {
    /// `None` where a policy asks for nothing. The circuit of `before` goes on where its rule is the same.
    pub(super) fn new(
        policy: &CallPolicy,
        by_status: bool,
        before: Option<&Self>,
        now: Instant,
    ) -> Option<Self> {
        let gate = Self {
            degrade: policy.degrade.as_ref().map(Degrade::new),
            faults: policy.faults.clone().into(),
            circuit: policy.breaker.map(|plan| {
                let rule = rule(plan);
                let before = before.and_then(|before| before.circuit.as_ref());
                match before.filter(|before| before.rule == rule && before.by_status == by_status) {
                    Some(before) => Arc::clone(before),
                    None => Arc::new(Circuit {
                        rule,
                        by_status,
                        state: Mutex::new(Breaker::new(now)),
                    }),
                }
            }),
        };
        let asks = gate.degrade.is_some() || !gate.faults.is_empty() || gate.circuit.is_some();
        asks.then_some(gate)
    }

    /// Judges a call. `random` gives random numbers.
    pub(crate) fn enter(&self, asking: &Asking<'_>, random: impl Fn() -> u64) -> Entry<'_> {
        if let Some(Degrade { message, given }) = &self.degrade {
            return match given {
                Some(given) => {
                    asking.calls.acted(Action::Given).inc();
                    Entry::Give(given)
                }
                None => Entry::Fail(Duration::ZERO, Failure::unsent(Kind::Degraded, message.clone())),
            };
        }
        let (pause, abort) = self.draw(asking, random);
        if let Some(abort) = abort {
            let mut failure = Failure::perhaps(Kind::Injected, abort.message.clone());
            failure.status = u16::try_from(abort.status.get()).ok();
            return Entry::Fail(pause, failure);
        }
        match &self.circuit {
            None => Entry::Go(pause, None),
            Some(circuit) => match circuit.pass(asking) {
                Ok(passed) => Entry::Go(pause, Some(passed)),
                Err(failure) => Entry::Fail(Duration::ZERO, failure),
            },
        }
    }

    fn draw(&self, asking: &Asking<'_>, random: impl Fn() -> u64) -> (Duration, Option<&plan::Abort>) {
        let (mut pause, mut abort) = (Duration::ZERO, None);
        for fault in &self.faults {
            let is_meant = fault.callers.is_empty()
                || fault
                    .callers
                    .iter()
                    .any(|caller| caller.matches(asking.application.as_bytes()));
            if !is_meant || !takes(f64::from(fault.percent.get()) / 100.0, random()) {
                continue;
            }
            if let Some(delay) = fault.delay_ms {
                pause += delay.duration();
                asking.calls.acted(Action::Delayed).inc();
            }
            abort = abort.or(fault.abort.as_ref());
        }
        (pause, abort)
    }
}

impl Degrade {
    fn new(plan: &plan::Degrade) -> Self {
        let given = plan.reply.as_ref().map(|reply| Given {
            status: u16::try_from(reply.status.get())
                .ok()
                .and_then(|status| StatusCode::from_u16(status).ok())
                .unwrap_or_default(),
            json: Bytes::copy_from_slice(reply.json.as_str().as_bytes()),
            simple: translate::simple(reply.json.as_str().as_bytes()).ok(),
        });
        Self {
            message: plan.message.clone(),
            given,
        }
    }
}

impl Circuit {
    fn pass(self: &Arc<Self>, asking: &Asking<'_>) -> Result<Passed, Failure> {
        let passed = self.state().pass(&self.rule, asking.now);
        passed
            .map(|pass| Passed {
                circuit: Arc::clone(self),
                pass,
            })
            .map_err(|left| {
                let words = format!(
                    "the circuit of {} is open, as too many of its calls have failed: it tries again in {} ms",
                    asking.calls.service(),
                    left.as_millis()
                );
                Failure::unsent(Kind::CircuitOpen, words)
            })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge(&self, outcome: Outcome) -> End {
        match outcome {
            Outcome::Ok => End::Good,
            Outcome::AppError if !self.by_status => End::Good,
            Outcome::AppError | Outcome::RemoteError => End::Bad,
            Outcome::Failed(
                Kind::Timeout
                | Kind::Unavailable
                | Kind::NoEndpoint
                | Kind::NotProvided
                | Kind::BadAnswer
                | Kind::Overloaded
                | Kind::RateLimited,
            ) => End::Bad,
            Outcome::Failed(_) | Outcome::Cancelled => End::Unknown,
        }
    }
}

impl Passed {
    /// The call has ended.
    pub(crate) fn ended(self, outcome: Outcome, now: Instant, calls: &CallMetrics) {
        let Self { circuit, pass } = self;
        let end = circuit.judge(outcome);
        let change = circuit.state().ended(&circuit.rule, pass, end, now);
        match change {
            Change::None => {}
            Change::Opened => {
                calls.acted(Action::Opened).inc();
            }
            Change::Closed => {
                calls.acted(Action::Closed).inc();
            }
        }
    }
}

fn rule(plan: plan::Breaker) -> breaker::Rule {
    breaker::Rule {
        failure_percent: plan.failure_percent.get(),
        min_calls: plan.min_calls.get(),
        window: Duration::from_millis(plan.window_ms.get().into()),
        open_for: Duration::from_millis(plan.open_ms.get().into()),
        probes: plan.probes.get(),
    }
}
