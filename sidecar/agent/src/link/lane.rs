//! Links that carry one large message at a time, so that nobody waits behind it. Made when one is needed, kept for a
//! while, few.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use relay::ConnectionId;

use super::connection::{Closing, Role};
use super::dial;
use super::pool::Rest;
use crate::live::Endpoint;
use crate::worker::{Worker, now};

/// Lanes to one endpoint, of one worker; beyond it large messages are gathered as a whole and share a link.
pub(super) const MAX_LANES: usize = 16;
/// A lane that carries nothing for this long is closed.
pub(super) const IDLE: Duration = Duration::from_secs(10);
/// How long making one may take: there is another way, so there is no reason to wait.
const WITHIN: Duration = Duration::from_millis(250);

/// A place among the lanes of an endpoint.
pub(crate) enum Lane {
    /// One that is there and carries nothing.
    Rested(ConnectionId),
    /// One may be made.
    New,
}

/// A lane to an endpoint, for one message; `None` where there is none to be had.
pub(super) async fn take(worker: &Rc<Worker>, endpoint: &Arc<Endpoint>) -> Option<ConnectionId> {
    let place = worker.pool.borrow_mut().take_lane(endpoint)?;
    match place {
        Lane::Rested(id) => Some(id),
        Lane::New => {
            let made = tokio::time::timeout(WITHIN, dial::lane(worker, endpoint)).await;
            let made = made.ok().flatten();
            if made.is_none() {
                worker.pool.borrow_mut().lost_lane(endpoint, None);
            }
            made
        }
    }
}

/// Gives a lane back once nothing waits on it and no message is under way on it.
pub(super) fn rest(worker: &Worker, id: ConnectionId) {
    let core = worker.core.borrow();
    let Some(connection) = core.attached(id) else {
        return;
    };
    let is_idle = connection.is_lane.get() && core.waiting_on(id) == 0 && !core.is_passing(id);
    if let Role::Link(endpoint) = &connection.role
        && is_idle
    {
        let rest = if connection.is_wanted.get() && worker.live.borrow().knows(endpoint) {
            worker.pool.borrow_mut().rest(endpoint, id, now())
        } else {
            Rest::Unwanted
        };
        match rest {
            Rest::Lane => {}
            Rest::Link => connection.is_lane.set(false),
            Rest::Unwanted => connection.close(Closing::Idle),
        }
    }
}

/// Closes lanes that have carried nothing for [`IDLE`].
pub(crate) fn close_idle(worker: &Worker, now: Instant) {
    let idle = worker.pool.borrow_mut().idle_lanes(now);
    let core = worker.core.borrow();
    for connection in idle.into_iter().filter_map(|id| core.attached(id)) {
        connection.close(Closing::Idle);
    }
}
