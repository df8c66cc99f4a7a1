//! Copies of calls for somebody else: nobody waits for one, and its answer is thrown away. Whatever becomes of it, the call that
//! it is a copy of does not notice: it has its own bounds, is sent once, and judges no endpoint.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use govern::balance::takes;
use plan::AccessLog;
use relay::{ConnectionId, LOW_WATER, Parcel};
use wire::keys;
use wire::message::{self, Message, Version};
use wire::meta::{Meta, Writer};
use wire::motan1;
use wire::motan2::{self, DEFAULT_LIMIT, Frame, Header};

use super::takes_gzip;
use crate::body::Form;
use crate::call::{Call, Caller, Target};
use crate::live::Service;
use crate::observe::metrics::{Action, CallMetrics};
use crate::provide::http::carries_http;
use crate::record::Record;
use crate::said::is_ours;
use crate::worker::{Load, Worker, now};

/// Copies under way of one worker: as many calls as a hundred callers of 2 or 3 at once have.
const MAX_COPIES: usize = 256;
/// Their bytes, an eighth of what is kept of requests for another attempt.
const MAX_BYTES: usize = relay::RETAINED_LIMIT / 8;

/// Copies under way of one worker, and what counts them: what nobody reads, as they are no calls of the program.
pub(crate) struct Copies {
    count: Cell<usize>,
    bytes: Cell<usize>,
    calls: Arc<CallMetrics>,
    load: Arc<Load>,
}

impl Copies {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            count: Cell::new(0),
            bytes: Cell::new(0),
            calls: Arc::new(CallMetrics::unseen()),
            load: Arc::default(),
        })
    }

    /// One more of so many bytes, until it is dropped; `None` where there are too many.
    fn enter(self: &Rc<Self>, bytes: usize) -> Option<UnderWay> {
        let (count, all) = (self.count.get() + 1, self.bytes.get() + bytes);
        if count > MAX_COPIES || all > MAX_BYTES {
            return None;
        }
        self.count.set(count);
        self.bytes.set(all);
        Some(UnderWay {
            copies: Rc::clone(self),
            bytes,
        })
    }
}

struct UnderWay {
    copies: Rc<Copies>,
    bytes: usize,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let Self { copies, bytes } = self;
        copies.count.set(copies.count.get() - 1);
        copies.bytes.set(copies.bytes.get() - *bytes);
    }
}

/// What stands for the caller of a copy. Dropped before it is sent, it counts as one that was not made.
pub(crate) struct Copied {
    /// The version of its request.
    pub(crate) version: Version,
    /// It carries a request of an HTTP caller.
    pub(crate) is_http: bool,
    /// Of the call that it is a copy of.
    calls: Arc<CallMetrics>,
    is_sent: bool,
    _under_way: UnderWay,
}

impl Copied {
    /// It is sent.
    pub(super) fn goes(&mut self) {
        self.is_sent = true;
        self.calls.acted(Action::Mirrored).inc();
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        if !self.is_sent {
            self.calls.acted(Action::MirrorDropped).inc();
        }
    }
}

/// A copy of a call that is about to be sent, where its policy and chance want one.
pub(super) fn copy(worker: &Worker, service: &Service, parcel: &Parcel<Call>) -> Option<Parcel<Call>> {
    let mirror = service.mirror.as_deref()?;
    if !takes(f64::from(mirror.percent) / 100.0, worker.random()) {
        return None;
    }
    let copy = make(worker, &mirror.to, parcel);
    if copy.is_none() {
        parcel.call.record.calls().acted(Action::MirrorDropped).inc();
    }
    copy
}

fn make(worker: &Worker, to: &Arc<Service>, parcel: &Parcel<Call>) -> Option<Parcel<Call>> {
    let caller = &parcel.call.caller;
    let version = caller.version();
    let is_http = matches!(caller, Caller::Task(_)) && carries_http(&parcel.request);
    let is_understood = to.takes(version) && !(is_http && to.external && to.protocol.is_motan());
    if !is_understood {
        return None;
    }
    let copies = &worker.copies;
    let under_way = copies.enter(parcel.request.len())?;
    let mut request = worker.take_buffer(parcel.request.len());
    if write(&mut request, &parcel.request, to).is_none() {
        worker.give_buffer(request);
        return None;
    }
    let record = Record::open(&copies.calls, &copies.load, AccessLog::Off, now());
    let copied = Copied {
        version,
        is_http,
        calls: Arc::clone(parcel.call.record.calls()),
        is_sent: false,
        _under_way: under_way,
    };
    let mut call = Call::new(Caller::Copy(copied), Target::Service(Arc::clone(to)), record);
    call.key = parcel.call.key;
    Some(Parcel {
        call,
        request,
        deadline: parcel.deadline,
        is_partial: false,
    })
}

/// Whether a copy would wait behind others on this connection, or others behind it.
pub(super) fn is_in_the_way(worker: &Worker, call: &Call, on: ConnectionId) -> bool {
    matches!(call.caller, Caller::Copy(_)) && worker.core.borrow().queued(on) >= LOW_WATER
}

/// It was answered, however.
pub(super) fn answered(worker: &Worker, parcel: Parcel<Call>) {
    let Parcel { call, request, .. } = parcel;
    drop(call);
    worker.give_buffer(request);
}

/// The request as it goes to somebody else, who can tell that it is a copy.
fn write(out: &mut Vec<u8>, request: &[u8], to: &Service) -> Option<()> {
    let (message, _) = message::decode(request, DEFAULT_LIMIT).ok()??;
    match message {
        Message::Two(frame) => write_two(out, &frame, to),
        Message::One(frame) => {
            write_one(out, &motan1::Request::read(frame).ok()?, to);
            Some(())
        }
    }
}

fn write_two(out: &mut Vec<u8>, frame: &Frame<'_>, to: &Service) -> Option<()> {
    let Frame { header, meta, body } = *frame;
    let form = Form::of(header.kind, body.len(), None, takes_gzip(to));
    let header = Header {
        kind: form.kind(header.kind),
        ..header
    };
    let mut written = Ok(());
    let pairs = |out: &mut Writer<'_>| write_meta(out, meta, to);
    motan2::encode(out, header, pairs, |out| written = form.write(body, out));
    written.ok()
}

fn write_meta(out: &mut Writer<'_>, meta: Meta<'_>, to: &Service) {
    out.copy(meta, |key| {
        let is_of_target = match key {
            keys::PATH | keys::GROUP => true,
            keys::VERSION => to.version.is_some(),
            _ => false,
        };
        !is_of_target && !is_ours(key)
    });
    out.pair(keys::PATH, to.path.as_str().as_bytes());
    out.pair(keys::GROUP, to.group.as_str().as_bytes());
    if let Some(version) = &to.version {
        out.pair(keys::VERSION, version.as_bytes());
    }
    out.pair(keys::MESH_MIRROR, b"true");
}

fn write_one(out: &mut Vec<u8>, request: &motan1::Request<'_>, to: &Service) {
    let path = to.path.as_str().as_bytes();
    let other = (request.interface() != path).then(|| request.of_interface(path));
    motan1::write_request(out, 0, other.as_ref().unwrap_or(request), |attachments| {
        attachments.copy(request.attachments(), |key| key != keys::GROUP && !is_ours(key));
        attachments.pair(keys::GROUP, to.group.as_str().as_bytes());
        attachments.pair(keys::MESH_MIRROR, b"true");
    });
}
