//! The fixed part of a Motan 2 frame (motan-wire 2.1 to 2.4).

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
