//! Calls in flight: connections, waiters, out buffers, who must be flushed. One thread, no I/O, no clock: the shell
//! hands in bytes and the time, and takes out bytes and what is due.
//!
//! A frame that goes out is appended to the flat buffer of its connection, and the connection is put on the dirty
//! list; the shell's one flusher empties that list after every reader that was ready has run, so that the frames of
//! many callers leave in one write. A request that waits for its answer is a [`Parcel`] in a slab; its id on the wire
//! is the slot's generation and index, so that a late answer to a reused slot is recognised and dropped.

mod buffers;
mod connection;
mod table;
mod twice;

use std::time::Instant;

pub use buffers::Buffers;
use connection::Connection;
pub use connection::{Flushed, HIGH_WATER, LOW_WATER};
pub use table::Key;
use table::Table;
use twice::{Looks, Seconds};

/// Requests kept for another attempt, over all calls of one core, in bytes. A request beyond it is sent all the same,
/// and fails where it would have been sent again.
pub const RETAINED_LIMIT: usize = 32 * 1024 * 1024;

/// A connection of this core. Never reused for another one.
pub type ConnectionId = Key<ConnectionTag>;
/// A waiting request of this core: its id on the wire. Never 0, never reused.
pub type WaiterId = Key<WaiterTag>;

/// Tells connection keys from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectionTag {}
/// Tells waiter keys from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WaiterTag {}

/// A request under way: what the shell knows of it, and the bytes to send it again.
#[derive(Debug)]
pub struct Parcel<C> {
    /// The shell's part.
    pub call: C,
    /// The encoded frame; of one that is passed through only its head; empty where it could not be kept.
    pub request: Vec<u8>,
    /// When its caller stops waiting.
    pub deadline: Instant,
    /// Its body is passed through and kept nowhere, so that it can't be sent again.
    pub is_partial: bool,
}

impl<C> Parcel<C> {
    /// Whether it can be sent, again or for the first time.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        !self.is_partial && !self.request.is_empty()
    }
}

/// How far a request got on a connection that is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Not wholly written: the other side can't have acted on it.
    No,
    /// Wholly written: nobody knows.
    Perhaps,
}

/// What is due at some moment.
#[derive(Debug)]
pub enum Due<C> {
    /// Its deadline has passed while it waited for an answer (`Sent::Perhaps`) or for a place to go (`Sent::No`).
    Late(Parcel<C>, Sent),
    /// It was parked until now.
    Ripe(Parcel<C>),
    /// It waits for its answer still, and is to be looked at now ([`Core::look_at`]).
    Waits(WaiterId),
}

/// Calls in flight on one thread. `P` is what the shell keeps with a connection, `C` with a call.
#[derive(Debug)]
pub struct Core<P, C> {
    connections: Table<ConnectionTag, Connection<P>>,
    waiters: Table<WaiterTag, Waiter<C>>,
    dirty: Vec<ConnectionId>,
    /// Buffers for frames, used again.
    pub buffers: Buffers,
    retained: usize,
    soonest: Option<Instant>,
    looks: Looks,
    seconds: Seconds,
}

#[derive(Debug)]
struct Waiter<C> {
    parcel: Parcel<C>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Waits for the answer on `on`, in whose stream its frame ends at `end`.
    Sent { on: ConnectionId, end: u64 },
    /// Waits for a place to go, at most until then.
    Parked { until: Instant },
}

impl<P, C> Default for Core<P, C> {
    fn default() -> Self {
        Self {
            connections: Table::default(),
            waiters: Table::default(),
            dirty: Vec::new(),
            buffers: Buffers::default(),
            retained: 0,
            soonest: None,
            looks: Looks::default(),
            seconds: Seconds::default(),
        }
    }
}

impl<P, C> Core<P, C> {
    /// Adds a connection.
    pub fn open(&mut self, attached: P) -> ConnectionId {
        self.connections.insert(Connection::new(attached))
    }

    /// What the shell keeps with a connection; `None` once it is closed.
    #[must_use]
    pub fn attached(&self, id: ConnectionId) -> Option<&P> {
        self.connections.get(id).map(|connection| &connection.attached)
    }

    /// Every connection.
    pub fn connections(&self) -> impl Iterator<Item = (ConnectionId, &P)> {
        self.connections
            .iter()
            .map(|(id, connection)| (id, &connection.attached))
    }

    /// Removes a connection, with every request that waits for an answer on it alone: [`Core::part`] must have taken it from
    /// those that wait on another one too.
    pub fn close(&mut self, id: ConnectionId) -> Vec<(Parcel<C>, Sent)> {
        let Some(connection) = self.connections.remove(id) else {
            return Vec::new();
        };
        let written = connection.written();
        self.buffers.give(connection.into_buffer());
        let on_it = |waiter: &Waiter<C>| matches!(waiter.state, State::Sent { on, .. } if on == id);
        let lost = self.waiters.take_where(on_it);
        let lost = lost.into_iter().map(|(id, waiter)| {
            let sent = match waiter.state {
                State::Sent { end, .. } if end <= written => Sent::Perhaps,
                State::Sent { .. } | State::Parked { .. } => Sent::No,
            };
            (self.release(id, waiter).parcel, sent)
        });
        lost.collect()
    }

    /// Appends whatever `write` appends to a connection's out buffer. Gives false where the connection is gone.
    pub fn append(&mut self, to: ConnectionId, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let Some(connection) = self.connections.get_mut(to) else {
            return false;
        };
        if connection.append(&mut self.buffers, write) {
            self.dirty.push(to);
        }
        true
    }

    /// Whether so much waits to be written that nothing more should be brought: who fills it must pause.
    #[must_use]
    pub fn is_full(&self, id: ConnectionId) -> bool {
        self.queued(id) >= HIGH_WATER
    }

    /// Whether so much of what may leave now waits that no more of a body under way should be passed. What waits behind
    /// that body does not count: it goes only after it. One read may come on top, and stays in a buffer that is kept.
    #[must_use]
    pub fn is_jammed(&self, id: ConnectionId) -> bool {
        self.connections.get(id).map_or(0, Connection::ready) >= LOW_WATER
    }

    /// Bytes that wait to be written.
    #[must_use]
    pub fn queued(&self, id: ConnectionId) -> usize {
        self.connections.get(id).map_or(0, Connection::queued)
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// The parcel, where the connection is gone or the parcel has no bytes.
    pub fn send(&mut self, on: ConnectionId, parcel: Parcel<C>) -> Result<WaiterId, Parcel<C>> {
        if !parcel.is_whole() {
            return Err(parcel);
        }
        let connection = self.connections.get_mut(on);
        let Some(connection) = connection.filter(|connection| !connection.is_passing()) else {
            return Err(parcel);
        };
        let end = connection.end_after(parcel.request.len());
        let id = self.keep(parcel, State::Sent { on, end });
        if let Some(waiter) = self.waiters.get_mut(id)
            && let Some(connection) = self.connections.get_mut(on)
        {
            let request = &mut waiter.parcel.request;
            wire::message::set_id(request, id.to_wire());
            connection.waiting += 1;
            if connection.append(&mut self.buffers, |out| out.extend_from_slice(request)) {
                self.dirty.push(on);
            }
            if self.retained > RETAINED_LIMIT {
                let request = std::mem::take(request);
                self.retained -= request.len();
                self.buffers.give(request);
            }
        }
        Ok(id)
    }

    /// Sends the head of a request whose body follows by [`Core::pass`] and ends with [`Core::finish`], and waits for
    /// its answer. Until then nothing else leaves on this connection.
    ///
    /// # Errors
    /// The parcel, where the connection is gone or has such a message under way already.
    pub fn send_head(&mut self, on: ConnectionId, mut parcel: Parcel<C>) -> Result<WaiterId, Parcel<C>> {
        let connection = self.connections.get_mut(on);
        if connection.is_none_or(|connection| connection.is_passing()) {
            return Err(parcel);
        }
        parcel.is_partial = true;
        // Until it is finished no part of it counts as written.
        let id = self.keep(parcel, State::Sent { on, end: u64::MAX });
        if let Some(waiter) = self.waiters.get_mut(id)
            && let Some(connection) = self.connections.get_mut(on)
        {
            let head = &mut waiter.parcel.request;
            wire::message::set_id(head, id.to_wire());
            connection.waiting += 1;
            if connection.add(&mut self.buffers, |out| out.extend_from_slice(head)) {
                self.dirty.push(on);
            }
            connection.begin();
        }
        Ok(id)
    }

    /// Begins a message that is no request, whose body follows by [`Core::pass`] and ends with [`Core::finish`];
    /// `write` appends its head. Whatever else is appended meanwhile comes after it. False where the connection is
    /// gone or has such a message under way already.
    pub fn begin(&mut self, to: ConnectionId, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let connection = self.connections.get_mut(to);
        let Some(connection) = connection.filter(|connection| !connection.is_passing()) else {
            return false;
        };
        if connection.add(&mut self.buffers, write) {
            self.dirty.push(to);
        }
        connection.begin();
        true
    }

    /// Appends a piece of the body that is under way. False where the connection is gone.
    pub fn pass(&mut self, to: ConnectionId, piece: &[u8]) -> bool {
        let Some(connection) = self.connections.get_mut(to) else {
            return false;
        };
        if connection.add(&mut self.buffers, |out| out.extend_from_slice(piece)) {
            self.dirty.push(to);
        }
        true
    }

    /// What waits to be written before a piece of the body that is under way, so that both can leave in one write and
    /// the piece needs no copy; `None` where no body is under way.
    #[must_use]
    pub fn before_piece(&self, to: ConnectionId) -> Option<(&P, &[u8])> {
        let connection = self.connections.get(to)?;
        let is_passing = connection.is_passing();
        is_passing.then(|| (&connection.attached, connection.outgoing()))
    }

    /// So many bytes were written, of [`Core::before_piece`] and then of the piece. Gives how many those of the piece are.
    pub fn went_by(&mut self, to: ConnectionId, count: usize) -> usize {
        let Some(connection) = self.connections.get_mut(to) else {
            return 0;
        };
        let of_piece = count.saturating_sub(connection.ready());
        connection.wrote(count - of_piece, &mut self.buffers);
        connection.went_by(of_piece);
        of_piece
    }

    /// The body that is under way is whole; `waiter` is its request, where it was one.
    pub fn finish(&mut self, to: ConnectionId, waiter: Option<WaiterId>) {
        let Some(connection) = self.connections.get_mut(to) else {
            return;
        };
        let whole = connection.end_after(0);
        if connection.finish(&mut self.buffers) {
            self.dirty.push(to);
        }
        if let Some(waiter) = waiter.and_then(|waiter| self.waiters.get_mut(waiter))
            && let State::Sent { on, end } = &mut waiter.state
            && *on == to
        {
            *end = whole;
        }
    }

    /// Whether a message is under way on it whose body is still coming.
    #[must_use]
    pub fn is_passing(&self, id: ConnectionId) -> bool {
        self.connections.get(id).is_some_and(Connection::is_passing)
    }

    /// Keeps a request that has no place to go, until then or until [`Core::unpark`].
    ///
    /// # Errors
    /// The parcel, where no more bytes may be held.
    pub fn park(&mut self, parcel: Parcel<C>, until: Instant) -> Result<WaiterId, Parcel<C>> {
        if self.retained + parcel.request.len() > RETAINED_LIMIT {
            return Err(parcel);
        }
        Ok(self.keep(parcel, State::Parked { until }))
    }

    /// Takes out every parked request: something has changed that may give them a place.
    pub fn unpark(&mut self) -> Vec<Parcel<C>> {
        let parked = self
            .waiters
            .take_where(|waiter| matches!(waiter.state, State::Parked { .. }));
        parked
            .into_iter()
            .map(|(id, waiter)| self.release(id, waiter).parcel)
            .collect()
    }

    /// The request that a response with this id answers. Nothing where it waits no longer, waits elsewhere, or the
    /// slot has been reused: the response must be dropped.
    pub fn answer(&mut self, on: ConnectionId, id: u64) -> Option<Parcel<C>> {
        let id = WaiterId::from_wire(id);
        if !self.waits_on(id, on) {
            return None;
        }
        let waiter = self.waiters.remove(id)?;
        Some(self.release(id, waiter).parcel)
    }

    /// The request that a response with this id on this connection would answer.
    #[must_use]
    pub fn waiter(&self, on: ConnectionId, id: u64) -> Option<&Parcel<C>> {
        let id = WaiterId::from_wire(id);
        let waiter = self.waiters.get(id)?;
        self.waits_on(id, on).then_some(&waiter.parcel)
    }

    fn waits_on(&self, id: WaiterId, on: ConnectionId) -> bool {
        match self.waiters.get(id).map(|waiter| &waiter.state) {
            Some(State::Sent { on: sent_on, .. }) => *sent_on == on || self.seconds.is_on(id, on),
            Some(State::Parked { .. }) | None => false,
        }
    }

    /// Requests that wait for an answer on this connection.
    #[must_use]
    pub fn waiting_on(&self, id: ConnectionId) -> u32 {
        self.connections
            .get(id)
            .map_or(0, |connection| connection.waiting)
    }

    /// Requests that wait, for an answer or for a place.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiters.len()
    }

    /// Bytes of requests kept for another attempt.
    #[must_use]
    pub const fn retained(&self) -> usize {
        self.retained
    }

    /// Not before this moment is anything due; `None`: never. It may be earlier than the first that is.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        match (self.soonest, self.looks.next()) {
            (Some(soonest), Some(look)) => Some(soonest.min(look)),
            (soonest, look) => soonest.or(look),
        }
    }

    /// Takes out what is due. Cheap where nothing is: all waiters are looked at only when [`Core::next_due`] has come,
    /// which for calls that are answered in time is once in a timeout.
    pub fn due(&mut self, now: Instant) -> Vec<Due<C>> {
        let waits = self.looks.take(now, |id| self.waiters.get(id).is_some());
        let waits = waits.into_iter().map(Due::Waits);
        if self.soonest.is_none_or(|soonest| soonest > now) {
            return waits.collect();
        }
        let taken = self.waiters.take_where(|waiter| waiter.due_at() <= now);
        self.soonest = self.waiters.iter().map(|(_, waiter)| waiter.due_at()).min();
        let late = taken.into_iter().map(|(id, waiter)| {
            let Waiter { parcel, state } = self.release(id, waiter);
            match state {
                State::Sent { .. } => Due::Late(parcel, Sent::Perhaps),
                State::Parked { .. } if parcel.deadline <= now => Due::Late(parcel, Sent::No),
                State::Parked { .. } => Due::Ripe(parcel),
            }
        });
        late.chain(waits).collect()
    }

    /// The next connection that has something to write. What it does not write now, the shell keeps in mind itself.
    pub fn next_dirty(&mut self) -> Option<ConnectionId> {
        while let Some(id) = self.dirty.pop() {
            if let Some(connection) = self.connections.get_mut(id) {
                connection.cleaned();
                return Some(id);
            }
        }
        None
    }

    /// Whether anything was appended since the flusher ran.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// What waits to be written on a connection.
    #[must_use]
    pub fn outgoing(&self, id: ConnectionId) -> Option<(&P, &[u8])> {
        self.connections
            .get(id)
            .map(|connection| (&connection.attached, connection.outgoing()))
    }

    /// The first `count` bytes of [`Core::outgoing`] are written.
    pub fn written(&mut self, id: ConnectionId, count: usize) -> Flushed {
        let connection = self.connections.get_mut(id);
        connection.map_or(Flushed::Roomy, |connection| {
            connection.wrote(count, &mut self.buffers)
        })
    }

    fn keep(&mut self, parcel: Parcel<C>, state: State) -> WaiterId {
        self.retained += parcel.request.len();
        let waiter = Waiter { parcel, state };
        let due = waiter.due_at();
        self.soonest = Some(self.soonest.map_or(due, |soonest| soonest.min(due)));
        self.waiters.insert(waiter)
    }

    fn release(&mut self, id: WaiterId, waiter: Waiter<C>) -> Waiter<C> {
        self.retained -= waiter.parcel.request.len();
        self.drop_second(id);
        if let State::Sent { on, .. } = waiter.state
            && let Some(connection) = self.connections.get_mut(on)
        {
            connection.waiting -= 1;
        }
        waiter
    }
}

impl<C> Waiter<C> {
    fn due_at(&self) -> Instant {
        match self.state {
            State::Sent { .. } => self.parcel.deadline,
            State::Parked { until } => until.min(self.parcel.deadline),
        }
    }
}

#[cfg(test)]
mod tests;
