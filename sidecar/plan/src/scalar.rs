//! Values that are written as text: parts of a path, of a query, headers, defaults.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};

/// What a text is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScalarKind {
    /// As it is.
    #[default]
    String,
    /// A whole number of 64 bits.
    Int64,
    /// A whole number of 32 bits.
    Int32,
    /// `true` or `false`.
    Bool,
    /// A number.
    Float64,
    /// A number of single precision.
    Float32,
    /// Bytes in base64, of either alphabet, padded or not.
    Bytes,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// Text.
    String(String),
    /// A whole number of 64 bits.
    Int64(i64),
    /// A whole number of 32 bits.
    Int32(i32),
    /// A truth value.
    Bool(bool),
    /// A number.
    Float64(f64),
    /// A number of single precision.
    Float32(f32),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// A text that is not what it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {}", kind.expected())]
pub struct NotA {
    kind: ScalarKind,
    text: String,
}

/// Characters of a text that an error shows.
const SHOWN: usize = 64;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

impl ScalarKind {
    /// Reads a text.
    ///
    /// # Errors
    /// It is something else.
    pub fn read(self, text: &str) -> Result<Scalar, NotA> {
        let read = match self {
            Self::String => Some(Scalar::String(text.to_owned())),
            Self::Int64 => text.parse().ok().map(Scalar::Int64),
            Self::Int32 => text.parse().ok().map(Scalar::Int32),
            Self::Bool => text.parse().ok().map(Scalar::Bool),
            Self::Float64 => number(text).map(Scalar::Float64),
            Self::Float32 => number(text).map(Scalar::Float32),
            Self::Bytes => base64(text).map(Scalar::Bytes),
        };
        read.ok_or_else(|| NotA {
            kind: self,
            text: text.chars().take(SHOWN).collect(),
        })
    }

    /// What it must be, in words.
    #[must_use]
    pub const fn expected(self) -> &'static str {
        match self {
            Self::String => "text",
            Self::Int64 => "a whole number of 64 bits",
            Self::Int32 => "a whole number of 32 bits",
            Self::Bool => "true or false",
            Self::Float64 | Self::Float32 => "a number",
            Self::Bytes => "base64",
        }
    }
}

/// Bytes in base64, of either alphabet, padded or not.
#[must_use]
pub fn base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()
}

/// Infinities and NaN are not numbers here: JSON has none.
fn number<T: std::str::FromStr + Copy + Into<f64>>(text: &str) -> Option<T> {
    let number: T = text.parse().ok()?;
    number.into().is_finite().then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_as_what_was_declared() {
        let rows = [
            (ScalarKind::String, "", Some(Scalar::String(String::new()))),
            (
                ScalarKind::Int64,
                "-9223372036854775808",
                Some(Scalar::Int64(i64::MIN)),
            ),
            (ScalarKind::Int64, "9223372036854775808", None),
            (ScalarKind::Int64, "1.0", None),
            (ScalarKind::Int64, " 1", None),
            (ScalarKind::Int32, "2147483647", Some(Scalar::Int32(i32::MAX))),
            (ScalarKind::Int32, "2147483648", None),
            (ScalarKind::Bool, "true", Some(Scalar::Bool(true))),
            (ScalarKind::Bool, "1", None),
            (ScalarKind::Float64, "1e3", Some(Scalar::Float64(1000.0))),
            (ScalarKind::Float64, "inf", None),
            (ScalarKind::Float32, "1.5", Some(Scalar::Float32(1.5))),
            (ScalarKind::Float32, "1e300", None),
            (ScalarKind::Bytes, "_-8=", Some(Scalar::Bytes(vec![0xff, 0xef]))),
            (ScalarKind::Bytes, "/+8", Some(Scalar::Bytes(vec![0xff, 0xef]))),
            (ScalarKind::Bytes, "!", None),
        ];
        for (kind, text, expected) in rows {
            assert_eq!(kind.read(text).ok(), expected, "{kind:?} {text}");
        }
        let error = ScalarKind::Int64.read("seven").unwrap_err().to_string();
        assert_eq!(error, "\"seven\" is not a whole number of 64 bits");
    }
}
