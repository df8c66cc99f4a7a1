//! Reads one connection: bytes into the worker's scratch buffer, frames straight from there to whoever understands
//! them. Only an incomplete tail is copied, so an idle connection holds no buffer. It pauses while what it fills is
//! full.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Instant;

use relay::ConnectionId;
use wire::motan2::{self, Broken, Frame};

use super::connection::{Closing, Connection, Role};
use crate::worker::{Held, Worker, now};
use crate::{link, listen};

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    #[error("the other side closed it")]
    Closed,
    #[error("this side closed it: {0}")]
    Asked(Closing),
    #[error("reading failed")]
    Read(#[from] std::io::Error),
    #[error("what came on it is not Motan 2")]
    Broken(#[from] Broken),
    #[error("too much is held for messages that are not whole yet")]
    Overloaded,
}

/// Bytes of a message that is not whole yet, or of messages that wait for room.
struct Stash {
    bytes: Vec<u8>,
    held: Held,
}

impl Stash {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        if !self.held.resize(self.bytes.len() + bytes.len()) {
            return Err(Ended::Overloaded);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn pop(&mut self, count: usize) {
        if count == self.bytes.len() {
            self.bytes = Vec::new();
        } else {
            self.bytes.drain(..count);
        }
        let _ = self.held.resize(self.bytes.len()); // getting smaller is always allowed
    }
}

/// Reads until the connection ends, from either side.
pub(crate) async fn run(worker: &Rc<Worker>, id: ConnectionId, connection: &Rc<Connection>) -> Ended {
    let mut stash = Stash {
        bytes: Vec::new(),
        held: worker.budget.hold(),
    };
    let mut filled: Option<ConnectionId> = None;
    loop {
        let step = async {
            match filled {
                Some(target) => {
                    worker.room(target, id).await;
                    from_stash(worker, id, connection, &mut stash)
                }
                None => read(worker, id, connection, &mut stash).await,
            }
        };
        let step = tokio::select! {
            biased;
            why = connection.closing() => return Ended::Asked(why),
            step = step => step,
        };
        match step {
            Ok(full) => filled = full,
            Err(ended) => return ended,
        }
    }
}

/// One read, and the frames in it. Gives the connection that must have room before the next one.
async fn read(
    worker: &Rc<Worker>,
    id: ConnectionId,
    connection: &Rc<Connection>,
    stash: &mut Stash,
) -> Result<Option<ConnectionId>, Ended> {
    poll_fn(|context| {
        let mut scratch = worker.scratch.borrow_mut();
        let count = ready!(connection.poll_read(context, &mut scratch))?;
        if count == 0 {
            return Poll::Ready(Err(Ended::Closed));
        }
        let bytes = &scratch[..count];
        if !stash.bytes.is_empty() {
            stash.push(bytes)?;
            return Poll::Ready(from_stash(worker, id, connection, stash));
        }
        let (taken, full) = frames(worker, id, connection, bytes)?;
        if taken < count {
            stash.push(&bytes[taken..])?;
        }
        Poll::Ready(Ok(full))
    })
    .await
}

fn from_stash(
    worker: &Rc<Worker>,
    id: ConnectionId,
    connection: &Rc<Connection>,
    stash: &mut Stash,
) -> Result<Option<ConnectionId>, Ended> {
    let (taken, full) = frames(worker, id, connection, &stash.bytes)?;
    if taken > 0 {
        stash.pop(taken);
    }
    Ok(full)
}

/// Handles the complete frames at the start of `bytes`, until one fills a connection. Gives how many bytes they take.
fn frames(
    worker: &Rc<Worker>,
    id: ConnectionId,
    connection: &Rc<Connection>,
    bytes: &[u8],
) -> Result<(usize, Option<ConnectionId>), Broken> {
    let now = now();
    let mut taken = 0;
    while let Some((frame, length)) = motan2::decode(&bytes[taken..], motan2::DEFAULT_LIMIT)? {
        taken += length;
        let target = hand_on(worker, id, connection, &frame, now);
        if let Some(full) = worker.is_blocked(target, id) {
            return Ok((taken, Some(full)));
        }
    }
    Ok((taken, None))
}

/// Hands a frame to the room that understands it; gives the connection it was put on, where there was one.
fn hand_on(
    worker: &Rc<Worker>,
    id: ConnectionId,
    connection: &Rc<Connection>,
    frame: &Frame<'_>,
    now: Instant,
) -> Option<ConnectionId> {
    match &connection.role {
        Role::Local => listen::motan::from_program(worker, id, connection, frame, now),
        Role::Peer => listen::motan::from_agent(worker, id, connection, frame, now),
        Role::Link(endpoint) => {
            link::heard(worker, id, (connection, endpoint), frame, now);
            None
        }
    }
}
