//! The Motan 1 frame (motan-wire 9): two headers of 16 bytes each around a Java object stream. Only Java programs
//! speak it. Here is the framing; what the stream of a request says is read in [`Request`], that of a response in
//! [`Outcome`].

mod blocks;
mod request;
mod response;

pub use blocks::Unreadable;
pub use request::{Attachments, Pairs, Request, Writer, write_heartbeat, write_request};
pub use response::{DEFAULT_CODE, Outcome, write_exception, write_heartbeat_answer};

/// What the transport header begins with.
pub const MAGIC: [u8; 2] = [0xf1, 0xf1];
/// What the inner header begins with.
const INNER_MAGIC: [u8; 2] = [0xf0, 0xf0];
/// Bytes of each of the two headers.
const HEADER: usize = 16;
/// Where the object stream begins; the smallest frame.
pub const BODY_AT: usize = 2 * HEADER;
/// Where the request id lies in either header.
const ID_AT: usize = 4;
/// Where the length lies in either header.
const LENGTH_AT: usize = 12;
/// The inner version whose stream is understood.
const PLAIN: u8 = 1;
/// The inner version that compresses and abbreviates (deprecated); only its framing is understood.
const COMPRESSED: u8 = 2;

/// Values of the flag in the inner header.
pub mod flags {
    /// A request.
    pub const REQUEST: u8 = 0;
    /// A response with a value.
    pub const RESPONSE: u8 = 1;
    /// A response without a value.
    pub const VOID: u8 = 3;
    /// A response that is an exception.
    pub const EXCEPTION: u8 = 5;
    /// A response with attachments; inner version 2 only.
    pub const ATTACHMENTS: u8 = 7;
}

/// Which way a message goes, by byte 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Somebody asks.
    Request,
    /// Somebody answers.
    Response,
}

/// One message, its object stream unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Chosen by who asks, echoed by who answers; the transport header's.
    pub id: u64,
    /// Request or response.
    pub kind: Kind,
    /// The inner version: 1, or 2 for the deprecated compressed variant.
    pub version: u8,
    /// One of [`flags`], and one that fits the kind.
    pub flag: u8,
    /// The Java object stream.
    pub body: &'a [u8],
}

/// A message up to its body, which may still be on its way and begins at [`BODY_AT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// As in [`Frame`].
    pub id: u64,
    /// As in [`Frame`].
    pub kind: Kind,
    /// As in [`Frame`].
    pub version: u8,
    /// As in [`Frame`].
    pub flag: u8,
    /// Bytes of the object stream, as announced.
    pub body_len: usize,
}

/// Why a connection's bytes can't be Motan 1 frames. It must be closed. Where the message is too long it has a
/// [`header`] all the same, and may be answered first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Not Motan at all.
    #[error("bytes {0:02x}{1:02x} are not the magic f1f1")]
    Magic(u8, u8),
    /// Motan, but not version 1; or byte 3 is neither request nor response.
    #[error("type byte {0:02x} is neither a Motan 1 request nor a response")]
    Type(u8),
    /// Less than the inner header.
    #[error("a message of {0} bytes is shorter than its header")]
    TooShort(u32),
    /// Over the limit.
    #[error("a message of {0} bytes is over the limit")]
    TooLong(u32),
    /// The inner header is none.
    #[error("bytes {0:02x}{1:02x} are not the inner magic f0f0")]
    InnerMagic(u8, u8),
    /// The inner version has no meaning.
    #[error("inner version {0} is unknown")]
    InnerVersion(u8),
    /// The flag has no meaning, or not for this kind of message.
    #[error("flag {0:02x} does not fit the message")]
    Flag(u8),
    /// The two lengths contradict each other.
    #[error("the inner length is {0} and does not fit the outer")]
    InnerLength(u32),
}

/// Id and kind of the first message in `bytes`, whatever follows them: enough to answer a message that is too long.
/// `None` where they are not here or not Motan 1.
#[must_use]
pub fn header(bytes: &[u8]) -> Option<(u64, Kind)> {
    let id = bytes.get(ID_AT..)?.first_chunk()?;
    let kind = check_start(bytes).ok()??;
    Some((u64::from_be_bytes(*id), kind))
}

/// How many bytes the first frame in `bytes` takes; `None` while its first 16 are not here. `limit` bounds what follows
/// the transport header; its own value is fine.
///
/// # Errors
/// Bytes that can't become a frame, as early as that is known.
pub fn total(bytes: &[u8], limit: usize) -> Result<Option<usize>, Broken> {
    check_start(bytes)?;
    let Some(announced) = length(bytes, LENGTH_AT) else {
        return Ok(None);
    };
    let outer = usize::try_from(announced).map_err(|_| Broken::TooLong(announced))?;
    if outer < HEADER {
        return Err(Broken::TooShort(announced));
    }
    if outer > limit {
        return Err(Broken::TooLong(announced));
    }
    Ok(Some(HEADER + outer))
}

/// The head of the first frame in `bytes` and where its body begins; `None` while its 32 bytes are not here.
///
/// # Errors
/// As [`total`], and an inner header that contradicts itself.
pub fn decode_head(bytes: &[u8], limit: usize) -> Result<Option<(Head, usize)>, Broken> {
    let Some(total) = total(bytes, limit)? else {
        return Ok(None);
    };
    let inner = &bytes[HEADER..];
    if let [first, second, ..] = *inner
        && [first, second] != INNER_MAGIC
    {
        return Err(Broken::InnerMagic(first, second));
    }
    let (Some((id, kind)), Some(announced)) = (header(bytes), length(inner, LENGTH_AT)) else {
        return Ok(None);
    };
    let (version, flag, body_len) = (inner[2], inner[3], total - BODY_AT);
    if !matches!(version, PLAIN | COMPRESSED) {
        return Err(Broken::InnerVersion(version));
    }
    if !fits(flag, kind) {
        return Err(Broken::Flag(flag));
    }
    if usize::try_from(announced) != Ok(body_len) {
        return Err(Broken::InnerLength(announced));
    }
    let head = Head {
        id,
        kind,
        version,
        flag,
        body_len,
    };
    Ok(Some((head, BODY_AT)))
}

/// The first frame in `bytes` and how many bytes it takes; `None` while it is not complete.
///
/// # Errors
/// As [`decode_head`].
pub fn decode(bytes: &[u8], limit: usize) -> Result<Option<(Frame<'_>, usize)>, Broken> {
    let Some((head, body_at)) = decode_head(bytes, limit)? else {
        return Ok(None);
    };
    let Head {
        id,
        kind,
        version,
        flag,
        body_len,
    } = head;
    let end = body_at + body_len;
    Ok(bytes.get(body_at..end).map(|body| {
        let frame = Frame {
            id,
            kind,
            version,
            flag,
            body,
        };
        (frame, end)
    }))
}

/// Writes another id into both headers of an encoded frame that `frame` begins with.
pub fn set_id(frame: &mut [u8], id: u64) {
    for at in [ID_AT, HEADER + ID_AT] {
        if let Some(field) = frame.get_mut(at..at + 8) {
            field.copy_from_slice(&id.to_be_bytes());
        }
    }
}

/// Appends a version-1 frame whose object stream is written by `body`, which must stay under 4 GiB.
fn encode(out: &mut Vec<u8>, id: u64, flag: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0, u8::from(flag != flags::REQUEST)]);
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&INNER_MAGIC);
    out.extend_from_slice(&[PLAIN, flag]);
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    body(out);
    for header in [start, start + HEADER] {
        let follows = out.len() - header - HEADER;
        let at = header + LENGTH_AT;
        out[at..at + 4].copy_from_slice(&field(follows));
    }
}

fn check_start(bytes: &[u8]) -> Result<Option<Kind>, Broken> {
    match *bytes {
        [first, ..] if first != MAGIC[0] => Err(Broken::Magic(first, bytes.get(1).copied().unwrap_or(0))),
        [first, second, ..] if second != MAGIC[1] => Err(Broken::Magic(first, second)),
        [_, _, _, 0, ..] => Ok(Some(Kind::Request)),
        [_, _, _, 1, ..] => Ok(Some(Kind::Response)),
        [_, _, _, other, ..] => Err(Broken::Type(other)),
        _ => Ok(None),
    }
}

const fn fits(flag: u8, kind: Kind) -> bool {
    use flags::{ATTACHMENTS, EXCEPTION, REQUEST, RESPONSE, VOID};
    match kind {
        Kind::Request => flag == REQUEST,
        Kind::Response => matches!(flag, RESPONSE | VOID | EXCEPTION | ATTACHMENTS),
    }
}

fn length(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|field| u32::from_be_bytes(*field))
}

#[expect(clippy::cast_possible_truncation, reason = "documented: under 4 GiB")]
const fn field(length: usize) -> [u8; 4] {
    (length as u32).to_be_bytes()
}
