//! A large body on its way from one connection to another: nothing of it is kept but what the next one has not taken yet.
//!
//! Whoever shares a connection with it would have to wait for its end, and would be cut off with it. So a large request
//! goes over a lane, a link that carries one such message at a time; and a large answer is passed through only where
//! its caller waits for nothing else, over a link that nobody else waits on.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use relay::{ConnectionId, Parcel, WaiterId};
use wire::motan2::Head;

use super::connection::{Closing, Connection, Role};
use super::lane;
use crate::body::Form;
use crate::call::{Call, Caller};
use crate::live::{Endpoint, Service};
use crate::outbound::{conduct, twice};
use crate::worker::{Worker, now};
use crate::{answer, inbound, listen, outbound};

/// A body on its way.
pub(crate) struct Through {
    /// The connection that it is put on.
    pub(super) to: ConnectionId,
    /// Bytes that are still to come.
    pub(super) left: usize,
    what: What,
}

enum What {
    /// Of a request that waits for its answer on the same connection.
    Request(WaiterId),
    /// Of an answer that came on a link.
    Answer(ConnectionId, Box<answer::Passing>),
}

/// What becomes of a large message.
pub(super) enum Way {
    /// It has none of its own: it is gathered.
    None,
    /// Nobody wants it.
    Nowhere,
    /// It is passed through.
    To(Through),
}

/// Begins to pass a large request through, over a lane that may have to be made.
pub(super) async fn request(
    worker: &Rc<Worker>,
    id: ConnectionId,
    connection: &Rc<Connection>,
    head: &Head<'_>,
) -> Way {
    let Some((endpoint, service)) = asked_for(worker, connection, head) else {
        return Way::None;
    };
    match lane::take(worker, &endpoint).await {
        Some(to) => send(worker, (id, connection), (head, service.as_ref()), &endpoint, to),
        None => Way::None,
    }
}

/// The same at once, where a lane is there; `None` where it is not, or there is another way for it.
pub(super) fn request_at_once(
    worker: &Rc<Worker>,
    id: ConnectionId,
    connection: &Rc<Connection>,
    head: &Head<'_>,
) -> Option<Way> {
    let (endpoint, service) = asked_for(worker, connection, head)?;
    let to = worker.pool.borrow_mut().take_rested(&endpoint)?;
    Some(send(
        worker,
        (id, connection),
        (head, service.as_ref()),
        &endpoint,
        to,
    ))
}

/// Where it goes; to which service, where it is called by the client agent.
fn asked_for(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    head: &Head<'_>,
) -> Option<(Arc<Endpoint>, Option<Arc<Service>>)> {
    if head.header.is_response() || head.header.is_heartbeat() {
        None
    } else if matches!(connection.role, Role::Peer) {
        let program = inbound::passes_to(worker, connection, head, now())?;
        Some((program, None))
    } else {
        let (endpoint, service) = outbound::passes_to(worker, head, now())?;
        Some((endpoint, Some(service)))
    }
}

fn send(
    worker: &Rc<Worker>,
    (id, connection): (ConnectionId, &Rc<Connection>),
    (head, service): (&Head<'_>, Option<&Arc<Service>>),
    endpoint: &Arc<Endpoint>,
    to: ConnectionId,
) -> Way {
    let parcel = match service {
        None => inbound::call_of_head(worker, id, connection, head, now()),
        Some(service) => outbound::call_of_head(worker, id, connection, (head, service), now()),
    };
    let Some(mut parcel) = parcel else {
        lane::rest(worker, to);
        return Way::None;
    };
    parcel.call.record.attempt();
    parcel.call.at = Some(conduct::enter(&parcel.call, endpoint, now()));
    match worker.send_head(to, parcel) {
        Ok(waiter) => Way::To(Through {
            to,
            left: head.body_len,
            what: What::Request(waiter),
        }),
        Err(parcel) => {
            answer::lost_lane(worker, parcel, now());
            Way::Nowhere
        }
    }
}

/// Begins to pass a large answer through.
pub(super) fn answer(
    worker: &Rc<Worker>,
    on: ConnectionId,
    (connection, endpoint): (&Rc<Connection>, &Arc<Endpoint>),
    head: &Head<'_>,
    now: Instant,
) -> Way {
    if !head.header.is_response() || head.header.is_heartbeat() {
        return Way::None;
    }
    match may_pass(worker, on, (connection, endpoint), head) {
        None => return Way::Nowhere,
        Some(false) => return Way::None,
        Some(true) => {}
    }
    let Some(parcel) = twice::take(worker, on, head.header.id) else {
        return Way::Nowhere;
    };
    match answer::begin(worker, parcel, head, now) {
        Ok((to, passing)) => {
            // Whoever comes now would wait for its end: the link is theirs no more.
            connection.is_lane.set(true);
            worker.pool.borrow_mut().detach(endpoint, on);
            Way::To(Through {
                to,
                left: head.body_len,
                what: What::Answer(on, Box::new(passing)),
            })
        }
        Err(()) => Way::Nowhere,
    }
}

/// Whether the answer harms nobody when it is passed through; `None` where no call waits for it.
fn may_pass(
    worker: &Worker,
    on: ConnectionId,
    (connection, endpoint): (&Connection, &Endpoint),
    head: &Head<'_>,
) -> Option<bool> {
    let core = worker.core.borrow();
    let parcel: &Parcel<Call> = core.waiter(on, head.header.id)?;
    let Caller::Motan(turn) = &parcel.call.caller else {
        return Some(false);
    };
    let form = listen::motan::form(turn, &parcel.call.target, head.header.kind, head.body_len);
    let passes = turn.version == wire::message::Version::Two
        && turn.is_alone()
        && !core.is_passing(turn.to)
        && core.waiting_on(on) == 1
        && parcel.call.translated.is_none()
        && parcel.call.second.is_none()
        && (connection.is_lane.get() || worker.pool.borrow().may_detach(endpoint))
        && form == Form::AsItCame;
    Some(passes)
}

impl Through {
    /// Passes a piece on; false where nobody is there any more.
    pub(super) fn pass(&mut self, worker: &Worker, piece: &[u8]) -> bool {
        self.left -= piece.len();
        worker.pass(self.to, piece)
    }

    /// The body is whole.
    pub(super) fn finish(self, worker: &Rc<Worker>, now: Instant) {
        match self.what {
            What::Request(waiter) => {
                worker.finish(self.to, Some(waiter));
                lane::rest(worker, self.to);
            }
            What::Answer(on, passing) => {
                worker.finish(self.to, None);
                passing.ended(worker, answer::Passed::Whole, now);
                lane::rest(worker, on);
            }
        }
    }

    /// Nobody takes it any more: the connection it went to is gone.
    pub(super) fn abandon(self, worker: &Rc<Worker>, now: Instant) {
        if let What::Answer(_, passing) = self.what {
            passing.ended(worker, answer::Passed::Untaken, now);
        }
    }

    /// The connection that it came from is gone: the one that it went to has half a message, and nothing else can
    /// follow that.
    pub(super) fn break_off(self, worker: &Rc<Worker>, now: Instant) {
        if let Some(connection) = worker.core.borrow().attached(self.to) {
            connection.close(Closing::BrokenOff);
        }
        if let What::Answer(_, passing) = self.what {
            passing.ended(worker, answer::Passed::BrokenOff, now);
        }
    }
}
