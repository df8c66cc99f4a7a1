//! Reads one value. What is said once and meant often (classes, types, values that are referred to) is remembered
//! while the body is read, and counted each time, so that a short body can't become a long value.

use std::borrow::Cow;
use std::rc::Rc;

use super::{Class, Value};
use crate::value::{MAX_DEPTH, MAX_VALUES};

/// How many classes a body may define.
const MAX_CLASSES: usize = 1024;
/// How many fields a class may have.
const MAX_FIELDS: usize = 1024;
/// The longest name of a class or a field, in bytes: fields are written as often as there are objects.
const MAX_NAME: usize = 256;
/// Bytes of text and of arrays that references may repeat: a body has at most 10 MiB by itself.
const MAX_REPEATED: usize = 4 << 20;

/// Why bytes are not a value of Hessian 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotHessian {
    /// The bytes end inside of a value.
    #[error("the value is cut short")]
    Short,
    /// No value begins so.
    #[error("tag {0:02x} is unknown here")]
    Tag(u8),
    /// A text with something that is no character.
    #[error("a text is not well formed")]
    Text,
    /// A reference to what has not come.
    #[error("reference {0} leads nowhere")]
    Reference(i32),
    /// A value that holds itself.
    #[error("a value holds itself")]
    Cycle,
    /// Values in values, deeper than anybody sends.
    #[error("values nest deeper than {MAX_DEPTH}")]
    Deep,
    /// More than anybody sends.
    #[error("there are more values, classes or repeated bytes than are read")]
    Many,
    /// Bytes after the end.
    #[error("bytes follow the value")]
    Trailing,
}

/// Reads a body that is one value; an empty one is null.
///
/// # Errors
/// Anything else.
pub fn read(body: &[u8]) -> Result<Value<'_>, NotHessian> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    let mut reader = Reader {
        rest: body,
        room: MAX_VALUES,
        repeatable: MAX_REPEATED,
        classes: Vec::new(),
        types: 0,
        known: Vec::new(),
    };
    let value = reader.value(0)?;
    if reader.rest.is_empty() {
        Ok(value)
    } else {
        Err(NotHessian::Trailing)
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    /// How many values may still come.
    room: u32,
    /// How many bytes references may still repeat.
    repeatable: usize,
    classes: Vec<Rc<Class>>,
    /// How many types of lists and maps have been named.
    types: i32,
    /// Lists, maps and objects in the order of their beginning; none while one is being read.
    known: Vec<Option<Value<'a>>>,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: u32) -> Result<Value<'a>, NotHessian> {
        if depth > MAX_DEPTH {
            return Err(NotHessian::Deep);
        }
        self.room = self.room.checked_sub(1).ok_or(NotHessian::Many)?;
        let tag = self.byte()?;
        Ok(match tag {
            b'N' => Value::Null,
            b'T' => Value::Bool(true),
            b'F' => Value::Bool(false),
            0x80..=0xd7 | b'I' => Value::Int(self.int(tag)?),
            0xd8..=0xef => Value::Long(i64::from(tag) - 0xe0),
            0xf0..=0xff => Value::Long(self.high(i64::from(tag) - 0xf8, 1)?),
            0x38..=0x3f => Value::Long(self.high(i64::from(tag) - 0x3c, 2)?),
            b'Y' => Value::Long(i64::from(i32::from_be_bytes(self.take()?))),
            b'L' => Value::Long(i64::from_be_bytes(self.take()?)),
            b'D' => Value::Double(f64::from_bits(u64::from_be_bytes(self.take()?))),
            0x5b => Value::Double(0.0),
            0x5c => Value::Double(1.0),
            0x5d => Value::Double(f64::from(self.byte()?.cast_signed())),
            0x5e => Value::Double(f64::from(i16::from_be_bytes(self.take()?))),
            0x5f => Value::Double(f64::from(i32::from_be_bytes(self.take()?)) / 1000.0),
            0x4a => Value::Date(i64::from_be_bytes(self.take()?)),
            0x4b => Value::Date(i64::from(i32::from_be_bytes(self.take()?)) * 60_000),
            0x00..=0x1f | 0x30..=0x33 | b'S' | b'R' => Value::String(self.string(tag)?),
            0x20..=0x2f | 0x34..=0x37 | b'A' | b'B' => Value::Bytes(self.bytes(tag)?),
            b'U' => {
                self.name_type()?;
                self.list(None, depth)?
            }
            b'V' => {
                self.name_type()?;
                let count = self.number()?;
                self.list(Some(count), depth)?
            }
            b'W' => self.list(None, depth)?,
            b'X' => {
                let count = self.number()?;
                self.list(Some(count), depth)?
            }
            0x70..=0x77 => {
                self.name_type()?;
                self.list(Some(i32::from(tag - 0x70)), depth)?
            }
            0x78..=0x7f => self.list(Some(i32::from(tag - 0x78)), depth)?,
            b'M' => {
                self.name_type()?;
                self.map(depth)?
            }
            b'H' => self.map(depth)?,
            b'C' => {
                self.define()?;
                return self.value(depth + 1); // the object comes behind its class
            }
            b'O' => {
                let class = self.number()?;
                self.object(class, depth)?
            }
            0x60..=0x6f => self.object(i32::from(tag - 0x60), depth)?,
            b'Q' => {
                let number = self.number()?;
                self.repeat(number)?
            }
            other => return Err(NotHessian::Tag(other)),
        })
    }

    fn list(&mut self, count: Option<i32>, depth: u32) -> Result<Value<'a>, NotHessian> {
        let slot = self.begin();
        let mut items = Vec::new();
        match count {
            Some(count) => {
                for _ in 0..count {
                    items.push(self.value(depth + 1)?);
                }
            }
            None => {
                while !self.ends()? {
                    items.push(self.value(depth + 1)?);
                }
            }
        }
        Ok(self.end(slot, Value::List(items.into())))
    }

    fn map(&mut self, depth: u32) -> Result<Value<'a>, NotHessian> {
        let slot = self.begin();
        let mut pairs = Vec::new();
        while !self.ends()? {
            pairs.push((self.value(depth + 1)?, self.value(depth + 1)?));
        }
        Ok(self.end(slot, Value::Map(pairs.into())))
    }

    fn object(&mut self, number: i32, depth: u32) -> Result<Value<'a>, NotHessian> {
        let class = usize::try_from(number)
            .ok()
            .and_then(|number| self.classes.get(number));
        let class = Rc::clone(class.ok_or(NotHessian::Reference(number))?);
        let slot = self.begin();
        let mut values = Vec::new();
        for _ in &class.fields {
            values.push(self.value(depth + 1)?);
        }
        Ok(self.end(slot, Value::Object(class, values.into())))
    }

    fn define(&mut self) -> Result<(), NotHessian> {
        let name = self.name()?;
        let count = usize::try_from(self.number()?).map_err(|_| NotHessian::Many)?;
        if self.classes.len() >= MAX_CLASSES || count > MAX_FIELDS {
            return Err(NotHessian::Many);
        }
        let mut fields = Vec::new();
        for _ in 0..count {
            self.room = self.room.checked_sub(1).ok_or(NotHessian::Many)?;
            fields.push(self.name()?);
        }
        self.classes.push(Rc::new(Class { name, fields }));
        Ok(())
    }

    fn name(&mut self) -> Result<String, NotHessian> {
        let tag = self.byte()?;
        let name = self.string(tag)?;
        if name.len() > MAX_NAME {
            return Err(NotHessian::Many);
        }
        Ok(name.into_owned())
    }

    /// The type of a list or map: its name, or the number of one that came before. JSON has no place for it.
    fn name_type(&mut self) -> Result<(), NotHessian> {
        let tag = self.byte()?;
        if matches!(tag, 0x80..=0xd7 | b'I') {
            let number = self.int(tag)?;
            return if (0..self.types).contains(&number) {
                Ok(())
            } else {
                Err(NotHessian::Reference(number))
            };
        }
        self.room = self.room.checked_sub(1).ok_or(NotHessian::Many)?;
        self.string(tag)?;
        self.types += 1;
        Ok(())
    }

    fn begin(&mut self) -> usize {
        self.known.push(None);
        self.known.len() - 1
    }

    fn end(&mut self, slot: usize, value: Value<'a>) -> Value<'a> {
        self.known[slot] = Some(value.clone());
        value
    }

    fn repeat(&mut self, number: i32) -> Result<Value<'a>, NotHessian> {
        let slot = usize::try_from(number)
            .ok()
            .and_then(|number| self.known.get(number));
        let value = slot
            .ok_or(NotHessian::Reference(number))?
            .as_ref()
            .ok_or(NotHessian::Cycle)?;
        let (values, bytes) = weigh(value);
        self.room = self.room.checked_sub(values).ok_or(NotHessian::Many)?;
        self.repeatable = self.repeatable.checked_sub(bytes).ok_or(NotHessian::Many)?;
        Ok(value.clone())
    }

    fn ends(&mut self) -> Result<bool, NotHessian> {
        let (first, after) = self.rest.split_first().ok_or(NotHessian::Short)?;
        let ends = *first == b'Z';
        if ends {
            self.rest = after;
        }
        Ok(ends)
    }

    fn number(&mut self) -> Result<i32, NotHessian> {
        let tag = self.byte()?;
        self.int(tag)
    }

    fn int(&mut self, tag: u8) -> Result<i32, NotHessian> {
        let value = match tag {
            0x80..=0xbf => return Ok(i32::from(tag) - 0x90),
            0xc0..=0xcf => self.high(i64::from(tag) - 0xc8, 1)?,
            0xd0..=0xd7 => self.high(i64::from(tag) - 0xd4, 2)?,
            b'I' => return Ok(i32::from_be_bytes(self.take()?)),
            other => return Err(NotHessian::Tag(other)),
        };
        i32::try_from(value).map_err(|_| NotHessian::Tag(tag))
    }

    /// A number whose highest bits are in its tag, and `count` bytes behind.
    fn high(&mut self, bits: i64, count: usize) -> Result<i64, NotHessian> {
        let mut value = bits;
        for _ in 0..count {
            value = value << 8 | i64::from(self.byte()?);
        }
        Ok(value)
    }

    fn string(&mut self, tag: u8) -> Result<Cow<'a, str>, NotHessian> {
        let mut gathered: Option<Vec<u8>> = None;
        let mut tag = tag;
        loop {
            let units = match tag {
                0x00..=0x1f => usize::from(tag),
                0x30..=0x33 => usize::from(tag - 0x30) << 8 | usize::from(self.byte()?),
                b'S' | b'R' => usize::from(u16::from_be_bytes(self.take()?)),
                other => return Err(NotHessian::Tag(other)),
            };
            let piece = self.characters(units)?;
            match (tag, &mut gathered) {
                (b'R', None) => gathered = Some(piece.to_vec()),
                (b'R', Some(gathered)) => gathered.extend_from_slice(piece),
                (_, None) => return text(piece),
                (_, Some(gathered)) => {
                    gathered.extend_from_slice(piece);
                    return Ok(Cow::Owned(text(gathered)?.into_owned()));
                }
            }
            tag = self.byte()?;
        }
    }

    /// The bytes of so many characters of one to three bytes each.
    fn characters(&mut self, units: usize) -> Result<&'a [u8], NotHessian> {
        let mut length = 0;
        for _ in 0..units {
            length += match self.rest.get(length).ok_or(NotHessian::Short)? {
                0x00..=0x7f => 1,
                0xc0..=0xdf => 2,
                0xe0..=0xef => 3,
                _ => return Err(NotHessian::Text),
            };
        }
        self.slice(length)
    }

    fn bytes(&mut self, tag: u8) -> Result<Cow<'a, [u8]>, NotHessian> {
        let mut gathered: Option<Vec<u8>> = None;
        let mut tag = tag;
        loop {
            let length = match tag {
                0x20..=0x2f => usize::from(tag - 0x20),
                0x34..=0x37 => usize::from(tag - 0x34) << 8 | usize::from(self.byte()?),
                b'A' | b'B' => usize::from(u16::from_be_bytes(self.take()?)),
                other => return Err(NotHessian::Tag(other)),
            };
            let piece = self.slice(length)?;
            match (tag, gathered.as_mut()) {
                (b'A', None) => gathered = Some(piece.to_vec()),
                (b'A', Some(gathered)) => gathered.extend_from_slice(piece),
                (_, None) => return Ok(Cow::Borrowed(piece)),
                (_, Some(all)) => {
                    all.extend_from_slice(piece);
                    return Ok(Cow::Owned(gathered.unwrap_or_default()));
                }
            }
            tag = self.byte()?;
        }
    }

    fn byte(&mut self) -> Result<u8, NotHessian> {
        let [byte] = self.take()?;
        Ok(byte)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], NotHessian> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(NotHessian::Short)?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn slice(&mut self, length: usize) -> Result<&'a [u8], NotHessian> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(NotHessian::Short)?;
        self.rest = rest;
        Ok(bytes)
    }
}

/// How many values a value is, and how many bytes they have.
fn weigh(value: &Value<'_>) -> (u32, usize) {
    let sum = |(values, bytes): (u32, usize), value: &Value<'_>| {
        let (more_values, more_bytes) = weigh(value);
        (
            values.saturating_add(more_values),
            bytes.saturating_add(more_bytes),
        )
    };
    match value {
        Value::String(text) => (1, text.len()),
        Value::Bytes(bytes) => (1, bytes.len()),
        Value::List(items) | Value::Object(_, items) => items.iter().fold((1, 0), sum),
        Value::Map(pairs) => pairs
            .iter()
            .fold((1, 0), |all, (key, value)| sum(sum(all, key), value)),
        _ => (1, 0),
    }
}

/// Text whose characters beyond U+FFFF come as two units of three bytes each.
fn text(bytes: &[u8]) -> Result<Cow<'_, str>, NotHessian> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Ok(Cow::Borrowed(text));
    }
    let mut units = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().copied();
    let low = |rest: &mut dyn Iterator<Item = u8>| match rest.next() {
        Some(byte @ 0x80..=0xbf) => Ok(u16::from(byte & 0x3f)),
        _ => Err(NotHessian::Text),
    };
    while let Some(first) = rest.next() {
        units.push(match first {
            0x00..=0x7f => u16::from(first),
            0xc0..=0xdf => u16::from(first & 0x1f) << 6 | low(&mut rest)?,
            0xe0..=0xef => u16::from(first & 0x0f) << 12 | low(&mut rest)? << 6 | low(&mut rest)?,
            _ => return Err(NotHessian::Text),
        });
    }
    Ok(Cow::Owned(String::from_utf16_lossy(&units)))
}
