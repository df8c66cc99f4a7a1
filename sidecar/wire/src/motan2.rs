//! The Motan 2 frame (motan-wire 2): header, metadata, body. Decoding borrows and allocates nothing; encoding appends
//! to a buffer. Whoever cuts a large body through reads and writes the head alone.

use crate::keys;
use crate::meta::{Meta, NotPaired, Writer};

mod header;

pub use header::{EXCEPTION, Header, SIMPLE, bits};

/// What every frame begins with.
pub const MAGIC: [u8; 2] = [0xf1, 0xf1];
/// Version and status byte of a normal message.
const NORMAL: u8 = 1 << 3;
/// Where the request id lies.
const ID_AT: usize = 5;
/// Bytes of the fixed part.
const HEADER: usize = 13;
/// Bytes up to and including the metadata length.
const META_AT: usize = HEADER + 4;
/// The smallest frame: no metadata, no body.
pub const MIN_FRAME: usize = META_AT + 4;
/// The default limit of motan-go's `maxContentLength`, in bytes, for metadata and body each (motan-wire 2.6).
pub const DEFAULT_LIMIT: usize = 10 * 1024 * 1024;

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

/// A message up to its body, which may still be on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// The fixed part.
    pub header: Header,
    /// The metadata.
    pub meta: Meta<'a>,
    /// Bytes of the body, as announced; not over the limit.
    pub body_len: usize,
}

/// Why a connection's bytes can't be frames. It must be closed. Where metadata or body are too long the message has a
/// [`header`] all the same, and may be answered first.
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
/// Bytes that can't become a frame, as early as the lengths tell; metadata is looked at once the frame is complete, so
/// that a body that comes byte by byte does not have it checked at each.
pub fn decode(bytes: &[u8], limit: usize) -> Result<Option<(Frame<'_>, usize)>, Broken> {
    let Some(extent) = Extent::measure(bytes, limit)? else {
        return Ok(None);
    };
    let end = extent.body_at + extent.body_len;
    let Some(body) = bytes.get(extent.body_at..end) else {
        return Ok(None);
    };
    let Head { header, meta, .. } = extent.head(bytes)?;
    Ok(Some((Frame { header, meta, body }, end)))
}

/// The head of the first frame in `bytes` and where its body begins; `None` while the head is not complete. Limits as
/// in [`decode`].
///
/// # Errors
/// Bytes that can't become a frame.
pub fn decode_head(bytes: &[u8], limit: usize) -> Result<Option<(Head<'_>, usize)>, Broken> {
    let Some(extent) = Extent::measure(bytes, limit)? else {
        return Ok(None);
    };
    Ok(Some((extent.head(bytes)?, extent.body_at)))
}

/// The fixed part of the first message in `bytes`, whatever follows it: enough to answer a message that is too long.
/// `None` where it is not here or not Motan 2.
#[must_use]
pub fn header(bytes: &[u8]) -> Option<Header> {
    let fixed = bytes.first_chunk::<HEADER>()?;
    check_start(fixed).ok()?;
    Some(Header {
        kind: fixed[2],
        status: fixed[3] & 0x07,
        serialization: fixed[4],
        id: u64::from_be_bytes(*fixed.last_chunk()?),
    })
}

/// Where the parts of a frame lie; only made once its head is here.
struct Extent {
    header: Header,
    meta_len: usize,
    body_at: usize,
    body_len: usize,
}

impl Extent {
    fn measure(bytes: &[u8], limit: usize) -> Result<Option<Self>, Broken> {
        check_start(bytes)?;
        let Some(meta_len) = length(bytes, HEADER, limit).map_err(Broken::MetaTooLong)? else {
            return Ok(None);
        };
        let meta_end = META_AT + meta_len;
        let Some(body_len) = length(bytes, meta_end, limit).map_err(Broken::BodyTooLong)? else {
            return Ok(None);
        };
        Ok(header(bytes).map(|header| Self {
            header,
            meta_len,
            body_at: meta_end + 4,
            body_len,
        }))
    }

    fn head<'a>(&self, bytes: &'a [u8]) -> Result<Head<'a>, NotPaired> {
        Ok(Head {
            header: self.header,
            meta: Meta::new(&bytes[META_AT..META_AT + self.meta_len])?,
            body_len: self.body_len,
        })
    }
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
    let Some(field) = bytes.get(at..).and_then(<[u8]>::first_chunk) else {
        return Ok(None);
    };
    let announced = u32::from_be_bytes(*field);
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
    encode_head(out, header, meta, 0);
    let body_at = out.len();
    body(out);
    patch_length(out, body_at);
}

/// Appends a frame up to its body; the caller sees to it that `body_len` bytes follow. Bounds as in [`encode`].
pub fn encode_head(out: &mut Vec<u8>, header: Header, meta: impl FnOnce(&mut Writer<'_>), body_len: usize) {
    let Header {
        kind,
        status,
        serialization,
        id,
    } = header;
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[kind, NORMAL | status, serialization]);
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    let meta_at = out.len();
    meta(&mut Writer::new(out));
    patch_length(out, meta_at);
    out.extend_from_slice(&field(body_len));
}

/// Writes another id into an encoded frame that `frame` begins with.
pub fn set_id(frame: &mut [u8], id: u64) {
    if let Some(field) = frame.get_mut(ID_AT..HEADER) {
        field.copy_from_slice(&id.to_be_bytes());
    }
}

/// Writes another `M_tmo` into an encoded frame that `frame` begins with, in the place of the one that is there: in as many
/// digits, with zeros before it. False where there is none, or it has too few digits; nothing is changed then.
pub fn set_timeout(frame: &mut [u8], millis: u32) -> bool {
    let place = decode_head(frame, DEFAULT_LIMIT).ok().flatten();
    let place = place.and_then(|(head, _)| head.meta.place(keys::TIMEOUT));
    let Some(field) = place.and_then(|place| frame[META_AT..].get_mut(place)) else {
        return false;
    };
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(millis).as_bytes();
    let Some(zeros) = field.len().checked_sub(digits.len()) else {
        return false;
    };
    field[..zeros].fill(b'0');
    field[zeros..].copy_from_slice(digits);
    true
}

fn patch_length(out: &mut [u8], from: usize) {
    let length = field(out.len() - from);
    out[from - 4..from].copy_from_slice(&length);
}

#[expect(clippy::cast_possible_truncation, reason = "documented: under 4 GiB")]
const fn field(length: usize) -> [u8; 4] {
    (length as u32).to_be_bytes()
}
