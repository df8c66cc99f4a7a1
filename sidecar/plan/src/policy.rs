//! How calls are governed: numbers, fully resolved by the operator.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The timeout of a call where nobody set one: motan-go's `requestTimeout` (motan-wire.md 10.3).
pub const DEFAULT_TIMEOUT: Millis = Millis(1_000);

/// The longest timeout that can be set: one hour. Longer waits are streams, not calls.
pub const MAX_TIMEOUT: Millis = Millis(3_600_000);

/// How calls to one service are governed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    /// How long a caller waits for its answer, retries included. A caller's own `M_tmo` is honoured between half
    /// and twice of it (motan-wire.md 10.4).
    pub timeout_ms: Millis,
    /// Bodies longer than this are compressed between the two agents (motan-wire.md 2.7), in bytes; never without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mingz_size: Option<u32>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            timeout_ms: DEFAULT_TIMEOUT,
            mingz_size: None,
        }
    }
}

/// A duration in whole milliseconds, from 1 to [`MAX_TIMEOUT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Millis(u32);

impl Millis {
    /// A duration of this many milliseconds; `None` outside 1..=3 600 000.
    #[must_use]
    pub const fn new(millis: u32) -> Option<Self> {
        if millis >= 1 && millis <= MAX_TIMEOUT.0 {
            Some(Self(millis))
        } else {
            None
        }
    }

    /// As a number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// As a duration.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0 as u64)
    }
}

/// A duration out of range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} ms: must be from 1 to 3600000 (one hour)")]
pub struct InvalidMillis(u32);

impl TryFrom<u32> for Millis {
    type Error = InvalidMillis;
    fn try_from(millis: u32) -> Result<Self, InvalidMillis> {
        Self::new(millis).ok_or(InvalidMillis(millis))
    }
}

impl From<Millis> for u32 {
    fn from(millis: Millis) -> Self {
        millis.0
    }
}
