//! Calls under way: who waits, what is to be written. No socket and no clock; the link moves calls through it.
//!
//! A call is *queued* until it is given to the socket, and counts as *written* from before that: it may be on its way.
//! When the connection breaks it is known which frames the socket never took; those go on to the next connection, the
//! other written ones have failed.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;
use wire::motan2;

use crate::error::{CallError, LinkError};
use crate::request::Answer;

/// How a call ends; without an answer where none was wanted.
pub(crate) type Outcome = Result<Option<Answer>, CallError>;

/// When a call is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wants {
    /// When it is answered.
    Answer,
    /// When it is written.
    Written,
}

/// How far a call was that was given up.
#[derive(Debug)]
pub(crate) enum Place {
    /// Nothing of it was written, and this is why there was no connection.
    Unwritten(Option<Arc<LinkError>>),
    /// Some or all of it was.
    Written,
}

/// A request to write.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) id: u64,
    pub(crate) bytes: Bytes,
}

/// Calls under way, within their bounds.
#[derive(Debug)]
pub(crate) struct Pending {
    slots: Vec<Slot>,
    free: Vec<u32>,
    queue: VecDeque<Frame>,
    queued_bytes: usize,
    max_calls: usize,
    max_queued: usize,
    /// Why there is no connection, while there is none.
    down: Option<Arc<LinkError>>,
}

/// A place for a call. The generation tells its calls apart, so that a late answer is not taken for the next one's.
#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    waiter: Option<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    wants: Wants,
    is_written: bool,
    tell: oneshot::Sender<Outcome>,
}

impl Pending {
    pub(crate) const fn new(max_calls: usize, max_queued: usize) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            max_calls,
            max_queued,
            down: None,
        }
    }

    /// Takes a call, whose frame gets its id.
    pub(crate) fn enter(
        &mut self,
        wants: Wants,
        mut frame: Vec<u8>,
    ) -> Result<(u64, oneshot::Receiver<Outcome>), CallError> {
        if self.slots.len() - self.free.len() >= self.max_calls {
            return Err(CallError::Busy("the bound of calls under way"));
        }
        if self.queued_bytes + frame.len() > self.max_queued {
            return Err(CallError::Busy("the bound of bytes that wait to be written"));
        }
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                let index =
                    u32::try_from(self.slots.len()).map_err(|_| CallError::Busy("the number of ids"))?;
                self.slots.push(Slot::default());
                index
            }
        };
        let (tell, told) = oneshot::channel();
        let slot = &mut self.slots[index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        slot.waiter = Some(Waiter {
            wants,
            is_written: false,
            tell,
        });
        let id = u64::from(slot.generation) << 32 | u64::from(index);
        motan2::set_id(&mut frame, id);
        self.queued_bytes += frame.len();
        self.queue.push_back(Frame {
            id,
            bytes: frame.into(),
        });
        Ok((id, told))
    }

    /// A call that nobody waits for any more; it is not written if it was not.
    pub(crate) fn leave(&mut self, id: u64) -> Place {
        match self.end(id) {
            Some(Waiter {
                is_written: false, ..
            }) => {
                if let Some(at) = self.queue.iter().position(|frame| frame.id == id) {
                    let gone = self.queue.remove(at);
                    self.queued_bytes -= gone.map_or(0, |frame| frame.bytes.len());
                }
                Place::Unwritten(self.down.clone())
            }
            _ => Place::Written,
        }
    }

    /// Whether something is to be written.
    pub(crate) fn is_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether anything is written and not answered.
    pub(crate) fn is_under_way(&self) -> bool {
        let mut waiters = self.slots.iter().filter_map(|slot| slot.waiter.as_ref());
        waiters.any(|waiter| waiter.is_written)
    }

    /// Moves frames to `batch` until it has this many bytes. They count as written from now on.
    pub(crate) fn next_into(&mut self, batch: &mut VecDeque<Frame>, bytes: usize) {
        let mut taken = 0;
        while taken < bytes
            && let Some(frame) = self.queue.pop_front()
        {
            taken += frame.bytes.len();
            self.queued_bytes -= frame.bytes.len();
            self.set_written(frame.id, true);
            batch.push_back(frame);
        }
    }

    /// Takes the calls out of `batch` that were given up while they waited in it. The first `begun` are kept: bytes of
    /// theirs are written.
    pub(crate) fn prune(&mut self, batch: &mut VecDeque<Frame>, begun: usize) {
        let mut index = 0;
        batch.retain(|frame| {
            index += 1;
            index <= begun || self.waiter(frame.id).is_some()
        });
    }

    /// The last byte of a frame is written.
    pub(crate) fn written(&mut self, id: u64) {
        if self
            .waiter(id)
            .is_some_and(|waiter| waiter.wants == Wants::Written)
        {
            self.tell(id, Ok(None));
        }
    }

    /// An answer came. One that nobody waits for is dropped.
    pub(crate) fn answered(&mut self, id: u64, outcome: Result<Answer, CallError>) {
        if self.waiter(id).is_some_and(|waiter| waiter.is_written) {
            self.tell(id, outcome.map(Some));
        }
    }

    /// There is a connection.
    pub(crate) fn up(&mut self) {
        self.down = None;
    }

    /// The connection is gone, or could not be made. What was written is lost; `unwritten` goes back to the front.
    pub(crate) fn down(&mut self, unwritten: VecDeque<Frame>, why: LinkError) {
        let why = Arc::new(why);
        for frame in unwritten.into_iter().rev() {
            if self.set_written(frame.id, false) {
                self.queued_bytes += frame.bytes.len();
                self.queue.push_front(frame);
            }
        }
        for index in 0..self.slots.len() {
            let slot = &self.slots[index];
            if slot.waiter.as_ref().is_some_and(|waiter| waiter.is_written) {
                let id = u64::from(slot.generation) << 32 | index as u64;
                self.tell(id, Err(CallError::Lost(Arc::clone(&why))));
            }
        }
        self.down = Some(why);
    }

    /// Whether somebody waits for it.
    fn set_written(&mut self, id: u64, is_written: bool) -> bool {
        self.waiter(id)
            .map(|waiter| waiter.is_written = is_written)
            .is_some()
    }

    fn waiter(&mut self, id: u64) -> Option<&mut Waiter> {
        let (generation, index) = split(id);
        let slot = self.slots.get_mut(index as usize)?;
        slot.waiter.as_mut().filter(|_| slot.generation == generation)
    }

    fn tell(&mut self, id: u64, outcome: Outcome) {
        if let Some(waiter) = self.end(id) {
            // Who stopped waiting in this moment has left without it.
            let _ = waiter.tell.send(outcome);
        }
    }

    fn end(&mut self, id: u64) -> Option<Waiter> {
        let (generation, index) = split(id);
        let slot = self.slots.get_mut(index as usize)?;
        if slot.generation != generation {
            return None;
        }
        let waiter = slot.waiter.take()?;
        self.free.push(index);
        Some(waiter)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves of an id")]
const fn split(id: u64) -> (u32, u32) {
    ((id >> 32) as u32, id as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Vec<u8> {
        let mut frame = Vec::new();
        motan2::encode(&mut frame, motan2::Header::request(0), |_| {}, |_| {});
        frame
    }

    fn written(pending: &mut Pending) -> Vec<u64> {
        let mut batch = VecDeque::new();
        pending.next_into(&mut batch, usize::MAX);
        batch.iter().map(|frame| frame.id).collect()
    }

    #[test]
    fn a_late_answer_does_not_reach_the_next_call_in_its_place() {
        let mut pending = Pending::new(1, 1_000);
        let (first, _told) = pending.enter(Wants::Answer, frame()).unwrap();
        assert_eq!(written(&mut pending), [first]);
        assert!(matches!(pending.leave(first), Place::Written));
        let (second, mut told) = pending.enter(Wants::Answer, frame()).unwrap();
        assert_eq!(written(&mut pending), [second]);
        pending.answered(first, Ok(Answer::default()));
        assert!(told.try_recv().is_err());
        pending.answered(second, Ok(Answer::default()));
        assert!(told.try_recv().unwrap().is_ok());
    }

    #[test]
    fn an_answer_to_what_was_never_written_is_dropped() {
        let mut pending = Pending::new(1, 1_000);
        let (id, mut told) = pending.enter(Wants::Answer, frame()).unwrap();
        pending.answered(id, Ok(Answer::default()));
        assert!(told.try_recv().is_err());
    }

    #[test]
    fn a_broken_connection_loses_what_was_written_and_keeps_the_rest_in_order() {
        let mut pending = Pending::new(9, 1_000);
        let calls: Vec<_> = (0..5)
            .map(|_| pending.enter(Wants::Answer, frame()).unwrap())
            .collect();
        let ids: Vec<_> = calls.iter().map(|(id, _)| *id).collect();
        let mut batch = VecDeque::new();
        pending.next_into(&mut batch, 3 * motan2::MIN_FRAME);
        batch.pop_front();
        assert!(matches!(pending.leave(ids[2]), Place::Written));
        assert!(matches!(pending.leave(ids[4]), Place::Unwritten(None)));
        pending.down(batch, LinkError::Closed);
        let mut first = calls.into_iter().next().unwrap().1;
        assert!(matches!(first.try_recv().unwrap(), Err(CallError::Lost(_))));
        assert_eq!(written(&mut pending), [ids[1], ids[3]]);
    }

    #[test]
    fn calls_and_bytes_are_bounded_and_what_is_given_up_makes_room() {
        let mut pending = Pending::new(2, 3 * motan2::MIN_FRAME);
        let (first, _a) = pending.enter(Wants::Answer, frame()).unwrap();
        let (_, _b) = pending.enter(Wants::Answer, frame()).unwrap();
        assert!(matches!(
            pending.enter(Wants::Answer, frame()),
            Err(CallError::Busy(_))
        ));
        pending.leave(first);
        let long = vec![0; 2 * motan2::MIN_FRAME + 1];
        assert!(matches!(
            pending.enter(Wants::Answer, long),
            Err(CallError::Busy(_))
        ));
        assert!(pending.enter(Wants::Answer, frame()).is_ok());
    }

    #[test]
    fn a_call_given_up_in_the_batch_is_not_written() {
        let mut pending = Pending::new(3, 1_000);
        let ids: Vec<_> = (0..3)
            .map(|_| pending.enter(Wants::Answer, frame()).unwrap().0)
            .collect();
        let mut batch = VecDeque::new();
        pending.next_into(&mut batch, usize::MAX);
        ids[..2].iter().for_each(|id| drop(pending.leave(*id)));
        pending.prune(&mut batch, 1);
        assert_eq!(
            batch.iter().map(|frame| frame.id).collect::<Vec<_>>(),
            [ids[0], ids[2]]
        );
    }
}
