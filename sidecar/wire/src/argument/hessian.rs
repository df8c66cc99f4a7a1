//! One argument in Hessian 2, as Java callers write it: strings count UTF-16 units, bytes and strings may come in pieces.

use std::borrow::Cow;

use super::{Argument, MAX_ENTRIES, NotAnArgument};

const NULL: u8 = b'N';
/// Bytes in one piece, as Java's writer cuts them.
const PIECE: usize = 0x8000;

pub(super) fn read(body: &[u8]) -> Result<Argument<'_>, NotAnArgument> {
    let mut rest = body;
    let argument = match *body.first().ok_or(NotAnArgument::Damaged)? {
        NULL => {
            take(&mut rest, 1)?;
            Argument::None
        }
        b'H' | b'M' => map(&mut rest)?,
        0x00..=0x1f | 0x30..=0x33 | b'R' | b'S' => Argument::Text(string(&mut rest)?),
        0x20..=0x2f | 0x34..=0x37 | b'A' | b'B' => Argument::Text(bytes(&mut rest)?),
        _ => return Err(NotAnArgument::Type),
    };
    if rest.is_empty() {
        Ok(argument)
    } else {
        Err(NotAnArgument::Several)
    }
}

fn map<'a>(rest: &mut &'a [u8]) -> Result<Argument<'a>, NotAnArgument> {
    if take(rest, 1)? == b"M" {
        string(rest)?; // the class, of which Java has many
    }
    let mut pairs = Vec::new();
    while rest.first() != Some(&b'Z') {
        if pairs.len() == MAX_ENTRIES {
            return Err(NotAnArgument::Many);
        }
        pairs.push((string(rest)?, string(rest)?));
    }
    take(rest, 1)?;
    Ok(Argument::Map(pairs))
}

fn string<'a>(rest: &mut &'a [u8]) -> Result<Cow<'a, [u8]>, NotAnArgument> {
    let mut pieces: Option<Vec<u8>> = None;
    loop {
        let [tag] = array(rest)?;
        let (is_last, units) = match tag {
            0x00..=0x1f => (true, usize::from(tag)),
            0x30..=0x33 => {
                let [low] = array(rest)?;
                (true, usize::from(tag - 0x30) << 8 | usize::from(low))
            }
            b'S' | b'R' => (tag == b'S', u16::from_be_bytes(array(rest)?).into()),
            _ => return Err(NotAnArgument::Type),
        };
        let piece = take(rest, extent(rest, units)?)?;
        match (&mut pieces, is_last) {
            (None, true) => return Ok(plain(piece)),
            (None, false) => pieces = Some(plain(piece).into_owned()),
            (Some(all), _) => {
                all.extend_from_slice(&plain(piece));
                if is_last {
                    return Ok(pieces.unwrap_or_default().into());
                }
            }
        }
    }
}

/// How many bytes this many UTF-16 units take: each unit is written as a character of its own, of up to three bytes;
/// some writers use four bytes for two units.
fn extent(bytes: &[u8], units: usize) -> Result<usize, NotAnArgument> {
    let (mut at, mut left) = (0, units);
    while left > 0 {
        let (length, takes) = match *bytes.get(at).ok_or(NotAnArgument::Damaged)? {
            0x00..=0x7f => (1, 1),
            0xc0..=0xdf => (2, 1),
            0xe0..=0xef => (3, 1),
            0xf0..=0xf7 => (4, 2),
            _ => return Err(NotAnArgument::Damaged),
        };
        at += length;
        left = left.checked_sub(takes).ok_or(NotAnArgument::Damaged)?;
    }
    Ok(at)
}

/// Text as everybody else writes it: two units of three bytes become one character of four.
fn plain(piece: &[u8]) -> Cow<'_, [u8]> {
    if !piece.contains(&0xed) {
        return piece.into();
    }
    let mut out = Vec::with_capacity(piece.len());
    let mut rest = piece;
    while let Some((&first, after)) = rest.split_first() {
        let unit = |low: u8, last: u8| (u32::from(low & 0x3f) << 6 | u32::from(last & 0x3f)) & 0x3ff;
        match *rest {
            [0xed, a @ 0xa0..=0xaf, b, 0xed, c @ 0xb0..=0xbf, d, ..] => {
                let code = 0x1_0000 + (unit(a, b) << 10 | unit(c, d));
                let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &rest[6..];
            }
            _ => {
                out.push(first);
                rest = after;
            }
        }
    }
    out.into()
}

fn bytes<'a>(rest: &mut &'a [u8]) -> Result<Cow<'a, [u8]>, NotAnArgument> {
    let mut pieces: Option<Vec<u8>> = None;
    loop {
        let [tag] = array(rest)?;
        let (is_last, length) = match tag {
            0x20..=0x2f => (true, usize::from(tag - 0x20)),
            0x34..=0x37 => {
                let [low] = array(rest)?;
                (true, usize::from(tag - 0x34) << 8 | usize::from(low))
            }
            b'A' | b'B' => (tag == b'B', u16::from_be_bytes(array(rest)?).into()),
            _ => return Err(NotAnArgument::Damaged),
        };
        let piece = take(rest, length)?;
        match (&mut pieces, is_last) {
            (None, true) => return Ok(piece.into()),
            (None, false) => pieces = Some(piece.to_vec()),
            (Some(all), _) => {
                all.extend_from_slice(piece);
                if is_last {
                    return Ok(pieces.unwrap_or_default().into());
                }
            }
        }
    }
}

fn array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], NotAnArgument> {
    let (bytes, after) = rest.split_first_chunk().ok_or(NotAnArgument::Damaged)?;
    *rest = after;
    Ok(*bytes)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], NotAnArgument> {
    let (bytes, after) = rest.split_at_checked(length).ok_or(NotAnArgument::Damaged)?;
    *rest = after;
    Ok(bytes)
}

#[expect(clippy::cast_possible_truncation, reason = "a piece has at most 32768 bytes")]
pub(super) fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut rest = bytes;
    while rest.len() > PIECE {
        let (piece, after) = rest.split_at(PIECE);
        out.push(b'A');
        out.extend_from_slice(&(piece.len() as u16).to_be_bytes());
        out.extend_from_slice(piece);
        rest = after;
    }
    match rest.len() {
        short @ 0..=15 => out.push(0x20 + short as u8),
        length @ 16..=1023 => out.extend_from_slice(&[0x34 + (length >> 8) as u8, length as u8]),
        length => {
            out.push(b'B');
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }
    out.extend_from_slice(rest);
}
