//! Bytes to lines, of a bounded length.

use bytes::{Bytes, BytesMut};
use plan::stream::MAX_LINE;

/// A line that does not end within [`MAX_LINE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line is longer than {MAX_LINE} bytes")]
pub(crate) struct TooLong;

/// The part of the stream that is not a whole line yet.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    rest: BytesMut,
    /// How much of `rest` is known to hold no line feed.
    searched: usize,
}

impl Lines {
    /// Takes what has arrived.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
    }

    /// The next whole line without its line feed; `None` until more has arrived. Empty lines are skipped.
    ///
    /// # Errors
    /// [`TooLong`]; the stream can't be followed any more.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, TooLong> {
        while let Some(length) = self.rest[self.searched..].iter().position(|byte| *byte == b'\n') {
            let end = self.searched + length;
            self.searched = 0;
            let line = self.rest.split_to(end + 1).freeze().slice(..end);
            if line.len() > MAX_LINE {
                return Err(TooLong);
            }
            if !line.is_empty() {
                return Ok(Some(line));
            }
        }
        self.searched = self.rest.len();
        if self.searched == 0 {
            // Between messages nothing is kept: a plan may have grown the buffer to a megabyte.
            self.rest = BytesMut::new();
        }
        if self.searched > MAX_LINE {
            Err(TooLong)
        } else {
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(lines: &mut Lines) -> Vec<String> {
        let mut found = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            found.push(String::from_utf8(line.to_vec()).unwrap());
        }
        found
    }

    #[test]
    fn lines_come_out_whole_however_they_arrive() {
        let text = b"one\n\ntwo\nthree";
        for size in 1..text.len() {
            let mut lines = Lines::default();
            let mut found = Vec::new();
            for piece in text.chunks(size) {
                lines.push(piece);
                found.extend(all(&mut lines));
            }
            assert_eq!(found, ["one", "two"], "pieces of {size}");
            lines.push(b"\n");
            assert_eq!(all(&mut lines), ["three"]);
        }
    }

    #[test]
    fn a_line_that_does_not_end_is_refused() {
        let mut lines = Lines::default();
        lines.push(&vec![b'x'; MAX_LINE]);
        assert_eq!(lines.next(), Ok(None));
        lines.push(b"x");
        assert_eq!(lines.next(), Err(TooLong));
        let mut lines = Lines::default();
        lines.push(&vec![b'x'; MAX_LINE + 1]);
        lines.push(b"\n");
        assert_eq!(lines.next(), Err(TooLong));
    }
}
