//! The bytes: frame heads (RFC 9113 4.1), header blocks (RFC 7541) and messages of gRPC.

/// Bytes of a frame's head.
pub(crate) const HEAD: usize = 9;
/// The largest payload of a frame, either way: what holds where nobody says more.
pub(crate) const MAX_PAYLOAD: usize = 16 << 10;
/// What a client says first.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes before a message: whether it is compressed, and its length.
pub(crate) const PREFIX: usize = 5;
/// A message that begins so, followed by a length, asks for messages of that length without end.
pub(crate) const CHUNKS: u8 = b'>';

/// Types of frames.
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const RESET: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
}

/// Flags of frames.
pub(crate) mod flag {
    pub(crate) const ACK: u8 = 1;
    pub(crate) const END_STREAM: u8 = 1;
    pub(crate) const END_HEADERS: u8 = 4;
    pub(crate) const PADDED: u8 = 8;
    pub(crate) const PRIORITY: u8 = 0x20;
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) length: usize,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
}

impl Head {
    pub(crate) fn read(raw: &[u8; HEAD]) -> Self {
        let [a, b, c, kind, flags, d, e, f, g] = *raw;
        Self {
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes([d, e, f, g]) & (u32::MAX >> 1),
        }
    }
}

/// Appends the head of a frame with this many bytes to follow.
pub(crate) fn write_head(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, length: usize) {
    // Nobody here sends more than MAX_PAYLOAD at once.
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    out.extend_from_slice(&length[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
}

/// Appends a whole frame.
pub(crate) fn write(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    write_head(out, kind, flags, stream, payload.len());
    out.extend_from_slice(payload);
}

/// A message with what comes before it.
pub(crate) fn message(payload: &[u8]) -> Vec<u8> {
    let mut message = vec![0];
    message.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
    message.extend_from_slice(payload);
    message
}

/// The header block of a call. Bytes before values are indices of RFC 7541's static table.
pub(crate) fn call_block(host: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86]; // :method POST, :scheme http
    literal(&mut block, &[0x04], "/bench.Echo/Call"); // :path
    literal(&mut block, &[0x01], host); // :authority
    literal(&mut block, &[0x0f, 0x10], "application/grpc"); // content-type
    literal(&mut block, &[0x0f, 0x2b], "motanmesh-load"); // user-agent
    literal(&mut block, b"\x00\x02te", "trailers");
    block
}

/// The header block of an answer.
pub(crate) fn answer_block() -> Vec<u8> {
    let mut block = vec![0x88]; // :status 200
    literal(&mut block, &[0x0f, 0x10], "application/grpc");
    block
}

/// The header block after a good answer.
pub(crate) fn trailer_block() -> Vec<u8> {
    let mut block = Vec::new();
    literal(&mut block, b"\x00\x0bgrpc-status", "0");
    block
}

/// Appends a literal that is not kept; names and values here are shorter than a length of one byte can say.
fn literal(block: &mut Vec<u8>, name: &[u8], value: &str) {
    let value = &value.as_bytes()[..value.len().min(126)];
    block.extend_from_slice(name);
    block.push(u8::try_from(value.len()).unwrap_or(0));
    block.extend_from_slice(value);
}

/// Whether a header block, whose encoder has no dynamic table, says that a call ended well: the name as it is or in
/// Huffman's code, then a `0` in either.
pub(crate) fn says_ok(block: &[u8]) -> bool {
    const PLAIN: &[u8] = b"\x0bgrpc-status";
    const CODED: &[u8] = b"\x88\x9a\xca\xc8\xb2\x12\x34\xda\x8f";
    let after = |name: &[u8]| {
        let at = block.windows(name.len()).position(|bytes| bytes == name)?;
        block.get(at + name.len()..at + name.len() + 2)
    };
    matches!(
        after(PLAIN).or_else(|| after(CODED)),
        Some(b"\x01\x30" | b"\x81\x07")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let mut out = Vec::new();
        write(&mut out, kind::DATA, flag::END_STREAM, 7, b"abc");
        let head = Head {
            length: 3,
            kind: kind::DATA,
            flags: flag::END_STREAM,
            stream: 7,
        };
        assert_eq!(Head::read(out.first_chunk().unwrap()), head);
        assert_eq!(&out[HEAD..], b"abc");
    }

    #[test]
    fn a_good_end_is_told_from_a_bad_one_in_either_code() {
        assert!(says_ok(&trailer_block()));
        // What an encoder with Huffman's code makes of the same.
        assert!(says_ok(b"\x00\x88\x9a\xca\xc8\xb2\x12\x34\xda\x8f\x01\x30"));
        assert!(says_ok(b"\x10\x88\x9a\xca\xc8\xb2\x12\x34\xda\x8f\x81\x07"));
        assert!(!says_ok(b"\x00\x0bgrpc-status\x0214"));
        assert!(!says_ok(b"\x00\x0bgrpc-status\x018"));
        assert!(!says_ok(&answer_block()));
    }
}
