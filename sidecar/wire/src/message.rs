//! Motan 1 and Motan 2 on one connection (motan-wire 1). The version is told message by message, by the fourth byte;
//! an answer has that of its question.

use crate::{motan1, motan2};

/// One message of either version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// Motan 1.
    One(motan1::Frame<'a>),
    /// Motan 2.
    Two(motan2::Frame<'a>),
}

impl Message<'_> {
    /// The request id.
    #[must_use]
    pub const fn id(&self) -> u64 {
        match self {
            Self::One(frame) => frame.id,
            Self::Two(frame) => frame.header.id,
        }
    }

    /// Whether it answers something.
    #[must_use]
    pub const fn is_response(&self) -> bool {
        match self {
            Self::One(frame) => matches!(frame.kind, motan1::Kind::Response),
            Self::Two(frame) => frame.header.is_response(),
        }
    }
}

/// A message of either version up to its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head<'a> {
    /// Motan 1.
    One(motan1::Head),
    /// Motan 2.
    Two(motan2::Head<'a>),
}

impl Head<'_> {
    /// Bytes of the body, as announced.
    #[must_use]
    pub const fn body_len(&self) -> usize {
        match self {
            Self::One(head) => head.body_len,
            Self::Two(head) => head.body_len,
        }
    }
}

/// A Motan version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Motan 1.
    One,
    /// Motan 2.
    Two,
}

/// What is known of a message by its first bytes, whatever is wrong with the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// The version that an answer must have.
    pub version: Version,
    /// Whether it is a response, which is never answered.
    pub response: bool,
    /// The request id.
    pub id: u64,
}

/// Why a connection's bytes can't be messages. It must be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Not Motan at all.
    #[error("bytes {0:02x}{1:02x} are not the magic f1f1")]
    Magic(u8, u8),
    /// Motan, but neither version.
    #[error("version {0} is neither Motan 1 nor Motan 2")]
    Version(u8),
    /// A Motan 1 frame that is none.
    #[error(transparent)]
    One(motan1::Broken),
    /// A Motan 2 frame that is none.
    #[error(transparent)]
    Two(motan2::Broken),
}

impl Broken {
    /// Whether the message is sound but over the limit: then it has a [`start`], and Java's servers answer it with an
    /// exception before they close.
    #[must_use]
    pub const fn is_too_long(self) -> bool {
        matches!(
            self,
            Self::One(motan1::Broken::TooLong(_))
                | Self::Two(motan2::Broken::MetaTooLong(_) | motan2::Broken::BodyTooLong(_))
        )
    }
}

/// The version of the first message in `bytes`; `None` while its first four are not here.
///
/// # Errors
/// Not Motan, known at the first byte that differs.
pub fn version(bytes: &[u8]) -> Result<Option<Version>, Broken> {
    let [first, second] = motan2::MAGIC;
    match *bytes {
        [other, ..] if other != first => Err(Broken::Magic(other, bytes.get(1).copied().unwrap_or(0))),
        [_, other, ..] if other != second => Err(Broken::Magic(first, other)),
        [_, _, _, byte, ..] => match byte >> 3 {
            0 => Ok(Some(Version::One)),
            1 => Ok(Some(Version::Two)),
            other => Err(Broken::Version(other)),
        },
        _ => Ok(None),
    }
}

/// The first message in `bytes` and how many bytes it takes; `None` while it is not complete. `limit` bounds metadata
/// and body of Motan 2 each, and all that follows the transport header of Motan 1.
///
/// # Errors
/// Bytes that can't become a message.
pub fn decode(bytes: &[u8], limit: usize) -> Result<Option<(Message<'_>, usize)>, Broken> {
    Ok(match version(bytes)? {
        None => None,
        Some(Version::One) => motan1::decode(bytes, limit)
            .map_err(Broken::One)?
            .map(|(frame, end)| (Message::One(frame), end)),
        Some(Version::Two) => motan2::decode(bytes, limit)
            .map_err(Broken::Two)?
            .map(|(frame, end)| (Message::Two(frame), end)),
    })
}

/// The head of the first message in `bytes` and where its body begins; `None` while the head is not complete.
///
/// # Errors
/// As [`decode`].
pub fn decode_head(bytes: &[u8], limit: usize) -> Result<Option<(Head<'_>, usize)>, Broken> {
    Ok(match version(bytes)? {
        None => None,
        Some(Version::One) => motan1::decode_head(bytes, limit)
            .map_err(Broken::One)?
            .map(|(head, body_at)| (Head::One(head), body_at)),
        Some(Version::Two) => motan2::decode_head(bytes, limit)
            .map_err(Broken::Two)?
            .map(|(head, body_at)| (Head::Two(head), body_at)),
    })
}

/// What the first bytes tell; `None` while they are not here, or are not Motan.
#[must_use]
pub fn start(bytes: &[u8]) -> Option<Start> {
    let version = version(bytes).ok()??;
    let (id, response) = match version {
        Version::One => {
            let (id, kind) = motan1::header(bytes)?;
            (id, kind == motan1::Kind::Response)
        }
        Version::Two => {
            let header = motan2::header(bytes)?;
            (header.id, header.is_response())
        }
    };
    Some(Start {
        version,
        response,
        id,
    })
}

/// Writes another id into an encoded message of either version that `message` begins with.
pub fn set_id(message: &mut [u8], id: u64) {
    match version(message) {
        Ok(Some(Version::One)) => motan1::set_id(message, id),
        Ok(Some(Version::Two)) => motan2::set_id(message, id),
        Ok(None) | Err(_) => {}
    }
}
