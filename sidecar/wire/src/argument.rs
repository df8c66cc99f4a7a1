//! What a Motan caller may hand to an HTTP program (motan-wire 7.3 b): nothing, one text, or one map of strings, whatever
//! serialization it is in. The reply goes back as a byte array in the same one.

use std::borrow::Cow;

use crate::breeze::{self, NotBreeze};
use crate::hessian::{self, NotHessian};
use crate::motan2::SIMPLE;
use crate::value::{self, NotSimple, Value, Values};

/// Serialization numbers beside `simple` that are read here (motan-wire 2.3).
const HESSIAN2: u8 = hessian::NUMBER;
const BREEZE: u8 = breeze::NUMBER;

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
    /// More values than anybody sends.
    #[error("the parameter has more than {} values", value::MAX_VALUES)]
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

impl From<NotHessian> for NotAnArgument {
    fn from(error: NotHessian) -> Self {
        match error {
            NotHessian::Many => Self::Many,
            NotHessian::Trailing => Self::Several,
            NotHessian::Short
            | NotHessian::Tag(_)
            | NotHessian::Text
            | NotHessian::Reference(_)
            | NotHessian::Cycle
            | NotHessian::Deep => Self::Damaged,
        }
    }
}

impl From<NotBreeze> for NotAnArgument {
    fn from(error: NotBreeze) -> Self {
        match error {
            NotBreeze::Many => Self::Many,
            NotBreeze::Trailing => Self::Several,
            NotBreeze::Tag(_) => Self::Type,
            NotBreeze::Short | NotBreeze::Varint | NotBreeze::Deep => Self::Damaged,
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
            Self::Simple => {
                let mut values = Values::new(body);
                let first = values.next()?;
                if values.next()?.is_some() {
                    return Err(NotAnArgument::Several);
                }
                of_value(first.unwrap_or(Value::Null))
            }
            Self::Hessian2 => of_hessian(hessian::read(body)?),
            Self::Breeze => of_value(breeze::read_value(body)?),
        }
    }

    /// Appends a byte array.
    pub fn write_bytes(self, out: &mut Vec<u8>, bytes: &[u8]) {
        match self {
            Self::Simple => value::write_bytes(out, bytes),
            Self::Hessian2 => hessian::write(out, &Value::Bytes(bytes)),
            Self::Breeze => breeze::write_value(out, &Value::Bytes(bytes)),
        }
    }
}

/// What `simple` and breeze read.
fn of_value(value: Value<'_>) -> Result<Argument<'_>, NotAnArgument> {
    Ok(match value {
        Value::Null => Argument::None,
        Value::String(text) | Value::Bytes(text) => Argument::Text(text.into()),
        Value::StringMap(pairs) => {
            let pairs = pairs.into_iter().map(|(key, value)| (key.into(), value.into()));
            Argument::Map(pairs.collect())
        }
        Value::Map(pairs) => {
            let text = |value| match value {
                Value::String(text) => Ok(Cow::Borrowed(text)),
                _ => Err(NotAnArgument::Type),
            };
            let pairs = pairs
                .into_iter()
                .map(|(key, value)| Ok::<_, NotAnArgument>((text(key)?, text(value)?)));
            Argument::Map(pairs.collect::<Result<_, _>>()?)
        }
        _ => return Err(NotAnArgument::Type),
    })
}

fn of_hessian(value: hessian::Value<'_>) -> Result<Argument<'_>, NotAnArgument> {
    let bytes = |text| match text {
        Cow::Borrowed(text) => Cow::Borrowed(str::as_bytes(text)),
        Cow::Owned(text) => Cow::Owned(String::into_bytes(text)),
    };
    Ok(match value {
        hessian::Value::Null => Argument::None,
        hessian::Value::String(text) => Argument::Text(bytes(text)),
        hessian::Value::Bytes(text) => Argument::Text(text),
        hessian::Value::Map(pairs) => {
            let text = |value: &hessian::Value<'_>| match value {
                hessian::Value::String(text) => Ok(Cow::Owned(text.as_bytes().to_vec())),
                _ => Err(NotAnArgument::Type),
            };
            let pairs = pairs
                .iter()
                .map(|(key, value)| Ok::<_, NotAnArgument>((text(key)?, text(value)?)));
            Argument::Map(pairs.collect::<Result<_, _>>()?)
        }
        _ => return Err(NotAnArgument::Type),
    })
}

#[cfg(test)]
mod tests;
