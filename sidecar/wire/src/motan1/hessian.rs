//! As much of the Hessian 2 serialization as an exception and a heartbeat's answer need, written as Java's library
//! does.

/// UTF-16 units in one piece of a long string, as Java's writer cuts it.
const PIECE: usize = 0x8000;

pub(super) fn null(out: &mut Vec<u8>) {
    out.push(b'N');
}

/// The definition of a class; the n-th one of a stream is number n, from 0. For fewer than 48 fields.
pub(super) fn class(out: &mut Vec<u8>, name: &str, fields: &[&str]) {
    out.push(b'C');
    string(out, name);
    out.push(0x90 + fields.len() as u8);
    for field in fields {
        string(out, field);
    }
}

/// Begins an object of a class below 16; its fields follow in the order of the definition.
pub(super) fn object(out: &mut Vec<u8>, class: u8) {
    out.push(0x60 + class);
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the bytes of a number, one by one"
)]
pub(super) fn int(out: &mut Vec<u8>, value: i32) {
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
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
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
