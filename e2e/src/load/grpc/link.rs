//! One end of an HTTP/2 connection: finds frames, counts windows, and answers what has to be answered.

use std::mem;

use anyhow::{Context, ensure};

use super::frames::{self, HEAD, Head, MAX_PAYLOAD, PREFACE, flag, kind};

/// What a peer may send on one stream before it is told that it may send more.
const STREAM_WINDOW: u32 = 1 << 20;
/// The same of all streams together.
const WINDOW: u32 = 16 << 20;
/// Both, where nobody has said anything.
const FIRST_WINDOW: u32 = 65_535;

/// One end of a connection.
pub(crate) struct Link {
    /// Bytes of the client's preface that are still to come.
    preface: usize,
    /// A frame that has not come whole.
    held: Vec<u8>,
    /// What is to be written.
    pub(crate) out: Vec<u8>,
    /// Bytes that the peer takes.
    pub(crate) window: i64,
    /// What it takes on a new stream.
    pub(crate) stream_window: i64,
    /// Bytes that have come since the peer was told.
    taken: u32,
}

/// Whether a body is followed by more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    GoesOn,
    Ends,
}

/// What has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// A header block.
    Headers {
        stream: u32,
        block: &'a [u8],
        is_end: bool,
    },
    /// A piece of a body.
    Data {
        stream: u32,
        bytes: &'a [u8],
        is_end: bool,
    },
    /// The peer takes so much more on a stream.
    Wider { stream: u32, by: i64 },
    /// It takes more on the connection.
    Open,
    /// It takes so much more on every stream.
    AllWider(i64),
    /// It gave a stream up.
    Reset { stream: u32 },
}

impl Link {
    /// The end that calls.
    pub(crate) fn client() -> Self {
        let mut link = Self::server();
        link.preface = 0;
        link.out.splice(..0, PREFACE.iter().copied());
        link
    }

    /// The end that is called.
    pub(crate) fn server() -> Self {
        let mut out = Vec::new();
        // HEADER_TABLE_SIZE 0, ENABLE_PUSH 0, INITIAL_WINDOW_SIZE
        let mut settings = vec![0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 4];
        settings.extend_from_slice(&STREAM_WINDOW.to_be_bytes());
        frames::write(&mut out, kind::SETTINGS, 0, 0, &settings);
        widen(&mut out, 0, WINDOW - FIRST_WINDOW);
        Self {
            preface: PREFACE.len(),
            held: Vec::new(),
            out,
            window: i64::from(FIRST_WINDOW),
            stream_window: i64::from(FIRST_WINDOW),
            taken: 0,
        }
    }

    /// Puts what it holds before what is to be read, so that it need not be moved together; gives how much that is.
    pub(crate) fn carry(&mut self, into: &mut [u8]) -> usize {
        let held = self.held.len();
        into[..held].copy_from_slice(&self.held);
        self.held.clear();
        held
    }

    /// Takes what was read; `see` is told of each frame that concerns a stream.
    pub(crate) fn read(
        &mut self,
        bytes: &[u8],
        mut see: impl FnMut(&mut Self, Event<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut held = mem::take(&mut self.held);
        let whole = if held.is_empty() {
            bytes
        } else {
            held.extend_from_slice(bytes);
            &held
        };
        let skipped = self.preface.min(whole.len());
        let expected = &PREFACE[PREFACE.len() - self.preface..];
        ensure!(expected.starts_with(&whole[..skipped]), "not HTTP/2");
        self.preface -= skipped;
        let mut rest = &whole[skipped..];
        while let Some(raw) = rest.first_chunk::<HEAD>() {
            let head = Head::read(raw);
            ensure!(head.length <= MAX_PAYLOAD, "a frame of {} bytes", head.length);
            let Some(payload) = rest.get(HEAD..HEAD + head.length) else {
                break;
            };
            if let Some(event) = self.frame(head, payload)? {
                see(self, event)?;
            }
            rest = &rest[HEAD + head.length..];
        }
        let left = rest.len();
        if held.is_empty() {
            held.extend_from_slice(&bytes[bytes.len() - left..]);
        } else {
            held.drain(..held.len() - left);
        }
        self.held = held;
        Ok(())
    }

    fn frame<'a>(&mut self, head: Head, payload: &'a [u8]) -> anyhow::Result<Option<Event<'a>>> {
        let Head {
            length,
            kind,
            flags,
            stream,
        } = head;
        let is_end = flags & flag::END_STREAM != 0;
        let is_padded = matches!(kind, kind::DATA | kind::HEADERS) && flags & flag::PADDED != 0;
        ensure!(!is_padded, "a padded frame");
        Ok(match kind {
            kind::DATA => {
                self.take(length);
                Some(Event::Data {
                    stream,
                    bytes: payload,
                    is_end,
                })
            }
            kind::HEADERS => {
                ensure!(flags & flag::END_HEADERS != 0, "a header block in parts");
                let skip = if flags & flag::PRIORITY == 0 { 0 } else { 5 };
                let block = payload
                    .get(skip..)
                    .context("a header block without its priority")?;
                Some(Event::Headers {
                    stream,
                    block,
                    is_end,
                })
            }
            kind::RESET => Some(Event::Reset { stream }),
            kind::SETTINGS if flags & flag::ACK == 0 => {
                frames::write(&mut self.out, kind::SETTINGS, flag::ACK, 0, &[]);
                self.settings(payload)
            }
            kind::PING if flags & flag::ACK == 0 => {
                frames::write(&mut self.out, kind::PING, flag::ACK, 0, payload);
                None
            }
            kind::GOAWAY => anyhow::bail!("the peer goes away: {}", String::from_utf8_lossy(payload)),
            kind::WINDOW_UPDATE => {
                let by = i64::from(number(payload)?);
                if stream == 0 {
                    self.window += by;
                    Some(Event::Open)
                } else {
                    Some(Event::Wider { stream, by })
                }
            }
            _ => None,
        })
    }

    /// The only setting that changes what is sent here is how much a new stream takes.
    fn settings(&mut self, payload: &[u8]) -> Option<Event<'static>> {
        let before = self.stream_window;
        for setting in payload.chunks_exact(6) {
            if let [0, 4, a, b, c, d] = *setting {
                self.stream_window = i64::from(u32::from_be_bytes([a, b, c, d]));
            }
        }
        let by = self.stream_window - before;
        (by != 0).then_some(Event::AllWider(by))
    }

    fn take(&mut self, bytes: usize) {
        self.taken += u32::try_from(bytes).unwrap_or(u32::MAX);
        if self.taken >= WINDOW / 2 {
            widen(&mut self.out, 0, mem::take(&mut self.taken));
        }
    }

    /// Bytes have come on a stream that goes on: `taken` counts them until the peer is told.
    pub(crate) fn take_on(&mut self, stream: u32, taken: &mut u32, bytes: usize) {
        *taken += u32::try_from(bytes).unwrap_or(u32::MAX);
        if *taken >= STREAM_WINDOW / 2 {
            widen(&mut self.out, stream, mem::take(taken));
        }
    }

    /// Puts out as much of a body as connection and stream take, and gives how many bytes that was. With its last byte
    /// the stream goes on or ends.
    pub(crate) fn send(&mut self, stream: u32, window: &mut i64, body: &[u8], then: Then) -> usize {
        let mut sent = 0;
        while sent < body.len() {
            let room = usize::try_from(self.window.min(*window)).unwrap_or(0);
            let piece = (body.len() - sent).min(room).min(MAX_PAYLOAD);
            if piece == 0 {
                break;
            }
            let is_last = sent + piece == body.len();
            let flags = if is_last && then == Then::Ends {
                flag::END_STREAM
            } else {
                0
            };
            frames::write(
                &mut self.out,
                kind::DATA,
                flags,
                stream,
                &body[sent..sent + piece],
            );
            let counted = i64::try_from(piece).unwrap_or(i64::MAX);
            self.window -= counted;
            *window -= counted;
            sent += piece;
        }
        sent
    }
}

fn widen(out: &mut Vec<u8>, stream: u32, by: u32) {
    frames::write(out, kind::WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
}

fn number(payload: &[u8]) -> anyhow::Result<u32> {
    let raw = payload.first_chunk::<4>().context("a frame that is too short")?;
    Ok(u32::from_be_bytes(*raw) & (u32::MAX >> 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_is_understood_whatever_pieces_it_comes_in() {
        let mut client = Link::client();
        let block = frames::call_block("a.b");
        frames::write(&mut client.out, kind::HEADERS, flag::END_HEADERS, 1, &block);
        let mut window = 10;
        assert_eq!(client.send(1, &mut window, &[7; 12], Then::GoesOn), 10);
        for piece in [1, 2, 8, 9, 10, 30, 1_000] {
            let (mut server, mut body, mut blocks) = (Link::server(), 0, Vec::new());
            for read in client.out.chunks(piece) {
                let see = |_: &mut Link, event: Event<'_>| {
                    match event {
                        Event::Headers { block, .. } => blocks.push(block.to_vec()),
                        Event::Data { bytes, .. } => body += bytes.len(),
                        Event::AllWider(_) | Event::Open => {}
                        other => anyhow::bail!("{other:?}"),
                    }
                    Ok(())
                };
                server.read(read, see).unwrap();
            }
            assert_eq!((body, blocks), (10, vec![block.clone()]), "{piece}");
            assert_eq!((server.window, server.stream_window), (16 << 20, 1 << 20));
        }
    }

    #[test]
    fn what_is_no_http2_is_refused() {
        let see = |_: &mut Link, _: Event<'_>| Ok(());
        assert!(Link::server().read(b"POST / HTTP/1.1\r\n\r\n", see).is_err());
    }
}
