//! Values of any kind. A message is a map of its fields by their numbers: their names are not in the bytes.

use super::{MAP, PACKED_MAP, SHORT_STRING, STRING, write_varint};
use crate::value::{MAX_DEPTH, MAX_VALUES, Value};

const FIRST_INT32: u8 = 0x40;
const INT32: u8 = 0x7f;
const INT32_ZERO: i32 = 0x50;
const FIRST_INT64: u8 = 0x80;
const INT64: u8 = 0x98;
const INT64_ZERO: i64 = 0x88;
const NULL: u8 = 0x99;
const TRUE: u8 = 0x9a;
const FALSE: u8 = 0x9b;
const BYTE: u8 = 0x9c;
const BYTES: u8 = 0x9d;
const INT16: u8 = 0x9e;
const FLOAT32: u8 = 0x9f;
const FLOAT64: u8 = 0xa0;
const ARRAY: u8 = 0xda;
const PACKED_ARRAY: u8 = 0xdc;
/// A message whose name follows.
const MESSAGE: u8 = 0xde;
/// A message whose name has come before; its number follows, or is what the tag is more.
const KNOWN_MESSAGE: u8 = 0xdf;
const FIRST_DIRECT: u8 = 0xe0;

/// Why bytes are not a value of breeze.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotBreeze {
    /// The bytes end inside of a value.
    #[error("the value is cut short")]
    Short,
    /// No type has this tag.
    #[error("tag {0:02x} is unknown")]
    Tag(u8),
    /// A number that does not fit.
    #[error("a variable-length number is too long")]
    Varint,
    /// Values in values, deeper than anybody sends.
    #[error("values nest deeper than {MAX_DEPTH}")]
    Deep,
    /// More values than anybody sends.
    #[error("there are more than {MAX_VALUES} values")]
    Many,
    /// Bytes after the end, of the body or of a message.
    #[error("bytes follow a value, or a message is shorter than its fields")]
    Trailing,
}

/// Reads a body that is one value; an empty one is null.
///
/// # Errors
/// Anything else.
pub fn read_value(body: &[u8]) -> Result<Value<'_>, NotBreeze> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    let mut reader = Reader {
        rest: body,
        room: MAX_VALUES,
    };
    let tag = reader.tag()?;
    let value = reader.value(tag, 0)?;
    if reader.rest.is_empty() {
        Ok(value)
    } else {
        Err(NotBreeze::Trailing)
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    /// How many values may still come.
    room: u32,
}

impl<'a> Reader<'a> {
    /// The tag of a value, with the name of a message behind it.
    fn tag(&mut self) -> Result<u8, NotBreeze> {
        let [tag] = self.take()?;
        match tag {
            MESSAGE => {
                self.sized()?;
                Ok(MESSAGE)
            }
            KNOWN_MESSAGE => {
                self.varint()?;
                Ok(MESSAGE)
            }
            FIRST_DIRECT.. => Ok(MESSAGE),
            other => Ok(other),
        }
    }

    fn tagged(&mut self, depth: u32) -> Result<Value<'a>, NotBreeze> {
        let tag = self.tag()?;
        self.value(tag, depth)
    }

    /// What follows a tag.
    fn value(&mut self, tag: u8, depth: u32) -> Result<Value<'a>, NotBreeze> {
        if depth > MAX_DEPTH {
            return Err(NotBreeze::Deep);
        }
        self.room = self.room.checked_sub(1).ok_or(NotBreeze::Many)?;
        Ok(match tag {
            0..=0x3e => Value::String(self.slice(usize::from(tag))?),
            STRING => Value::String(self.sized()?),
            FIRST_INT32..INT32 => Value::Int32(i32::from(tag) - INT32_ZERO),
            INT32 => Value::Int32(i32::try_from(self.zigzag()?).map_err(|_| NotBreeze::Varint)?),
            FIRST_INT64..INT64 => Value::Int64(i64::from(tag) - INT64_ZERO),
            INT64 => Value::Int64(self.zigzag()?),
            NULL => Value::Null,
            TRUE => Value::Bool(true),
            FALSE => Value::Bool(false),
            BYTE => Value::Byte(self.take::<1>()?[0]),
            BYTES => {
                let length = u32::from_be_bytes(self.take()?) as usize;
                Value::Bytes(self.slice(length)?)
            }
            INT16 => Value::Int16(i16::from_be_bytes(self.take()?)),
            FLOAT32 => Value::Float32(f32::from_be_bytes(self.take()?)),
            FLOAT64 => Value::Float64(f64::from_be_bytes(self.take()?)),
            MAP => {
                let mut pairs = Vec::new();
                for _ in 0..self.varint()? {
                    pairs.push((self.tagged(depth + 1)?, self.tagged(depth + 1)?));
                }
                Value::Map(pairs)
            }
            ARRAY => {
                let mut items = Vec::new();
                for _ in 0..self.varint()? {
                    items.push(self.tagged(depth + 1)?);
                }
                Value::Array(items)
            }
            PACKED_MAP => self.packed_map(depth)?,
            PACKED_ARRAY => self.packed_array(depth)?,
            MESSAGE => self.message(depth)?,
            other => return Err(NotBreeze::Tag(other)),
        })
    }

    fn packed_map(&mut self, depth: u32) -> Result<Value<'a>, NotBreeze> {
        let count = self.varint()?;
        let mut pairs = Vec::new();
        if count > 0 {
            let (key, value) = (self.tag()?, self.tag()?);
            for _ in 0..count {
                pairs.push((self.packed(key, depth + 1)?, self.packed(value, depth + 1)?));
            }
        }
        Ok(Value::Map(pairs))
    }

    fn packed_array(&mut self, depth: u32) -> Result<Value<'a>, NotBreeze> {
        let count = self.varint()?;
        let mut items = Vec::new();
        if count > 0 {
            let tag = self.tag()?;
            for _ in 0..count {
                items.push(self.packed(tag, depth + 1)?);
            }
        }
        Ok(Value::Array(items))
    }

    /// An item of a packed container. Truth values have their tags all the same: those are all that they are.
    fn packed(&mut self, tag: u8, depth: u32) -> Result<Value<'a>, NotBreeze> {
        match tag {
            TRUE | FALSE => self.tagged(depth),
            other => self.value(other, depth),
        }
    }

    fn message(&mut self, depth: u32) -> Result<Value<'a>, NotBreeze> {
        let length = u32::from_be_bytes(self.take()?) as usize;
        let mut inner = Self {
            rest: self.slice(length)?,
            room: self.room,
        };
        let mut fields = Vec::new();
        while !inner.rest.is_empty() {
            let number = inner.varint()?.cast_signed();
            fields.push((Value::Int64(number), inner.tagged(depth + 1)?));
        }
        self.room = inner.room;
        Ok(Value::Map(fields))
    }

    fn sized(&mut self) -> Result<&'a [u8], NotBreeze> {
        let length = usize::try_from(self.varint()?).map_err(|_| NotBreeze::Varint)?;
        self.slice(length)
    }

    fn slice(&mut self, length: usize) -> Result<&'a [u8], NotBreeze> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(NotBreeze::Short)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], NotBreeze> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(NotBreeze::Short)?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn zigzag(&mut self) -> Result<i64, NotBreeze> {
        let raw = self.varint()?;
        Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    fn varint(&mut self) -> Result<u64, NotBreeze> {
        let mut value = 0u64;
        for group in 0..10 {
            let [byte] = self.take()?;
            let bits = u64::from(byte & 0x7f);
            if group == 9 && bits > 1 {
                return Err(NotBreeze::Varint);
            }
            value |= bits << (7 * group);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(NotBreeze::Varint)
    }
}

/// Appends a value, of less than 4 GiB.
pub fn write_value(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Null => out.push(NULL),
        Value::Bool(value) => out.push(if *value { TRUE } else { FALSE }),
        Value::Byte(value) => out.extend_from_slice(&[BYTE, *value]),
        Value::Int16(value) => fixed(out, INT16, &value.to_be_bytes()),
        Value::Int32(value) => match value.checked_add(INT32_ZERO).map(u8::try_from) {
            Some(Ok(tag @ FIRST_INT32..INT32)) => out.push(tag),
            _ => {
                out.push(INT32);
                zigzag(out, i64::from(*value));
            }
        },
        Value::Int64(value) => match value.checked_add(INT64_ZERO).map(u8::try_from) {
            Some(Ok(tag @ FIRST_INT64..INT64)) => out.push(tag),
            _ => {
                out.push(INT64);
                zigzag(out, *value);
            }
        },
        Value::Float32(value) => fixed(out, FLOAT32, &value.to_be_bytes()),
        Value::Float64(value) => fixed(out, FLOAT64, &value.to_be_bytes()),
        Value::String(text) => string(out, text),
        Value::Bytes(bytes) => {
            out.push(BYTES);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a body is under 4 GiB, so is what it holds"
            )]
            out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
            out.extend_from_slice(bytes);
        }
        Value::StringArray(items) => {
            out.push(PACKED_ARRAY);
            write_varint(out, items.len());
            if !items.is_empty() {
                out.push(STRING);
            }
            for item in items {
                write_varint(out, item.len());
                out.extend_from_slice(item);
            }
        }
        Value::StringMap(pairs) => super::write(out, pairs.iter().copied()),
        Value::Array(items) => {
            out.push(ARRAY);
            write_varint(out, items.len());
            items.iter().for_each(|item| write_value(out, item));
        }
        Value::Map(pairs) => {
            out.push(MAP);
            write_varint(out, pairs.len());
            for (key, value) in pairs {
                write_value(out, key);
                write_value(out, value);
            }
        }
    }
}

fn string(out: &mut Vec<u8>, text: &[u8]) {
    match u8::try_from(text.len()) {
        Ok(length) if SHORT_STRING.contains(&length) => out.push(length),
        _ => {
            out.push(STRING);
            write_varint(out, text.len());
        }
    }
    out.extend_from_slice(text);
}

fn fixed(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    out.extend_from_slice(bytes);
}

fn zigzag(out: &mut Vec<u8>, value: i64) {
    let mut raw = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while raw >= 0x80 {
        out.push((raw & 0x7f) as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}

#[cfg(test)]
mod tests;
