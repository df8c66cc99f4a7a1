//! HTTP/2 connections of one worker: to other agents, and to programs that speak it. They are made when somebody needs
//! one, shared by many streams, and left when the other side says that it goes away.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::HashMap;
use govern::health::Health;
use hyper::Request;
use hyper::client::conn::{TrySendError, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Notify;

use super::batched::Batched;
use crate::failure::{Failure, Kind};
use crate::http::body::Body;
use crate::http::{self, Hands};
use crate::live::{Endpoint, EndpointId, EndpointKind};
use crate::worker::{Worker, now};

/// How long connecting may take (motan-wire 10.3).
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// Streams on one connection before another one is made: below what common servers allow (100).
const FULL: u32 = 96;
/// Connections to one endpoint. When all are full, streams wait for each other.
const MAX_LINES: usize = 16;

/// All HTTP/2 connections of one worker.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    to: HashMap<EndpointId, Lines>,
}

#[derive(Debug)]
struct Lines {
    endpoint: Arc<Endpoint>,
    health: Health,
    lines: Vec<Line>,
    /// Told when a connection has been made or could not be, where one is being made.
    dialling: Option<Rc<Notify>>,
    /// Why the last one could not be made.
    error: String,
    /// It has said that it goes away, and no connection has been made since. Where nothing better is there it may be
    /// connected to all the same.
    is_leaving: bool,
}

#[derive(Debug)]
struct Line {
    sender: http2::SendRequest<Body>,
    load: Rc<Cell<u32>>,
}

/// A place on a connection, for one stream.
pub(crate) struct Lease {
    pub(crate) sender: http2::SendRequest<Body>,
    _share: Share,
}

/// Counts a stream until it is dropped.
pub(crate) struct Share(Rc<Cell<u32>>);

impl Share {
    fn of(load: &Rc<Cell<u32>>) -> Self {
        load.set(load.get() + 1);
        Self(Rc::clone(load))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// How an endpoint stands for a new stream: the lesser the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// Connected, or free to be.
    Fine,
    /// It goes away.
    Leaving,
    /// It can't be connected to before a pause is over.
    Away,
}

impl Streams {
    pub(crate) fn standing(&self, endpoint: &Endpoint, now: Instant) -> Standing {
        match self.to.get(&endpoint.id) {
            Some(lines) if lines.lines.iter().any(Line::is_open) => Standing::Fine,
            Some(lines) if !lines.health.may_try(now) => {
                if lines.is_leaving {
                    Standing::Leaving
                } else {
                    Standing::Away
                }
            }
            Some(_) | None => Standing::Fine,
        }
    }

    /// Lets go of connections to where no plan leads any more; streams under way end as they would.
    pub(crate) fn sort_out(&mut self, wanted: impl Fn(&Endpoint) -> bool) {
        self.to.retain(|_, lines| wanted(&lines.endpoint));
    }

    fn lines(&mut self, endpoint: &Arc<Endpoint>) -> &mut Lines {
        self.to.entry(endpoint.id).or_insert_with(|| Lines {
            endpoint: Arc::clone(endpoint),
            health: Health::default(),
            lines: Vec::new(),
            dialling: None,
            error: String::new(),
            is_leaving: false,
        })
    }
}

impl Line {
    fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    fn lease(&self) -> Lease {
        Lease {
            sender: self.sender.clone(),
            _share: Share::of(&self.load),
        }
    }
}

impl Lines {
    /// The least loaded connection, where another one would not be better.
    fn free(&mut self) -> Option<Lease> {
        self.lines.retain(Line::is_open);
        let may_grow = self.lines.len() < MAX_LINES;
        let best = self.lines.iter().min_by_key(|line| line.load.get())?;
        (best.load.get() < FULL || !may_grow).then(|| best.lease())
    }
}

/// A place for one stream to an endpoint; waits for a connection to be made. The caller bounds the time it may take.
///
/// # Errors
/// It can't be connected to, or must not be before a pause is over: unsent.
pub(crate) async fn lease(worker: &Rc<Worker>, endpoint: &Arc<Endpoint>) -> Result<Lease, Failure> {
    let failures = worker.streams.borrow_mut().lines(endpoint).health.failures();
    loop {
        let made = {
            let now = now();
            let mut streams = worker.streams.borrow_mut();
            let lines = streams.lines(endpoint);
            if let Some(lease) = lines.free() {
                return Ok(lease);
            }
            let has_failed = lines.health.failures() > failures;
            if has_failed || lines.dialling.is_none() && !lines.is_leaving && !lines.health.may_try(now) {
                let words = format!("{} can't be connected to: {}", endpoint.address, lines.error);
                return Err(Failure::unsent(Kind::Unavailable, words));
            }
            match &lines.dialling {
                Some(made) => Rc::clone(made),
                None => {
                    let made = Rc::new(Notify::new());
                    lines.dialling = Some(Rc::clone(&made));
                    worker.spawn(live_with(Rc::clone(worker), Arc::clone(endpoint)));
                    made
                }
            }
        };
        made.notified().await;
    }
}

/// Whether a stream that got no response was certainly not executed: it was not sent, or the other side refused it
/// (RFC 9113 8.7). Takes the request out of the error.
pub(crate) fn is_unsent(error: &mut TrySendError<Request<Body>>) -> bool {
    if error.take_message().is_some() {
        return true;
    }
    let source = std::error::Error::source(error.error());
    let source = source.and_then(|source| source.downcast_ref::<h2::Error>());
    source.is_some_and(|error| {
        error.is_remote() && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
    })
}

/// Makes a connection and lives with it until it ends.
async fn live_with(worker: Rc<Worker>, endpoint: Arc<Endpoint>) {
    let connecting = tokio::time::timeout(CONNECT_WITHIN, connect(&worker, &endpoint));
    let connected = connecting
        .await
        .unwrap_or_else(|_| Err("no answer within 1 s".to_owned()));
    let (sender, connection) = match connected {
        Ok(connected) => connected,
        Err(error) => return failed(&worker, &endpoint, error),
    };
    tracing::debug!(address = %endpoint.address, "line up");
    worker.places.link.connections.inc();
    {
        let mut streams = worker.streams.borrow_mut();
        let lines = streams.lines(&endpoint);
        lines.health.connected();
        lines.is_leaving = false;
        lines.lines.push(Line {
            sender,
            load: Rc::default(),
        });
        told(lines);
    }
    let ended = connection.await;
    worker.places.link.connections.dec();
    let mut streams = worker.streams.borrow_mut();
    if let Some(lines) = streams.to.get_mut(&endpoint.id) {
        lines.lines.retain(Line::is_open);
        // It ends well when the other side says that it goes away.
        if ended.is_ok() && lines.lines.is_empty() {
            lines.is_leaving = true;
            lines.health.leaving(now());
        }
    }
    match ended {
        Ok(()) => tracing::debug!(address = %endpoint.address, "line is going away"),
        Err(error) => tracing::debug!(address = %endpoint.address, %error, "line ended"),
    }
}

type Connected = (
    http2::SendRequest<Body>,
    http2::Connection<TokioIo<Batched<super::io::Io>>, Body, Hands>,
);

async fn connect(worker: &Rc<Worker>, endpoint: &Endpoint) -> Result<Connected, String> {
    let connecting = worker.network.connect(&endpoint.address);
    let io = connecting.await.map_err(|error| error.to_string())?;
    let mut builder = http2::Builder::new(Hands(Rc::clone(worker)));
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(http::STREAM_WINDOW)
        .initial_connection_window_size(http::CONNECTION_WINDOW)
        .max_header_list_size(http::MAX_HEAD as u32);
    if endpoint.kind == EndpointKind::Agent {
        builder
            .keep_alive_interval(http::PING_EVERY)
            .keep_alive_timeout(http::PING_WITHIN);
    }
    builder
        .handshake(TokioIo::new(Batched::new(io)))
        .await
        .map_err(|error| error.to_string())
}

fn failed(worker: &Rc<Worker>, endpoint: &Arc<Endpoint>, error: String) {
    tracing::debug!(address = %endpoint.address, error, "line could not be made");
    worker.dial_failures.inc();
    let random = worker.random();
    let mut streams = worker.streams.borrow_mut();
    let lines = streams.lines(endpoint);
    lines.health.failed(now(), random);
    lines.error = error;
    told(lines);
}

fn told(lines: &mut Lines) {
    if let Some(made) = lines.dialling.take() {
        made.notify_waiters();
    }
}
