//! One Motan connection of a worker, accepted or dialled: what is kept beside its out buffer.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use relay::ConnectionId;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use wire::message::Version;

use super::io::Io;
use crate::live::Endpoint;
use crate::observe::metrics::PlaceMetrics;
use crate::worker::Worker;

/// Requests of one connection that may be under way; beyond it, nothing is read from it until some are answered.
pub(crate) const MAX_DEPTH: u32 = 4096;

/// Who is on the other side.
#[derive(Debug, Clone)]
pub(crate) enum Role {
    /// The program of this pod, calling.
    Local,
    /// Another agent, calling.
    Peer,
    /// Another agent or the program, called.
    Link(Arc<Endpoint>),
}

/// One Motan connection.
pub(crate) struct Connection {
    pub(crate) role: Role,
    /// The other side's IP address (`host` of motan-wire 3.2).
    pub(crate) peer: Box<str>,
    /// A client agent of ours: it understands drain, and says how much time is left.
    pub(crate) is_mesh: Cell<bool>,
    /// Of a caller: it says goodbye itself once it is told that this side goes away.
    pub(crate) hears_drain: Cell<bool>,
    /// Of a link: some plan in force leads there, and the other side takes calls on it.
    pub(crate) is_wanted: Cell<bool>,
    /// Of a link: it carries one large message at a time, and no other calls.
    pub(crate) is_lane: Cell<bool>,
    /// Of a link: a question whether it lives is not answered.
    pub(crate) is_silent: Cell<bool>,
    /// Of a link: when it was asked whether it lives, where nothing has come since.
    pub(crate) asked: Cell<Option<Instant>>,
    /// Whether something has come since it was last looked at.
    pub(crate) has_spoken: Cell<bool>,
    /// Since when a message is half here, or since when its last piece came.
    pub(crate) halted_since: Cell<Option<Instant>>,
    /// Woken when the out buffer has room again, a request was answered, or the connection ends.
    pub(crate) room: Notify,
    pub(crate) metrics: PlaceMetrics,
    depth: Cell<u32>,
    io: RefCell<Option<Io>>,
    closing: Cell<Option<Closing>>,
    close: Notify,
    stalled_since: Cell<Option<Instant>>,
}

/// Why this side closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Closing {
    /// Nothing goes over it any more, or everything stops.
    #[error("no longer needed")]
    Idle,
    /// Everything stops, and nothing is under way on it.
    #[error("this side goes away")]
    Parting,
    /// A write failed.
    #[error("can't be written to")]
    Broken,
    /// The other side takes nothing.
    #[error("nothing was taken for too long")]
    Stalled,
    /// The other side asks much and reads nothing.
    #[error("replies are not being read")]
    Unread,
    /// The other side began a message and does not go on.
    #[error("a message was begun and not ended")]
    Halted,
    /// A message was begun that can't be ended any more.
    #[error("what was being passed through broke off")]
    BrokenOff,
}

impl Connection {
    pub(crate) fn new(role: Role, peer: Box<str>, io: Io, metrics: PlaceMetrics) -> Rc<Self> {
        metrics.connections.inc();
        Rc::new(Self {
            role,
            peer,
            is_mesh: Cell::new(false),
            hears_drain: Cell::new(false),
            is_wanted: Cell::new(true),
            is_lane: Cell::new(false),
            is_silent: Cell::new(false),
            asked: Cell::new(None),
            has_spoken: Cell::new(false),
            halted_since: Cell::new(None),
            room: Notify::new(),
            metrics,
            depth: Cell::new(0),
            io: RefCell::new(Some(io)),
            closing: Cell::new(None),
            close: Notify::new(),
            stalled_since: Cell::new(None),
        })
    }

    /// Asks the task that reads it to end it.
    pub(crate) fn close(&self, why: Closing) {
        if self.closing.get().is_none() {
            self.closing.set(Some(why));
            self.close.notify_one();
        }
    }

    /// Waits until somebody asks to end it.
    pub(crate) async fn closing(&self) -> Closing {
        loop {
            if let Some(why) = self.closing.get() {
                return why;
            }
            self.close.notified().await;
        }
    }

    /// Lets go of the socket; whoever waits for room is woken to see that it is gone.
    pub(crate) fn ended(&self) {
        self.io.borrow_mut().take();
        self.metrics.connections.dec();
        self.room.notify_waiters();
    }

    /// Whether as many of its requests are under way as may be.
    pub(crate) fn is_deep(&self) -> bool {
        self.depth.get() >= MAX_DEPTH
    }

    pub(crate) fn poll_read(
        &self,
        context: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<std::io::Result<usize>> {
        let mut io = self.io.borrow_mut();
        let Some(io) = io.as_mut() else {
            return Poll::Ready(Ok(0));
        };
        let mut buffer = ReadBuf::new(into);
        std::task::ready!(Pin::new(io).poll_read(context, &mut buffer))?;
        let count = buffer.filled().len();
        self.metrics.read.inc_by(count as u64);
        self.has_spoken.set(true);
        Poll::Ready(Ok(count))
    }

    pub(crate) fn poll_write(&self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let mut io = self.io.borrow_mut();
        let Some(io) = io.as_mut() else {
            return Poll::Ready(Err(std::io::ErrorKind::NotConnected.into()));
        };
        let count = std::task::ready!(Pin::new(io).poll_write(context, bytes))?;
        self.metrics.written.inc_by(count as u64);
        Poll::Ready(Ok(count))
    }

    /// Writes `first` and then `second`, without joining them.
    pub(crate) fn poll_write_both(
        &self,
        context: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        if first.is_empty() {
            return self.poll_write(context, second);
        }
        let mut io = self.io.borrow_mut();
        let Some(io) = io.as_mut() else {
            return Poll::Ready(Err(std::io::ErrorKind::NotConnected.into()));
        };
        let both = [IoSlice::new(first), IoSlice::new(second)];
        let count = std::task::ready!(Pin::new(io).poll_write_vectored(context, &both))?;
        self.metrics.written.inc_by(count as u64);
        Poll::Ready(Ok(count))
    }

    /// Says at once that nothing follows, where it owes nothing to whoever calls on it: nothing is under way, nothing
    /// waits to be written, and no part of a request is here. Its task then hears the other side out.
    ///
    /// A request that the other side writes before it has heard this is lost to it: Motan has no word for "connect
    /// anew" that is not itself the end of the connection. So it must be said right after everything that had arrived
    /// was read, and what is under way elsewhere does not matter.
    pub(crate) fn part(&self, queued: usize) {
        let is_caller = !matches!(self.role, Role::Link(_));
        let owes = self.depth.get() > 0 || queued > 0 || self.halted_since.get().is_some();
        if is_caller && !owes && self.closing.get().is_none() {
            let mut context = Context::from_waker(std::task::Waker::noop());
            if let Some(io) = self.io.borrow_mut().as_mut() {
                let _ = Pin::new(io).poll_shutdown(&mut context); // it is gone already, or its task says it again
            }
            self.close(Closing::Parting);
        }
    }

    /// Waits until what was said last has left, says that nothing follows, and hears the other side out.
    pub(crate) async fn farewell(&self, worker: &Worker, id: ConnectionId) {
        while worker.core.borrow().queued(id) > 0 {
            self.room.notified().await;
        }
        poll_fn(|context| {
            let mut io = self.io.borrow_mut();
            io.as_mut()
                .map_or(Poll::Ready(Ok(())), |io| Pin::new(io).poll_shutdown(context))
        })
        .await
        .unwrap_or_default(); // it is gone already
        let more = || {
            poll_fn(|context| {
                let mut scratch = worker.scratch.borrow_mut();
                self.poll_read(context, &mut scratch)
            })
        };
        while matches!(more().await, Ok(count) if count > 0) {}
    }

    /// Notes that a write could not go on at `now`; gives since when nothing has been taken.
    pub(crate) fn stalled(&self, now: Instant) -> Instant {
        let since = self.stalled_since.get().unwrap_or(now);
        self.stalled_since.set(Some(since));
        since
    }

    /// How long nothing has been taken of what waits.
    pub(crate) fn has_stalled_for(&self, now: Instant) -> Duration {
        let since = self.stalled_since.get();
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Notes that something was taken.
    pub(crate) fn moved(&self) {
        self.stalled_since.set(None);
    }
}

/// A request of a connection, counted until it is dropped.
pub(crate) struct Turn {
    /// Where the reply goes.
    pub(crate) to: ConnectionId,
    /// The id that the reply carries.
    pub(crate) id: u64,
    /// The version that the reply has.
    pub(crate) version: Version,
    connection: Rc<Connection>,
}

impl Turn {
    pub(crate) fn take(connection: &Rc<Connection>, to: ConnectionId, id: u64, version: Version) -> Self {
        connection.depth.set(connection.depth.get() + 1);
        Self {
            to,
            id,
            version,
            connection: Rc::clone(connection),
        }
    }
}

impl Turn {
    /// The only request of its connection that is under way.
    pub(crate) fn is_alone(&self) -> bool {
        self.connection.depth.get() == 1
    }

    /// Whoever asked is an agent of ours.
    pub(crate) fn is_of_mesh(&self) -> bool {
        self.connection.is_mesh.get()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let connection = &self.connection;
        connection.depth.set(connection.depth.get() - 1);
        if connection.depth.get() + 1 == MAX_DEPTH {
            connection.room.notify_waiters();
        }
    }
}
