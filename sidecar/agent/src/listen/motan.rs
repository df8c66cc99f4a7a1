//! Motan 2 from the local program and from other agents: frames to calls, replies and failures to frames.

use std::rc::Rc;
use std::time::{Duration, Instant};

use relay::ConnectionId;
use wire::error::{self, ErrorType};
use wire::keys;
use wire::motan2::{self, Frame, Header, bits};

use crate::call::Target;
use crate::failure::{Failure, Kind, Reach};
use crate::link::connection::{Closing, Connection, Role, Turn};
use crate::link::io::Io;
use crate::link::pump::{self, Ended};
use crate::worker::{ListenerKind, Phase, Worker};
use crate::{inbound, outbound};

/// Replies that wait to be read by one caller, in bytes: beyond it, it is asking without listening.
const UNREAD_LIMIT: usize = 32 * 1024 * 1024;
/// Keys of ours begin so. They never leave the mesh.
const OURS: &[u8] = b"x-mesh-";

/// Serves one connection until it ends.
pub(crate) async fn serve(worker: Rc<Worker>, kind: ListenerKind, io: Io, peer: Box<str>) {
    let (role, place) = match kind {
        ListenerKind::Inbound => (Role::Peer, &worker.places.inbound),
        ListenerKind::Motan | ListenerKind::Http => (Role::Local, &worker.places.motan),
    };
    let connection = Connection::new(role, peer, io, place.clone());
    let id = worker.core.borrow_mut().open(Rc::clone(&connection));
    let ended = pump::run(&worker, id, &connection).await;
    if let Ended::Broken(_) | Ended::Overloaded | Ended::Asked(Closing::Stalled | Closing::Unread) = ended {
        place.broken.inc();
    }
    tracing::debug!(listener = kind.as_str(), peer = %connection.peer, reason = %ended, "connection ended");
    // Nothing waits for an answer on a caller's connection. Its calls end by themselves and find it gone.
    worker.core.borrow_mut().close(id);
    connection.ended();
}

/// A frame of the local program. Gives the link that the call was put on.
pub(crate) fn from_program(
    worker: &Rc<Worker>,
    id: ConnectionId,
    connection: &Rc<Connection>,
    frame: &Frame<'_>,
    now: Instant,
) -> Option<ConnectionId> {
    if frame.header.is_response() {
        return None;
    }
    if frame.header.is_heartbeat() {
        worker.append(id, |out| pulse(out, frame.header.id, false));
        return None;
    }
    outbound::call(worker, id, connection, frame, now)
}

/// A frame of another agent. Gives the link that the call was put on.
pub(crate) fn from_agent(
    worker: &Rc<Worker>,
    id: ConnectionId,
    connection: &Rc<Connection>,
    frame: &Frame<'_>,
    now: Instant,
) -> Option<ConnectionId> {
    if frame.header.is_response() {
        return None;
    }
    if frame.header.is_heartbeat() {
        if frame.meta.find(keys::MESH_PEER).is_some() {
            connection.is_mesh.set(true);
        }
        let is_draining = connection.is_mesh.get() && worker.phase.get() >= Phase::Announced;
        worker.append(id, |out| pulse(out, frame.header.id, is_draining));
        return None;
    }
    inbound::call(worker, id, connection, frame, now)
}

/// Tells every agent of ours that calls us to go elsewhere.
pub(crate) fn announce_drain(worker: &Worker) {
    let told: Vec<ConnectionId> = {
        let core = worker.core.borrow();
        let ours = core
            .connections()
            .filter(|(_, connection)| connection.is_mesh.get());
        ours.map(|(id, _)| id).collect()
    };
    for id in told {
        worker.append(id, |out| pulse(out, 0, true));
    }
}

/// The answer to a heartbeat, with the word that we go away where that is so.
fn pulse(out: &mut Vec<u8>, id: u64, is_draining: bool) {
    let header = Header::heartbeat(bits::RESPONSE, id);
    let meta = |meta: &mut wire::meta::Writer<'_>| {
        if is_draining {
            meta.pair(keys::MESH_DRAIN, b"1");
        }
    };
    motan2::encode(out, header, meta, |_| {});
}

/// Whether a key stays between our agents.
pub(crate) fn is_ours(key: &[u8]) -> bool {
    key.starts_with(OURS)
}

/// Relays a reply (motan-wire 3.3): status, serialization, body and whatever the program said stay as they are. A
/// compressed body keeps its bit: decompressing for callers that can't (2.7) comes with the next step. Gives false
/// where the caller is gone.
pub(crate) fn reply(
    worker: &Worker,
    turn: &Turn,
    target: &Target,
    frame: &Frame<'_>,
    served_by: &str,
    took: Duration,
) -> bool {
    let header = Header {
        kind: frame.header.kind | bits::PROXY | bits::RESPONSE,
        id: turn.id,
        ..frame.header
    };
    let is_client = matches!(target, Target::Service(_));
    let mut is_timed = false;
    send(worker, turn.to, |out| {
        motan2::encode(
            out,
            header,
            |meta| {
                meta.copy(frame.meta, |key| {
                    is_timed |= key == keys::PROCESS_TIME;
                    !(is_ours(key) || is_client && key == keys::FORWARDED_FOR)
                });
                if is_client {
                    meta.pair(keys::FORWARDED_FOR, served_by.as_bytes());
                }
                if !is_timed {
                    meta.pair(keys::PROCESS_TIME, took.as_millis().to_string().as_bytes());
                }
            },
            |out| out.extend_from_slice(frame.body),
        );
    })
}

/// Replies with an HTTP response (motan-wire 7.3 a); `body` writes the value. Gives false where the caller is gone.
pub(crate) fn reply_http(
    worker: &Worker,
    turn: &Turn,
    status: u16,
    body: impl FnOnce(&mut Vec<u8>),
    took: Duration,
) -> bool {
    let header = Header {
        kind: bits::PROXY | bits::RESPONSE,
        ..Header::request(turn.id)
    };
    send(worker, turn.to, |out| {
        motan2::encode(
            out,
            header,
            |meta| {
                meta.pair(keys::UPSTREAM_CODE, status.to_string().as_bytes());
                meta.pair(keys::PROCESS_TIME, took.as_millis().to_string().as_bytes());
            },
            body,
        );
    })
}

/// Tells a Motan caller of a failure: the one place where failures become `M_e` (motan-wire 4). A server agent adds
/// what the client agent needs to judge it. Gives false where the caller is gone.
pub(crate) fn refuse(
    worker: &Worker,
    to: ConnectionId,
    id: u64,
    failure: &Failure,
    is_server: bool,
    took: Duration,
) -> bool {
    let code = match failure.kind {
        Kind::Undeclared | Kind::BadRequest | Kind::TooLarge | Kind::Timeout => 400,
        Kind::NotProvided => 404,
        Kind::Unsupported => 501,
        Kind::NoEndpoint => 1001,
        Kind::Unavailable | Kind::Overloaded | Kind::Draining => 503,
    };
    send(worker, to, |out| {
        motan2::encode(
            out,
            Header::exception(id),
            |meta| {
                error::write(meta, code, ErrorType::Service, &failure.words);
                if is_server {
                    meta.pair(keys::MESH_ERROR, failure.kind.as_str().as_bytes());
                    if failure.reach == Reach::Unsent {
                        meta.pair(keys::MESH_UNSENT, b"1");
                    }
                }
                meta.pair(keys::PROCESS_TIME, took.as_millis().to_string().as_bytes());
            },
            |_| {},
        );
    })
}

/// Appends to a caller's connection; one that has too much to read is closed.
pub(crate) fn send(worker: &Worker, to: ConnectionId, write: impl FnOnce(&mut Vec<u8>)) -> bool {
    let is_there = worker.append(to, write);
    let core = worker.core.borrow();
    if core.queued(to) > UNREAD_LIMIT
        && let Some(connection) = core.attached(to)
    {
        connection.close(Closing::Unread);
    }
    is_there
}
