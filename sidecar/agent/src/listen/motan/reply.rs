//! How a Motan caller is answered, in the version of its question: with what the program said, or with a failure.

use std::time::Duration;

use relay::ConnectionId;
use wire::breeze;
use wire::error::{self, ErrorType};
use wire::gzip::NotGzip;
use wire::keys;
use wire::message::Version;
use wire::meta::{Meta, Writer};
use wire::motan1;
use wire::motan2::{self, EXCEPTION, Frame, Head, Header, bits};

use crate::answer::{Exception, Made};
use crate::body::Form;
use crate::call::Target;
use crate::failure::{Failure, Kind, Reach};
use crate::link::connection::{Closing, Connection, Turn};
use crate::meta::Pairs;
use crate::said::is_ours;
use crate::worker::Worker;

/// Replies that wait to be read by one caller, in bytes: beyond it, it is asking without listening.
const UNREAD_LIMIT: usize = 32 * 1024 * 1024;

/// What the reply of a call has to say beside what the program said.
pub(crate) struct Served<'a> {
    /// What was called.
    pub(crate) target: &'a Target,
    /// Where it was served; a client agent tells its program.
    pub(crate) by: &'a str,
    /// How long it took.
    pub(crate) took: Duration,
}

/// What becomes of the body of a reply. A local program gets none that is compressed; another agent of ours does, and
/// is asked by policy to take one (motan-wire 2.7).
pub(crate) fn form(turn: &Turn, target: &Target, kind: u8, length: usize) -> Form {
    match target {
        Target::Service(_) => Form::of(kind, length, None, false),
        Target::Export(export) => {
            let is_of_mesh = turn.is_of_mesh();
            Form::of(kind, length, export.mingz_size.filter(|_| is_of_mesh), is_of_mesh)
        }
    }
}

/// Relays a reply (motan-wire 3.3): status, serialization, body and whatever the program said stay as they are. Gives
/// false where the caller is gone.
///
/// # Errors
/// The body can't be inflated; nothing was written.
pub(crate) fn reply(
    worker: &Worker,
    turn: &Turn,
    frame: &Frame<'_>,
    served: &Served<'_>,
) -> Result<bool, NotGzip> {
    let form = form(turn, served.target, frame.header.kind, frame.body.len());
    let inflated = match form {
        Form::Inflated => {
            let mut inflated = worker.take_buffer(frame.body.len());
            form.write(frame.body, &mut inflated)?;
            Some(inflated)
        }
        Form::AsItCame | Form::Deflated => None,
    };
    let is_told = send(worker, turn.to, |out| {
        motan2::encode(
            out,
            header(frame.header, turn.id, form),
            |out| meta(out, frame.meta, served),
            |out| match &inflated {
                Some(inflated) => out.extend_from_slice(inflated),
                None => {
                    let _ = form.write(frame.body, out); // only inflating can fail
                }
            },
        );
    });
    if let Some(inflated) = inflated {
        worker.give_buffer(inflated);
    }
    Ok(is_told)
}

/// Begins a reply whose body is passed through as it comes; false where that can't be done now.
pub(crate) fn head(worker: &Worker, turn: &Turn, head: &Head<'_>, served: &Served<'_>) -> bool {
    worker.begin(turn.to, |out| {
        let header = header(head.header, turn.id, Form::AsItCame);
        motan2::encode_head(out, header, |out| meta(out, head.meta, served), head.body_len);
    })
}

const fn header(header: Header, id: u64, form: Form) -> Header {
    Header {
        kind: form.kind(header.kind) | bits::PROXY | bits::RESPONSE,
        id,
        ..header
    }
}

fn meta(out: &mut Writer<'_>, meta: Meta<'_>, served: &Served<'_>) {
    let is_client = matches!(served.target, Target::Service(_));
    let mut is_timed = false;
    out.copy(meta, |key| {
        is_timed |= key == keys::PROCESS_TIME;
        !(is_ours(key) || is_client && key == keys::FORWARDED_FOR)
    });
    if is_client {
        out.pair(keys::FORWARDED_FOR, served.by.as_bytes());
    }
    if !is_timed {
        out.number(keys::PROCESS_TIME, millis(served.took));
    }
}

/// Relays a Motan 1 reply, byte for byte but for its id (motan-wire 9). Gives false where the caller is gone.
pub(crate) fn reply_one(worker: &Worker, turn: &Turn, message: &[u8]) -> bool {
    send(worker, turn.to, |out| {
        let start = out.len();
        out.extend_from_slice(message);
        motan1::set_id(&mut out[start..], turn.id);
    })
}

/// Replies with an HTTP response (motan-wire 7.3 a); `body` writes the value. Gives false where the caller is gone.
pub(crate) fn reply_http(
    worker: &Worker,
    turn: &Turn,
    (status, token): (u16, Option<&str>),
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
                meta.number(keys::UPSTREAM_CODE, status.into());
                if let Some(token) = token {
                    meta.pair(keys::MESH_BODY, token.as_bytes());
                }
                meta.number(keys::PROCESS_TIME, millis(took));
            },
            body,
        );
    })
}

/// Replies with what was made of a program's answer. Gives false where the caller is gone.
pub(crate) fn reply_made(worker: &Worker, turn: &Turn, made: &Made, target: &Target, took: Duration) -> bool {
    let Made {
        serialization,
        meta: said,
        body,
        exception,
    } = made;
    let form = form(turn, target, 0, body.len());
    let header = Header {
        kind: form.kind(bits::PROXY | bits::RESPONSE),
        status: if exception.is_some() { EXCEPTION } else { 0 },
        serialization: serialization << 3,
        id: turn.id,
    };
    send(worker, turn.to, |out| {
        motan2::encode(
            out,
            header,
            |meta| {
                meta.copy(Meta::new(said).unwrap_or_default(), |_| true);
                if let Some(Exception { code, words }) = exception {
                    error::write(meta, *code, ErrorType::Biz, words);
                }
                meta.number(keys::PROCESS_TIME, millis(took));
            },
            |out| {
                let _ = form.write(body, out); // only inflating can fail
            },
        );
    })
}

/// Replies with a map of strings in breeze, as the meta service does (motan-wire 8).
pub(crate) fn reply_map(worker: &Worker, turn: &Turn, pairs: &Pairs) -> bool {
    let header = Header {
        kind: bits::PROXY | bits::RESPONSE,
        serialization: breeze::NUMBER << 3,
        ..Header::request(turn.id)
    };
    send(worker, turn.to, |out| {
        motan2::encode(
            out,
            header,
            |meta| meta.number(keys::PROCESS_TIME, 0),
            |body| {
                let pairs = pairs
                    .iter()
                    .map(|(key, value)| (key.as_bytes(), value.as_bytes()));
                breeze::write(body, pairs);
            },
        );
    })
}

/// Who tells a Motan caller of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    ClientAgent,
    ServerAgent,
    /// The server agent as what makes another protocol of a call: it has its own codes (motan-wire 7.3 b).
    Converter,
}

/// Tells a Motan caller of a failure: the one place where failures become exceptions (motan-wire 4). A server agent
/// adds what a client agent of ours needs to judge it, and for that answers in Motan 2 whatever was asked. Gives false
/// where the caller is gone.
pub(crate) fn refuse(worker: &Worker, turn: &Turn, failure: &Failure, by: By, took: Duration) -> bool {
    let is_server = by != By::ClientAgent;
    let is_plain_one = turn.version == Version::One && !(is_server && turn.is_of_mesh());
    let (code, kind) = match (failure.status, by) {
        (Some(status), _) => (i64::from(status), ErrorType::Service),
        (None, By::ClientAgent | By::ServerAgent) => (code(failure.kind), ErrorType::Service),
        (None, By::Converter) => converted(failure.kind),
    };
    send(worker, turn.to, |out| {
        if is_plain_one {
            motan1::write_exception(out, turn.id, code_one(failure.kind), &failure.words);
            return;
        }
        motan2::encode(
            out,
            Header::exception(turn.id),
            |meta| {
                error::write(meta, code, kind, &failure.words);
                if is_server {
                    meta.pair(keys::MESH_ERROR, failure.kind.as_str().as_bytes());
                    if failure.reach == Reach::Unsent {
                        meta.pair(keys::MESH_UNSENT, b"1");
                    }
                }
                meta.number(keys::PROCESS_TIME, millis(took));
            },
            |_| {},
        );
    })
}

/// The codes of motan-wire 7.3 b, where it has one.
const fn converted(kind: Kind) -> (i64, ErrorType) {
    match kind {
        Kind::BadRequest => (400, ErrorType::Biz),
        Kind::Unavailable | Kind::Timeout => (503, ErrorType::Biz),
        other => (code(other), ErrorType::Service),
    }
}

/// The codes of motan-wire 4.1.
const fn code(kind: Kind) -> i64 {
    match kind {
        Kind::Undeclared | Kind::BadRequest | Kind::Timeout => 400,
        Kind::Forbidden => 403,
        Kind::NotProvided => 404,
        Kind::Unsupported => 501,
        Kind::Unavailable
        | Kind::Overloaded
        | Kind::Draining
        | Kind::RateLimited
        | Kind::Degraded
        | Kind::CircuitOpen
        | Kind::Injected => 503,
        Kind::NoEndpoint => 1001,
        Kind::BadAnswer => 1003,
        Kind::TooLarge => 10_201,
    }
}

/// Java's own codes, for Java's older protocol (motan-clients 1.5).
const fn code_one(kind: Kind) -> i32 {
    match kind {
        Kind::Timeout => 10_003,
        Kind::Forbidden
        | Kind::Overloaded
        | Kind::Draining
        | Kind::RateLimited
        | Kind::Degraded
        | Kind::CircuitOpen => 10_002,
        Kind::Undeclared | Kind::NotProvided | Kind::NoEndpoint => 10_101,
        Kind::TooLarge => 10_201,
        Kind::BadRequest | Kind::Unsupported | Kind::Unavailable | Kind::BadAnswer | Kind::Injected => {
            motan1::DEFAULT_CODE
        }
    }
}

/// Appends to a caller's connection; one that has too much to read is closed.
fn send(worker: &Worker, to: ConnectionId, write: impl FnOnce(&mut Vec<u8>)) -> bool {
    let is_there = worker.append(to, write);
    let core = worker.core.borrow();
    if core.queued(to) > UNREAD_LIMIT
        && let Some(connection) = core.attached(to)
    {
        connection.close(Closing::Unread);
    }
    is_there
}

/// The value of [`keys::MESH_DRAIN`] while calls are still taken.
pub(super) const GOING: &[u8] = b"1";

/// Tells every agent of ours that calls us to go elsewhere.
pub(crate) fn announce_drain(worker: &Worker) {
    announce(worker, GOING, |connection| connection.is_mesh.get());
}

/// Tells every agent of ours that no call is taken any more: those who understand it leave once nothing is owed to them.
pub(crate) fn announce_refusal(worker: &Worker) {
    announce(worker, keys::MESH_DRAIN_END, |connection| {
        connection.is_mesh.get()
    });
}

/// Tells programs that understand it to call anew: what they have asked is answered, and they leave when it is.
pub(crate) fn announce_end(worker: &Worker) {
    announce(worker, GOING, |connection| {
        connection.hears_drain.get() && !connection.is_mesh.get()
    });
}

fn announce(worker: &Worker, word: &'static [u8], to: impl Fn(&Connection) -> bool) {
    let told: Vec<ConnectionId> = {
        let core = worker.core.borrow();
        let told = core.connections().filter(|(_, connection)| to(connection));
        told.map(|(id, _)| id).collect()
    };
    for id in told {
        worker.append(id, |out| pulse(out, 0, Some(word)));
    }
}

/// The answer to a heartbeat, with a word on how we go away where that is so.
pub(super) fn pulse(out: &mut Vec<u8>, id: u64, going: Option<&'static [u8]>) {
    let meta = |meta: &mut Writer<'_>| {
        if let Some(word) = going {
            meta.pair(keys::MESH_DRAIN, word);
        }
    };
    motan2::encode(out, Header::heartbeat(bits::RESPONSE, id), meta, |_| {});
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
