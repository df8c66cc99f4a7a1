//! The tasks that wait: for what is due, deadlines and ends of pauses; and for connections that owe something.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use relay::{Core, Due};
use tokio::sync::Notify;

use super::{FLOOD, Worker, now};
use crate::link::connection::{Closing, Role};
use crate::link::{self, lane};
use crate::outbound::{attempt, twice};

/// How often connections are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Of how many looks one is for weights.
const WEIGH_EVERY: u32 = 10;
/// An agent that has so much to read that others wait for it, and takes nothing for this long, is cut: it is stopped.
const FLOODED: Duration = Duration::from_millis(500);
/// A message whose rest does not come for this long never will: its connection is closed.
const HALTED: Duration = Duration::from_secs(10);

/// Until when the task sleeps, and how to wake it earlier.
#[derive(Debug, Default)]
pub(super) struct Timer {
    armed: Cell<Option<Instant>>,
    earlier: Notify,
}

impl Timer {
    /// Wakes the task where something is due before it would wake by itself.
    pub(super) fn look<P, C>(&self, core: &Core<P, C>) {
        let Some(next) = core.next_due() else {
            return;
        };
        if self.armed.get().is_none_or(|armed| next < armed) {
            self.armed.set(Some(next));
            self.earlier.notify_one();
        }
    }
}

/// Hands out what is due for as long as the worker lives.
pub(super) async fn run(worker: Rc<Worker>) {
    loop {
        let next = worker.core.borrow().next_due();
        worker.timer.armed.set(next);
        let due = async {
            match next {
                Some(next) => tokio::time::sleep_until(next.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = worker.timer.earlier.notified() => {}
            () = due => hand_out(&worker),
        }
    }
}

fn hand_out(worker: &Rc<Worker>) {
    let now = now();
    let due = worker.core.borrow_mut().due(now);
    for due in due {
        match due {
            Due::Late(parcel, sent) => attempt::late(worker, parcel, sent, now),
            Due::Waits(id) => twice::waits(worker, id, now),
            Due::Ripe(parcel) => {
                link::place(worker, parcel, now);
            }
        }
    }
}

/// Looks after connections for as long as the worker lives.
pub(super) async fn watch(worker: Rc<Worker>) {
    for look in 0_u32.. {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = now();
        if look % WEIGH_EVERY == 0 {
            link::weigh::ask(&worker, now);
        }
        {
            let core = worker.core.borrow();
            for (id, connection) in core.connections() {
                let halted = connection.halted_since.get();
                if halted.is_some_and(|since| now.saturating_duration_since(since) >= HALTED) {
                    connection.close(Closing::Halted);
                }
                let is_peer = matches!(connection.role, Role::Peer);
                if is_peer && core.queued(id) >= FLOOD && connection.has_stalled_for(now) >= FLOODED {
                    connection.close(Closing::Unread);
                }
            }
        }
        link::listen_for_life(&worker, now);
        lane::close_idle(&worker, now);
    }
}
