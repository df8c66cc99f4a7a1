//! The Java object stream around and inside a Motan 1 body: records of block data, and byte arrays as the only objects
//! (later Java servers take no others, motan-wire 9). A text may lie across records, so it borrows where it can.

use std::borrow::Cow;

/// What every stream begins with: Java's stream magic and version.
pub(super) const STREAM: [u8; 4] = [0xac, 0xed, 0x00, 0x05];
/// The first byte array of a stream brings the description of its class; its length and bytes follow.
pub(super) const FIRST_ARRAY: [u8; 19] = [
    0x75, 0x72, 0x00, 0x02, b'[', b'B', 0xac, 0xf3, 0x17, 0xf8, 0x06, 0x08, 0x54, 0xe0, 0x02, 0x00, 0x00,
    0x78, 0x70,
];
/// Later ones refer to it.
const NEXT_ARRAY: [u8; 6] = [0x75, 0x71, 0x00, 0x7e, 0x00, 0x00];
/// Tag of a null object.
const NULL: u8 = 0x70;
/// Tag of a record with a length of one byte.
const SHORT_RECORD: u8 = 0x77;
/// Tag of a record with a length of four bytes.
const LONG_RECORD: u8 = 0x7a;
/// Java's writer sends a record when it holds this many bytes.
const RECORD: usize = 1024;

/// Why an object stream can't be read. The framing is sound, so only this message fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The message is a response where a request is needed, or the reverse.
    #[error("the message goes the other way")]
    Direction,
    /// Inner version 2, whose stream is compressed and abbreviated.
    #[error("the deprecated compressed variant of Motan 1 is not understood")]
    Compressed,
    /// Not a Java object stream.
    #[error("the body is not a Java object stream")]
    Stream,
    /// The stream ends inside of something.
    #[error("the object stream is cut short")]
    Short,
    /// Something else where block data must follow.
    #[error("byte {0:02x} is not the beginning of block data")]
    Block(u8),
    /// An object that is neither null nor a byte array.
    #[error("byte {0:02x} begins an object that is not a byte array")]
    Object(u8),
    /// Bytes after the end.
    #[error("the object stream goes on after its end")]
    Trailing,
}

/// Reads a stream from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blocks<'a> {
    /// What is unread.
    rest: &'a [u8],
    /// How much of it belongs to the record that is open; never more than there is.
    left: usize,
}

impl<'a> Blocks<'a> {
    pub(super) fn new(stream: &'a [u8]) -> Result<Self, Unreadable> {
        let rest = stream.strip_prefix(&STREAM).ok_or(Unreadable::Stream)?;
        Ok(Self { rest, left: 0 })
    }

    /// A text: its length in two bytes, then Java's modified UTF-8.
    pub(super) fn text(&mut self) -> Result<Cow<'a, [u8]>, Unreadable> {
        let length = u16::from_be_bytes(self.number()?);
        self.take(usize::from(length))
    }

    pub(super) fn number<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let bytes = self.take(N)?;
        bytes.first_chunk().copied().ok_or(Unreadable::Short)
    }

    /// The objects that stand here, if no block data does.
    pub(super) fn objects(&mut self) -> Result<&'a [u8], Unreadable> {
        if self.left > 0 {
            return Ok(&[]);
        }
        let mut rest = self.rest;
        let mut described = false;
        loop {
            rest = match rest {
                [NULL, rest @ ..] => rest,
                [SHORT_RECORD | LONG_RECORD, ..] => break,
                [tag, ..] => {
                    let (array, first) = match rest.strip_prefix(&FIRST_ARRAY) {
                        Some(array) => (Some(array), true),
                        None => (rest.strip_prefix(&NEXT_ARRAY), described),
                    };
                    let array = array.filter(|_| first).ok_or(Unreadable::Object(*tag))?;
                    described = true;
                    let (length, array) = array.split_first_chunk().ok_or(Unreadable::Short)?;
                    array
                        .get(u32::from_be_bytes(*length) as usize..)
                        .ok_or(Unreadable::Short)?
                }
                [] => return Err(Unreadable::Short),
            };
        }
        let objects = &self.rest[..self.rest.len() - rest.len()];
        self.rest = rest;
        Ok(objects)
    }

    /// Nothing may be left.
    pub(super) const fn end(self) -> Result<(), Unreadable> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Unreadable::Trailing)
        }
    }

    fn take(&mut self, count: usize) -> Result<Cow<'a, [u8]>, Unreadable> {
        if count == 0 {
            return Ok(Cow::Borrowed(&[]));
        }
        self.open()?;
        let first = self.piece(count);
        if first.len() == count {
            return Ok(Cow::Borrowed(first));
        }
        // Grows by what is here, not by what was announced.
        let mut gathered = first.to_vec();
        while gathered.len() < count {
            self.open()?;
            let piece = self.piece(count - gathered.len());
            gathered.extend_from_slice(piece);
        }
        Ok(Cow::Owned(gathered))
    }

    fn piece(&mut self, most: usize) -> &'a [u8] {
        let count = most.min(self.left);
        let (piece, rest) = self.rest.split_at(count);
        self.rest = rest;
        self.left -= count;
        piece
    }

    /// Opens records until one has something in it.
    fn open(&mut self) -> Result<(), Unreadable> {
        while self.left == 0 {
            let (length, rest) = match self.rest {
                [SHORT_RECORD, length, rest @ ..] => (usize::from(*length), rest),
                [LONG_RECORD, rest @ ..] => {
                    let (length, rest) = rest.split_first_chunk().ok_or(Unreadable::Short)?;
                    (u32::from_be_bytes(*length) as usize, rest)
                }
                [] | [SHORT_RECORD] => return Err(Unreadable::Short),
                [other, ..] => return Err(Unreadable::Block(*other)),
            };
            if length > rest.len() {
                return Err(Unreadable::Short);
            }
            (self.rest, self.left) = (rest, length);
        }
        Ok(())
    }
}

/// Appends block data in records as Java's writer makes them.
pub(super) fn write_blocks(out: &mut Vec<u8>, data: &[u8]) {
    for record in data.chunks(RECORD) {
        match u8::try_from(record.len()) {
            Ok(length) => out.extend_from_slice(&[SHORT_RECORD, length]),
            Err(_) => {
                out.push(LONG_RECORD);
                out.extend_from_slice(&super::field(record.len()));
            }
        }
        out.extend_from_slice(record);
    }
}

/// Appends a text; what does not fit its length of two bytes is refused, and nothing is written.
pub(super) fn write_text(out: &mut Vec<u8>, text: &[u8]) -> bool {
    let Ok(length) = u16::try_from(text.len()) else {
        return false;
    };
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text);
    true
}
