//! Connections that this sidecar makes: to other agents and to the program's Motan port. What comes on them goes to
//! the call that waits for it.

pub(crate) mod connection;
pub(crate) mod dial;
pub mod io;
pub(crate) mod pool;
pub(crate) mod pump;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use relay::{ConnectionId, Parcel};
use wire::keys;
use wire::motan2::Frame;

use crate::call::{Call, Target};
use crate::live::Endpoint;
use crate::outbound::attempt;
use crate::provide;
use crate::worker::{Worker, now};
use connection::{Closing, Connection, Role};
use pool::State;

/// A frame came on a link.
pub(crate) fn heard(
    worker: &Rc<Worker>,
    on: ConnectionId,
    (connection, endpoint): (&Connection, &Endpoint),
    frame: &Frame<'_>,
    now: Instant,
) {
    if frame.header.is_heartbeat() {
        if frame.meta.find(keys::MESH_DRAIN).is_some() {
            tracing::debug!(address = %endpoint.address, "endpoint is going away");
            worker.pool.borrow_mut().leaving(endpoint, now);
        }
        return;
    }
    // A request from the other side has no place to go, and an answer to nothing is late: both are dropped.
    let parcel = worker.core.borrow_mut().answer(on, frame.header.id);
    if let Some(parcel) = parcel {
        match &parcel.call.target {
            Target::Service(_) => attempt::answered(worker, parcel, frame, now),
            Target::Export(_) => provide::motan::answered(worker, parcel, frame, now),
        }
    }
    if !connection.is_wanted.get() {
        close_if_idle(worker, on);
    }
}

/// Puts a request on a link, or finds out why it can't be.
pub(crate) fn place(worker: &Rc<Worker>, parcel: Parcel<Call>, now: Instant) -> Option<ConnectionId> {
    match &parcel.call.target {
        Target::Service(service) => {
            let service = attempt::newest(worker, service);
            attempt::place(worker, &service, parcel, now)
        }
        Target::Export(export) => {
            let export = Arc::clone(export);
            provide::motan::place(worker, &export, parcel, now)
        }
    }
}

/// Something has changed: whoever waits for a link looks again.
pub(crate) fn retry_parked(worker: &Rc<Worker>, now: Instant) {
    let parked = worker.core.borrow_mut().unpark();
    for parcel in parked {
        place(worker, parcel, now);
    }
}

/// A link has ended: what waited on it is judged.
fn lost(worker: &Rc<Worker>, id: ConnectionId, connection: &Connection, endpoint: &Arc<Endpoint>) {
    let is_wanted = worker.live.borrow().knows(endpoint);
    worker.pool.borrow_mut().lost(endpoint, id, is_wanted);
    let lost = worker.core.borrow_mut().close(id);
    connection.ended();
    let now = now();
    for (parcel, sent) in lost {
        match &parcel.call.target {
            Target::Service(_) => attempt::lost(worker, parcel, sent, now),
            Target::Export(_) => provide::motan::lost(worker, parcel, sent, now),
        }
    }
}

/// Closes links that lead where no plan leads any more, at once or when their last call is answered.
pub(crate) fn sort_out(worker: &Worker) {
    let live = worker.live();
    let links = worker.pool.borrow_mut().sort_out(|endpoint| live.knows(endpoint));
    for (on, is_wanted) in links {
        if let Some(connection) = worker.core.borrow().attached(on) {
            connection.is_wanted.set(is_wanted);
        }
        if !is_wanted {
            close_if_idle(worker, on);
        }
    }
}

/// Closes a link that nothing waits on. From here on no call is put on it.
pub(crate) fn close_if_idle(worker: &Worker, on: ConnectionId) {
    let core = worker.core.borrow();
    if core.waiting_on(on) == 0
        && let Some(connection) = core.attached(on)
        && let Role::Link(endpoint) = &connection.role
    {
        connection.close(Closing::Idle);
        let is_wanted = worker.live.borrow().knows(endpoint);
        worker.pool.borrow_mut().lost(endpoint, on, is_wanted);
    }
}

/// The word for a state on the admin page.
pub(crate) const fn state_word(state: State) -> &'static str {
    match state {
        State::Idle => "idle",
        State::Waiting => "waiting",
        State::Connecting => "connecting",
        State::Ready(_) => "ready",
        State::Draining(_) => "draining",
    }
}
