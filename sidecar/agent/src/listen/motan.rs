//! Motan from the local program and from other agents: messages of both versions to calls. How calls are answered is
//! in [`reply`].

mod reply;

use std::rc::Rc;
use std::time::{Duration, Instant};

use relay::ConnectionId;
use wire::keys;
use wire::message::{self, Message};
use wire::motan1::{self, Unreadable};
use wire::motan2::Frame;

use crate::failure::{Failure, Kind};
use crate::link::connection::{Closing, Connection, Role, Turn};
use crate::link::io::Io;
use crate::link::pump::{self, Ended};
use crate::worker::{ListenerKind, Phase, Worker};
use crate::{inbound, outbound};
pub(crate) use reply::{
    By, Served, announce_drain, announce_end, announce_refusal, form, head, refuse, reply, reply_http,
    reply_made, reply_map, reply_one,
};

/// How long the reason why a connection is closed may take to leave, and its caller to hear it.
const FAREWELL: Duration = Duration::from_millis(500);

/// Serves one connection until it ends.
pub(crate) async fn serve(worker: Rc<Worker>, kind: ListenerKind, io: Io, peer: Box<str>) {
    let (role, place) = match kind {
        ListenerKind::Inbound => (Role::Peer, &worker.places.inbound),
        ListenerKind::Motan | ListenerKind::Http | ListenerKind::Service(_) => {
            (Role::Local, &worker.places.motan)
        }
    };
    let connection = Connection::new(role, peer, io, place.clone());
    let id = worker.core.borrow_mut().open(Rc::clone(&connection));
    let ended = pump::run(&worker, id, &connection).await;
    if ended.is_fault() {
        place.broken.inc();
    }
    tracing::debug!(listener = kind.as_str(), peer = %connection.peer, reason = %ended, "connection ended");
    let is_told = matches!(ended, Ended::Broken(broken) if broken.is_too_long());
    if is_told || matches!(ended, Ended::Asked(Closing::Parting)) {
        // It has been told, and must be able to read it: closing on unread bytes would take that away.
        let _ = tokio::time::timeout(FAREWELL, connection.farewell(&worker, id)).await;
    }
    // Nothing waits for an answer on a caller's connection. Its calls end by themselves and find it gone.
    worker.core.borrow_mut().close(id);
    connection.ended();
}

/// A message of the local program. Gives the link that the call was put on.
///
/// # Errors
/// It is none that a program may send here.
pub(crate) fn from_program(
    worker: &Rc<Worker>,
    id: ConnectionId,
    connection: &Rc<Connection>,
    message: &Message<'_>,
    now: Instant,
) -> Result<Option<ConnectionId>, Ended> {
    if message.is_response() {
        return Err(Ended::Response);
    }
    Ok(match message {
        Message::Two(frame) if frame.header.is_heartbeat() => {
            if frame.meta.find(keys::MESH_HEARS).is_some() {
                connection.hears_drain.set(true);
            }
            let is_ending = connection.hears_drain.get() && worker.phase.get() >= Phase::Stopping;
            let word = is_ending.then_some(reply::GOING);
            worker.append(id, |out| reply::pulse(out, frame.header.id, word));
            None
        }
        Message::Two(frame) => outbound::call(worker, id, connection, frame, now),
        Message::One(frame) => match motan1::Request::read(*frame) {
            Ok(request) if request.is_heartbeat() => {
                worker.append(id, |out| motan1::write_heartbeat_answer(out, frame.id));
                None
            }
            Ok(request) => outbound::call_one(worker, id, connection, &request, frame.id, now),
            Err(error) => unreadable(worker, (id, connection), frame.id, error, By::ClientAgent),
        },
    })
}

/// A message of another agent. Gives the link that the call was put on.
///
/// # Errors
/// It is none that an agent may send here.
pub(crate) fn from_agent(
    worker: &Rc<Worker>,
    id: ConnectionId,
    connection: &Rc<Connection>,
    message: &Message<'_>,
    now: Instant,
) -> Result<Option<ConnectionId>, Ended> {
    if message.is_response() {
        return Err(Ended::Response);
    }
    Ok(match message {
        Message::Two(frame) if frame.header.is_heartbeat() => {
            heartbeat(worker, id, connection, frame);
            None
        }
        Message::Two(frame) => inbound::call(worker, id, connection, frame, now),
        Message::One(frame) => match motan1::Request::read(*frame) {
            Ok(request) if request.is_heartbeat() => {
                worker.append(id, |out| motan1::write_heartbeat_answer(out, frame.id));
                None
            }
            Ok(request) => inbound::call_one(worker, id, connection, &request, frame.id, now),
            Err(error) => unreadable(worker, (id, connection), frame.id, error, By::ServerAgent),
        },
    })
}

fn heartbeat(worker: &Worker, id: ConnectionId, connection: &Connection, frame: &Frame<'_>) {
    if frame.meta.find(keys::MESH_PEER).is_some() {
        connection.is_mesh.set(true);
        connection
            .hears_drain
            .set(frame.meta.find(keys::MESH_HEARS).is_some());
    }
    let word = match worker.phase.get() {
        Phase::Serving => None,
        phase if phase >= Phase::Refusing => Some(keys::MESH_DRAIN_END),
        _ => Some(reply::GOING),
    };
    let word = word.filter(|_| connection.is_mesh.get());
    worker.append(id, |out| reply::pulse(out, frame.header.id, word));
}

/// A Motan 1 request whose object stream can't be read is answered: only it has failed.
fn unreadable(
    worker: &Rc<Worker>,
    (id, connection): (ConnectionId, &Rc<Connection>),
    request: u64,
    error: Unreadable,
    by: By,
) -> Option<ConnectionId> {
    let turn = Turn::take(connection, id, request, message::Version::One);
    let failure = Failure::unsent(Kind::BadRequest, format!("the request can't be read: {error}"));
    refuse(worker, &turn, &failure, by, Duration::ZERO);
    connection.metrics.broken_messages.inc();
    None
}

/// Tells the caller of a message over the limit why its connection is closed, as Java's servers do (motan-wire 2.6).
pub(crate) fn too_long(worker: &Worker, id: ConnectionId, connection: &Rc<Connection>, bytes: &[u8]) {
    let Some(start) = message::start(bytes).filter(|start| !start.response) else {
        return;
    };
    let turn = Turn::take(connection, id, start.id, start.version);
    let words = "the request is over the limit of 10 MiB of metadata and of body";
    let by = match connection.role {
        Role::Peer => By::ServerAgent,
        _ => By::ClientAgent,
    };
    refuse(
        worker,
        &turn,
        &Failure::unsent(Kind::TooLarge, words),
        by,
        Duration::ZERO,
    );
}
