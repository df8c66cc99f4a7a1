//! Byte buffers that are used again, within a bound.

/// A buffer that has grown beyond this is freed: one large call must not hold its memory for ever.
const KEEP: usize = 64 * 1024;
/// All kept buffers together.
const KEEP_TOTAL: usize = 1024 * 1024;

/// Empty buffers with room in them.
#[derive(Debug, Default)]
pub struct Buffers {
    free: Vec<Vec<u8>>,
    held: usize,
}

impl Buffers {
    /// An empty buffer.
    pub fn take(&mut self) -> Vec<u8> {
        let buffer = self.free.pop().unwrap_or_default();
        self.held -= buffer.capacity();
        buffer
    }

    /// Gives a buffer back.
    pub fn give(&mut self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        if capacity > 0 && capacity <= KEEP && self.held + capacity <= KEEP_TOTAL {
            buffer.clear();
            self.held += capacity;
            self.free.push(buffer);
        }
    }
}
