//! HTTP/1.1 messages with a `Content-Length`, as cheaply as a load can have them: one request encoded once, heads
//! parsed where they lie, bodies passed over.

use std::io::Write;

/// Headers of a head; what passes through agents gets more.
const HEADERS: usize = 48;
/// Bytes of a head that comes in pieces.
const MAX_HEAD: usize = 16 << 10;

/// A request, encoded once.
pub(crate) struct Request {
    bytes: Vec<u8>,
    body: usize,
}

impl Request {
    pub(crate) fn new(host: &str, payload: usize) -> Self {
        let head = format!(
            "POST /echo HTTP/1.1\r\nhost: {host}\r\nuser-agent: motanmesh-load\r\naccept: */*\r\n\
             content-type: application/octet-stream\r\ncontent-length: {payload}\r\n\r\n"
        );
        let mut bytes = head.into_bytes();
        bytes.resize(bytes.len() + payload, b'x');
        Self { bytes, body: payload }
    }

    /// Head and body.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What an echo gives back.
    pub(crate) fn body(&self) -> &[u8] {
        &self.bytes[self.bytes.len() - self.body..]
    }
}

/// Appends the head of a good answer.
pub(crate) fn write_answer_head(out: &mut Vec<u8>, body: usize) {
    out.extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: ");
    // Writing to a vector has no way to fail.
    let _ = write!(out, "{body}\r\n\r\n");
}

/// Which messages a [`Scanner`] reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Response,
}

/// What counts of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Of a response; 0 of a request.
    pub(crate) status: u16,
    pub(crate) body: usize,
}

/// What a step of a [`Scanner`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The body comes next.
    Head(Head),
    /// So many bytes of the body have just been passed.
    Body(usize),
    /// The message is over.
    End(Head),
}

/// What this load has no use for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("the bytes are no HTTP/1.1 head: {0}")]
    Head(#[from] httparse::Error),
    #[error("a head of over 16 KiB")]
    TooLong,
    #[error("a message without a sound Content-Length, or with Transfer-Encoding")]
    Length,
}

/// Finds the messages in a stream of bytes, whatever pieces it comes in, without keeping any but of a split head.
#[derive(Debug)]
pub(crate) struct Scanner {
    kind: Kind,
    held: Vec<u8>,
    body: Option<(Head, usize)>,
}

impl Scanner {
    pub(crate) const fn new(kind: Kind) -> Self {
        Self {
            kind,
            held: Vec::new(),
            body: None,
        }
    }

    /// The next part in `bytes` from `at`, which moves past it; `None` where more must be read.
    pub(crate) fn next(&mut self, bytes: &[u8], at: &mut usize) -> Result<Option<Part>, Unreadable> {
        let rest = &bytes[*at..];
        match &mut self.body {
            Some((head, 0)) => {
                let head = *head;
                self.body = None;
                Ok(Some(Part::End(head)))
            }
            Some(_) if rest.is_empty() => Ok(None),
            Some((_, left)) => {
                let passed = (*left).min(rest.len());
                *left -= passed;
                *at += passed;
                Ok(Some(Part::Body(passed)))
            }
            None if rest.is_empty() => Ok(None),
            None => self.head(rest, at),
        }
    }

    fn head(&mut self, rest: &[u8], at: &mut usize) -> Result<Option<Part>, Unreadable> {
        let had = self.held.len();
        let found = if had == 0 {
            read_head(self.kind, rest)?
        } else {
            self.held.extend_from_slice(&rest[..rest.len().min(MAX_HEAD)]);
            read_head(self.kind, &self.held)?
        };
        let Some((head, length)) = found else {
            *at += rest.len();
            if had == 0 {
                self.held.extend_from_slice(rest);
            }
            return if self.held.len() > MAX_HEAD {
                Err(Unreadable::TooLong)
            } else {
                Ok(None)
            };
        };
        *at += length - had;
        self.held.clear();
        self.body = Some((head, head.body));
        Ok(Some(Part::Head(head)))
    }
}

/// What counts of the head that `bytes` begin with, and its length; `None` where it is not whole.
fn read_head(kind: Kind, bytes: &[u8]) -> Result<Option<(Head, usize)>, Unreadable> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let (status, length) = match kind {
        Kind::Request => (0, httparse::Request::new(&mut headers).parse(bytes)?),
        Kind::Response => {
            let mut response = httparse::Response::new(&mut headers);
            let length = response.parse(bytes)?;
            (response.code.unwrap_or(0), length)
        }
    };
    let httparse::Status::Complete(length) = length else {
        return Ok(None);
    };
    let mut body = None;
    for header in headers.iter().filter(|header| !header.name.is_empty()) {
        if header.name.eq_ignore_ascii_case("content-length") {
            body = std::str::from_utf8(header.value)
                .ok()
                .and_then(|text| text.parse().ok());
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(Unreadable::Length);
        }
    }
    let body = body.ok_or(Unreadable::Length)?;
    Ok(Some((Head { status, body }, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_whatever_pieces_they_come_in() {
        let mut answer = Vec::new();
        write_answer_head(&mut answer, 3);
        answer.extend_from_slice(b"abc");
        let request = Request::new("a.b", 3);
        for (kind, bytes, status) in [
            (Kind::Request, request.bytes(), 0),
            (Kind::Response, &answer, 200),
        ] {
            let bytes = bytes.repeat(3);
            for piece in 1..bytes.len() {
                let (mut scanner, mut heads, mut body) = (Scanner::new(kind), Vec::new(), 0);
                for read in bytes.chunks(piece) {
                    let mut at = 0;
                    while let Some(part) = scanner.next(read, &mut at).unwrap() {
                        match part {
                            Part::Head(_) => {}
                            Part::Body(passed) => body += passed,
                            Part::End(head) => heads.push(head),
                        }
                    }
                    assert_eq!(at, read.len());
                }
                assert_eq!(
                    (heads, body),
                    (vec![Head { status, body: 3 }; 3], 9),
                    "{kind:?} {piece}"
                );
            }
        }
    }

    #[test]
    fn what_has_no_length_is_refused() {
        let chunked = b"POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n";
        for bytes in [&b"POST / HTTP/1.1\r\nhost: a\r\n\r\n"[..], chunked] {
            assert!(matches!(
                Scanner::new(Kind::Request).next(bytes, &mut 0),
                Err(Unreadable::Length)
            ));
        }
        assert!(Scanner::new(Kind::Response).next(b"\xf1\xf1", &mut 0).is_err());
    }
}
