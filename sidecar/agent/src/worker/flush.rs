//! The one task that writes: woken by the first append, and being queued last it runs after every reader that is
//! ready, so that the frames of many callers leave in one write.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use relay::{ConnectionId, Flushed};
use tokio::time::Sleep;

use super::{Worker, now};
use crate::link::connection::{Closing, Connection};

/// A connection that takes nothing for this long is closed: motan-go's write deadline (motan-wire 2.6).
const STALLED: Duration = Duration::from_secs(5);

/// Wakes the flusher.
#[derive(Debug, Default)]
pub(super) struct Flusher {
    waker: RefCell<Option<Waker>>,
    /// It has been woken and has not run since: once is enough.
    is_woken: Cell<bool>,
}

impl Flusher {
    pub(super) fn wake(&self) {
        if !self.is_woken.replace(true)
            && let Some(waker) = &*self.waker.borrow()
        {
            waker.wake_by_ref();
        }
    }

    fn listen(&self, context: &Context<'_>) {
        self.is_woken.set(false);
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
    }
}

/// Flushes for as long as the worker lives.
pub(super) async fn run(worker: Rc<Worker>) {
    let mut blocked = Vec::new();
    let mut alarm: Option<std::pin::Pin<Box<Sleep>>> = None;
    // Its work is bounded by what was appended, so it takes no part in tokio's budget: stopping halfway would cost a
    // round for every 128 connections.
    let flushing = poll_fn(|context| {
        worker.flusher.listen(context);
        flush(&worker, context, &mut blocked);
        if blocked.is_empty() {
            alarm = None;
        } else {
            let alarm = alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep(STALLED)));
            if alarm.as_mut().poll(context).is_ready() {
                alarm.as_mut().reset(tokio::time::Instant::now() + STALLED);
                let _ = alarm.as_mut().poll(context);
            }
        }
        Poll::<()>::Pending
    });
    tokio::task::unconstrained(flushing).await;
}

/// Writes what waits on every dirty connection, and on those that could take no more before.
fn flush(worker: &Worker, context: &mut Context<'_>, blocked: &mut Vec<ConnectionId>) {
    blocked.retain(|id| write(worker, context, *id));
    loop {
        let next = worker.core.borrow_mut().next_dirty();
        let Some(id) = next else {
            return;
        };
        if !blocked.contains(&id) && write(worker, context, id) {
            blocked.push(id);
        }
    }
}

/// Writes what waits on one connection; true where it can take no more now.
fn write(worker: &Worker, context: &mut Context<'_>, id: ConnectionId) -> bool {
    loop {
        let mut core = worker.core.borrow_mut();
        let Some((connection, bytes)) = core.outgoing(id) else {
            return false;
        };
        if bytes.is_empty() {
            return false;
        }
        let connection: Rc<Connection> = Rc::clone(connection);
        match connection.poll_write(context, bytes) {
            Poll::Ready(Ok(count)) if count > 0 => {
                connection.moved();
                if core.written(id, count) != Flushed::Full {
                    connection.room.notify_waiters();
                }
            }
            Poll::Ready(_) => {
                connection.close(Closing::Broken);
                return false;
            }
            Poll::Pending => {
                let now = now();
                if now.duration_since(connection.stalled(now)) >= STALLED {
                    connection.close(Closing::Stalled);
                }
                return true;
            }
        }
    }
}
