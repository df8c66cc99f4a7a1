//! The server agent: a request of another agent becomes a call to the local program.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use govern::deadline::{self, Asked};
use plan::Protocol;
use relay::{ConnectionId, Parcel};
use wire::keys;
use wire::meta::Writer;
use wire::motan2::{self, Frame, Header, bits};

use crate::call::{Call, Caller, Target};
use crate::failure::{Failure, Kind};
use crate::link::connection::{Connection, Turn};
use crate::listen;
use crate::listen::motan::is_ours;
use crate::live::{Export, Live};
use crate::observe::metrics::Outcome;
use crate::provide;
use crate::record::Record;
use crate::said::Said;
use crate::worker::{Phase, Worker};

/// A Motan request of another agent. Gives the link that it was put on.
pub(crate) fn call(
    worker: &Rc<Worker>,
    from: ConnectionId,
    connection: &Rc<Connection>,
    frame: &Frame<'_>,
    now: Instant,
) -> Option<ConnectionId> {
    let live = worker.live();
    let said = Said::of(frame.meta);
    let export = match admit(worker, &live, &said) {
        Ok(export) => export,
        Err(failure) => {
            refuse(worker, &live, from, frame, &failure, now);
            return None;
        }
    };
    let asked = deadline::read_millis(said.timeout).map_or(Asked::Nothing, |asked| {
        if connection.is_mesh.get() {
            Asked::ByAgent(asked)
        } else {
            Asked::ByCaller(asked)
        }
    });
    let timeout = deadline::timeout(export.policy.timeout_ms.duration(), asked);
    let mut request = worker.take_buffer();
    rewrite(&mut request, frame, &said, &connection.peer);
    let parcel = Parcel {
        call: Call::new(
            Caller::Motan(Turn::take(connection, from, frame.header.id)),
            Target::Export(Arc::clone(export)),
            Record::open(&export.metrics, &worker.load, live.access, now),
        ),
        request,
        deadline: now + timeout,
    };
    match export.protocol {
        Protocol::Motan2 | Protocol::Motan => provide::motan::place(worker, export, parcel, now),
        Protocol::Http => {
            provide::http::start(worker, export, parcel, said.is_http(), now);
            None
        }
    }
}

fn admit<'a>(worker: &Worker, live: &'a Live, said: &Said<'_>) -> Result<&'a Arc<Export>, Failure> {
    if worker.phase.get() >= Phase::Refusing {
        return Err(Failure::unsent(Kind::Draining, "this instance is going away"));
    }
    if !said.framework.is_empty() {
        // The words that make callers ask this node no more for a while (motan-wire 8).
        return Err(Failure::unsent(Kind::Unsupported, "service not support"));
    }
    live.export(&said.wanted())
}

fn refuse(
    worker: &Rc<Worker>,
    live: &Live,
    to: ConnectionId,
    frame: &Frame<'_>,
    failure: &Failure,
    now: Instant,
) {
    let record = Record::open(&live.unknown.inbound, &worker.load, live.access, now);
    listen::motan::refuse(worker, to, frame.header.id, failure, true, Duration::ZERO);
    record.close(Outcome::Failed(failure.kind), now, &[], "");
}

/// The request as it goes to the program (motan-wire 3.2).
fn rewrite(out: &mut Vec<u8>, frame: &Frame<'_>, said: &Said<'_>, peer: &str) {
    let header = Header {
        kind: frame.header.kind | bits::PROXY,
        ..frame.header
    };
    let meta = |meta: &mut Writer<'_>| {
        meta.copy(frame.meta, |key| key != keys::HOST && !is_ours(key));
        meta.pair(keys::HOST, peer.as_bytes());
        if said.request_id.is_empty() {
            let signed = frame.header.id.cast_signed();
            meta.pair(keys::REQUEST_ID, signed.to_string().as_bytes());
        }
        if said.forwarded_for.is_empty() {
            meta.pair(keys::FORWARDED_FOR, peer.as_bytes());
        }
        if said.protocol.is_empty() {
            meta.pair(keys::PROTOCOL, Protocol::Motan2.as_str().as_bytes());
        }
    };
    motan2::encode(out, header, meta, |out| out.extend_from_slice(frame.body));
}
