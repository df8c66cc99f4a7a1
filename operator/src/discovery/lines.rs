//! Newline-delimited JSON on a request or response body: one bounded line at a time.

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use plan::stream::{FromOperator, FromSidecar, MAX_UNDECLARED};

/// The longest line a sidecar may say, in bytes: its program's subscriptions, two names of 253 bytes each, every byte
/// escaped.
const MAX_LINE: usize = MAX_UNDECLARED * (2 * 2 * 253 + 32) + 64;

/// Why there is no next line.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    /// The body failed.
    #[error("the stream broke")]
    Broken(#[source] hyper::Error),
    /// No end of line within the limit.
    #[error("a line is longer than {MAX_LINE} bytes")]
    TooLong,
    /// Not a message.
    #[error("a line is not a message")]
    Malformed(#[source] serde_json::Error),
}

/// Reads lines. Cancel-safe: a line that was begun is kept.
#[derive(Debug)]
pub(super) struct Lines {
    body: Incoming,
    read: BytesMut,
}

impl Lines {
    /// The lines of this body.
    #[must_use]
    pub(super) fn new(body: Incoming) -> Self {
        Self {
            body,
            read: BytesMut::new(),
        }
    }

    /// The next line; `None` at the end. Empty lines are skipped.
    ///
    /// # Errors
    /// See [`LineError`]; nothing can be read after one.
    pub(super) async fn next(&mut self) -> Result<Option<FromSidecar>, LineError> {
        loop {
            while let Some(line) = split(&mut self.read)? {
                if !line.is_empty() {
                    return serde_json::from_slice(&line)
                        .map(Some)
                        .map_err(LineError::Malformed);
                }
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(LineError::Broken(error)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.read.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}

/// The first whole line, without its end.
fn split(read: &mut BytesMut) -> Result<Option<Bytes>, LineError> {
    match read.iter().position(|byte| *byte == b'\n') {
        Some(at) if at <= MAX_LINE => {
            let line = read.split_to(at).freeze();
            read.advance(1);
            Ok(Some(line))
        }
        None if read.len() <= MAX_LINE => Ok(None),
        _ => Err(LineError::TooLong),
    }
}

/// These messages as lines.
#[must_use]
pub(super) fn encode(messages: &[FromOperator]) -> Bytes {
    let mut lines = Vec::new();
    for message in messages {
        serde_json::to_writer(&mut lines, message).expect("a message holds only strings, numbers and lists");
        lines.push(b'\n');
    }
    Bytes::from(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_wherever_the_network_cut_them() {
        let mut read = BytesMut::new();
        let mut seen = Vec::new();
        for part in ["{\"a\"", ":1}\n{", "}\n\n", "x"] {
            read.extend_from_slice(part.as_bytes());
            while let Some(line) = split(&mut read).unwrap() {
                seen.push(String::from_utf8(line.to_vec()).unwrap());
            }
        }
        assert_eq!(seen, ["{\"a\":1}", "{}", ""]);
        assert_eq!(&read[..], b"x");
    }

    #[test]
    fn a_line_without_an_end_is_refused_at_its_limit() {
        let mut read = BytesMut::from(&vec![b'x'; MAX_LINE + 1][..]);
        assert!(matches!(split(&mut read), Err(LineError::TooLong)));
        read.extend_from_slice(b"\n");
        assert!(matches!(split(&mut read), Err(LineError::TooLong)));
    }

    #[test]
    fn a_kind_of_a_newer_sidecar_is_read_and_of_no_effect() {
        let line = br#"{"type": "weather", "rain": {"mm": 3}}"#;
        let read: FromSidecar = serde_json::from_slice(line).unwrap();
        assert_eq!(read, FromSidecar::Unknown);
    }

    #[test]
    fn messages_are_encoded_one_a_line() {
        let text = encode(&[FromOperator::Heartbeat, FromOperator::Goodbye]);
        assert_eq!(&text[..], b"{\"type\":\"heartbeat\"}\n{\"type\":\"goodbye\"}\n");
    }
}
