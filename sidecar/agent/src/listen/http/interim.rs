//! `100 Continue` over HTTP/2, which hyper does not send (RFC 9110 10.1.1): a caller that waits for it before it sends its
//! body would wait for ever. A request says its stream in a header that is put in as its frames come; the answer goes
//! between two frames that hyper writes.

mod frames;

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BytesMut};
use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::header::{EXPECT, HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::link::io::Io;
use crate::listen::sniff::PREFACE;
use frames::{Coming, Going};

/// The stream of a request; one of our own headers, so that it goes no further.
const STREAM: &str = "x-mesh-stream";
/// How much is read at once where the end of what came before is still wanted, in bytes.
const PIECE: usize = 8 * 1024;

/// What is to be said on a connection, from the tasks of its requests.
#[derive(Clone, Default)]
pub(super) struct Interim(Rc<RefCell<Said>>);

#[derive(Default)]
struct Said {
    /// Frames that have not gone, perhaps the end of one.
    frames: BytesMut,
    connection: Option<Waker>,
}

impl Interim {
    /// Says "go on" to a caller that waits for it.
    pub(super) fn go_on(&self, request: &Request<Incoming>) {
        if !is_waiting(request.headers()) || request.body().is_end_stream() {
            return;
        }
        let mut said = self.0.borrow_mut();
        if let Some(stream) = stream_of(request.headers()) {
            frames::go_on(&mut said.frames, stream);
            if let Some(connection) = &said.connection {
                connection.wake_by_ref();
            }
        }
    }

    fn wakes(&self, connection: &Waker) {
        let known = &mut self.0.borrow_mut().connection;
        if !known.as_ref().is_some_and(|known| known.will_wake(connection)) {
            *known = Some(connection.clone());
        }
    }
}

fn is_waiting(headers: &HeaderMap) -> bool {
    let expected = headers.get(EXPECT).map(HeaderValue::as_bytes);
    expected.is_some_and(|expected| expected.eq_ignore_ascii_case(b"100-continue"))
}

/// What was put in comes last, whatever the caller wrote before it.
fn stream_of(headers: &HeaderMap) -> Option<u32> {
    let mut streams = headers.get_all(HeaderName::from_static(STREAM)).into_iter();
    streams.next_back()?.to_str().ok()?.parse().ok()
}

/// A connection of HTTP/2, from its preface on.
pub(super) struct Spoken {
    io: Io,
    interim: Interim,
    coming: Coming,
    /// Read, and not looked at: a part of a frame's head.
    raw: BytesMut,
    /// Read and looked at.
    ready: BytesMut,
    going: Going,
}

impl Spoken {
    pub(super) fn new(io: Io, interim: Interim) -> Self {
        Self {
            io,
            interim,
            coming: Coming::after(PREFACE.len(), STREAM),
            raw: BytesMut::new(),
            ready: BytesMut::new(),
            going: Going::default(),
        }
    }

    /// Writes what is to be said, where that may be.
    fn poll_say(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut said = self.interim.0.borrow_mut();
        while !said.frames.is_empty() && self.going.before_another().is_none() {
            let count = ready!(Pin::new(&mut self.io).poll_write(context, &said.frames))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            said.frames.advance(count);
        }
        Poll::Ready(Ok(()))
    }

    /// How much of a write may go at once.
    fn room(&self) -> usize {
        let is_silent = self.interim.0.borrow().frames.is_empty();
        let most = self.going.before_another().filter(|_| !is_silent);
        most.unwrap_or(usize::MAX)
    }

    /// Reads straight to where it is wanted; what must be changed goes by way of `ready`.
    fn poll_straight(&mut self, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(context, into))?;
        let new = &into.filled()[before..];
        let passed = self.coming.untouched(new);
        self.raw.extend_from_slice(&new[passed..]);
        into.set_filled(before + passed);
        self.coming.mark(&mut self.raw, &mut self.ready);
        Poll::Ready(Ok(()))
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut piece = [0; PIECE];
        let mut piece = ReadBuf::new(&mut piece);
        ready!(Pin::new(&mut self.io).poll_read(context, &mut piece))?;
        if piece.filled().is_empty() {
            self.ready.unsplit(self.raw.split()); // the connection ends in the midst of a head
        }
        self.raw.extend_from_slice(piece.filled());
        self.coming.mark(&mut self.raw, &mut self.ready);
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Spoken {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let me = &mut *self;
        me.interim.wakes(context.waker());
        if let Poll::Ready(Err(error)) = me.poll_say(context) {
            return Poll::Ready(Err(error));
        }
        let before = into.filled().len();
        loop {
            if !me.ready.is_empty() {
                let count = me.ready.len().min(into.remaining());
                into.put_slice(&me.ready.split_to(count));
                return Poll::Ready(Ok(()));
            }
            if !me.raw.is_empty() {
                ready!(me.poll_piece(context))?;
            } else {
                ready!(me.poll_straight(context, into))?;
            }
            let is_at_end = me.ready.is_empty() && me.raw.is_empty();
            if into.filled().len() > before || is_at_end {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Spoken {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let me = &mut *self;
        ready!(me.poll_say(context))?;
        let bytes = &bytes[..bytes.len().min(me.room())];
        let count = ready!(Pin::new(&mut me.io).poll_write(context, bytes))?;
        me.going.gone(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let me = &mut *self;
        ready!(me.poll_say(context))?;
        if me.room() < usize::MAX {
            let first = slices.iter().find(|slice| !slice.is_empty());
            return self.poll_write(context, first.map_or(&[], |first| first));
        }
        let count = ready!(Pin::new(&mut me.io).poll_write_vectored(context, slices))?;
        let mut left = count;
        for slice in slices {
            let gone = left.min(slice.len());
            me.going.gone(&slice[..gone]);
            left -= gone;
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = &mut *self;
        ready!(me.poll_say(context))?;
        Pin::new(&mut me.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
