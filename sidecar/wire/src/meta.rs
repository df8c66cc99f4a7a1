//! Metadata: `key LF value LF … key LF value` (motan-wire 2.5). Read where it lies, written pair by pair; neither
//! side builds a map.

use memchr::memchr;

mod feeds;

use feeds::Feeds;

/// A metadata block that is known to be made of pairs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Meta<'a>(&'a [u8]);

/// A block with a key that has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("metadata is not paired")]
pub struct NotPaired;

impl<'a> Meta<'a> {
    /// Checks a block: one pass, and nothing is kept of it. Accepted beside the plain form: a trailing LF, empty values, empty keys (skipped).
    ///
    /// # Errors
    /// A key without a value.
    pub fn new(block: &'a [u8]) -> Result<Self, NotPaired> {
        let (mut start, mut at_key) = (0, true);
        for feed in Feeds::new(block) {
            at_key = !at_key || feed == start;
            start = feed + 1;
        }
        if at_key && start < block.len() {
            return Err(NotPaired);
        }
        Ok(Self(block))
    }

    /// The pairs in their order, those with an empty value too. Where a key comes twice the last one counts.
    #[must_use]
    pub const fn pairs(self) -> Pairs<'a> {
        Pairs {
            block: self.0,
            start: 0,
            feeds: Feeds::new(self.0),
        }
    }

    /// The value of a key; the last one where it comes twice.
    #[must_use]
    pub fn find(self, key: &[u8]) -> Option<&'a [u8]> {
        let mut found = None;
        for (name, value) in self.pairs() {
            if name == key {
                found = Some(value);
            }
        }
        found
    }

    /// Where the value of a key lies in the block, as [`Meta::find`] finds it.
    pub(crate) fn place(self, key: &[u8]) -> Option<std::ops::Range<usize>> {
        let mut pairs = self.pairs();
        let mut found = None;
        while let Some((name, value)) = pairs.next() {
            if name == key {
                let end = pairs.start - 1; // the line feed after it, or the end of the block
                found = Some(end - value.len()..end);
            }
        }
        found
    }

    /// Whether the block is as a [`Writer`] writes it: no empty key or value, no line feed at an end. `keys_and_values`
    /// is how many bytes its pairs' keys and values have, and `pairs` how many pairs there are, none with an empty
    /// value: whoever has gone through the pairs anyway knows both.
    #[must_use]
    pub const fn is_tidy(self, pairs: usize, keys_and_values: usize) -> bool {
        pairs == 0 && self.0.is_empty() || pairs > 0 && keys_and_values + 2 * pairs - 1 == self.0.len()
    }

    /// The block as it came.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

/// Iterates over the pairs of a block.
#[derive(Debug, Clone)]
pub struct Pairs<'a> {
    block: &'a [u8],
    start: usize,
    feeds: Feeds<'a>,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let mut key_end = self.feeds.next()?;
        while key_end == self.start {
            self.start += 1; // an empty key
            key_end = self.feeds.next()?;
        }
        let value_end = self.feeds.next().unwrap_or(self.block.len());
        let key = &self.block[self.start..key_end];
        let value = &self.block[key_end + 1..value_end];
        self.start = value_end + 1;
        Some((key, value))
    }
}

/// Writes pairs, one after the other, at the end of a buffer.
///
/// Nothing that would damage the block gets in: a pair with an empty key or value is left out, and so is one with a
/// line feed in it.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> Writer<'a> {
    /// Begins a block at the end of `out`.
    pub const fn new(out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        Self { out, start }
    }

    /// Adds a pair.
    pub fn pair(&mut self, key: &[u8], value: &[u8]) {
        let damaging = |text: &[u8]| text.is_empty() || memchr(b'\n', text).is_some();
        if damaging(key) || damaging(value) {
            return;
        }
        self.separate();
        self.out.extend_from_slice(key);
        self.out.push(b'\n');
        self.out.extend_from_slice(value);
    }

    /// Adds a pair whose value is a number, in decimal.
    pub fn number(&mut self, key: &[u8], value: i64) {
        self.pair(key, itoa::Buffer::new().format(value).as_bytes());
    }

    /// Adds all of a block, which must be [`Meta::is_tidy`], in one copy.
    pub fn block(&mut self, meta: Meta<'_>) {
        if meta.0.is_empty() {
            return;
        }
        self.separate();
        self.out.extend_from_slice(meta.0);
    }

    /// As [`Writer::block`], but for one pair: that of `key`, whose value is this slice of the block.
    pub fn block_without(&mut self, meta: Meta<'_>, key: &[u8], value: &[u8]) {
        let all = meta.0;
        let at = (value.as_ptr() as usize).wrapping_sub(all.as_ptr() as usize);
        let start = at.wrapping_sub(key.len() + 1);
        let rest = all.get(at.wrapping_add(value.len())..).unwrap_or_default();
        let before = all.get(..start).unwrap_or_default();
        self.block(Meta(before.strip_suffix(b"\n").unwrap_or(before)));
        self.block(Meta(rest.strip_prefix(b"\n").unwrap_or(rest)));
    }

    /// Adds every pair of a block whose key `keep` wants, those with an empty value left out.
    pub fn copy(&mut self, meta: Meta<'_>, mut keep: impl FnMut(&[u8]) -> bool) {
        let mut pairs = meta.pairs();
        // Pairs that stay and follow one another are copied in one piece.
        let mut run = 0..0;
        while let Some((key, value)) = pairs.next() {
            if value.is_empty() || !keep(key) {
                continue;
            }
            let end = pairs.start - 1;
            let start = end - value.len() - 1 - key.len();
            if run.is_empty() || start != run.end + 1 {
                self.block(Meta(&meta.0[run]));
                run = start..end;
            }
            run.end = end;
        }
        self.block(Meta(&meta.0[run]));
    }

    fn separate(&mut self) {
        if self.out.len() > self.start {
            self.out.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pair<'a> = (&'a [u8], &'a [u8]);

    fn read(block: &[u8]) -> Result<Vec<Pair<'_>>, NotPaired> {
        Ok(Meta::new(block)?.pairs().collect())
    }

    type Row = (&'static [u8], &'static [Pair<'static>]);

    #[test]
    fn every_form_that_peers_send_is_read() {
        let rows: [Row; 8] = [
            (b"", &[]),
            (b"k\nv", &[(b"k", b"v")]),
            (b"k\nv\n", &[(b"k", b"v")]),
            (b"k\n", &[(b"k", b"")]),
            (b"a\n\nb\nc", &[(b"a", b""), (b"b", b"c")]),
            (b"\na\nb", &[(b"a", b"b")]),
            (b"\n", &[]),
            (b"a\n1\na\n2", &[(b"a", b"1"), (b"a", b"2")]),
        ];
        for (block, pairs) in rows {
            assert_eq!(read(block).as_deref(), Ok(pairs), "{block:?}");
        }
    }

    #[test]
    fn a_key_without_a_value_is_refused() {
        assert_eq!(read(b"k"), Err(NotPaired));
        assert_eq!(read(b"a\nb\nc"), Err(NotPaired));
    }

    #[test]
    fn the_last_of_two_equal_keys_counts() {
        assert_eq!(Meta::new(b"a\n1\na\n2").unwrap().find(b"a"), Some(&b"2"[..]));
    }

    #[test]
    fn a_pair_that_would_damage_the_block_is_left_out() {
        let mut out = b"before".to_vec();
        let mut writer = Writer::new(&mut out);
        for (key, value) in [
            ("a", "1"),
            ("", "x"),
            ("b", ""),
            ("c", "x\ny"),
            ("d\n", "x"),
            ("e", "2"),
        ] {
            writer.pair(key.as_bytes(), value.as_bytes());
        }
        assert_eq!(out, b"beforea\n1\ne\n2");
    }

    #[test]
    fn a_tidy_block_is_added_whole() {
        let tidy = |block: &[u8]| {
            let meta = Meta::new(block).unwrap();
            let (mut pairs, mut bytes, mut empty) = (0, 0, false);
            for (key, value) in meta.pairs() {
                pairs += 1;
                bytes += key.len() + value.len();
                empty |= value.is_empty();
            }
            !empty && meta.is_tidy(pairs, bytes)
        };
        for block in ["", "a\n1", "a\n1\nb\n2"] {
            assert!(tidy(block.as_bytes()), "{block:?}");
        }
        for block in ["\n", "a\n1\n", "\na\n1", "a\n1\n\nb\n2", "a\n\nb\n2", "a\n"] {
            assert!(!tidy(block.as_bytes()), "{block:?}");
        }
        let mut out = b"before".to_vec();
        let mut writer = Writer::new(&mut out);
        writer.block(Meta::default());
        writer.block(Meta::new(b"a\n1").unwrap());
        writer.block(Meta::new(b"b\n2").unwrap());
        writer.number(b"c", -3);
        assert_eq!(out, b"beforea\n1\nb\n2\nc\n-3");
    }

    #[test]
    fn a_tidy_block_is_added_without_one_of_its_pairs() {
        for (block, rest) in [
            ("h\nx", ""),
            ("h\nx\na\n1", "a\n1"),
            ("a\n1\nh\nx", "a\n1"),
            ("a\nx\nh\nx\nb\nx", "a\nx\nb\nx"),
        ] {
            let meta = Meta::new(block.as_bytes()).unwrap();
            let mut out = Vec::new();
            Writer::new(&mut out).block_without(meta, b"h", meta.find(b"h").unwrap());
            assert_eq!(out, rest.as_bytes(), "{block:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_copied_reads_the_same_but_for_empty_values(block in "[abc\n]{0,32}", dropped in "[ab]") {
            if let Ok(meta) = Meta::new(block.as_bytes()) {
                let keep = |key: &[u8]| !key.starts_with(dropped.as_bytes());
                let mut out = Vec::new();
                Writer::new(&mut out).copy(meta, keep);
                let kept = |(key, value): &Pair<'_>| keep(key) && !value.is_empty();
                let kept: Vec<_> = meta.pairs().filter(kept).collect();
                proptest::prop_assert_eq!(read(&out).unwrap(), kept);
            }
        }
    }
}
