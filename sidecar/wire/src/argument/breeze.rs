//! One argument in breeze (motan-wire 5.6).

use super::{Argument, MAX_ENTRIES, NotAnArgument};
use crate::breeze::{Map, NotAMap};

const NULL: u8 = 0x99;
const BYTES: u8 = 0x9d;
const STRING: u8 = 0x3f;
const MAPS: [u8; 2] = [0xd9, 0xdb];

pub(super) fn read(body: &[u8]) -> Result<Argument<'_>, NotAnArgument> {
    let Some((&tag, rest)) = body.split_first() else {
        return Ok(Argument::None);
    };
    let (text, after) = match tag {
        NULL => (None, rest),
        0..STRING => cut(rest, tag.into())?,
        STRING => {
            let (length, rest) = varint(rest)?;
            cut(rest, length)?
        }
        BYTES => {
            let (length, rest) = rest.split_first_chunk().ok_or(NotAnArgument::Damaged)?;
            cut(rest, u32::from_be_bytes(*length))?
        }
        tag if MAPS.contains(&tag) => return map(body),
        _ => return Err(NotAnArgument::Type),
    };
    if !after.is_empty() {
        return Err(NotAnArgument::Several);
    }
    Ok(text.map_or(Argument::None, |text| Argument::Text(text.into())))
}

fn map(body: &[u8]) -> Result<Argument<'_>, NotAnArgument> {
    let map = Map::read(body).map_err(|error| match error {
        NotAMap::Type(_) => NotAnArgument::Type,
        NotAMap::Trailing => NotAnArgument::Several,
        NotAMap::Short | NotAMap::Varint => NotAnArgument::Damaged,
    })?;
    let mut pairs = Vec::new();
    for (key, value) in map.pairs() {
        if pairs.len() == MAX_ENTRIES {
            return Err(NotAnArgument::Many);
        }
        pairs.push((key.into(), value.into()));
    }
    Ok(Argument::Map(pairs))
}

type Cut<'a> = (Option<&'a [u8]>, &'a [u8]);

fn cut(bytes: &[u8], length: u32) -> Result<Cut<'_>, NotAnArgument> {
    let (text, after) = bytes
        .split_at_checked(length as usize)
        .ok_or(NotAnArgument::Damaged)?;
    Ok((Some(text), after))
}

fn varint(bytes: &[u8]) -> Result<(u32, &[u8]), NotAnArgument> {
    let mut value = 0u32;
    for (group, byte) in bytes.iter().enumerate().take(5) {
        let bits = u32::from(byte & 0x7f);
        if group == 4 && bits > 0x0f {
            break;
        }
        value |= bits << (7 * group);
        if byte & 0x80 == 0 {
            return Ok((value, &bytes[group + 1..]));
        }
    }
    Err(NotAnArgument::Damaged)
}

#[expect(clippy::cast_possible_truncation, reason = "a body is under 4 GiB")]
pub(super) fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(BYTES);
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}
