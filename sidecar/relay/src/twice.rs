//! Requests that are looked at while they wait, and sent a second time, on another connection. Both times they have the same
//! id; whichever connection answers first is heard, and what comes on the other one is as late as any other late answer.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Instant;

use super::{ConnectionId, Core, Parcel, Sent, State, WaiterId};

/// When requests are looked at; those that have been answered meanwhile are still among them.
#[derive(Debug, Default)]
pub(crate) struct Looks(BinaryHeap<Reverse<(Instant, u64)>>);

impl Looks {
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((when, _))| *when)
    }

    /// Takes out those that are to be looked at by now, and forgets those who do not wait any more.
    pub(crate) fn take(&mut self, now: Instant, waits: impl Fn(WaiterId) -> bool) -> Vec<WaiterId> {
        let mut taken = Vec::new();
        while let Some(Reverse((when, id))) = self.0.peek() {
            let (when, id) = (*when, WaiterId::from_wire(*id));
            let still_waits = waits(id);
            if still_waits && when > now {
                break;
            }
            self.0.pop();
            if still_waits {
                taken.push(id);
            }
        }
        taken
    }
}

/// Where requests were sent a second time, and where in the stream of that connection they end.
#[derive(Debug, Default)]
pub(crate) struct Seconds(HashMap<WaiterId, (ConnectionId, u64)>);

impl Seconds {
    pub(crate) fn is_on(&self, id: WaiterId, connection: ConnectionId) -> bool {
        !self.0.is_empty() && self.0.get(&id).is_some_and(|(on, _)| *on == connection)
    }
}

impl<P, C> Core<P, C> {
    /// Looks at a request then, if it waits for its answer still.
    pub fn look_at(&mut self, id: WaiterId, when: Instant) {
        self.looks.0.push(Reverse((when, id.to_wire())));
    }

    /// A request that waits.
    #[must_use]
    pub fn parcel(&self, id: WaiterId) -> Option<&Parcel<C>> {
        self.waiters.get(id).map(|waiter| &waiter.parcel)
    }

    /// A request that waits. Its bytes must stay as many.
    pub fn parcel_mut(&mut self, id: WaiterId) -> Option<&mut Parcel<C>> {
        self.waiters.get_mut(id).map(|waiter| &mut waiter.parcel)
    }

    /// Sends a request that waits for its answer a second time; false where it does not, is not whole, was sent twice before,
    /// or the connection is gone, busy or the same.
    pub fn send_again(&mut self, id: WaiterId, on: ConnectionId) -> bool {
        if self.seconds.0.contains_key(&id) {
            return false;
        }
        let Some(waiter) = self.waiters.get(id).filter(|waiter| waiter.parcel.is_whole()) else {
            return false;
        };
        if !matches!(waiter.state, State::Sent { on: first, .. } if first != on) {
            return false;
        }
        let request = &waiter.parcel.request;
        let connection = self.connections.get_mut(on);
        let Some(connection) = connection.filter(|connection| !connection.is_passing()) else {
            return false;
        };
        let end = connection.end_after(request.len());
        connection.waiting += 1;
        if connection.append(&mut self.buffers, |out| out.extend_from_slice(request)) {
            self.dirty.push(on);
        }
        self.seconds.0.insert(id, (on, end));
        true
    }

    /// Whether any request waits on two connections.
    #[must_use]
    pub fn has_pairs(&self) -> bool {
        !self.seconds.0.is_empty()
    }

    /// Whether a response with this id on this connection would answer a request that waits on another one too.
    #[must_use]
    pub fn pair(&self, on: ConnectionId, id: u64) -> Option<WaiterId> {
        let id = WaiterId::from_wire(id);
        (self.seconds.0.contains_key(&id) && self.waits_on(id, on)).then_some(id)
    }

    /// A request that waits on two connections waits on the other one only.
    pub fn give_up(&mut self, id: WaiterId, on: ConnectionId) {
        let Some((second, end)) = self.seconds.0.remove(&id) else {
            return;
        };
        if let Some(waiter) = self.waiters.get_mut(id)
            && let State::Sent { on: first, .. } = waiter.state
            && first == on
        {
            waiter.state = State::Sent { on: second, end };
        }
        if let Some(connection) = self.connections.get_mut(on) {
            connection.waiting -= 1;
        }
    }

    /// Takes a connection that will be closed from those requests that wait on another one too. Gives which, and how far they
    /// got on it.
    pub fn part(&mut self, from: ConnectionId) -> Vec<(WaiterId, Sent)> {
        if !self.has_pairs() {
            return Vec::new();
        }
        let Some(written) = self.connections.get(from).map(super::Connection::written) else {
            return Vec::new();
        };
        let ids: Vec<_> = self.seconds.0.keys().copied().collect();
        let mut parted = Vec::new();
        for id in ids {
            let Some(end) = self.end_on(id, from) else {
                continue;
            };
            self.give_up(id, from);
            parted.push((id, if end <= written { Sent::Perhaps } else { Sent::No }));
        }
        parted
    }

    /// Where the frame of a request that waits on two connections ends on this one of them.
    fn end_on(&self, id: WaiterId, connection: ConnectionId) -> Option<u64> {
        match self.waiters.get(id)?.state {
            State::Sent { on, end } if on == connection => Some(end),
            State::Sent { .. } | State::Parked { .. } => {
                let second = self.seconds.0.get(&id).filter(|(on, _)| *on == connection);
                second.map(|(_, end)| *end)
            }
        }
    }

    pub(crate) fn drop_second(&mut self, id: WaiterId) {
        if self.seconds.0.is_empty() {
            return;
        }
        if let Some((on, _)) = self.seconds.0.remove(&id)
            && let Some(connection) = self.connections.get_mut(on)
        {
            connection.waiting -= 1;
        }
    }
}

#[cfg(test)]
mod tests;
