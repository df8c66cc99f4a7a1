//! What waits to be written on one connection, and how much ever was.

use crate::Buffers;

/// At this many waiting bytes who fills a connection must pause: four reads of 64 KiB.
pub const HIGH_WATER: usize = 256 * 1024;
/// At this many waiting bytes they may go on.
pub const LOW_WATER: usize = 64 * 1024;

/// Room of an out buffer: what one read brings, rewritten.
const OUT: usize = 96 * 1024;

/// What is left after a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// At least [`LOW_WATER`] bytes wait.
    Full,
    /// Some bytes wait, few enough to bring more.
    Some,
    /// Nothing waits.
    Roomy,
}

#[derive(Debug)]
pub(crate) struct Connection<P> {
    pub(crate) attached: P,
    /// Requests that wait for an answer on it.
    pub(crate) waiting: u32,
    out: Vec<u8>,
    /// How much of `out` is written already.
    done: usize,
    /// Bytes ever written.
    written: u64,
    dirty: bool,
    /// A message is under way whose body is still coming: whatever else is appended waits in `held`.
    passing: bool,
    held: Vec<u8>,
}

impl<P> Connection<P> {
    pub(crate) const fn new(attached: P) -> Self {
        Self {
            attached,
            waiting: 0,
            out: Vec::new(),
            done: 0,
            written: 0,
            dirty: false,
            passing: false,
            held: Vec::new(),
        }
    }

    /// Appends; gives true where it must be put on the dirty list.
    pub(crate) fn append(&mut self, buffers: &mut Buffers, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        if self.passing {
            write(&mut self.held);
            return false;
        }
        self.add(buffers, write)
    }

    /// Appends a piece of the message that is under way, or its head.
    pub(crate) fn add(&mut self, buffers: &mut Buffers, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        if self.out.capacity() == 0 {
            self.out = buffers.take(OUT);
        }
        write(&mut self.out);
        !std::mem::replace(&mut self.dirty, true)
    }

    pub(crate) const fn is_passing(&self) -> bool {
        self.passing
    }

    pub(crate) const fn begin(&mut self) {
        self.passing = true;
    }

    /// The message that was under way is whole; what waited follows it. Gives true as [`Connection::append`].
    pub(crate) fn finish(&mut self, buffers: &mut Buffers) -> bool {
        self.passing = false;
        let held = std::mem::take(&mut self.held);
        if held.is_empty() {
            return false;
        }
        self.add(buffers, |out| out.extend_from_slice(&held))
    }

    pub(crate) const fn cleaned(&mut self) {
        self.dirty = false;
    }

    /// Bytes that wait to be written, those held back too.
    pub(crate) const fn queued(&self) -> usize {
        self.ready() + self.held.len()
    }

    /// Bytes that can be written now.
    pub(crate) const fn ready(&self) -> usize {
        self.out.len() - self.done
    }

    pub(crate) fn outgoing(&self) -> &[u8] {
        &self.out[self.done..]
    }

    pub(crate) const fn written(&self) -> u64 {
        self.written
    }

    /// Where in the stream of bytes a frame of this length will end.
    pub(crate) const fn end_after(&self, length: usize) -> u64 {
        self.written + (self.ready() + length) as u64
    }

    /// Bytes were written that were never queued; nothing that may leave waits.
    pub(crate) const fn went_by(&mut self, count: usize) {
        self.written += count as u64;
    }

    pub(crate) fn wrote(&mut self, count: usize, buffers: &mut Buffers) -> Flushed {
        let count = count.min(self.ready());
        self.done += count;
        self.written += count as u64;
        if self.ready() == 0 {
            buffers.give(std::mem::take(&mut self.out));
            self.done = 0;
            return Flushed::Roomy;
        }
        // Moves what is left to the front once at least as much has gone, so that each byte moves at most once.
        if self.done >= self.ready() {
            self.out.drain(..self.done);
            self.done = 0;
        }
        if self.ready() >= LOW_WATER {
            Flushed::Full
        } else {
            Flushed::Some
        }
    }

    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.out
    }
}
