//! `simple` values (motan-wire 5.2): one tag byte and its content, several parameters one after the other. For those
//! who must look inside a body; a relayed body is never read.

/// How deep containers may nest: what no program sends, and what a hostile body must not make us recurse into.
pub(crate) const MAX_DEPTH: u32 = 32;
/// How many values the containers of a body may hold together. A value of one byte takes 32 in memory, so a body of
/// them would take more than a sidecar may have; with this it is 4 MiB.
pub(crate) const MAX_VALUES: u32 = 65_536;

/// One value, borrowing its bytes.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// Tag 0.
    Null,
    /// Tag 1. Not checked to be UTF-8, as nobody does.
    String(&'a [u8]),
    /// Tag 2: map of strings.
    StringMap(Vec<(&'a [u8], &'a [u8])>),
    /// Tag 3.
    Bytes(&'a [u8]),
    /// Tag 4: array of strings.
    StringArray(Vec<&'a [u8]>),
    /// Tag 5.
    Bool(bool),
    /// Tag 6.
    Byte(u8),
    /// Tag 7.
    Int16(i16),
    /// Tag 8.
    Int32(i32),
    /// Tag 9.
    Int64(i64),
    /// Tag 10.
    Float32(f32),
    /// Tag 11.
    Float64(f64),
    /// Tag 20: map of anything.
    Map(Vec<(Value<'a>, Value<'a>)>),
    /// Tag 21: array of anything.
    Array(Vec<Value<'a>>),
}

/// Why bytes are not `simple` values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotSimple {
    /// The bytes end inside a value.
    #[error("the value is cut short")]
    Short,
    /// No type has this tag.
    #[error("tag {0} is unknown")]
    Tag(u8),
    /// A varint of more than 10 bytes, or one that does not fit.
    #[error("a variable-length number is too long")]
    Varint,
    /// Containers in containers, deeper than anybody sends.
    #[error("values nest deeper than {MAX_DEPTH}")]
    Deep,
    /// More values than anybody sends.
    #[error("containers hold more than {MAX_VALUES} values")]
    Many,
}

impl<'a> Value<'a> {
    /// The bytes of a string or a byte array; both are accepted where bytes are expected (motan-wire 5.2).
    #[must_use]
    pub const fn bytes(&self) -> Option<&'a [u8]> {
        match self {
            Self::String(bytes) | Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// Reads the values that a body is made of.
#[derive(Debug, Clone)]
pub struct Values<'a> {
    rest: &'a [u8],
    /// How many values containers may still hold.
    room: u32,
}

impl<'a> Values<'a> {
    /// Begins at the start of a body.
    #[must_use]
    pub const fn new(body: &'a [u8]) -> Self {
        Self {
            rest: body,
            room: MAX_VALUES,
        }
    }

    /// The next value; `None` at the end.
    ///
    /// # Errors
    /// Bytes that are no value.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator of results invites to go on after an error"
    )]
    pub fn next(&mut self) -> Result<Option<Value<'a>>, NotSimple> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        self.value(0).map(Some)
    }

    fn value(&mut self, depth: u32) -> Result<Value<'a>, NotSimple> {
        if depth > MAX_DEPTH {
            return Err(NotSimple::Deep);
        }
        let [tag] = self.take()?;
        Ok(match tag {
            0 => Value::Null,
            1 => Value::String(self.sized()?),
            2 => Value::StringMap(self.within(|inner| Ok((inner.sized()?, inner.sized()?)))?),
            3 => Value::Bytes(self.sized()?),
            4 => Value::StringArray(self.within(Self::sized)?),
            5 => Value::Bool(self.take::<1>()?[0] == 1),
            6 => Value::Byte(self.take::<1>()?[0]),
            7 => Value::Int16(i16::from_be_bytes(self.take()?)),
            8 => Value::Int32(i32::try_from(self.zigzag()?).map_err(|_| NotSimple::Varint)?),
            9 => Value::Int64(self.zigzag()?),
            10 => Value::Float32(f32::from_be_bytes(self.take()?)),
            11 => Value::Float64(f64::from_be_bytes(self.take()?)),
            20 => Value::Map(self.within(|inner| Ok((inner.value(depth + 1)?, inner.value(depth + 1)?)))?),
            21 => Value::Array(self.within(|inner| inner.value(depth + 1))?),
            other => return Err(NotSimple::Tag(other)),
        })
    }

    /// Reads items until exactly the announced length is used up.
    fn within<T>(&mut self, item: impl Fn(&mut Self) -> Result<T, NotSimple>) -> Result<Vec<T>, NotSimple> {
        let mut inner = Self {
            rest: self.sized()?,
            room: self.room,
        };
        let mut items = Vec::new();
        while !inner.rest.is_empty() {
            inner.room = inner.room.checked_sub(1).ok_or(NotSimple::Many)?;
            items.push(item(&mut inner)?);
        }
        self.room = inner.room;
        Ok(items)
    }

    fn sized(&mut self) -> Result<&'a [u8], NotSimple> {
        let length = u32::from_be_bytes(self.take()?) as usize;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(NotSimple::Short)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], NotSimple> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(NotSimple::Short)?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn zigzag(&mut self) -> Result<i64, NotSimple> {
        let mut raw = 0u64;
        for group in 0..10 {
            let [byte] = self.take()?;
            let bits = u64::from(byte & 0x7f);
            if group == 9 && bits > 1 {
                return Err(NotSimple::Varint);
            }
            raw |= bits << (7 * group);
            if byte & 0x80 == 0 {
                return Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed());
            }
        }
        Err(NotSimple::Varint)
    }
}

/// Appends a value.
pub fn write(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Null => out.push(0),
        Value::String(text) => write_tagged(out, 1, |out| sized(out, text)),
        Value::StringMap(pairs) => write_tagged(out, 2, |out| {
            container(out, |out| {
                for (key, value) in pairs {
                    sized(out, key);
                    sized(out, value);
                }
            });
        }),
        Value::Bytes(bytes) => write_tagged(out, 3, |out| sized(out, bytes)),
        Value::StringArray(items) => write_tagged(out, 4, |out| {
            container(out, |out| items.iter().for_each(|item| sized(out, item)));
        }),
        Value::Bool(value) => out.extend_from_slice(&[5, u8::from(*value)]),
        Value::Byte(value) => out.extend_from_slice(&[6, *value]),
        Value::Int16(value) => write_tagged(out, 7, |out| out.extend_from_slice(&value.to_be_bytes())),
        Value::Int32(value) => write_tagged(out, 8, |out| zigzag(out, i64::from(*value))),
        Value::Int64(value) => write_tagged(out, 9, |out| zigzag(out, *value)),
        Value::Float32(value) => write_tagged(out, 10, |out| out.extend_from_slice(&value.to_be_bytes())),
        Value::Float64(value) => write_tagged(out, 11, |out| out.extend_from_slice(&value.to_be_bytes())),
        Value::Map(pairs) => write_tagged(out, 20, |out| {
            container(out, |out| {
                for (key, value) in pairs {
                    write(out, key);
                    write(out, value);
                }
            });
        }),
        Value::Array(items) => write_tagged(out, 21, |out| {
            container(out, |out| items.iter().for_each(|item| write(out, item)));
        }),
    }
}

/// Appends a byte array, without a [`Value`] in between.
pub fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_tagged(out, 3, |out| sized(out, bytes));
}

/// Appends a byte array that `content` writes at the end of what it is given.
pub fn write_bytes_by(out: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
    write_tagged(out, 3, |out| container(out, content));
}

/// Appends an array of two byte arrays, the first as `first` writes it: an HTTP response over Motan (motan-wire 7.2).
pub fn write_two(out: &mut Vec<u8>, first: impl FnOnce(&mut Vec<u8>), second: &[u8]) {
    write_tagged(out, 21, |out| {
        container(out, |out| {
            write_bytes_by(out, first);
            write_bytes(out, second);
        });
    });
}

fn write_tagged(out: &mut Vec<u8>, tag: u8, content: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    content(out);
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a body is under 4 GiB, so is what it holds"
)]
fn sized(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a body is under 4 GiB, so is what it holds"
)]
fn container(out: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    content(out);
    let length = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
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
