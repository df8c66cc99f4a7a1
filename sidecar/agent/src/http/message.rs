//! The one message of a unary gRPC call: in gRPC a flag and a length before it, in Motan the body as it is (number 1) or
//! as a value that might be null (number 5; motan-wire 5.3 and 5.4).

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// Why a body is not the one message of a unary call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotOne {
    #[error("there is no message")]
    None,
    #[error("there is more than one message, and streams have no place in Motan: call it with one, unary")]
    Several,
    #[error("the message is compressed, which Motan has no word for: send it as it is (identity)")]
    Compressed,
    #[error("the message is cut short")]
    Short,
}

/// A message as gRPC sends it.
pub(crate) fn write(message: &[u8]) -> Bytes {
    let mut body = BytesMut::with_capacity(PREFIX + message.len());
    body.put_u8(0);
    body.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX)); // a Motan body is far below
    body.put_slice(message);
    body.freeze()
}

/// The message of a gRPC body.
///
/// # Errors
/// There is none, more than one, or it is compressed.
pub(crate) fn read(body: &Bytes) -> Result<Bytes, NotOne> {
    let (prefix, rest) = match body.split_first_chunk::<PREFIX>() {
        Some(split) => split,
        None if body.is_empty() => return Err(NotOne::None),
        None => return Err(NotOne::Short),
    };
    let [flag, length @ ..] = *prefix;
    let length = u32::from_be_bytes(length) as usize;
    match rest.len().cmp(&length) {
        std::cmp::Ordering::Less => Err(NotOne::Short),
        std::cmp::Ordering::Greater => Err(NotOne::Several),
        std::cmp::Ordering::Equal if flag != 0 => Err(NotOne::Compressed),
        std::cmp::Ordering::Equal => Ok(body.slice(PREFIX..)),
    }
}

/// How Motan carries protobuf messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carried {
    /// Number 1, `grpc-pb`: as it is.
    Plain,
    /// Number 5, `protobuf`: as a value.
    Value,
}

impl Carried {
    /// By serialization number; `None` for all others.
    pub(crate) const fn of(serialization: u8) -> Option<Self> {
        match serialization {
            1 => Some(Self::Plain),
            5 => Some(Self::Value),
            _ => None,
        }
    }

    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Plain => 1,
            Self::Value => 5,
        }
    }

    /// The message in a body; null is an empty one. `None` where the body is something else.
    pub(crate) fn read(self, body: &[u8]) -> Option<&[u8]> {
        match (self, body) {
            (Self::Plain, message) => Some(message),
            (Self::Value, [] | [1]) => Some(&[]),
            (Self::Value, [0, rest @ ..]) => {
                let (length, message) = varint(rest)?;
                (message.len() == length).then_some(message)
            }
            (Self::Value, _) => None,
        }
    }

    /// Appends a message.
    pub(crate) fn write(self, out: &mut Vec<u8>, message: &[u8]) {
        if self == Self::Value {
            out.push(0);
            let mut length = message.len();
            while length >= 0x80 {
                out.push((length & 0x7f) as u8 | 0x80);
                length >>= 7;
            }
            out.push(length as u8);
        }
        out.extend_from_slice(message);
    }
}

fn varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0usize;
    for (group, byte) in bytes.iter().enumerate().take(4) {
        value |= usize::from(byte & 0x7f) << (7 * group);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[group + 1..]));
        }
    }
    None // 256 MiB and more: over every limit
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (&'static [u8], Result<&'static [u8], NotOne>);

    #[test]
    fn one_message_is_read_and_anything_else_is_told_apart() {
        let rows: [Row; 7] = [
            (b"\0\0\0\0\x03\x0a\x01a", Ok(b"\x0a\x01a")),
            (b"\0\0\0\0\0", Ok(b"")),
            (b"", Err(NotOne::None)),
            (b"\0\0\0", Err(NotOne::Short)),
            (b"\0\0\0\0\x04abc", Err(NotOne::Short)),
            (b"\0\0\0\0\x01a\0\0\0\0\x01b", Err(NotOne::Several)),
            (b"\x01\0\0\0\x01a", Err(NotOne::Compressed)),
        ];
        for (body, expected) in rows {
            let read = read(&Bytes::from_static(body));
            assert_eq!(read.as_deref(), expected.as_deref(), "{body:?}");
        }
        assert_eq!(write(b"\x0a\x01a").as_ref(), b"\0\0\0\0\x03\x0a\x01a");
    }

    #[test]
    fn a_message_survives_in_both_serializations() {
        for message in [vec![], vec![7; 3], vec![7; 200], vec![7; 70_000]] {
            for number in [1, 5] {
                let carried = Carried::of(number).unwrap();
                let mut body = Vec::new();
                carried.write(&mut body, &message);
                assert_eq!(carried.read(&body), Some(&*message));
                assert_eq!(carried.number(), number);
            }
        }
        assert_eq!(Carried::Value.read(b"\0\x03\x0a\x01a"), Some(&b"\x0a\x01a"[..]));
        assert_eq!(Carried::Value.read(b"\x01"), Some(&b""[..]));
        assert_eq!(Carried::Value.read(b"\0\x04abc"), None);
        assert_eq!(Carried::Value.read(b"\0\x02abc"), None);
        assert_eq!(Carried::of(6), None);
    }
}
