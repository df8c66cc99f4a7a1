//! The server agent: a request of another agent becomes a call to the local program.

pub(crate) mod handed;
mod rewrite;
pub(crate) mod stream;
mod unary;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use govern::deadline::{self, Asked};
use plan::Protocol;
use relay::{ConnectionId, Parcel};
use wire::message::Version;
use wire::motan1;
use wire::motan2::{Frame, Head};

use crate::answer;
use crate::body::{self, Form};
use crate::call::{Call, Caller, Target};
use crate::failure::{Failure, Kind};
use crate::governed::limits::Admission;
use crate::link::connection::{Connection, Turn};
use crate::listen::{self, motan::By};
use crate::live::route::Wanted;
use crate::live::{Endpoint, Export, Live};
use crate::observe::metrics::Outcome;
use crate::provide;
use crate::record::Record;
use crate::said::{Said, SaidOne};
use crate::worker::{Phase, Worker};

/// The framework's service of what programs tell of themselves, and its one method.
pub(crate) const META_SERVICE: &[u8] = b"com.weibo.api.motan.runtime.meta.MetaService";
pub(crate) const META_METHOD: &[u8] = b"getDynamicMeta";

/// A Motan 2 request of another agent. Gives the link that it was put on.
pub(crate) fn call(
    worker: &Rc<Worker>,
    from: ConnectionId,
    connection: &Rc<Connection>,
    frame: &Frame<'_>,
    now: Instant,
) -> Option<ConnectionId> {
    let live = worker.live();
    let said = Said::of(frame.meta);
    let turn = Turn::take(connection, from, frame.header.id, Version::Two);
    if is_for_meta(&said) {
        let pairs = live.meta.all();
        listen::motan::reply_map(worker, &turn, &pairs);
        return None;
    }
    let export = match asked_for(worker, &live, connection, &said) {
        Ok(export) => export,
        Err(failure) => return refuse(worker, &live, &turn, &failure, now),
    };
    if said.is_http() && export.protocol.is_motan() && export.front.rest.is_none() {
        return refuse(worker, &live, &turn, &no_routes(export), now);
    }
    let mut parcel = begin(
        worker,
        &live,
        export,
        (connection, turn),
        (said.method, said.timeout),
        now,
    );
    // Whether the program inflates is not known, and not all do (motan-wire 2.7).
    let form = Form::of(frame.header.kind, frame.body.len(), None, false);
    parcel.request = worker.take_buffer(frame.meta.as_bytes().len() + frame.body.len());
    let written = rewrite::write(&mut parcel.request, frame, &said, connection, form);
    if let Err(failure) = takes(export, Version::Two).and(written.map_err(body::refused)) {
        answer::with_failure(worker, parcel, failure, now);
        return None;
    }
    let is_http = said.is_http();
    parcel.call.takes_stream = connection.is_mesh.get() && !said.takes.is_empty();
    admitted(
        worker,
        export,
        parcel,
        (said.method, said.source),
        now,
        move |worker, export, parcel, now| start(worker, export, parcel, is_http, now),
    )
}

/// Starts a call to the program. Gives the link that it was put on.
fn start(
    worker: &Rc<Worker>,
    export: &Arc<Export>,
    parcel: Parcel<Call>,
    is_http: bool,
    now: Instant,
) -> Option<ConnectionId> {
    match export.protocol {
        Protocol::Motan2 | Protocol::Motan if is_http => {
            return provide::rest::start(worker, export, parcel, now);
        }
        Protocol::Motan2 | Protocol::Motan => return provide::motan::place(worker, export, parcel, now),
        Protocol::Grpc if is_http && export.front.grpc.is_some() => {
            provide::transcode::start(worker, export, parcel);
        }
        Protocol::Grpc if !is_http => provide::grpc::start(worker, export, parcel),
        Protocol::Http | Protocol::Grpc => provide::http::start(worker, export, parcel, is_http),
    }
    None
}

/// Lets in a call of `method` by `caller` that the limits of its service let in: at once, or when it has a place.
fn admitted(
    worker: &Rc<Worker>,
    export: &Arc<Export>,
    mut parcel: Parcel<Call>,
    by: (&[u8], &[u8]),
    now: Instant,
    start: impl FnOnce(&Rc<Worker>, &Arc<Export>, Parcel<Call>, Instant) -> Option<ConnectionId> + 'static,
) -> Option<ConnectionId> {
    let Some(limits) = &export.limits else {
        return start(worker, export, parcel, now);
    };
    match limits.admit(by, (parcel.deadline, now), &export.metrics) {
        Ok(Admission::In(permit)) => {
            parcel.call.record.permit = permit;
            return start(worker, export, parcel, now);
        }
        Ok(Admission::Wait(waiting)) => {
            let (worker, export) = (Rc::clone(worker), Arc::clone(export));
            Rc::clone(&worker).spawn(async move {
                match waiting.place().await {
                    Ok(permit) => {
                        parcel.call.record.permit = Some(permit);
                        start(&worker, &export, parcel, crate::worker::now());
                    }
                    Err(failure) => answer::with_failure(&worker, parcel, failure, crate::worker::now()),
                }
            });
        }
        Err(failure) => answer::with_failure(worker, parcel, failure, now),
    }
    None
}

/// A Motan 1 request of another agent (motan-wire 9). Gives the link that it was put on.
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
    let export = match admit(worker, &live, connection, &said.wanted(request.interface())) {
        Ok(export) => export,
        Err(failure) => return refuse(worker, &live, &turn, &failure, now),
    };
    let mut parcel = begin(
        worker,
        &live,
        export,
        (connection, turn),
        (request.method(), &said.timeout),
        now,
    );
    parcel.request = worker.take_buffer(request.parameters().len());
    rewrite::write_one(&mut parcel.request, request, &said, connection);
    if let Err(failure) = takes(export, Version::One) {
        answer::with_failure(worker, parcel, failure, now);
        return None;
    }
    let by = (request.method(), &*said.source);
    admitted(worker, export, parcel, by, now, provide::motan::place)
}

/// Where a large request goes whose body may be passed through; `None` where it must be here as a whole first.
pub(crate) fn passes_to(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    head: &Head<'_>,
    now: Instant,
) -> Option<Arc<Endpoint>> {
    let live = worker.live();
    let export = asked_for(worker, &live, connection, &Said::of(head.meta)).ok()?;
    let form = Form::of(head.header.kind, head.body_len, None, false);
    let is_http = Said::of(head.meta).is_http();
    let passes =
        export.protocol == Protocol::Motan2 && !is_http && form == Form::AsItCame && export.limits.is_none();
    passes.then(|| provide::motan::ready(worker, &export.backend, now))?
}

/// The call of such a request, with its head.
pub(crate) fn call_of_head(
    worker: &Rc<Worker>,
    from: ConnectionId,
    connection: &Rc<Connection>,
    head: &Head<'_>,
    now: Instant,
) -> Option<Parcel<Call>> {
    let live = worker.live();
    let said = Said::of(head.meta);
    let export = asked_for(worker, &live, connection, &said).ok()?;
    let turn = Turn::take(connection, from, head.header.id, Version::Two);
    let mut parcel = begin(
        worker,
        &live,
        export,
        (connection, turn),
        (said.method, said.timeout),
        now,
    );
    parcel.request = worker.take_buffer(head.meta.as_bytes().len());
    rewrite::write_head(&mut parcel.request, head, &said, connection);
    Some(parcel)
}

/// Whether it asks the agent itself what its program tells of itself (motan-wire 8). Groups don't matter.
fn is_for_meta(said: &Said<'_>) -> bool {
    !said.framework.is_empty() && said.path == META_SERVICE && said.method == META_METHOD
}

fn asked_for<'a>(
    worker: &Worker,
    live: &'a Live,
    connection: &Connection,
    said: &Said<'_>,
) -> Result<&'a Arc<Export>, Failure> {
    if !said.framework.is_empty() {
        // The words that make callers ask this node no more for a while (motan-wire 8).
        return Err(Failure::unsent(Kind::Unsupported, "service not support"));
    }
    admit(worker, live, connection, &said.wanted())
}

fn admit<'a>(
    worker: &Worker,
    live: &'a Live,
    connection: &Connection,
    wanted: &Wanted<'_>,
) -> Result<&'a Arc<Export>, Failure> {
    if worker.phase.get() >= Phase::Refusing {
        return Err(Failure::unsent(Kind::Draining, "this instance is going away"));
    }
    let export = live.export(wanted)?;
    open_to(export, connection.is_mesh.get())?;
    Ok(export)
}

fn open_to(export: &Export, is_mesh: bool) -> Result<(), Failure> {
    if export.plain || is_mesh {
        return Ok(());
    }
    let words = format!(
        "{} is not open to callers outside of the mesh: let its MeshService say spec.export: {{plain: true}}",
        export.name
    );
    Err(Failure::unsent(Kind::Forbidden, words))
}

/// An HTTP request for a program that speaks Motan, with nothing that says how the one becomes the other.
fn no_routes(export: &Export) -> Failure {
    let words = format!(
        "{} speaks {}: to call it by HTTP let its MeshService declare spec.http routes, or call it by Motan on port 9981",
        export.name,
        export.protocol.as_str()
    );
    Failure::perhaps(Kind::Unsupported, words) // no other place can do it either
}

fn takes(export: &Export, version: Version) -> Result<(), Failure> {
    if export.takes(version).is_some() {
        return Ok(());
    }
    let words = format!(
        "service not support: {} speaks {} and not Motan {}",
        export.name,
        export.protocol.as_str(),
        match version {
            Version::One => 1,
            Version::Two => 2,
        }
    );
    Err(Failure::unsent(Kind::Unsupported, words))
}

fn begin(
    worker: &Worker,
    live: &Live,
    export: &Arc<Export>,
    (connection, turn): (&Connection, Turn),
    (method, asked): (&[u8], &[u8]),
    now: Instant,
) -> Parcel<Call> {
    let asked = deadline::read_millis(asked).map_or(Asked::Nothing, |asked| {
        if connection.is_mesh.get() {
            Asked::ByAgent(asked)
        } else {
            Asked::ByCaller(asked)
        }
    });
    let timeout = deadline::timeout(export.timeout.of(method), asked);
    let record = Record::open(&export.metrics, &worker.load, live.access, now);
    Parcel {
        call: Call::new(Caller::Motan(turn), Target::Export(Arc::clone(export)), record),
        request: Vec::new(),
        deadline: now + timeout,
        is_partial: false,
    }
}

fn refuse(
    worker: &Rc<Worker>,
    live: &Live,
    turn: &Turn,
    failure: &Failure,
    now: Instant,
) -> Option<ConnectionId> {
    let record = Record::open(&live.unknown.inbound, &worker.load, live.access, now);
    listen::motan::refuse(worker, turn, failure, By::ServerAgent, Duration::ZERO);
    record.close(Outcome::Failed(failure.kind), now, &[], "");
    None
}
