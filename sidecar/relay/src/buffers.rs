//! Byte buffers that are used again, within a bound, by size. Small ones hold a request that waits for its answer, large
//! ones what leaves together, those between the tail of what has arrived: were they one kind, thousands of waiting
//! requests would come to hold large ones.

/// Room of a small buffer: an ordinary request with its metadata.
const SMALL: usize = 4 * 1024;
/// The largest between small and large.
const MIDDLE: usize = 32 * 1024;
/// A buffer that has grown beyond this is freed: one large call must not hold its memory for ever. Four reads.
const KEEP: usize = 256 * 1024;
/// All kept buffers of one kind together.
const KEEP_TOTAL: usize = 2 * 1024 * 1024;

/// Empty buffers with room in them.
#[derive(Debug, Default)]
pub struct Buffers {
    small: Kind,
    middle: Kind,
    large: Kind,
}

#[derive(Debug, Default)]
struct Kind {
    free: Vec<Vec<u8>>,
    held: usize,
}

impl Buffers {
    /// An empty buffer for about so many bytes; it has at least that room unless that is more than is ever kept.
    pub fn take(&mut self, room: usize) -> Vec<u8> {
        let (kind, least) = if room <= SMALL {
            (&mut self.small, SMALL)
        } else if room <= MIDDLE {
            (&mut self.middle, room)
        } else {
            (&mut self.large, room.min(KEEP))
        };
        let mut buffer = kind.free.pop().unwrap_or_default();
        kind.held -= buffer.capacity();
        buffer.reserve(least);
        buffer
    }

    /// Gives a buffer back.
    pub fn give(&mut self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        if capacity == 0 || capacity > KEEP {
            return;
        }
        let kind = if capacity <= SMALL {
            &mut self.small
        } else if capacity <= MIDDLE {
            &mut self.middle
        } else {
            &mut self.large
        };
        if kind.held + capacity <= KEEP_TOTAL {
            buffer.clear();
            kind.held += capacity;
            kind.free.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_for_its_own_kind_of_use_and_not_when_it_has_grown_too_large() {
        let mut buffers = Buffers::default();
        let small = buffers.take(100);
        let mut large = buffers.take(MIDDLE + 1);
        assert!(small.capacity() >= SMALL && large.capacity() > MIDDLE);
        large.resize(KEEP, 7);
        let kept = large.capacity();
        buffers.give(large);
        buffers.give(small);
        for room in [100, MIDDLE] {
            assert!(
                buffers.take(room).capacity() < kept,
                "{room}: no large one is held"
            );
        }
        let mut large = buffers.take(MIDDLE + 1);
        assert_eq!((large.len(), large.capacity()), (0, kept));
        large.resize(KEEP + 1, 7);
        buffers.give(large);
        assert!(buffers.large.free.is_empty());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut buffers = Buffers::default();
        for _ in 0..1000 {
            buffers.give(Vec::with_capacity(SMALL));
            buffers.give(Vec::with_capacity(KEEP));
        }
        assert!(buffers.small.held <= KEEP_TOTAL && buffers.large.held <= KEEP_TOTAL);
        assert!(!buffers.small.free.is_empty() && !buffers.large.free.is_empty());
    }
}
