//! Numbers that have bounds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Bounded<const MIN: u32, const MAX: u32>(u32);

/// A share of calls, from 1 to 100.
pub type Percent = Bounded<1, 100>;

/// A duration in whole milliseconds, from 1 to an hour: longer waits are streams, not calls.
pub type Millis = Bounded<1, 3_600_000>;

/// The longest [`Millis`].
pub const MAX_TIMEOUT: Millis = Bounded(3_600_000);

impl<const MIN: u32, const MAX: u32> Bounded<MIN, MAX> {
    /// This number; `None` outside of the bounds.
    #[must_use]
    pub const fn new(value: u32) -> Option<Self> {
        if value >= MIN && value <= MAX {
            Some(Self(value))
        } else {
            None
        }
    }

    /// A number that is written in the code: one out of bounds does not compile.
    #[must_use]
    pub const fn literal<const VALUE: u32>() -> Self {
        const { assert!(VALUE >= MIN && VALUE <= MAX) };
        Self(VALUE)
    }

    /// As a number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Millis {
    /// As a duration.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0 as u64)
    }
}

/// A number out of its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{value}: must be from {min} to {max}")]
pub struct OutOfBounds {
    value: u32,
    min: u32,
    max: u32,
}

impl<const MIN: u32, const MAX: u32> TryFrom<u32> for Bounded<MIN, MAX> {
    type Error = OutOfBounds;

    fn try_from(value: u32) -> Result<Self, OutOfBounds> {
        Self::new(value).ok_or(OutOfBounds {
            value,
            min: MIN,
            max: MAX,
        })
    }
}

impl<const MIN: u32, const MAX: u32> From<Bounded<MIN, MAX>> for u32 {
    fn from(bounded: Bounded<MIN, MAX>) -> Self {
        bounded.0
    }
}
