//! The client agent: a request of the local program becomes a call to a declared service.

pub(crate) mod attempt;
pub(crate) mod choose;
pub(crate) mod conduct;
pub(crate) mod mirror;
pub(crate) mod pick;
mod rewrite;
pub(crate) mod stream;
pub(crate) mod twice;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use govern::deadline::{self, Asked};
use plan::Protocol;
use relay::{ConnectionId, Parcel};
use wire::message::Version;
use wire::motan1;
use wire::motan2::{Frame, Head, bits};

use crate::answer;
use crate::body::{self, Form};
use crate::call::{Call, Caller, Target};
use crate::failure::{Failure, Kind};
use crate::link::connection::{Connection, Turn};
use crate::listen::{self, motan::By};
use crate::live::{Endpoint, Facts, Live, Service};
use crate::record::Record;
use crate::said::{Said, SaidOne};
use crate::worker::Worker;
use rewrite::Change;

/// A Motan 2 request of the local program. Gives the link that it was put on.
pub(crate) fn call(
    worker: &Rc<Worker>,
    from: ConnectionId,
    connection: &Rc<Connection>,
    frame: &Frame<'_>,
    now: Instant,
) -> Option<ConnectionId> {
    let live = worker.live();
    let said = Said::of(frame.meta);
    let turn = || Turn::take(connection, from, frame.header.id, Version::Two);
    let (service, host) = match find(&live, &said) {
        Ok(found) => found,
        Err(failure) => return refuse(worker, &live, &turn(), &failure, now),
    };
    let service = choose::way(worker, service, Facts::Motan(said.method, frame.meta), now);
    let (mut parcel, mut change) = begin(worker, &live, service, turn(), (said.method, said.timeout), now);
    change.host = host;
    parcel.call.key = service.balancing.key(frame.meta);
    let form = form(service, frame.header.kind, frame.body.len());
    parcel.request = worker.take_buffer(frame.meta.as_bytes().len() + frame.body.len());
    let written = change.write(&mut parcel.request, frame, &said, &connection.peer, form);
    if let Err(failure) = takes(service, Version::Two).and(written.map_err(body::refused)) {
        answer::with_failure(worker, parcel, failure, now);
        return None;
    }
    attempt::start(worker, service, parcel, now)
}

/// A Motan 1 request of the local program (motan-wire 9). Gives the link that it was put on.
pub(crate) fn call_one(
    worker: &Rc<Worker>,
    from: ConnectionId,
    connection: &Rc<Connection>,
    request: &motan1::Request<'_>,
    id: u64,
    now: Instant,
) -> Option<ConnectionId> {
    let live = worker.live();
    let said = SaidOne::of(request);
    let turn = Turn::take(connection, from, id, Version::One);
    let service = match live.service(&said.wanted(request.interface())) {
        Ok(service) => service,
        Err(failure) => return refuse(worker, &live, &turn, &failure, now),
    };
    let service = choose::way(worker, service, Facts::Motan1(request), now);
    let asked = (request.method(), &*said.timeout);
    let (mut parcel, change) = begin(worker, &live, service, turn, asked, now);
    parcel.request = worker.take_buffer(request.parameters().len());
    change.write_one(&mut parcel.request, request, &said, &connection.peer);
    if let Err(failure) = takes(service, Version::One) {
        answer::with_failure(worker, parcel, failure, now);
        return None;
    }
    attempt::start(worker, service, parcel, now)
}

/// Where a large request goes whose body may be passed through, and by which way; `None` where it must be here as a whole
/// first.
pub(crate) fn passes_to(
    worker: &Rc<Worker>,
    head: &Head<'_>,
    now: Instant,
) -> Option<(Arc<Endpoint>, Arc<Service>)> {
    let live = worker.live();
    let said = Said::of(head.meta);
    let (service, _) = find(&live, &said).ok()?;
    let service = choose::way(worker, service, Facts::Motan(said.method, head.meta), now);
    takes(service, Version::Two).ok()?;
    if form(service, head.header.kind, head.body_len) != Form::AsItCame {
        return None;
    }
    let rule = service.rules.get(service.rules.of(said.method));
    let key = service.balancing.key(head.meta);
    let endpoint = rule
        .lets_pass()
        .then(|| attempt::ready(worker, service, key, now))??;
    Some((endpoint, Arc::clone(service)))
}

/// The call of such a request by that way, with its head.
pub(crate) fn call_of_head(
    worker: &Rc<Worker>,
    from: ConnectionId,
    connection: &Rc<Connection>,
    (head, service): (&Head<'_>, &Arc<Service>),
    now: Instant,
) -> Option<Parcel<Call>> {
    let live = worker.live();
    let said = Said::of(head.meta);
    let (_, host) = find(&live, &said).ok()?;
    let turn = Turn::take(connection, from, head.header.id, Version::Two);
    let (mut parcel, mut change) = begin(worker, &live, service, turn, (said.method, said.timeout), now);
    change.host = host;
    parcel.request = worker.take_buffer(head.meta.as_bytes().len());
    change.write_head(&mut parcel.request, head, &said, &connection.peer);
    Some(parcel)
}

/// The service that a request wants, by its path; or by a host of it, which is then given too (motan-wire 7.4).
fn find<'a>(live: &'a Live, said: &Said<'a>) -> Result<(&'a Arc<Service>, Option<&'a [u8]>), Failure> {
    if !said.framework.is_empty() {
        // Asked of a node; there is none behind this port. The words that end such questions for a while (motan-wire 8).
        return Err(Failure::unsent(Kind::Unsupported, "service not support"));
    }
    match live.service(&said.wanted()) {
        Ok(service) => Ok((service, None)),
        Err(failure) if failure.kind == Kind::Undeclared && said.method.starts_with(b"/") => {
            let service = by_host(live, said)?.ok_or(failure)?;
            Ok((service, Some(said.path)))
        }
        Err(failure) => Err(failure),
    }
}

fn by_host<'a>(live: &'a Live, said: &Said<'_>) -> Result<Option<&'a Arc<Service>>, Failure> {
    let host = String::from_utf8_lossy(said.path).to_ascii_lowercase();
    if !live.knows_host(&host) {
        return Ok(None);
    }
    let service = live.at(&host, said.method)?;
    if service.protocol.is_motan() {
        let (name, speaks, path) = (&service.name, service.protocol.as_str(), &service.path);
        let words = format!("{host} is a host of {name}, which speaks {speaks}: call it by its path {path}");
        return Err(Failure::unsent(Kind::BadRequest, words));
    }
    Ok(Some(service))
}

fn takes(service: &Service, version: Version) -> Result<(), Failure> {
    if service.takes(version) {
        return Ok(());
    }
    let (name, speaks) = (&service.name, service.protocol.as_str());
    let words = match version {
        Version::One if service.protocol == Protocol::Motan2 => format!(
            "service not support: {name} speaks {speaks} and not Motan 1; call it by that, or let its MeshService say \
             spec.backend.motan1Port"
        ),
        Version::One => {
            format!(
                "service not support: {name} speaks {speaks} and not Motan 1; call it by that, or by Motan 2"
            )
        }
        Version::Two => {
            format!("service not support: {name} speaks Motan 1 only; call it with the protocol motan")
        }
    };
    Err(Failure::unsent(Kind::Unsupported, words))
}

/// Outside of the mesh nobody knows who inflates, unless the policy says that they all do; a program without an agent gets
/// what it would get from its agent (motan-wire 2.7).
fn form(service: &Service, kind: u8, length: usize) -> Form {
    Form::of(kind & bits::GZIP, length, service.mingz_size, takes_gzip(service))
}

fn takes_gzip(service: &Service) -> bool {
    !service.direct && (!service.external || service.mingz_size.is_some())
}

fn begin<'a>(
    worker: &Worker,
    live: &'a Live,
    service: &'a Arc<Service>,
    turn: Turn,
    (method, asked): (&[u8], &[u8]),
    now: Instant,
) -> (Parcel<Call>, Change<'a>) {
    let rule = service.rules.of(method);
    let asked = deadline::read_millis(asked).map_or(Asked::Nothing, Asked::ByCaller);
    let timeout = deadline::timeout(service.rules.get(rule).timeout, asked);
    let record = Record::open(&service.motan, &worker.load, live.access, now);
    let target = Target::Service(Arc::clone(service));
    let mut call = Call::new(Caller::Motan(turn), target, record);
    call.rule = rule;
    let parcel = Parcel {
        call,
        request: Vec::new(),
        deadline: now + timeout,
        is_partial: false,
    };
    let change = Change {
        application: live.application.as_bytes(),
        service,
        host: None,
        timeout,
    };
    (parcel, change)
}

/// A request to something that is not in the plan.
fn refuse(
    worker: &Rc<Worker>,
    live: &Live,
    turn: &Turn,
    failure: &Failure,
    now: Instant,
) -> Option<ConnectionId> {
    let record = Record::open(&live.unknown.motan, &worker.load, live.access, now);
    listen::motan::refuse(worker, turn, failure, By::ClientAgent, Duration::ZERO);
    let outcome = crate::observe::metrics::Outcome::Failed(failure.kind);
    record.close(outcome, now, &[], "");
    None
}
