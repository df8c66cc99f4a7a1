//! How endpoints conduct themselves: what an end of an attempt says of the endpoint, and of how far the call got.

use std::sync::Arc;
use std::time::Instant;

use govern::retry::{On, Reached};
use wire::keys;
use wire::message::Message;
use wire::meta::Meta;
use wire::motan2::{EXCEPTION, Head, Header};

use super::twice;
use crate::answer;
use crate::call::{Call, Target};
use crate::failure::Kind;
use crate::live::{Endpoint, InFlight};
use crate::worker::Worker;

/// Whether an answer speaks well of its endpoint, and how far the call got that it does not bring to an end; `None` for
/// what the program answered. Of a Motan 1 program it is only known that it answers.
pub(super) fn of_answer(message: &Message<'_>, speaks_http: bool) -> (bool, Option<Reached>) {
    match message {
        Message::One(_) => (true, None),
        Message::Two(frame) => of_head(frame.header, frame.meta, speaks_http),
    }
}

fn of_head(header: Header, meta: Meta<'_>, speaks_http: bool) -> (bool, Option<Reached>) {
    if header.status != EXCEPTION {
        let status = speaks_http.then(|| answer::status(meta)).flatten();
        return match status {
            Some(status) if is_away(status) => (false, Some(Reached::Perhaps(On::Status5xx))),
            Some(_) | None => (true, None),
        };
    }
    let Some(kind) = meta.find(keys::MESH_ERROR) else {
        return (answer::is_of_the_program(meta), None);
    };
    let kind = Kind::of(kind);
    let reached = match kind {
        Some(kind) if kind.is_final() => None,
        Some(Kind::Overloaded | Kind::RateLimited) => Some(Reached::Refused),
        _ if meta.find(keys::MESH_UNSENT).is_some() => Some(Reached::Unsent),
        Some(Kind::Unavailable) => Some(Reached::Perhaps(On::Unavailable)),
        Some(Kind::Timeout) => Some(Reached::Perhaps(On::Timeout)),
        Some(_) | None => None,
    };
    (!is_unwell(kind), reached)
}

/// Whether a failure that another agent tells of is one of its program.
pub(super) const fn is_unwell(kind: Option<Kind>) -> bool {
    matches!(kind, Some(Kind::Unavailable | Kind::Timeout | Kind::BadAnswer))
}

/// Whether a status says that the program can't answer at present.
pub(super) const fn is_away(status: u16) -> bool {
    matches!(status, 502..=504)
}

/// Counts a call at an endpoint that was chosen before.
pub(crate) fn enter(call: &Call, endpoint: &Arc<Endpoint>, now: Instant) -> InFlight {
    let place = match &call.target {
        Target::Service(service) => {
            let mut places = service.places.iter();
            places.find(|place| Arc::ptr_eq(&place.endpoint, endpoint))
        }
        Target::Export(_) => None,
    };
    match place {
        Some(place) => place.member.enter(endpoint, now),
        None => endpoint.enter(),
    }
}

/// An answer is passed through as it comes: it is not tried again.
pub(crate) fn passes(worker: &Worker, call: &mut Call, head: &Head<'_>, now: Instant) {
    let (is_good, _) = of_head(head.header, head.meta, call.target.speaks_http());
    twice::learn(call, now);
    ended(worker, call, is_good, now);
}

/// An attempt has ended, well or not: its endpoint is judged by that.
pub(super) fn ended(worker: &Worker, call: &mut Call, is_good: bool, now: Instant) {
    if let Some(at) = &mut call.at {
        at.ended(is_good, now, worker.random(), call.record.calls());
    }
}
