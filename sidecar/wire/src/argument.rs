//! What a Motan caller may hand to an HTTP program (motan-wire 7.3 b): nothing, one text, or one map of strings, whatever
//! serialization it is in. The reply goes back as a byte array in the same one.

mod breeze;
mod hessian;

use std::borrow::Cow;

use crate::motan2::SIMPLE;
use crate::value::{self, NotSimple, Value, Values};

/// Serialization numbers beside `simple` that are read here (motan-wire 2.3).
const HESSIAN2: u8 = 0;
const BREEZE: u8 = crate::breeze::NUMBER;

/// The most entries that a map may have: what no form has.
const MAX_ENTRIES: usize = 65_536;

/// An entry of a map.
pub type Pair<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// The one argument of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument<'a> {
    /// No parameter, or null.
    None,
    /// A string or a byte array. Not checked to be UTF-8.
    Text(Cow<'a, [u8]>),
    /// A map of strings, in its order.
    Map(Vec<Pair<'a>>),
}

/// Why a body is no such argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAnArgument {
    /// A serialization that is not read here.
    #[error("serialization {0} is not read here; send simple (6), hessian2 (0) or breeze (8)")]
    Serialization(u8),
    /// Two values or more.
    #[error("there is more than one parameter; send none, one string, one byte array or one map of strings")]
    Several,
    /// A number, a list, an object.
    #[error("the parameter is neither a string nor a byte array nor a map of strings")]
    Type,
    /// The bytes end inside of it, or are none of this serialization.
    #[error("the parameter is cut short or damaged")]
    Damaged,
    /// More entries than anybody sends.
    #[error("the map has more than {MAX_ENTRIES} entries")]
    Many,
}

impl From<NotSimple> for NotAnArgument {
    fn from(error: NotSimple) -> Self {
        match error {
            NotSimple::Many => Self::Many,
            NotSimple::Tag(_) => Self::Type,
            NotSimple::Short | NotSimple::Varint | NotSimple::Deep => Self::Damaged,
        }
    }
}

/// A serialization that arguments are read in and results written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Number 6: PHP, Go, OpenResty.
    Simple,
    /// Number 0: Java.
    Hessian2,
    /// Number 8.
    Breeze,
}

impl Format {
    /// The format of this serialization number.
    ///
    /// # Errors
    /// It is none of the three.
    pub const fn of(serialization: u8) -> Result<Self, NotAnArgument> {
        match serialization {
            SIMPLE => Ok(Self::Simple),
            HESSIAN2 => Ok(Self::Hessian2),
            BREEZE => Ok(Self::Breeze),
            other => Err(NotAnArgument::Serialization(other)),
        }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Simple => SIMPLE,
            Self::Hessian2 => HESSIAN2,
            Self::Breeze => BREEZE,
        }
    }

    /// Reads the body of a request.
    ///
    /// # Errors
    /// Anything else than the three forms of an argument.
    pub fn read(self, body: &[u8]) -> Result<Argument<'_>, NotAnArgument> {
        if body.is_empty() {
            return Ok(Argument::None);
        }
        match self {
            Self::Simple => simple(body),
            Self::Hessian2 => hessian::read(body),
            Self::Breeze => breeze::read(body),
        }
    }

    /// Appends a byte array.
    pub fn write_bytes(self, out: &mut Vec<u8>, bytes: &[u8]) {
        match self {
            Self::Simple => value::write_bytes(out, bytes),
            Self::Hessian2 => hessian::write_bytes(out, bytes),
            Self::Breeze => breeze::write_bytes(out, bytes),
        }
    }
}

fn simple(body: &[u8]) -> Result<Argument<'_>, NotAnArgument> {
    let mut values = Values::new(body);
    let first = values.next()?;
    if values.next()?.is_some() {
        return Err(NotAnArgument::Several);
    }
    Ok(match first {
        None | Some(Value::Null) => Argument::None,
        Some(Value::String(text) | Value::Bytes(text)) => Argument::Text(text.into()),
        Some(Value::StringMap(pairs)) => Argument::Map(
            pairs
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        ),
        Some(Value::Map(pairs)) => {
            let mut map = Vec::with_capacity(pairs.len());
            for (key, value) in pairs {
                map.push((text(&key)?, text(&value)?));
            }
            Argument::Map(map)
        }
        Some(_) => return Err(NotAnArgument::Type),
    })
}

fn text<'a>(value: &Value<'a>) -> Result<Cow<'a, [u8]>, NotAnArgument> {
    match value {
        Value::String(text) => Ok(Cow::Borrowed(text)),
        _ => Err(NotAnArgument::Type),
    }
}

#[cfg(test)]
mod tests;
