//! The client agent: a request of the local program becomes a call to a declared service.

pub(crate) mod attempt;

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
use crate::listen::motan::is_ours;
use crate::live::{Live, Service};
use crate::record::Record;
use crate::said::Said;
use crate::worker::Worker;
use crate::{answer, listen};

/// A Motan request of the local program. Gives the link that it was put on.
pub(crate) fn call(
    worker: &Rc<Worker>,
    from: ConnectionId,
    connection: &Rc<Connection>,
    frame: &Frame<'_>,
    now: Instant,
) -> Option<ConnectionId> {
    let live = worker.live();
    let said = Said::of(frame.meta);
    let service = match live.service(&said.wanted()) {
        Ok(service) => service,
        Err(failure) => {
            refuse(worker, &live, from, frame, &failure, now);
            return None;
        }
    };
    let asked = deadline::read_millis(said.timeout).map_or(Asked::Nothing, Asked::ByCaller);
    let timeout = deadline::timeout(service.policy.timeout_ms.duration(), asked);
    let mut request = worker.take_buffer();
    rewrite(
        &mut request,
        frame,
        &said,
        &live,
        service,
        &connection.peer,
        timeout,
    );
    let parcel = Parcel {
        call: Call::new(
            Caller::Motan(Turn::take(connection, from, frame.header.id)),
            Target::Service(Arc::clone(service)),
            Record::open(&service.motan, &worker.load, live.access, now),
        ),
        request,
        deadline: now + timeout,
    };
    if service.protocol == Protocol::Http && !said.is_http() {
        let words = format!(
            "service not support: {} speaks HTTP; calling it by Motan comes with a later version, call it by HTTP",
            service.name
        );
        answer::with_failure(worker, parcel, Failure::unsent(Kind::Unsupported, words), now);
        return None;
    }
    attempt::place(worker, service, parcel, now)
}

/// A request to something that is not in the plan.
fn refuse(
    worker: &Rc<Worker>,
    live: &Live,
    to: ConnectionId,
    frame: &Frame<'_>,
    failure: &Failure,
    now: Instant,
) {
    let record = Record::open(&live.unknown.motan, &worker.load, live.access, now);
    let took = Duration::ZERO;
    listen::motan::refuse(worker, to, frame.header.id, failure, false, took);
    let outcome = crate::observe::metrics::Outcome::Failed(failure.kind);
    record.close(outcome, now, &[], "");
}

/// The request as it goes to the other agent (motan-wire 3.2).
fn rewrite(
    out: &mut Vec<u8>,
    frame: &Frame<'_>,
    said: &Said<'_>,
    live: &Live,
    service: &Service,
    peer: &str,
    timeout: Duration,
) {
    let header = Header {
        kind: frame.header.kind | bits::PROXY,
        ..frame.header
    };
    let meta = |meta: &mut Writer<'_>| {
        meta.copy(frame.meta, |key| {
            !matches!(key, keys::HOST | keys::GROUP | keys::TIMEOUT) && !is_ours(key)
        });
        meta.pair(keys::HOST, peer.as_bytes());
        meta.pair(keys::GROUP, service.group.as_str().as_bytes());
        meta.pair(keys::TIMEOUT, timeout.as_millis().to_string().as_bytes());
        if said.request_id.is_empty() {
            let signed = frame.header.id.cast_signed();
            meta.pair(keys::REQUEST_ID, signed.to_string().as_bytes());
        }
        if said.source.is_empty() {
            let java = said.java_application;
            let source = if java.is_empty() {
                live.application.as_bytes()
            } else {
                java
            };
            meta.pair(keys::SOURCE, source);
        }
        if said.protocol.is_empty() {
            // What OpenResty servers need (motan-wire 11).
            meta.pair(keys::PROTOCOL, Protocol::Motan2.as_str().as_bytes());
        }
    };
    motan2::encode(out, header, meta, |out| out.extend_from_slice(frame.body));
}
