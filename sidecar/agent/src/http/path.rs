//! Paths of requests: as text to match and to show (`M_m`), and back as a request target.

use std::fmt::Write;

/// A path decoded, without empty, `.` and `..` segments, as `M_m` has it. One that would hold a line feed stays as it
/// came, because metadata can't carry it.
pub(crate) fn normal(raw: &[u8]) -> Vec<u8> {
    if is_normal(raw) {
        return raw.to_vec(); // the usual case
    }
    let decoded = decode(raw);
    if decoded.contains(&b'\n') {
        return raw.to_vec();
    }
    resolve(&decoded)
}

/// A decoded path without empty, `.` and `..` segments.
pub(crate) fn resolve(decoded: &[u8]) -> Vec<u8> {
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in decoded.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    let mut path = Vec::with_capacity(decoded.len());
    for segment in &segments {
        path.push(b'/');
        path.extend_from_slice(segment);
    }
    if path.is_empty() || decoded.ends_with(b"/") {
        path.push(b'/');
    }
    path
}

/// Whether it is certain at a glance that normalising changes nothing; a segment that begins with a dot takes a second.
fn is_normal(raw: &[u8]) -> bool {
    let is_plain = |pair: &[u8]| pair[0] != b'/' || !matches!(pair[1], b'/' | b'.');
    raw.first() == Some(&b'/')
        && raw.windows(2).all(is_plain)
        && !raw.iter().any(|byte| matches!(byte, b'%' | b'\n'))
}

/// A decoded path as it stands in a request target: what must be escaped is (RFC 3986 3.3).
pub(crate) fn encode(path: &[u8]) -> String {
    escape(path, |byte| {
        matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b':'
                | b'@'
                | b'/'
        )
    })
}

/// A query as it stands in a request target: what may not stand there is escaped, all else is left as it is.
pub(crate) fn encode_query(query: &[u8]) -> String {
    escape(query, |byte| {
        byte.is_ascii_graphic() && !matches!(byte, b'"' | b'#' | b'<' | b'>')
    })
}

fn escape(text: &[u8], stays: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for &byte in text {
        if byte.is_ascii_alphanumeric() || stays(byte) {
            out.push(byte.into());
        } else {
            let _ = write!(out, "%{byte:02X}"); // a string takes all that is written
        }
    }
    out
}

/// Percent-decodes; what is no escape stays.
pub(crate) fn decode(raw: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = match *after {
            [high, low, ..] if byte == b'%' => hex(high).zip(hex(low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                decoded.push(high << 4 | low);
                rest = &after[2..];
            }
            None => {
                decoded.push(byte);
                rest = after;
            }
        }
    }
    decoded
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_decoded_and_normalised() {
        let rows = [
            ("/", "/"),
            ("", "/"),
            ("/a/b", "/a/b"),
            ("/a//b/./c/", "/a/b/c/"),
            ("/a/../../b", "/b"),
            ("/a/..", "/"),
            ("/a/.b", "/a/.b"),
            ("a/b", "/a/b"),
            ("/a%20b%2Fc", "/a b/c"),
            ("/100%", "/100%"),
            ("/%zz%4", "/%zz%4"),
            ("/a%0Ab", "/a%0Ab"),
        ];
        for (raw, expected) in rows {
            assert_eq!(
                String::from_utf8(normal(raw.as_bytes())).unwrap(),
                expected,
                "{raw}"
            );
        }
    }

    #[test]
    fn a_target_holds_nothing_that_may_not_stand_there() {
        let rows = [
            ("/a b/c", "/a%20b/c"),
            ("/ü?#", "/%C3%BC%3F%23"),
            ("/100%", "/100%25"),
            ("/a:b@c;d=e", "/a:b@c;d=e"),
        ];
        for (path, expected) in rows {
            assert_eq!(encode(path.as_bytes()), expected, "{path}");
        }
        assert_eq!(encode_query("a=%20&b=ü c#".as_bytes()), "a=%20&b=%C3%BC%20c%23");
    }
}
