//! The one task that waits for what is due: deadlines and ends of pauses.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use relay::{Core, Due};
use tokio::sync::Notify;

use super::{Worker, now};
use crate::link;
use crate::outbound::attempt;

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
            Due::Ripe(parcel) => {
                link::place(worker, parcel, now);
            }
        }
    }
}
