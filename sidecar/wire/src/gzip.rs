//! gzip of a body (motan-wire 2.7). Metadata is never compressed.

use std::io::{Read, Write};

use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};

/// Bytes inflated at a time.
const STEP: usize = 16 * 1024;

/// Why a body was not inflated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotGzip {
    /// It would grow over the limit.
    #[error("the body inflates to more than the limit")]
    TooLarge,
    /// It is not gzip, is cut short, or has a wrong checksum.
    #[error("the body is not sound gzip")]
    Corrupt,
}

/// Appends what `compressed` inflates to, at most `limit` bytes. Several members, one after the other, are one body.
/// Memory grows with what comes out, and no further than the limit.
///
/// # Errors
/// As [`NotGzip`]; `out` is then as it was.
pub fn inflate(compressed: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), NotGzip> {
    let start = out.len();
    let inflated = run(compressed, limit, out);
    if inflated.is_err() {
        out.truncate(start);
    }
    inflated
}

fn run(compressed: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), NotGzip> {
    let mut decoder = MultiGzDecoder::new(compressed);
    let mut step = [0; STEP];
    let mut room = limit;
    loop {
        match decoder.read(&mut step) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                room = room.checked_sub(count).ok_or(NotGzip::TooLarge)?;
                out.extend_from_slice(&step[..count]);
            }
            Err(_) => return Err(NotGzip::Corrupt),
        }
    }
}

/// Appends `body` compressed, at best speed as motan-go does it.
pub fn deflate(body: &[u8], out: &mut Vec<u8>) {
    let mut encoder = GzEncoder::new(out, Compression::fast());
    let written = encoder.write_all(body).and_then(|()| encoder.try_finish());
    written.expect("memory takes all that is written");
}
