//! Connections that this sidecar makes: to other agents and to the program's Motan port. What comes on them goes to
//! the call that waits for it.

pub(crate) mod batched;
pub(crate) mod connection;
pub(crate) mod dial;
pub mod io;
pub(crate) mod lane;
pub(crate) mod pool;
pub(crate) mod pump;
pub(crate) mod streams;
mod through;
pub(crate) mod weigh;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use relay::{ConnectionId, Parcel};
use wire::keys;
use wire::message::Message;

use crate::answer;
use crate::call::{Call, Target};
use crate::failure::{Failure, Kind};
use crate::live::{Endpoint, EndpointKind};
use crate::outbound::{attempt, twice};
use crate::provide;
use crate::worker::{Worker, now};
use connection::{Closing, Connection, Role};
use pool::State;

/// An agent that does not answer a heartbeat for this long is taken for stopped: it answers at once, whatever it has
/// to do, so that this is all network and scheduling.
const SILENT: Duration = Duration::from_millis(200);

/// A message came on a link; `bytes` is it as it came. Gives the other agent that was answered, where it was one.
pub(crate) fn heard(
    worker: &Rc<Worker>,
    on: ConnectionId,
    (connection, endpoint): (&Connection, &Arc<Endpoint>),
    (message, bytes): (&Message<'_>, &[u8]),
    now: Instant,
) -> Option<ConnectionId> {
    if let Message::Two(frame) = message
        && frame.header.is_heartbeat()
    {
        match frame.meta.find(keys::MESH_DRAIN) {
            None => {}
            Some(keys::MESH_DRAIN_END) => dismissed(worker, on, (connection, endpoint), now),
            Some(_) => {
                tracing::debug!(address = %endpoint.address, "endpoint is going away");
                worker.pool.borrow_mut().leaving(endpoint, now);
            }
        }
        return None;
    }
    if message.id() == weigh::ID {
        weigh::heard(worker, endpoint, message, now);
        return None;
    }
    let is_missed = twice::missed(worker, on, message, now);
    let parcel = twice::take(worker, on, message.id());
    let peer = parcel.as_ref().and_then(|parcel| parcel.call.peer());
    match parcel {
        None if is_missed => {}
        None => {
            connection.metrics.dropped.inc();
        }
        Some(parcel) if !message.is_response() => {
            connection.metrics.broken_messages.inc();
            let words = "receive unsupported msg: the answer is typed as a request";
            answer::with_failure(worker, parcel, Failure::perhaps(Kind::BadAnswer, words), now);
        }
        Some(parcel) => match &parcel.call.target {
            Target::Service(_) => attempt::answered(worker, parcel, message, bytes, now),
            Target::Export(_) => answer::with_message(worker, parcel, message, bytes, now),
        },
    }
    if connection.is_lane.get() {
        lane::rest(worker, on);
    } else if !connection.is_wanted.get() {
        close_if_idle(worker, on);
    }
    peer
}

/// The other side takes no calls on this connection any more, and waits until it is closed: none is put on it from here
/// on, and whatever it was asked before it had said so is answered.
fn dismissed(
    worker: &Rc<Worker>,
    on: ConnectionId,
    (connection, endpoint): (&Connection, &Arc<Endpoint>),
    now: Instant,
) {
    tracing::debug!(address = %endpoint.address, "endpoint takes no more calls");
    connection.is_wanted.set(false);
    worker.pool.borrow_mut().dismissed(endpoint, on, now);
    if connection.is_lane.get() {
        lane::rest(worker, on);
    } else {
        close_if_idle(worker, on);
    }
}

/// An answer over the limit has begun to come: its call fails, and it is skipped.
fn too_long(worker: &Rc<Worker>, on: ConnectionId, id: u64, now: Instant) {
    let parcel = twice::take(worker, on, id);
    if let Some(parcel) = parcel {
        let words = "the answer is over the limit of 10 MiB of metadata and of body";
        answer::with_failure(worker, parcel, Failure::perhaps(Kind::TooLarge, words), now);
    }
}

/// Asks agents of ours that owe answers, and from whom nothing has come for a while, whether they live. One that does
/// not say so in time gets no new calls while another one does: it is stopped or cut off, and TCP does not tell
/// (meshes.md, half-open connections).
pub(crate) fn listen_for_life(worker: &Worker, now: Instant) {
    let mut asked = Vec::new();
    {
        let core = worker.core.borrow();
        for (id, connection) in core.connections() {
            let Role::Link(endpoint) = &connection.role else {
                continue;
            };
            if connection.has_spoken.take() || core.waiting_on(id) == 0 && connection.asked.get().is_none() {
                connection.asked.set(None);
                connection.is_silent.set(false);
                continue;
            }
            match connection.asked.get() {
                None if endpoint.kind == EndpointKind::Agent => {
                    connection.asked.set(Some(now));
                    asked.push(id);
                }
                Some(since)
                    if now.saturating_duration_since(since) >= SILENT && !connection.is_silent.get() =>
                {
                    tracing::debug!(address = %endpoint.address, "an agent does not answer");
                    connection.is_silent.set(true);
                }
                None | Some(_) => {}
            }
        }
    }
    for id in asked {
        worker.append(id, dial::hello);
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
    if connection.is_lane.get() {
        worker.pool.borrow_mut().lost_lane(endpoint, Some(id));
    }
    let now = now();
    twice::lost(worker, id, now);
    let lost = worker.core.borrow_mut().close(id);
    connection.ended();
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
    worker
        .streams
        .borrow_mut()
        .sort_out(|endpoint| live.knows(endpoint));
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
