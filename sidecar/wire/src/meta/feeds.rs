//! Where the line feeds of a block are, eight bytes at a time. Keys and values are a few bytes long: starting a search
//! for each of them costs more than the search.

/// A line feed in each byte of a word.
const FEEDS: u64 = 0x0a0a_0a0a_0a0a_0a0a;
/// All but the highest bit of each byte of a word.
const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
/// Bytes of a word.
const WORD: usize = 8;

/// Iterates over the positions of line feeds.
#[derive(Debug, Clone)]
pub(super) struct Feeds<'a> {
    block: &'a [u8],
    /// Where the next word begins.
    ahead: usize,
    /// The highest bit of each byte that is a line feed, in the word before that; the first byte is the lowest.
    found: u64,
}

impl<'a> Feeds<'a> {
    pub(super) const fn new(block: &'a [u8]) -> Self {
        Self {
            block,
            ahead: 0,
            found: 0,
        }
    }

    fn word(&self) -> Option<u64> {
        let rest = self.block.get(self.ahead..)?;
        if let Some(whole) = rest.first_chunk() {
            return Some(u64::from_le_bytes(*whole));
        }
        if rest.is_empty() {
            return None;
        }
        let mut padded = [0; WORD];
        padded[..rest.len()].copy_from_slice(rest);
        Some(u64::from_le_bytes(padded))
    }
}

impl Iterator for Feeds<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.found == 0 {
            self.found = find(self.word()?);
            self.ahead += WORD;
        }
        let byte = self.found.trailing_zeros() as usize / 8;
        self.found &= self.found - 1;
        Some(self.ahead - WORD + byte)
    }
}

/// The highest bit of each byte that is a line feed. Adding to the low bits alone carries into no neighbour.
const fn find(word: u64) -> u64 {
    let differs = word ^ FEEDS;
    !(((differs & LOW) + LOW) | differs | LOW)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_line_feed_is_found_and_nothing_else(block in proptest::collection::vec(
            prop_oneof![Just(b'\n'), Just(0x0b), Just(0x8a), Just(0), Just(0x80), Just(0xff), any::<u8>()],
            0..64,
        )) {
            let plain: Vec<_> = (0..block.len()).filter(|at| block[*at] == b'\n').collect();
            prop_assert_eq!(Feeds::new(&block).collect::<Vec<_>>(), plain);
        }
    }
}
