//! Reads one connection: bytes into the worker's scratch buffer, messages straight from there to whoever understands
//! them. Only an incomplete tail is copied, so an idle connection holds no buffer; a large body is passed through as it
//! comes where nobody else has to wait for it. It pauses while what it fills is full.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Instant;

use relay::ConnectionId;
use wire::message::{self, Broken, Head, Message};
use wire::motan2::DEFAULT_LIMIT;

use super::connection::{Closing, Connection, Role};
use super::lane;
use super::through::{self, Through};
use crate::worker::{Held, Worker, now};
use crate::{link, listen};

/// A message whose body is larger than this is passed through: half a read, so that smaller ones mostly come whole.
const LARGE: usize = 32 * 1024;
/// A link's message over the limit is skipped up to this size, in bytes; a larger one ends the link.
const SKIP_LIMIT: usize = 8 * DEFAULT_LIMIT;
/// This much of a message in progress counts as going on.
const STRIDE: usize = 16 * 1024;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    #[error("the other side closed it")]
    Closed,
    #[error("this side closed it: {0}")]
    Asked(Closing),
    #[error("reading failed")]
    Read(#[from] std::io::Error),
    #[error("what came on it is not Motan")]
    Broken(#[from] Broken),
    #[error("a response came where requests come")]
    Response,
    #[error("too much is held for messages that are not whole yet")]
    Overloaded,
}

impl Ended {
    /// Whether the other side is to blame.
    pub(crate) const fn is_fault(&self) -> bool {
        match self {
            Self::Broken(_) | Self::Response | Self::Overloaded => true,
            Self::Asked(why) => matches!(why, Closing::Stalled | Closing::Unread | Closing::Halted),
            Self::Closed | Self::Read(_) => false,
        }
    }
}

/// What the next bytes are.
enum Flow {
    /// Messages.
    Messages,
    /// The message that has begun is gathered as a whole, however large.
    Gather,
    /// The rest of a body that is passed through.
    Through(Box<Through>),
    /// So many bytes that nobody wants.
    Skip(usize),
}

/// What is to be done before more is read.
enum Next {
    Read,
    /// Wait until this connection has room.
    Room(ConnectionId),
    /// Wait until this connection takes more of the body that is passed to it.
    Way(ConnectionId),
    /// Find a way for the large message that begins here.
    Large,
}

/// One connection being read.
struct Pump<'a> {
    worker: &'a Rc<Worker>,
    id: ConnectionId,
    connection: &'a Rc<Connection>,
    flow: Flow,
    /// Bytes of a message that is not whole yet, or of messages that wait for room.
    stash: Vec<u8>,
    held: Held,
    /// How much of the message in progress there was when it last counted as going on.
    seen: usize,
}

/// Reads until the connection ends, from either side.
pub(crate) async fn run(worker: &Rc<Worker>, id: ConnectionId, connection: &Rc<Connection>) -> Ended {
    let mut pump = Pump {
        worker,
        id,
        connection,
        flow: Flow::Messages,
        stash: Vec::new(),
        held: worker.budget.hold(),
        seen: 0,
    };
    let mut next = Next::Read;
    let ended = loop {
        let step = async {
            match next {
                Next::Read => pump.read().await,
                Next::Room(target) => {
                    worker.room(target, id).await;
                    pump.take_stash()
                }
                Next::Way(target) => {
                    worker.way(target).await;
                    pump.take_stash()
                }
                Next::Large => {
                    pump.flow = pump.find_way().await;
                    pump.take_stash()
                }
            }
        };
        let step = tokio::select! {
            biased;
            why = connection.closing() => Err(Ended::Asked(why)),
            step = step => step,
        };
        match step {
            Ok(then) => next = then,
            Err(ended) => break ended,
        }
    };
    if let Flow::Through(through) = std::mem::replace(&mut pump.flow, Flow::Messages) {
        through.break_off(worker, now());
    }
    ended
}

impl Pump<'_> {
    /// One read, and what is in it.
    async fn read(&mut self) -> Result<Next, Ended> {
        poll_fn(|context| {
            let mut scratch = self.worker.scratch.borrow_mut();
            let count = ready!(self.connection.poll_read(context, &mut scratch))?;
            if count == 0 {
                return Poll::Ready(Err(Ended::Closed));
            }
            let bytes = &scratch[..count];
            if !self.stash.is_empty() {
                self.keep(bytes)?;
                return Poll::Ready(self.take_stash());
            }
            let (taken, next) = self.take(bytes)?;
            if taken < count {
                self.keep(&bytes[taken..])?;
            }
            self.note(&next);
            Poll::Ready(Ok(next))
        })
        .await
    }

    fn take_stash(&mut self) -> Result<Next, Ended> {
        let stash = std::mem::take(&mut self.stash);
        let result = self.take(&stash);
        self.stash = stash;
        let (taken, next) = result?;
        if taken == self.stash.len() {
            self.worker.give_buffer(std::mem::take(&mut self.stash));
        } else if taken > 0 {
            self.stash.drain(..taken);
        }
        let _ = self.held.resize(self.stash.len()); // getting smaller is always allowed
        self.note(&next);
        Ok(next)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        if !self.held.resize(self.stash.len() + bytes.len()) {
            return Err(Ended::Overloaded);
        }
        let needed = self.stash.len() + bytes.len();
        if needed > self.stash.capacity() {
            // Another one, so that each goes back to those of its size.
            let mut larger = self.worker.take_buffer(needed.max(2 * self.stash.len()));
            larger.extend_from_slice(&self.stash);
            self.worker
                .give_buffer(std::mem::replace(&mut self.stash, larger));
        }
        self.stash.extend_from_slice(bytes);
        Ok(())
    }

    /// Notes since when the other side owes the rest of a message.
    fn note(&mut self, next: &Next) {
        let halted = &self.connection.halted_since;
        let here = match &self.flow {
            Flow::Messages | Flow::Gather => self.stash.len(),
            Flow::Through(through) => usize::MAX - through.left,
            Flow::Skip(left) => usize::MAX - left,
        };
        if here == 0 || !matches!(next, Next::Read) {
            halted.set(None);
            self.seen = 0;
        } else if halted.get().is_none() || here < self.seen || here - self.seen >= STRIDE {
            halted.set(Some(now()));
            self.seen = here;
        }
    }

    /// Handles what is complete at the start of `bytes`. Gives how many bytes that takes.
    fn take(&mut self, bytes: &[u8]) -> Result<(usize, Next), Ended> {
        let now = now();
        let mut taken = 0;
        loop {
            let rest = &bytes[taken..];
            if rest.is_empty() {
                return Ok((taken, Next::Read));
            }
            match &mut self.flow {
                Flow::Skip(left) => {
                    let count = rest.len().min(*left);
                    taken += count;
                    *left -= count;
                    if *left == 0 {
                        self.flow = Flow::Messages;
                        lane::rest(self.worker, self.id);
                    }
                }
                Flow::Through(through) => {
                    let count = rest.len().min(through.left);
                    let is_there = through.pass(self.worker, &rest[..count]);
                    taken += count;
                    if let Some(full) = self.passed(is_there, now) {
                        return Ok((taken, Next::Way(full)));
                    }
                }
                Flow::Messages | Flow::Gather => match self.message(rest, now)? {
                    None => match self.large(rest) {
                        Large::No => return Ok((taken, Next::Read)),
                        Large::Goes(flow, body_at) => {
                            self.flow = flow;
                            taken += body_at;
                        }
                        Large::Waits => return Ok((taken, Next::Large)),
                    },
                    Some((length, target)) => {
                        taken += length;
                        if let Some(full) = self.worker.is_blocked(target, self.id) {
                            return Ok((taken, Next::Room(full)));
                        }
                    }
                },
            }
        }
    }

    /// After a piece of a body: gives the connection that must have room before the next one.
    fn passed(&mut self, is_there: bool, now: Instant) -> Option<ConnectionId> {
        let Flow::Through(through) = &mut self.flow else {
            return None;
        };
        let (to, left) = (through.to, through.left);
        if is_there && left > 0 {
            return self.worker.core.borrow().is_jammed(to).then_some(to);
        }
        if let Flow::Through(through) = std::mem::replace(&mut self.flow, Flow::Messages) {
            if is_there {
                through.finish(self.worker, now);
            } else {
                through.abandon(self.worker, now);
                if left > 0 {
                    self.flow = Flow::Skip(left);
                }
            }
        }
        None
    }

    /// The message at the start of `bytes`, where it is whole, to the room that understands it. Gives its length and
    /// the connection it was put on, where there was one.
    fn message(
        &mut self,
        bytes: &[u8],
        now: Instant,
    ) -> Result<Option<(usize, Option<ConnectionId>)>, Ended> {
        let decoded = match message::decode(bytes, DEFAULT_LIMIT) {
            Ok(decoded) => decoded,
            Err(broken) => return self.broken(bytes, broken, now),
        };
        let Some((message, length)) = decoded else {
            return Ok(None);
        };
        self.flow = Flow::Messages;
        let target = self.hand_on(&message, &bytes[..length], now)?;
        Ok(Some((length, target)))
    }

    fn hand_on(
        &self,
        message: &Message<'_>,
        bytes: &[u8],
        now: Instant,
    ) -> Result<Option<ConnectionId>, Ended> {
        let Self {
            worker,
            id,
            connection,
            ..
        } = self;
        match &connection.role {
            Role::Local => listen::motan::from_program(worker, *id, connection, message, now),
            Role::Peer => listen::motan::from_agent(worker, *id, connection, message, now),
            Role::Link(endpoint) => {
                let peer = link::heard(worker, *id, (connection, endpoint), (message, bytes), now);
                Ok(peer)
            }
        }
    }

    /// A message over the limit is answered before its connection is closed; on a link only its own call fails.
    fn broken(
        &mut self,
        bytes: &[u8],
        broken: Broken,
        now: Instant,
    ) -> Result<Option<(usize, Option<ConnectionId>)>, Ended> {
        if !broken.is_too_long() {
            return Err(broken.into());
        }
        if !matches!(self.connection.role, Role::Link(_)) {
            listen::motan::too_long(self.worker, self.id, self.connection, bytes);
            return Err(broken.into());
        }
        match message::decode_head(bytes, SKIP_LIMIT) {
            Ok(Some((head, body_at))) => {
                if let Some(start) = message::start(bytes) {
                    link::too_long(self.worker, self.id, start.id, now);
                }
                if head.body_len() > 0 {
                    self.flow = Flow::Skip(head.body_len());
                }
                Ok(Some((body_at, None)))
            }
            Ok(None) => Ok(None),
            Err(_) => Err(broken.into()),
        }
    }

    /// Whether a large message begins here, and what becomes of it.
    fn large(&self, bytes: &[u8]) -> Large {
        if !matches!(self.flow, Flow::Messages) {
            return Large::No;
        }
        let Ok(Some((Head::Two(head), body_at))) = message::decode_head(bytes, DEFAULT_LIMIT) else {
            return Large::No;
        };
        if head.body_len <= LARGE {
            return Large::No;
        }
        let (worker, id, connection) = (self.worker, self.id, self.connection);
        let way = match &connection.role {
            Role::Link(endpoint) => through::answer(worker, id, (connection, endpoint), &head, now()),
            Role::Local | Role::Peer => match through::request_at_once(worker, id, connection, &head) {
                Some(way) => way,
                None => return Large::Waits,
            },
        };
        match way.flow(head.body_len) {
            Some(flow) => Large::Goes(flow, body_at),
            None => Large::Goes(Flow::Gather, 0),
        }
    }

    /// The way of the large request that the stash begins with; its head is gone afterwards, unless it is gathered.
    async fn find_way(&mut self) -> Flow {
        let Ok(Some((Head::Two(head), body_at))) = message::decode_head(&self.stash, DEFAULT_LIMIT) else {
            return Flow::Gather;
        };
        let way = through::request(self.worker, self.id, self.connection, &head).await;
        let Some(flow) = way.flow(head.body_len) else {
            return Flow::Gather;
        };
        self.stash.drain(..body_at);
        flow
    }
}

/// What becomes of a message that is not whole yet.
enum Large {
    /// It is gathered, being small or being gathered already.
    No,
    /// The next bytes are this, after so many.
    Goes(Flow, usize),
    /// A way for it must be made.
    Waits,
}

impl through::Way {
    /// What the rest of the message is; `None` where it is gathered with its head.
    fn flow(self, left: usize) -> Option<Flow> {
        match self {
            Self::None => None,
            Self::Nowhere => Some(Flow::Skip(left)),
            Self::To(through) => Some(Flow::Through(Box::new(through))),
        }
    }
}
