//! One call's attempts: pick an endpoint, send, judge what became of it, again. Nothing here waits: a call that has no
//! place to go is parked in the core, and comes back when its time has come or a link has changed.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use govern::retry::{self, On, Reached, Tried, Verdict};
use plan::EndpointState;
use relay::{ConnectionId, Parcel, Sent};
use wire::message::Message;

use super::pick::{self, Pick, Places};
use super::{conduct, mirror, twice};
use crate::answer;
use crate::call::{Call, Caller, Target};
use crate::failure::{Failure, Kind, Reach};
use crate::governed::gate::{Asking, Entry};
use crate::governed::{Member, Rule};
use crate::link;
use crate::live::{Endpoint, InFlight, Service};
use crate::observe::metrics::Action;
use crate::provide;
use crate::worker::Worker;

/// What a caller is told whose policy makes it wait for longer than it waits.
pub(crate) const LONG_DELAY: &str = "the delay that its policy injects is longer than the call may take";

/// Begins a call: what its rule asks comes first. Gives the link that it was put on.
pub(crate) fn start(
    worker: &Rc<Worker>,
    service: &Arc<Service>,
    mut parcel: Parcel<Call>,
    now: Instant,
) -> Option<ConnectionId> {
    let rule = service.rules.get(parcel.call.rule);
    parcel.call.repeatable |= rule.is_idempotent;
    let Some(gate) = &rule.gate else {
        let copy = mirror::copy(worker, service, &parcel);
        let on = place(worker, service, parcel, now);
        send_copy(worker, copy, now);
        return on;
    };
    let live = worker.live();
    let asking = Asking {
        application: &live.application,
        calls: parcel.call.record.calls(),
        now,
    };
    let (pause, end) = match gate.enter(&asking, || worker.random()) {
        Entry::Go(pause, passed) => {
            parcel.call.record.passed = passed;
            (pause, None)
        }
        Entry::Fail(pause, failure) => (pause, Some(failure)),
        Entry::Give(given) => {
            answer::with_given(worker, parcel, given, now);
            return None;
        }
    };
    // What does not reach its service is not copied either.
    let is_let_through = end.is_none();
    let copy = is_let_through
        .then(|| mirror::copy(worker, service, &parcel))
        .flatten();
    let on = match (pause.is_zero(), end) {
        (true, None) => place(worker, service, parcel, now),
        (true, Some(failure)) => {
            answer::with_failure(worker, parcel, failure, now);
            None
        }
        (false, end) => {
            parcel.call.not_before = Some(now + pause);
            parcel.call.end = end.map(Box::new);
            park(worker, parcel, now + pause, now);
            None
        }
    };
    send_copy(worker, copy, now);
    on
}

fn send_copy(worker: &Rc<Worker>, copy: Option<Parcel<Call>>, now: Instant) {
    if let Some(copy) = copy {
        link::place(worker, copy, now);
    }
}

/// Sends a call to the best endpoint, or keeps it until there is one. Gives the link that it was put on.
pub(crate) fn place(
    worker: &Rc<Worker>,
    service: &Arc<Service>,
    mut parcel: Parcel<Call>,
    now: Instant,
) -> Option<ConnectionId> {
    if let Some(moment) = parcel.call.not_before {
        if now < moment {
            // Something has changed that is nothing to it.
            park(worker, parcel, moment, now);
            return None;
        }
        parcel.call.not_before = None;
        if let Some(failure) = parcel.call.end.take() {
            answer::with_failure(worker, parcel, *failure, now);
            return None;
        }
    }
    let places = match Places::of(service, &parcel.call.caller) {
        Ok(places) => places,
        Err(failure) => {
            answer::with_failure(worker, parcel, failure, now);
            return None;
        }
    };
    match pick::for_call(worker, &places, (parcel.call.key, &parcel.call.tried), now) {
        Pick::Send(on, ..) if mirror::is_in_the_way(worker, &parcel.call, on) => {
            let words = "too much waits to be sent there";
            answer::with_failure(worker, parcel, Failure::unsent(Kind::Overloaded, words), now);
        }
        Pick::Send(on, endpoint, member) => {
            parcel.call.at = Some(enter(&mut parcel.call, &member, &endpoint, now));
            return send(worker, service, on, parcel, now);
        }
        Pick::Direct(program, member) => {
            parcel.call.at = Some(enter(&mut parcel.call, &member, &program.backend, now));
            shorten(service.rules.get(parcel.call.rule), &mut parcel, now);
            provide::http::start_without_agent(worker, &program, parcel);
        }
        Pick::Wait => {
            let deadline = parcel.deadline;
            park(worker, parcel, deadline, now);
        }
        Pick::Later => {
            let words = format!("no endpoint of {} can be connected to", service.name);
            again(
                worker,
                parcel,
                Reached::Unsent,
                Failure::unsent(Kind::Unavailable, words),
                now,
            );
        }
        Pick::Nowhere => {
            let words = format!(
                "No refers for request, service: {}: it has no endpoint",
                service.name
            );
            answer::with_failure(worker, parcel, Failure::unsent(Kind::NoEndpoint, words), now);
        }
    }
    None
}

/// Counts a call at an endpoint, which is judged by it; by a copy it is not.
fn enter(call: &mut Call, member: &Arc<Member>, endpoint: &Arc<Endpoint>, now: Instant) -> InFlight {
    match &mut call.caller {
        Caller::Copy(copied) => {
            copied.goes();
            endpoint.enter()
        }
        Caller::Motan(_) | Caller::Task(_) => member.enter(endpoint, now),
    }
}

/// The endpoint that a call with this key would be sent to at once; `None` where it would have to wait.
pub(crate) fn ready(
    worker: &Rc<Worker>,
    service: &Service,
    key: Option<u64>,
    now: Instant,
) -> Option<Arc<Endpoint>> {
    match pick::for_call(worker, &Places::of_motan2(service), (key, &[]), now) {
        Pick::Send(_, endpoint, _) => Some(endpoint),
        Pick::Direct(..) | Pick::Wait | Pick::Later | Pick::Nowhere => {
            let pool = worker.pool.borrow();
            let mut places = service.places.iter();
            let rested =
                places.find(|place| place.state == EndpointState::Ready && pool.has_rested(&place.endpoint));
            rested.map(|place| Arc::clone(&place.endpoint))
        }
    }
}

/// An answer came, as `bytes`: the caller gets it, unless it says that the program was not reached, or was lost under a
/// call that may be repeated, and there is another way.
pub(crate) fn answered(
    worker: &Rc<Worker>,
    mut parcel: Parcel<Call>,
    message: &Message<'_>,
    bytes: &[u8],
    now: Instant,
) {
    if matches!(parcel.call.caller, Caller::Copy(_)) {
        return mirror::answered(worker, parcel);
    }
    let (is_good, missed) = conduct::of_answer(message, parcel.call.target.speaks_http());
    conduct::ended(worker, &mut parcel.call, is_good, now);
    if let Some(reached) = missed {
        match judge(worker, &mut parcel, reached, now) {
            Verdict::Never => {}
            verdict => return follow(worker, parcel, verdict, now),
        }
    }
    twice::learn(&mut parcel.call, now);
    answer::with_message(worker, parcel, message, bytes, now);
}

/// A program without an agent has answered with this status; gives the call back where it is not tried again.
pub(crate) fn answered_directly(
    worker: &Rc<Worker>,
    mut parcel: Parcel<Call>,
    status: u16,
    now: Instant,
) -> Option<Parcel<Call>> {
    let is_good = !conduct::is_away(status);
    conduct::ended(worker, &mut parcel.call, is_good, now);
    if is_good {
        return Some(parcel);
    }
    match judge(worker, &mut parcel, Reached::Perhaps(On::Status5xx), now) {
        Verdict::Never => Some(parcel),
        verdict => {
            follow(worker, parcel, verdict, now);
            None
        }
    }
}

/// A program that has no agent could not be called, or did not answer.
pub(crate) fn unanswered(worker: &Rc<Worker>, mut parcel: Parcel<Call>, failure: Failure, now: Instant) {
    let is_attempt = parcel.call.until.is_some_and(|until| now < until);
    if failure.kind == Kind::Timeout && is_attempt {
        parcel.call.record.calls().acted(Action::AttemptTimeout).inc();
        conduct::ended(worker, &mut parcel.call, false, now);
        return again(worker, parcel, Reached::Perhaps(On::Timeout), failure, now);
    }
    if failure.kind != Kind::Unavailable {
        conduct::ended(
            worker,
            &mut parcel.call,
            !conduct::is_unwell(Some(failure.kind)),
            now,
        );
        return answer::with_failure(worker, parcel, failure, now);
    }
    let reached = match failure.reach {
        Reach::Unsent => Reached::Unsent,
        Reach::Perhaps => Reached::Perhaps(On::Unavailable),
    };
    if reached != Reached::Unsent {
        conduct::ended(worker, &mut parcel.call, false, now);
    }
    if let (Reached::Unsent, Some(at)) = (reached, &parcel.call.at) {
        let random = worker.random();
        worker.pool.borrow_mut().unreached(at.endpoint(), now, random);
    }
    again(worker, parcel, reached, failure, now);
}

/// The link was lost under a call.
pub(crate) fn lost(worker: &Rc<Worker>, mut parcel: Parcel<Call>, sent: Sent, now: Instant) {
    let endpoint = parcel
        .call
        .at
        .as_ref()
        .map(|at| at.endpoint().address.to_string());
    let endpoint = endpoint.unwrap_or_default();
    let (reached, failure) = match sent {
        Sent::No => {
            let words = format!("the connection to {endpoint} was lost before the request was written");
            (Reached::Unsent, Failure::unsent(Kind::Unavailable, words))
        }
        Sent::Perhaps => {
            let words = format!("the connection to {endpoint} was lost before the answer came");
            conduct::ended(worker, &mut parcel.call, false, now);
            let failure = Failure::perhaps(Kind::Unavailable, words);
            (Reached::Perhaps(On::Unavailable), failure)
        }
    };
    again(worker, parcel, reached, failure, now);
}

/// Its deadline has passed.
pub(crate) fn late(worker: &Rc<Worker>, mut parcel: Parcel<Call>, sent: Sent, now: Instant) {
    if sent == Sent::Perhaps {
        conduct::ended(worker, &mut parcel.call, false, now);
    }
    let is_attempt = parcel.call.until.is_some_and(|until| now < until);
    let failure = match sent {
        // The words of the existing agent (motan-wire 4.1).
        Sent::Perhaps => Failure::perhaps(
            Kind::Timeout,
            Cow::Borrowed("channel call error:timeout err: receive request timeout"),
        ),
        Sent::No if parcel.call.not_before.is_some() => {
            Failure::unsent(Kind::Timeout, Cow::Borrowed(LONG_DELAY))
        }
        Sent::No => Failure::unsent(
            Kind::Unavailable,
            Cow::Borrowed("can not get a channel: no endpoint could be connected to before the deadline"),
        ),
    };
    if is_attempt {
        parcel.call.record.calls().acted(Action::AttemptTimeout).inc();
        return again(worker, parcel, Reached::Perhaps(On::Timeout), failure, now);
    }
    twice::learn(&mut parcel.call, now);
    answer::with_failure(worker, parcel, failure, now);
}

/// Tries again, or tells the caller of `failure`.
fn again(worker: &Rc<Worker>, mut parcel: Parcel<Call>, reached: Reached, failure: Failure, now: Instant) {
    match judge(worker, &mut parcel, reached, now) {
        Verdict::Never => answer::with_failure(worker, parcel, failure, now),
        verdict => follow(worker, parcel, verdict, now),
    }
}

fn judge(worker: &Worker, parcel: &mut Parcel<Call>, reached: Reached, now: Instant) -> Verdict {
    let is_whole = parcel.is_whole();
    let call = &mut parcel.call;
    if let Some(until) = call.until.take() {
        parcel.deadline = until;
    }
    twice::give_up(call);
    call.failures += 1;
    if reached != Reached::Unsent {
        call.counted += 1;
    }
    if !is_whole || matches!(call.caller, Caller::Copy(_)) {
        return Verdict::Never;
    }
    let Target::Service(service) = &call.target else {
        return Verdict::Never; // the program's own connection has its own attempts
    };
    let tried = Tried {
        attempts: call.failures,
        counted: call.counted,
        endpoints: newest(worker, service).places.len(),
        repeatable: call.repeatable,
        deadline: parcel.deadline,
    };
    let budget = || {
        service
            .rules
            .may_repeat(service.begun(), call.record.calls(), now)
    };
    let rule = service.rules.get(call.rule);
    let verdict = retry::verdict(reached, &tried, &rule.retry, budget, now);
    if verdict != Verdict::Never
        && let Some(at) = call.at.take()
    {
        call.tried.push(Arc::clone(at.endpoint()));
    }
    verdict
}

fn follow(worker: &Rc<Worker>, mut parcel: Parcel<Call>, verdict: Verdict, now: Instant) {
    match verdict {
        Verdict::Now => {
            link::place(worker, parcel, now);
        }
        Verdict::At(when) => {
            // After a pause every endpoint is as good as any other.
            parcel.call.tried.clear();
            park(worker, parcel, when, now);
        }
        Verdict::Never => {}
    }
}

/// A service as the newest plan has it: a call that must go elsewhere goes where the service is provided by now.
pub(crate) fn newest(worker: &Worker, service: &Arc<Service>) -> Arc<Service> {
    let live = worker.live.borrow();
    Arc::clone(live.again(service).unwrap_or(service))
}

/// Gives an attempt its own time, where another one may follow it.
fn shorten(rule: &Rule, parcel: &mut Parcel<Call>, now: Instant) {
    if let Some(longest) = rule.attempt_timeout
        && rule.retry.timeout
        && parcel.call.repeatable
        && parcel.call.counted < rule.retry.attempts
        && now + longest < parcel.deadline
    {
        parcel.call.until = Some(std::mem::replace(&mut parcel.deadline, now + longest));
    }
}

fn send(
    worker: &Rc<Worker>,
    service: &Service,
    on: ConnectionId,
    mut parcel: Parcel<Call>,
    now: Instant,
) -> Option<ConnectionId> {
    parcel.call.record.attempt();
    let rule = service.rules.get(parcel.call.rule);
    shorten(rule, &mut parcel, now);
    if now > parcel.call.record.started || parcel.call.until.is_some() {
        // The time that is left travels on, not that of when the request was written.
        let left = parcel.deadline.saturating_duration_since(now).as_millis();
        let left = u32::try_from(left).unwrap_or(u32::MAX).max(1);
        wire::motan2::set_timeout(&mut parcel.request, left);
    }
    let look = twice::look(rule, &mut parcel.call, now);
    match worker.send(on, parcel) {
        Ok(id) => {
            if let Some(when) = look {
                worker.look_at(id, when);
            }
            Some(on)
        }
        Err(parcel) => {
            let words = "the request was too large to be kept for another attempt";
            answer::with_failure(worker, parcel, Failure::unsent(Kind::Overloaded, words), now);
            None
        }
    }
}

fn park(worker: &Rc<Worker>, parcel: Parcel<Call>, until: Instant, now: Instant) {
    if let Err(parcel) = worker.park(parcel, until) {
        let words = "too many requests wait for a connection";
        answer::with_failure(worker, parcel, Failure::unsent(Kind::Overloaded, words), now);
    }
}
