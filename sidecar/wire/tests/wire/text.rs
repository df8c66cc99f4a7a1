//! Bytes as the tests and the recordings write them down (`vectors/README.md`).
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::path::{Path, PathBuf};

/// Bytes of hexadecimal digits; blanks are passed over.
pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

/// Bytes of a row of tokens: digits or quoted text, each with `*n` behind it where it comes n times.
pub(crate) fn tokens(line: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let (token, after) = match rest.strip_prefix('"') {
            Some(text) => quoted(text),
            None => {
                let end = rest.find([' ', '*']).unwrap_or(rest.len());
                (bytes(&rest[..end]), &rest[end..])
            }
        };
        let (times, after) = match after.strip_prefix('*') {
            Some(number) => {
                let end = number.find(' ').unwrap_or(number.len());
                (number[..end].parse().unwrap(), &number[end..])
            }
            None => (1, after),
        };
        out.extend(token.repeat(times));
        rest = after.trim_start();
    }
    out
}

fn quoted(text: &str) -> (Vec<u8>, &str) {
    let mut out = Vec::new();
    let mut letters = text.char_indices();
    loop {
        match letters.next().unwrap() {
            (at, '"') => return (out, &text[at + 1..]),
            (_, '\\') => match letters.next().unwrap() {
                (_, 'n') => out.push(b'\n'),
                (_, other) => out.push(u8::try_from(other).unwrap()),
            },
            (_, plain) => out.push(u8::try_from(plain).unwrap()),
        }
    }
}

/// Files of a folder beside this one, by name.
pub(crate) fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

#[test]
fn tokens_say_bytes() {
    assert_eq!(
        tokens(r#"  00ff "a\n\"\\ " 01*3 "xy"*2"#),
        b"\x00\xffa\n\"\\ \x01\x01\x01xyxy"
    );
}
