//! A program that speaks Motan 2: requests are relayed over one connection per worker.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use relay::{ConnectionId, Parcel, Sent};

use crate::answer;
use crate::call::Call;
use crate::failure::{Failure, Kind};
use crate::link;
use crate::link::dial;
use crate::link::pool::State;
use crate::live::{Endpoint, Export};
use crate::worker::Worker;

/// How often a request that was not written is put on a new connection before the caller is told to go elsewhere.
const ATTEMPTS: u32 = 2;

/// Sends a call to the program, or keeps it while a connection is being made. Gives the link that it was put on.
pub(crate) fn place(
    worker: &Rc<Worker>,
    export: &Arc<Export>,
    mut parcel: Parcel<Call>,
    now: Instant,
) -> Option<ConnectionId> {
    // A call in the wrong version was refused before it came here.
    let backend = export
        .takes(parcel.call.caller.version())
        .unwrap_or(&export.backend);
    dial::start(worker, backend, now);
    let state = worker.pool.borrow().state(backend, now);
    let refused = match state {
        State::Ready(on) | State::Draining(on) => {
            parcel.call.record.attempt();
            parcel.call.at = Some(backend.enter());
            match worker.send(on, parcel) {
                Ok(_) => return Some(on),
                Err(parcel) => (parcel, "the request was too large to be sent again".to_owned()),
            }
        }
        State::Connecting | State::Idle => {
            let deadline = parcel.deadline;
            match worker.park(parcel, deadline) {
                Ok(()) => return None,
                Err(parcel) => (parcel, "too many requests wait for the program".to_owned()),
            }
        }
        State::Waiting => (
            parcel,
            format!("the program can't be connected to at {}", backend.address),
        ),
    };
    let (parcel, words) = refused;
    answer::with_failure(worker, parcel, Failure::unsent(Kind::Unavailable, words), now);
    None
}

/// The program's port, where a connection to it is there.
pub(crate) fn ready(worker: &Rc<Worker>, backend: &Arc<Endpoint>, now: Instant) -> Option<Arc<Endpoint>> {
    let pool = worker.pool.borrow();
    let is_there = matches!(pool.state(backend, now), State::Ready(_)) || pool.has_rested(backend);
    is_there.then(|| Arc::clone(backend))
}

/// The connection was lost under a call.
pub(crate) fn lost(worker: &Rc<Worker>, mut parcel: Parcel<Call>, sent: Sent, now: Instant) {
    parcel.call.at = None;
    let failure = match sent {
        Sent::No if parcel.call.record.attempts < ATTEMPTS && parcel.is_whole() => {
            link::place(worker, parcel, now);
            return;
        }
        Sent::No => Failure::unsent(
            Kind::Unavailable,
            "the program closed the connection before the request was written",
        ),
        Sent::Perhaps => Failure::perhaps(
            Kind::Unavailable,
            "the program closed the connection before it answered",
        ),
    };
    answer::with_failure(worker, parcel, failure, now);
}
