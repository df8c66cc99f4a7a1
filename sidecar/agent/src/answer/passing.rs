//! An answer whose body is passed through: it ends when the body does.

use std::rc::Rc;
use std::time::Instant;

use relay::{ConnectionId, Parcel};
use wire::motan2::Head;

use super::{end, judge};
use crate::call::{Call, Caller};
use crate::failure::Kind;
use crate::listen::motan::{self, Served};
use crate::observe::metrics::Outcome;
use crate::outbound::conduct;
use crate::worker::Worker;

/// A call whose answer is passed through: its caller has the head.
pub(crate) struct Passing {
    parcel: Parcel<Call>,
    outcome: Outcome,
}

/// What became of a body that was passed through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passed {
    /// All of it was.
    Whole,
    /// Its caller went away.
    Untaken,
    /// Whoever answered went away.
    BrokenOff,
}

/// Tells the caller the head of an answer whose body is passed through; gives where.
///
/// # Errors
/// The caller is gone; its record is closed.
pub(crate) fn begin(
    worker: &Rc<Worker>,
    mut parcel: Parcel<Call>,
    head: &Head<'_>,
    now: Instant,
) -> Result<(ConnectionId, Passing), ()> {
    conduct::passes(worker, &mut parcel.call, head, now);
    let outcome = judge(&parcel.call, head.header, head.meta);
    let to = match &parcel.call.caller {
        Caller::Motan(turn) => {
            let served = Served {
                target: &parcel.call.target,
                by: parcel.call.endpoint(),
                took: now.saturating_duration_since(parcel.call.record.started),
            };
            motan::head(worker, turn, head, &served).then_some(turn.to)
        }
        Caller::Task(_) | Caller::Copy(_) => None, // takes whole answers
    };
    match to {
        Some(to) => Ok((to, Passing { parcel, outcome })),
        None => {
            end(worker, parcel, outcome, false, now, |_| false);
            Err(())
        }
    }
}

impl Passing {
    /// The body has ended like this.
    pub(crate) fn ended(self, worker: &Rc<Worker>, how: Passed, now: Instant) {
        let Self { parcel, outcome } = self;
        let outcome = match how {
            Passed::Whole => outcome,
            Passed::Untaken => Outcome::Cancelled,
            Passed::BrokenOff => Outcome::Failed(Kind::Unavailable),
        };
        end(worker, parcel, outcome, true, now, |_| true);
    }
}
