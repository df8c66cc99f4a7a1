//! The breeze serialization (motan-wire 5.6): the one map of strings that the meta service speaks (motan-wire 8), and in
//! [`values`] any value.

mod values;

use std::ops::RangeInclusive;

pub use values::{NotBreeze, read_value, write_value};

/// Serialization number of breeze.
pub const NUMBER: u8 = 8;
/// Tag of a map whose keys and values are tagged each.
const MAP: u8 = 0xd9;
/// Tag of a map whose types are said once.
const PACKED_MAP: u8 = 0xdb;
/// Tag of a string whose length follows.
const STRING: u8 = 0x3f;
/// Tags of strings that are their own length.
const SHORT_STRING: RangeInclusive<u8> = 0..=0x3e;

/// Why a body is not a map of strings in breeze.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAMap {
    /// The bytes end inside of it.
    #[error("the map is cut short")]
    Short,
    /// Another type where a map or a string must be.
    #[error("type {0:02x} is not the one that is needed")]
    Type(u8),
    /// A number of more than 32 bits.
    #[error("a variable-length number is too long")]
    Varint,
    /// Bytes after the end.
    #[error("bytes follow the map")]
    Trailing,
}

/// A map that is known to be sound, read where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Map<'a> {
    count: u32,
    packed: bool,
    entries: &'a [u8],
}

impl<'a> Map<'a> {
    /// Reads a body that is one map.
    ///
    /// # Errors
    /// Anything else.
    pub fn read(body: &'a [u8]) -> Result<Self, NotAMap> {
        let mut rest = body;
        let packed = match byte(&mut rest)? {
            PACKED_MAP => true,
            MAP => false,
            other => return Err(NotAMap::Type(other)),
        };
        let count = varint(&mut rest)?;
        if packed && count > 0 {
            for _ in ["key", "value"] {
                match byte(&mut rest)? {
                    STRING => {}
                    other => return Err(NotAMap::Type(other)),
                }
            }
        }
        let map = Self {
            count,
            packed,
            entries: rest,
        };
        for _ in 0..count {
            map.string(&mut rest)?;
            map.string(&mut rest)?;
        }
        if rest.is_empty() {
            Ok(map)
        } else {
            Err(NotAMap::Trailing)
        }
    }

    /// The entries in their order. Where a key comes twice the last one counts.
    #[must_use]
    pub const fn pairs(self) -> Pairs<'a> {
        Pairs(self)
    }

    fn string(self, rest: &mut &'a [u8]) -> Result<&'a [u8], NotAMap> {
        let length = if self.packed {
            varint(rest)?
        } else {
            match byte(rest)? {
                STRING => varint(rest)?,
                short if SHORT_STRING.contains(&short) => u32::from(short),
                other => return Err(NotAMap::Type(other)),
            }
        };
        let (string, after) = rest.split_at_checked(length as usize).ok_or(NotAMap::Short)?;
        *rest = after;
        Ok(string)
    }
}

/// Iterates over the entries of a map.
#[derive(Debug, Clone)]
pub struct Pairs<'a>(Map<'a>);

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.count = self.0.count.checked_sub(1)?;
        let mut rest = self.0.entries;
        // Sound since it was read; there is no error to lose.
        let pair = (self.0.string(&mut rest).ok()?, self.0.string(&mut rest).ok()?);
        self.0.entries = rest;
        Some(pair)
    }
}

/// Appends a map of strings, packed as motan-go writes it. For fewer than 2^32 entries, of less than 4 GiB each.
pub fn write<'a>(out: &mut Vec<u8>, pairs: impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])>) {
    out.push(PACKED_MAP);
    write_varint(out, pairs.len());
    if pairs.len() > 0 {
        out.extend_from_slice(&[STRING, STRING]);
    }
    for (key, value) in pairs {
        for string in [key, value] {
            write_varint(out, string.len());
            out.extend_from_slice(string);
        }
    }
}

fn byte(rest: &mut &[u8]) -> Result<u8, NotAMap> {
    let (first, after) = rest.split_first().ok_or(NotAMap::Short)?;
    *rest = after;
    Ok(*first)
}

fn varint(rest: &mut &[u8]) -> Result<u32, NotAMap> {
    let mut value = 0u32;
    for group in 0..5 {
        let next = byte(rest)?;
        let bits = u32::from(next & 0x7f);
        if group == 4 && bits > 0x0f {
            return Err(NotAMap::Varint);
        }
        value |= bits << (7 * group);
        if next & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(NotAMap::Varint)
}

fn write_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
