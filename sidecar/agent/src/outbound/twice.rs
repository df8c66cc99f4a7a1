//! A call that is sent a second time, elsewhere, because its answer does not come: the first good answer is the call's. What
//! comes later is thrown away, and whoever it would have come from is not judged by it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use govern::outlier::Standing;
use relay::{ConnectionId, Parcel, Sent, WaiterId};
use wire::message::Message;

use super::pick::{self, Pick, Places};
use super::{attempt, conduct};
use crate::call::{Call, Caller, Target};
use crate::governed::{Member, Rule};
use crate::live::{Endpoint, InFlight, Service};
use crate::observe::metrics::Action;
use crate::worker::Worker;

/// The second of two attempts that are under way.
pub(crate) struct Second {
    on: ConnectionId,
    at: InFlight,
}

/// What becomes of a call that waits for its answer.
enum Choice {
    Send(Arc<Service>, (ConnectionId, Arc<Endpoint>, Arc<Member>)),
    /// A connection is being made.
    Wait(Instant),
    /// It waits on.
    Never,
}

/// When to look whether a call has been answered that is sent now; `None` where it is not sent a second time.
pub(super) fn look(rule: &Rule, call: &mut Call, now: Instant) -> Option<Instant> {
    let backup = rule.backup.as_ref()?;
    if !call.repeatable {
        return None;
    }
    if call.sent.is_none() {
        call.sent = Some(now);
        backup.begins();
    }
    if call.is_twice || call.counted > 0 {
        return None;
    }
    backup.delay(now).map(|delay| now + delay)
}

/// Notes how long the answer of a call took.
pub(super) fn learn(call: &mut Call, now: Instant) {
    if let Some(sent) = call.sent.take()
        && let Target::Service(service) = &call.target
        && let Some(backup) = &service.rules.get(call.rule).backup
    {
        backup.answered(now.saturating_duration_since(sent), now);
    }
}

/// A call has waited long: it is sent a second time, unless that is too much or there is nowhere else.
pub(crate) fn waits(worker: &Rc<Worker>, id: WaiterId, now: Instant) {
    let (service, (on, endpoint, member)) = match choose(worker, id, now) {
        Choice::Send(service, to) => (service, to),
        Choice::Wait(until) => return worker.look_at(id, until),
        Choice::Never => return,
    };
    if !may(worker, &service, id, now) {
        return;
    }
    if let Some(parcel) = worker.core.borrow_mut().parcel_mut(id) {
        prepare(&service, parcel, now);
    }
    if !worker.send_again(id, on) {
        return;
    }
    if let Some(Parcel { call, .. }) = worker.core.borrow_mut().parcel_mut(id) {
        let at = member.enter(&endpoint, now);
        call.second = Some(Box::new(Second { on, at }));
        call.is_twice = true;
        call.record.second();
        call.record.calls().acted(Action::Backup).inc();
    }
}

fn choose(worker: &Rc<Worker>, id: WaiterId, now: Instant) -> Choice {
    let core = worker.core.borrow();
    let Some(Parcel { call, .. }) = core.parcel(id) else {
        return Choice::Never;
    };
    let is_awaited = match &call.caller {
        Caller::Motan(turn) => core.attached(turn.to).is_some(),
        Caller::Task(waiting) => !waiting.is_closed(),
        Caller::Copy(_) => false,
    };
    let (true, Some(at), Target::Service(service)) = (is_awaited, &call.at, &call.target) else {
        return Choice::Never;
    };
    let service = attempt::newest(worker, service);
    let Some(backup) = &service.rules.get(call.rule).backup else {
        return Choice::Never;
    };
    let mut tried = call.tried.clone();
    tried.push(Arc::clone(at.endpoint()));
    let Ok(places) = Places::of(&service, &call.caller) else {
        return Choice::Never;
    };
    match pick::for_call(worker, &places, (call.key, &tried), now) {
        Pick::Send(on, endpoint, member) => {
            let is_new = tried.iter().all(|tried| !Arc::ptr_eq(tried, &endpoint));
            if is_new && member.standing(now) != Standing::Out {
                drop(places);
                return Choice::Send(Arc::clone(&service), (on, endpoint, member));
            }
            Choice::Never
        }
        Pick::Wait => Choice::Wait(backup.again(now)),
        Pick::Direct(..) | Pick::Later | Pick::Nowhere => Choice::Never,
    }
}

fn may(worker: &Worker, service: &Service, id: WaiterId, now: Instant) -> bool {
    let core = worker.core.borrow();
    let Some(Parcel { call, .. }) = core.parcel(id) else {
        return false;
    };
    let Some(backup) = &service.rules.get(call.rule).backup else {
        return false;
    };
    let calls = call.record.calls();
    if !backup.may() {
        calls.acted(Action::BackupDenied).inc();
        return false;
    }
    service.rules.may_repeat(service.begun(), calls, now)
}

/// The time that is left travels with the second attempt, which has as much as any attempt.
fn prepare(service: &Service, parcel: &mut Parcel<Call>, now: Instant) {
    if let (Some(until), Some(longest)) = (
        parcel.call.until,
        service.rules.get(parcel.call.rule).attempt_timeout,
    ) {
        parcel.deadline = until.min(now + longest);
    }
    let left = parcel.deadline.saturating_duration_since(now).as_millis();
    let left = u32::try_from(left).unwrap_or(u32::MAX).max(1);
    wire::motan2::set_timeout(&mut parcel.request, left);
}

/// The call that an answer with this id ends. Of two attempts the one that is answered is the call's from here on.
pub(crate) fn take(worker: &Worker, on: ConnectionId, id: u64) -> Option<Parcel<Call>> {
    let mut parcel = worker.core.borrow_mut().answer(on, id)?;
    if let Some(second) = parcel.call.second.take()
        && second.on == on
    {
        parcel.call.record.calls().acted(Action::BackupWon).inc();
        parcel.call.at = Some(second.at);
    }
    Some(parcel)
}

/// Whether an answer is a bad one to one of two attempts: the other one is waited for then.
pub(crate) fn missed(worker: &Worker, on: ConnectionId, message: &Message<'_>, now: Instant) -> bool {
    let mut core = worker.core.borrow_mut();
    if !core.has_pairs() || !message.is_response() {
        return false;
    }
    let Some(id) = core.pair(on, message.id()) else {
        return false;
    };
    let Some(parcel) = core.parcel_mut(id) else {
        return false;
    };
    let (is_good, reached) = conduct::of_answer(message, parcel.call.target.speaks_http());
    if is_good && reached.is_none() {
        return false;
    }
    let counts = reached != Some(govern::retry::Reached::Unsent);
    end_one(worker, &mut parcel.call, on, (Some(is_good), counts), now);
    core.give_up(id, on);
    true
}

/// A connection is lost: of calls that are under way on another one too it ends one attempt.
pub(crate) fn lost(worker: &Worker, on: ConnectionId, now: Instant) {
    let mut core = worker.core.borrow_mut();
    for (id, sent) in core.part(on) {
        let Some(parcel) = core.parcel_mut(id) else {
            continue;
        };
        let was_seen = sent == Sent::Perhaps;
        let end = (was_seen.then_some(false), was_seen);
        end_one(worker, &mut parcel.call, on, end, now);
    }
}

/// One of two attempts has come to nothing, and speaks well of its endpoint or not, where it speaks at all.
fn end_one(
    worker: &Worker,
    call: &mut Call,
    on: ConnectionId,
    (is_good, counts): (Option<bool>, bool),
    now: Instant,
) {
    let Some(second) = call.second.take() else {
        return;
    };
    let Second { on: second_on, at } = *second;
    let ended = if second_on == on {
        Some(at)
    } else {
        call.at.replace(at)
    };
    call.failures += 1;
    call.counted += u32::from(counts);
    if let Some(mut ended) = ended {
        call.tried.push(Arc::clone(ended.endpoint()));
        if let Some(is_good) = is_good {
            ended.ended(is_good, now, worker.random(), call.record.calls());
        }
    }
}

/// Neither of two attempts is waited for any more.
pub(super) fn give_up(call: &mut Call) {
    if let Some(second) = call.second.take() {
        call.failures += 1;
        call.counted += 1;
        call.tried.push(Arc::clone(second.at.endpoint()));
    }
}
