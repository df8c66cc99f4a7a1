//! The Motan 2 frame (motan-wire 2): header, metadata, body. Decoding borrows; encoding appends to a buffer.

use crate::meta::{Meta, NotPaired, Writer};

/// What every frame begins with.
pub const MAGIC: [u8; 2] = [0xf1, 0xf1];
/// Bytes up to and including the metadata length.
const META_AT: usize = 17;
/// Where the request id lies.
const ID_AT: usize = 5;
/// The smallest frame: no metadata, no body.
pub const MIN_FRAME: usize = 21;
/// The default limit of motan-go's `maxContentLength`, in bytes, for metadata and body each (motan-wire 2.6).
pub const DEFAULT_LIMIT: usize = 10 * 1024 * 1024;

/// Bits of the message type byte.
pub mod bits {
    /// A response; otherwise a request.
    pub const RESPONSE: u8 = 0x01;
    /// Relayed by an agent.
    pub const PROXY: u8 = 0x02;
    /// No answer is expected; agents answer all the same.
    pub const ONEWAY: u8 = 0x04;
    /// The body is gzip.
    pub const GZIP: u8 = 0x08;
    /// A heartbeat.
    pub const HEARTBEAT: u8 = 0x10;
}

/// Serialization number of `simple` values.
pub const SIMPLE: u8 = 6;
/// Version and status byte of a normal message.
const NORMAL: u8 = 1 << 3;
/// The status of an exception.
pub const EXCEPTION: u8 = 1;

/// The fixed part of a frame, without the lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Message type: see [`bits`].
    pub kind: u8,
    /// 0 normal, 1 exception, 2 to 7 undefined.
    pub status: u8,
    /// The whole serialization byte: the number in the 5 high bits.
    pub serialization: u8,
    /// Chosen by who asks, echoed by who answers.
    pub id: u64,
}

impl Header {
    /// A request with `simple` values.
    #[must_use]
    pub const fn request(id: u64) -> Self {
        Self {
            kind: 0,
            status: 0,
            serialization: SIMPLE << 3,
            id,
        }
    }

    /// An exception made by an agent: serialization 0, proxy bit set (motan-wire 2.8 E).
    #[must_use]
    pub const fn exception(id: u64) -> Self {
        Self {
            kind: bits::RESPONSE | bits::PROXY,
            status: EXCEPTION,
            serialization: 0,
            id,
        }
    }

    /// A heartbeat request or response as motan-go sends it.
    #[must_use]
    pub const fn heartbeat(kind: u8, id: u64) -> Self {
        Self {
            kind: bits::HEARTBEAT | bits::PROXY | kind,
            status: 0,
            serialization: SIMPLE << 3,
            id,
        }
    }

    /// Whether it answers something.
    #[must_use]
    pub const fn is_response(&self) -> bool {
        self.kind & bits::RESPONSE != 0
    }

    /// Whether it only asks whether the other side lives, or says so.
    #[must_use]
    pub const fn is_heartbeat(&self) -> bool {
        self.kind & bits::HEARTBEAT != 0
    }

    /// The serialization's number.
    #[must_use]
    pub const fn serialization(&self) -> u8 {
        self.serialization >> 3
    }
}

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The fixed part.
    pub header: Header,
    /// The metadata.
    pub meta: Meta<'a>,
    /// The body, as it came: compressed where the bit says so.
    pub body: &'a [u8],
}

/// Why a connection's bytes can't be frames. It must be closed, without a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Not Motan at all.
    #[error("bytes {0:02x}{1:02x} are not the magic f1f1")]
    Magic(u8, u8),
    /// Motan, but not version 2.
    #[error("version {0} is not Motan 2")]
    Version(u8),
    /// Metadata over the limit.
    #[error("metadata of {0} bytes is over the limit")]
    MetaTooLong(u32),
    /// Body over the limit.
    #[error("body of {0} bytes is over the limit")]
    BodyTooLong(u32),
    /// Metadata that is not pairs.
    #[error(transparent)]
    Meta(#[from] NotPaired),
}

/// The first frame in `bytes` and how many bytes it takes; `None` while it is not complete. `limit` bounds metadata
/// and body each; a value of exactly the limit is fine.
///
/// # Errors
/// Bytes that can't become a frame, as early as that is known.
pub fn decode(bytes: &[u8], limit: usize) -> Result<Option<(Frame<'_>, usize)>, Broken> {
    check_start(bytes)?;
    let Some(meta_len) = length(bytes, 13, limit).map_err(Broken::MetaTooLong)? else {
        return Ok(None);
    };
    let body_at = META_AT + meta_len + 4;
    let Some(body_len) = length(bytes, body_at - 4, limit).map_err(Broken::BodyTooLong)? else {
        return Ok(None);
    };
    let end = body_at + body_len;
    if bytes.len() < end {
        return Ok(None);
    }
    let mut id = [0; 8];
    id.copy_from_slice(&bytes[ID_AT..ID_AT + 8]);
    let header = Header {
        kind: bytes[2],
        status: bytes[3] & 0x07,
        serialization: bytes[4],
        id: u64::from_be_bytes(id),
    };
    let meta = Meta::new(&bytes[META_AT..META_AT + meta_len])?;
    let body = &bytes[body_at..end];
    Ok(Some((Frame { header, meta, body }, end)))
}

fn check_start(bytes: &[u8]) -> Result<(), Broken> {
    match *bytes {
        [first, ..] if first != MAGIC[0] => Err(Broken::Magic(first, bytes.get(1).copied().unwrap_or(0))),
        [first, second, ..] if second != MAGIC[1] => Err(Broken::Magic(first, second)),
        [_, _, _, version, ..] if version >> 3 != 1 => Err(Broken::Version(version >> 3)),
        _ => Ok(()),
    }
}

fn length(bytes: &[u8], at: usize, limit: usize) -> Result<Option<usize>, u32> {
    let Some(field) = bytes.get(at..at + 4) else {
        return Ok(None);
    };
    let announced = u32::from_be_bytes([field[0], field[1], field[2], field[3]]);
    match usize::try_from(announced) {
        Ok(length) if length <= limit => Ok(Some(length)),
        _ => Err(announced),
    }
}

/// Appends a frame whose metadata is written by `meta` and whose body by `body`. What they append must stay under
/// 4 GiB each, which the limits on what is read see to.
pub fn encode(
    out: &mut Vec<u8>,
    header: Header,
    meta: impl FnOnce(&mut Writer<'_>),
    body: impl FnOnce(&mut Vec<u8>),
) {
    let Header {
        kind,
        status,
        serialization,
        id,
    } = header;
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[kind, NORMAL | status, serialization]);
    out.extend_from_slice(&id.to_be_bytes());
    let meta_at = placeholder(out);
    meta(&mut Writer::new(out));
    patch_length(out, meta_at);
    let body_at = placeholder(out);
    body(out);
    patch_length(out, body_at);
}

/// Writes another id into an encoded frame that `frame` begins with.
pub fn set_id(frame: &mut [u8], id: u64) {
    if let Some(field) = frame.get_mut(ID_AT..ID_AT + 8) {
        field.copy_from_slice(&id.to_be_bytes());
    }
}

fn placeholder(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; 4]);
    out.len()
}

#[expect(clippy::cast_possible_truncation, reason = "documented: under 4 GiB")]
fn patch_length(out: &mut [u8], from: usize) {
    let length = (out.len() - from) as u32;
    out[from - 4..from].copy_from_slice(&length.to_be_bytes());
}
