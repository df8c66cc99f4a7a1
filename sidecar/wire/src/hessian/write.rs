//! Hessian 2 as Java's library writes it.

use crate::value::Value;

/// UTF-16 units in one piece of a long string, as Java's writer cuts it.
const PIECE: usize = 0x8000;
/// Bytes in one piece of a long byte array; Java's writer cuts by its buffer, and reads any.
const BYTES_PIECE: usize = 0x7fff;

/// Appends a value. Text that is not UTF-8 is mended, as Hessian has only characters.
pub fn write(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Null => null(out),
        Value::Bool(value) => out.push(if *value { b'T' } else { b'F' }),
        Value::Byte(value) => int(out, i32::from(*value)),
        Value::Int16(value) => int(out, i32::from(*value)),
        Value::Int32(value) => int(out, *value),
        Value::Int64(value) => long(out, *value),
        Value::Float32(value) => double(out, f64::from(*value)),
        Value::Float64(value) => double(out, *value),
        Value::String(text) => string(out, &String::from_utf8_lossy(text)),
        Value::Bytes(value) => bytes(out, value),
        Value::StringArray(items) => {
            list(out, items.len());
            items
                .iter()
                .for_each(|item| string(out, &String::from_utf8_lossy(item)));
        }
        Value::Array(items) => {
            list(out, items.len());
            items.iter().for_each(|item| write(out, item));
        }
        Value::StringMap(pairs) => {
            out.push(b'H');
            for (key, value) in pairs {
                string(out, &String::from_utf8_lossy(key));
                string(out, &String::from_utf8_lossy(value));
            }
            out.push(b'Z');
        }
        Value::Map(pairs) => {
            out.push(b'H');
            for (key, value) in pairs {
                write(out, key);
                write(out, value);
            }
            out.push(b'Z');
        }
    }
}

/// Begins a list without a type: Java makes an `ArrayList` of it, or what the parameter asks for. For fewer than 2^31
/// items.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "a body is under 2 GiB"
)]
fn list(out: &mut Vec<u8>, items: usize) {
    match items {
        0..=7 => out.push(0x78 + items as u8),
        _ => {
            out.push(b'X');
            int(out, items as i32);
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the bytes of a number, one by one"
)]
fn long(out: &mut Vec<u8>, value: i64) {
    match value {
        -0x8..=0xf => out.push((0xe0 + value) as u8),
        -0x800..=0x7ff => out.extend_from_slice(&[(0xf8 + (value >> 8)) as u8, value as u8]),
        -0x4_0000..=0x3_ffff => {
            out.extend_from_slice(&[(0x3c + (value >> 16)) as u8, (value >> 8) as u8, value as u8]);
        }
        _ => {
            out.push(b'L');
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}

fn double(out: &mut Vec<u8>, value: f64) {
    out.push(b'D');
    out.extend_from_slice(&value.to_bits().to_be_bytes());
}

#[expect(clippy::cast_possible_truncation, reason = "a piece has at most 32767 bytes")]
fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    let mut rest = value;
    while let Some((piece, after)) = rest
        .split_at_checked(BYTES_PIECE)
        .filter(|(_, after)| !after.is_empty())
    {
        out.push(b'A');
        out.extend_from_slice(&(piece.len() as u16).to_be_bytes());
        out.extend_from_slice(piece);
        rest = after;
    }
    match rest.len() {
        0..=15 => out.push(0x20 + rest.len() as u8),
        _ => {
            out.push(b'B');
            out.extend_from_slice(&(rest.len() as u16).to_be_bytes());
        }
    }
    out.extend_from_slice(rest);
}

pub(crate) fn null(out: &mut Vec<u8>) {
    out.push(b'N');
}

/// The definition of a class; the n-th one of a stream is number n, from 0. For fewer than 48 fields.
pub(crate) fn class(out: &mut Vec<u8>, name: &str, fields: &[&str]) {
    out.push(b'C');
    string(out, name);
    out.push(0x90 + fields.len() as u8);
    for field in fields {
        string(out, field);
    }
}

/// Begins an object of a class below 16; its fields follow in the order of the definition.
pub(crate) fn object(out: &mut Vec<u8>, class: u8) {
    out.push(0x60 + class);
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the bytes of a number, one by one"
)]
pub(crate) fn int(out: &mut Vec<u8>, value: i32) {
    match value {
        -0x10..=0x2f => out.push((0x90 + value) as u8),
        -0x800..=0x7ff => out.extend_from_slice(&[(0xc8 + (value >> 8)) as u8, value as u8]),
        -0x4_0000..=0x3_ffff => {
            out.extend_from_slice(&[(0xd4 + (value >> 16)) as u8, (value >> 8) as u8, value as u8]);
        }
        _ => {
            out.push(b'I');
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}

/// A string in pieces. Lengths count UTF-16 units, and each unit is written as if it were a character of its own: what
/// lies beyond U+FFFF takes two units of three bytes.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    let mut rest = text;
    let mut units = text.encode_utf16().count();
    while units > PIECE {
        let (piece, count) = cut(rest);
        out.push(b'R');
        length(out, count);
        characters(out, piece);
        rest = &rest[piece.len()..];
        units -= count;
    }
    match units {
        0..=31 => out.push(units as u8),
        32..=1023 => out.extend_from_slice(&[0x30 + (units >> 8) as u8, units as u8]),
        _ => {
            out.push(b'S');
            length(out, units);
        }
    }
    characters(out, rest);
}

/// The longest beginning of at most [`PIECE`] units that does not end inside of a character, and its units.
fn cut(text: &str) -> (&str, usize) {
    let mut units = 0;
    for (at, character) in text.char_indices() {
        if units + character.len_utf16() > PIECE {
            return (&text[..at], units);
        }
        units += character.len_utf16();
    }
    (text, units)
}

#[expect(clippy::cast_possible_truncation, reason = "a piece has at most 32768 units")]
fn length(out: &mut Vec<u8>, units: usize) {
    out.extend_from_slice(&(units as u16).to_be_bytes());
}

fn characters(out: &mut Vec<u8>, text: &str) {
    for unit in text.encode_utf16() {
        let low = |shift: u32| 0x80 | (unit >> shift & 0x3f) as u8;
        match unit {
            0..=0x7f => out.push(unit as u8),
            0x80..=0x7ff => out.extend_from_slice(&[0xc0 | (unit >> 6) as u8, low(0)]),
            _ => out.extend_from_slice(&[0xe0 | (unit >> 12) as u8, low(6), low(0)]),
        }
    }
}

#[cfg(test)]
mod tests;
