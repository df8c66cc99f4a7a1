//! The first request of a connection that has changed from HTTP/1.1 to HTTP/2 (RFC 7540 3.2): it becomes stream 1, put
//! in after the caller's first SETTINGS as frames that it might have sent itself.

use std::io;

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HOST, HeaderName, UPGRADE};
use hyper::{HeaderMap, Request};
use tokio::io::AsyncReadExt;

use crate::http;
use crate::link::io::Io;
use crate::listen::sniff::{PREFACE, rewound};

/// The head of a frame, in bytes (RFC 9113 4.1).
const FRAME_HEAD: usize = 9;
/// The largest frame that may be sent to somebody who has not said otherwise, in bytes.
const MAX_FRAME: usize = 16_384;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// The first stream of a caller.
const FIRST: u32 = 1;

/// Reads the caller's preface and first SETTINGS, and gives a connection on which these are read again, then the request
/// as stream 1, then what follows.
///
/// # Errors
/// It does not begin as HTTP/2 must.
pub(super) async fn begin(mut io: Io, request: &Request<Incoming>) -> io::Result<Io> {
    let mut first = vec![0; PREFACE.len() + FRAME_HEAD];
    io.read_exact(&mut first).await?;
    let (preface, head) = first.split_at(PREFACE.len());
    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    if preface != PREFACE || head[3] != SETTINGS || length > MAX_FRAME {
        return Err(io::Error::other("what follows the upgrade is not HTTP/2"));
    }
    let begun = first.len();
    first.resize(begun + length, 0);
    io.read_exact(&mut first[begun..]).await?;
    let target = request
        .uri()
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let host = request.headers().get(HOST).map(|host| host.as_bytes());
    let authority = request
        .uri()
        .authority()
        .map(|authority| authority.as_str().as_bytes());
    let pseudo: [(&[u8], &[u8]); 4] = [
        (b":method", request.method().as_str().as_bytes()),
        (b":scheme", b"http"),
        (b":authority", authority.or(host).unwrap_or_default()),
        (b":path", target.as_bytes()),
    ];
    write(&mut first, &block(&pseudo, request.headers()));
    Ok(rewound(first.into(), io))
}

/// A header block of literals that no table remembers (RFC 7541 6.2.2), so that the caller's own table stays right.
fn block(pseudo: &[(&[u8], &[u8])], headers: &HeaderMap) -> Vec<u8> {
    let mut headers = headers.clone();
    http::strip_hop_by_hop_of_stream(&mut headers);
    for name in [
        CONNECTION,
        UPGRADE,
        HOST,
        HeaderName::from_static("http2-settings"),
    ] {
        headers.remove(name);
    }
    let mut block = Vec::with_capacity(512);
    for (name, value) in pseudo {
        literal(&mut block, name, value);
    }
    for (name, value) in &headers {
        literal(&mut block, name.as_str().as_bytes(), value.as_bytes());
    }
    block
}

fn literal(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.push(0);
    for text in [name, value] {
        length(block, text.len());
        block.extend_from_slice(text);
    }
}

/// A length with a prefix of 7 bits, and no Huffman code after it (RFC 7541 5.1).
fn length(block: &mut Vec<u8>, mut length: usize) {
    const PREFIX: usize = 127;
    if length < PREFIX {
        block.push(length as u8);
        return;
    }
    block.push(PREFIX as u8);
    length -= PREFIX;
    while length >= 128 {
        block.push((length % 128) as u8 | 128);
        length /= 128;
    }
    block.push(length as u8);
}

/// Appends a request without a body.
fn write(out: &mut Vec<u8>, block: &[u8]) {
    let mut pieces = block.chunks(MAX_FRAME).peekable();
    let (mut kind, mut flags) = (HEADERS, END_STREAM);
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            flags |= END_HEADERS;
        }
        out.extend_from_slice(&(piece.len() as u32).to_be_bytes()[1..]);
        out.extend_from_slice(&[kind, flags]);
        out.extend_from_slice(&FIRST.to_be_bytes());
        out.extend_from_slice(piece);
        (kind, flags) = (CONTINUATION, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_hpack_has_them() {
        let rows: [(usize, &[u8]); 5] = [
            (0, &[0]),
            (126, &[126]),
            (127, &[127, 0]),
            (254, &[127, 127]),
            (1337, &[127, 0xba, 0x09]),
        ];
        for (number, expected) in rows {
            let mut written = Vec::new();
            length(&mut written, number);
            assert_eq!(written, expected, "{number}");
        }
    }

    #[test]
    fn a_long_head_goes_on_in_other_frames() {
        let mut out = Vec::new();
        write(&mut out, &vec![0; MAX_FRAME + 1]);
        assert_eq!(out[..9], [0, 0x40, 0, HEADERS, END_STREAM, 0, 0, 0, 1]);
        assert_eq!(
            out[9 + MAX_FRAME..],
            [0, 0, 1, CONTINUATION, END_HEADERS, 0, 0, 0, 1, 0]
        );
    }
}
