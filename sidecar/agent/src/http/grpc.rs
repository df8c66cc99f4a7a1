//! What a proxy must know of gRPC (its PROTOCOL-HTTP2 page): what is one, its deadline, and its statuses.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use crate::failure::{Failure, Kind};

/// Status of a call, in trailers or in a head without a body.
pub(crate) const STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// Words for it, percent-encoded.
pub(crate) const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// How long the caller waits.
pub(crate) const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The most digits of a deadline.
const DIGITS: usize = 8;

/// Whether a request, or a response, is gRPC.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.and_then(|kind| kind.strip_prefix(b"application/grpc"))
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

/// How long the caller waits; `None` where it does not say, or not in a way that can be read.
pub(crate) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(TIMEOUT)?.to_str().ok()?;
    let (number, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if number.is_empty() || number.len() > DIGITS || !number.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: u64 = number.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// A deadline as a header, in the finest unit that it fits into.
pub(crate) fn write_timeout(left: Duration) -> HeaderValue {
    const LIMIT: u128 = 10_u128.pow(DIGITS as u32);
    let (number, unit) = if left.as_micros() < LIMIT {
        (left.as_micros(), 'u')
    } else if left.as_millis() < LIMIT {
        (left.as_millis(), 'm')
    } else {
        (u128::from(left.as_secs()).min(LIMIT - 1), 'S')
    };
    HeaderValue::from_str(&format!("{number}{unit}")).unwrap_or(HeaderValue::from_static("0S"))
}

/// The status of a failure of the mesh.
pub(crate) const fn status(kind: Kind) -> u8 {
    match kind {
        Kind::Timeout => 4,                                             // DEADLINE_EXCEEDED
        Kind::Forbidden => 7,                                           // PERMISSION_DENIED
        Kind::Overloaded | Kind::RateLimited | Kind::TooLarge => 8,     // RESOURCE_EXHAUSTED
        Kind::Undeclared | Kind::Unsupported | Kind::NotProvided => 12, // UNIMPLEMENTED
        Kind::BadRequest | Kind::BadAnswer => 13,                       // INTERNAL
        // UNAVAILABLE
        Kind::NoEndpoint
        | Kind::Unavailable
        | Kind::Draining
        | Kind::Degraded
        | Kind::CircuitOpen
        | Kind::Injected => 14,
    }
}

/// The status of an HTTP status, as gRPC maps those that proxies answer (gRPC, HTTP to gRPC Status Code Mapping).
const fn of_http(status: u16) -> u8 {
    match status {
        400 => 13,                   // INTERNAL
        401 => 16,                   // UNAUTHENTICATED
        403 => 7,                    // PERMISSION_DENIED
        404 => 12,                   // UNIMPLEMENTED
        429 | 502 | 503 | 504 => 14, // UNAVAILABLE
        _ => 2,                      // UNKNOWN
    }
}

/// Whether a status says that the program failed, and not that its caller asked for something that can't be.
pub(crate) fn is_fault(status: &[u8]) -> bool {
    // UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS
    matches!(status, b"2" | b"4" | b"12" | b"13" | b"14" | b"15")
}

/// Head fields or trailers that tell of a failure.
pub(crate) fn tell(failure: &Failure, headers: &mut HeaderMap) {
    let status = failure.status.map_or_else(|| status(failure.kind), of_http);
    headers.insert(STATUS, HeaderValue::from(u16::from(status)));
    if let Ok(message) = HeaderValue::from_maybe_shared(encode(&failure.words)) {
        headers.insert(MESSAGE, message);
    }
    headers.insert(
        super::names::ERROR,
        HeaderValue::from_static(failure.kind.as_str()),
    );
}

/// Percent-encodes what is not printable ASCII, and the percent sign.
pub(crate) fn encode(words: &str) -> Bytes {
    let mut encoded = String::with_capacity(words.len());
    for byte in words.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    Bytes::from(encoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn grpc_is_known_by_its_content_type() {
        let rows = [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=x", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ];
        for (kind, expected) in rows {
            assert_eq!(is_grpc(&of(CONTENT_TYPE, kind)), expected, "{kind}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }

    #[test]
    fn a_deadline_is_read_in_every_unit_and_written_in_the_finest() {
        let rows = [
            ("1H", Some(3_600_000_000)),
            ("2M", Some(120_000_000)),
            ("3S", Some(3_000_000)),
            ("4m", Some(4_000)),
            ("5u", Some(5)),
            ("6000n", Some(6)),
            ("99999999H", Some(359_999_996_400_000_000)),
            ("123456789S", None),
            ("S", None),
            ("", None),
            ("-1S", None),
            ("1x", None),
        ];
        for (value, micros) in rows {
            let read = timeout(&of(TIMEOUT, value));
            assert_eq!(read, micros.map(Duration::from_micros), "{value}");
        }
        for (left, written) in [
            (1_500, "1500000u"),
            (200_000, "200000m"),
            (200_000_000, "200000S"),
        ] {
            assert_eq!(write_timeout(Duration::from_millis(left)), written);
        }
        assert_eq!(write_timeout(Duration::MAX), "99999999S");
    }

    #[test]
    fn words_are_percent_encoded() {
        assert_eq!(encode("50% for ü\n"), "50%25 for %C3%BC%0A");
    }
}
