//! `mingzSize`: from which size on bodies are compressed.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Bodies longer than this are compressed, in bytes: 128 to 1 048 576, or 0 for never. Motan's own word
/// (motan-wire.md 2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct MingzSize(u32);

/// A size that can't be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("mingzSize {0} must be 0 (never compress) or from 128 to 1048576 bytes")]
pub struct InvalidMingzSize(u32);

const LEAST: u32 = 128; // gzip's header and trailer take 18 bytes: less gets longer, or hardly shorter
const MOST: u32 = 1 << 20; // a larger threshold would mean never, which is 0

impl MingzSize {
    /// The size; `None` for never.
    #[must_use]
    pub const fn bytes(self) -> Option<u32> {
        match self.0 {
            0 => None,
            bytes => Some(bytes),
        }
    }
}

impl TryFrom<u32> for MingzSize {
    type Error = InvalidMingzSize;
    fn try_from(bytes: u32) -> Result<Self, InvalidMingzSize> {
        match bytes {
            0 | LEAST..=MOST => Ok(Self(bytes)),
            _ => Err(InvalidMingzSize(bytes)),
        }
    }
}

impl From<MingzSize> for u32 {
    fn from(size: MingzSize) -> Self {
        size.0
    }
}

impl JsonSchema for MingzSize {
    fn schema_name() -> Cow<'static, str> {
        "MingzSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "integer",
            "minimum": 0,
            "maximum": MOST,
            "x-kubernetes-validations": [{
                "rule": "self == 0 || self >= 128",
                "message": "a mingzSize is 0 (never compress) or from 128 to 1048576 bytes; write for example 1024",
            }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_never_and_what_is_out_of_range_is_refused_with_the_range() {
        let read = |bytes: u32| MingzSize::try_from(bytes);
        assert_eq!(read(0).map(MingzSize::bytes), Ok(None));
        assert_eq!(read(128).map(MingzSize::bytes), Ok(Some(128)));
        assert_eq!(read(1 << 20).map(MingzSize::bytes), Ok(Some(1 << 20)));
        for bytes in [1, 127, (1 << 20) + 1, u32::MAX] {
            let error = read(bytes).unwrap_err().to_string();
            assert!(
                error.contains(&bytes.to_string()) && error.contains("128 to 1048576"),
                "{error}"
            );
        }
    }
}
