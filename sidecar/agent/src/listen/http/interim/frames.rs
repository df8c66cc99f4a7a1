//! Where the frames of an HTTP/2 connection begin and end, as its bytes pass. Knows no socket.

use bytes::{BufMut, BytesMut};

/// The head of a frame, in bytes (RFC 9113 4.1).
const HEAD: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

struct Head {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Head {
    const fn read(bytes: [u8; HEAD]) -> Self {
        let [a, b, c, kind, flags, d, e, f, g] = bytes;
        Self {
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes([d, e, f, g]) & (u32::MAX >> 1),
        }
    }

    const fn ends_block(&self) -> bool {
        self.flags & END_HEADERS != 0
    }
}

/// A frame that ends a header block, or is all of one.
fn last(out: &mut BytesMut, kind: u8, stream: u32, block: &[u8]) {
    out.put_slice(&(block.len() as u32).to_be_bytes()[1..]);
    out.put_slice(&[kind, END_HEADERS]);
    out.put_u32(stream);
    out.put_slice(block);
}

/// Appends the answer "go on" to the request of a stream (RFC 9110 15.2.1), in a way that no table remembers
/// (RFC 7541 6.2.2).
pub(super) fn go_on(out: &mut BytesMut, stream: u32) {
    last(out, HEADERS, stream, b"\x08\x03100"); // 8 is `:status` (RFC 7541, appendix A)
}

/// What comes from a caller. A request whose body is to follow gets one more header, which says its stream.
pub(super) struct Coming {
    /// The header's name, in lower case.
    name: &'static str,
    /// Bytes until the next frame begins.
    left: usize,
    /// The last stream that was begun: their numbers only grow (RFC 9113 5.1.1).
    newest: u32,
    /// The stream whose block is to be added to.
    begun: Option<u32>,
    /// The frame under way is the last of it.
    is_last: bool,
}

impl Coming {
    pub(super) const fn after(preface: usize, name: &'static str) -> Self {
        Self {
            name,
            left: preface,
            newest: 0,
            begun: None,
            is_last: false,
        }
    }

    /// How many of these bytes pass as they are. What follows them goes through [`Coming::mark`].
    pub(super) fn untouched(&mut self, bytes: &[u8]) -> usize {
        let mut passed = 0;
        loop {
            let now = self.left.min(bytes.len() - passed);
            self.left -= now;
            passed += now;
            if self.left > 0 || self.is_last {
                return passed;
            }
            let Some(head) = bytes[passed..].first_chunk().map(|head| Head::read(*head)) else {
                return passed;
            };
            if head.kind == HEADERS || self.begun.is_some() {
                return passed;
            }
            self.left = HEAD + head.length;
        }
    }

    /// Moves to `out` what can be, and leaves in `bytes` at most a part of a frame's head.
    pub(super) fn mark(&mut self, bytes: &mut BytesMut, out: &mut BytesMut) {
        loop {
            let passed = self.untouched(bytes);
            out.put(bytes.split_to(passed));
            if self.left > 0 {
                return;
            }
            if self.is_last {
                self.is_last = false;
                if let Some(stream) = self.begun.take() {
                    self.add(stream, out);
                }
                continue;
            }
            let Some(head) = bytes.first_chunk().map(|head| Head::read(*head)) else {
                return;
            };
            self.left = HEAD + head.length;
            let begins = head.kind == HEADERS && head.stream > self.newest && head.stream % 2 == 1;
            if begins {
                self.newest = head.stream;
                self.begun = (head.flags & END_STREAM == 0).then_some(head.stream);
            } else if head.kind != CONTINUATION || self.begun != Some(head.stream) {
                self.begun = None; // what may not come here is refused by whoever reads it
            }
            if self.begun.is_some() && head.ends_block() {
                self.is_last = true;
                bytes[4] &= !END_HEADERS;
            }
            let now = HEAD.min(bytes.len());
            self.left -= now;
            out.put(bytes.split_to(now));
        }
    }

    fn add(&self, stream: u32, out: &mut BytesMut) {
        let value = stream.to_string();
        let mut block = vec![0, self.name.len() as u8];
        block.extend_from_slice(self.name.as_bytes());
        block.push(value.len() as u8);
        block.extend_from_slice(value.as_bytes());
        last(out, CONTINUATION, stream, &block);
    }
}

/// What goes to a caller: where another frame may be put in.
#[derive(Default)]
pub(super) struct Going {
    head: [u8; HEAD],
    /// How much of the next head has gone.
    known: usize,
    /// Bytes until the frame under way ends.
    left: usize,
    is_in_block: bool,
}

impl Going {
    /// How many bytes must go before another frame may; `None` where it may go now.
    pub(super) const fn before_another(&self) -> Option<usize> {
        match (self.left, self.known) {
            (0, 0) if !self.is_in_block => None,
            (0, known) => Some(HEAD - known),
            (left, _) => Some(left),
        }
    }

    /// These bytes have gone.
    pub(super) fn gone(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let now = self.left.min(bytes.len());
                self.left -= now;
                bytes = &bytes[now..];
                continue;
            }
            let now = (HEAD - self.known).min(bytes.len());
            self.head[self.known..self.known + now].copy_from_slice(&bytes[..now]);
            self.known += now;
            bytes = &bytes[now..];
            if self.known == HEAD {
                let head = Head::read(self.head);
                self.known = 0;
                self.left = head.length;
                if matches!(head.kind, HEADERS | CONTINUATION) {
                    self.is_in_block = !head.ends_block();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        frame
    }

    #[test]
    fn only_requests_whose_body_follows_are_marked_however_the_bytes_are_cut() {
        let added = frame(CONTINUATION, END_HEADERS, 3, b"\0\x01s\x013");
        let long = frame(CONTINUATION, END_HEADERS, 5, b"\0\x01s\x015");
        // What comes, and what is read.
        let rows: [(Vec<u8>, Vec<u8>); 8] = [
            (b"preface".to_vec(), b"preface".to_vec()),
            (frame(4, 0, 0, &[1; 6]), frame(4, 0, 0, &[1; 6])),
            (frame(HEADERS, 5, 1, b"get"), frame(HEADERS, 5, 1, b"get")),
            (
                frame(HEADERS, END_HEADERS, 3, b"post"),
                [frame(HEADERS, 0, 3, b"post"), added].concat(),
            ),
            (frame(0, 1, 3, &[7; 300]), frame(0, 1, 3, &[7; 300])),
            (frame(HEADERS, 0, 5, b""), frame(HEADERS, 0, 5, b"")),
            (
                frame(CONTINUATION, END_HEADERS, 5, b"more"),
                [frame(CONTINUATION, 0, 5, b"more"), long].concat(),
            ),
            // Trailers begin no stream.
            (frame(HEADERS, 5, 5, b"end"), frame(HEADERS, 5, 5, b"end")),
        ];
        let (come, read): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        let (come, read) = (come.concat(), read.concat());
        for size in 1..come.len() {
            let mut coming = Coming::after(7, "s");
            let (mut waiting, mut out) = (BytesMut::new(), BytesMut::new());
            for piece in come.chunks(size) {
                waiting.put_slice(piece);
                coming.mark(&mut waiting, &mut out);
            }
            assert_eq!(out, read, "in pieces of {size}");
            assert!(waiting.is_empty());
        }
    }

    #[test]
    fn another_frame_goes_between_frames_but_not_into_a_block() {
        let bytes = [
            frame(4, 0, 0, &[1; 6]),
            frame(HEADERS, 0, 1, b"ab"),
            frame(CONTINUATION, END_HEADERS, 1, b"c"),
        ]
        .concat();
        let mut going = Going::default();
        let mut free = Vec::new();
        for (at, byte) in bytes.iter().enumerate() {
            if going.before_another().is_none() {
                free.push(at);
            }
            going.gone(&[*byte]);
        }
        assert_eq!(free, [0, 15]);
        assert_eq!(going.before_another(), None);
    }
}
