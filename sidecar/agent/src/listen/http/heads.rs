//! How long the head of a request may take in HTTP/1.1, once it has begun to come. A connection may rest between two
//! requests as long as its program likes; hyper's own limit would end it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use crate::http::body::{Body, BodyError};
use crate::link::io::Io;

/// How long a head may take; twice as long where another request ended while it came.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// The requests of one connection. A clone is the same. Atomic only because hyper's upgrades ask for that.
#[derive(Debug, Clone, Default)]
pub(super) struct Heads(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// Heads that came to their end.
    asked: AtomicUsize,
    /// Requests whose response has not.
    under_way: AtomicUsize,
    /// Told when something comes while none is.
    begun: Notify,
    /// How many heads had come by then.
    before: AtomicUsize,
}

impl Heads {
    /// Whether any head has come.
    pub(super) fn has_asked(&self) -> bool {
        self.0.asked.load(Ordering::Relaxed) > 0
    }

    /// A head has come.
    pub(super) fn ended(&self) -> UnderWay {
        self.0.asked.fetch_add(1, Ordering::Relaxed);
        self.0.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(self.clone())
    }

    fn is_between(&self) -> bool {
        self.0.under_way.load(Ordering::Relaxed) == 0
    }

    /// Waits until a head takes too long.
    pub(super) async fn overdue(&self) {
        loop {
            self.0.begun.notified().await;
            let before = self.0.before.load(Ordering::Relaxed);
            tokio::time::sleep(HEAD_WITHIN).await;
            if self.is_between() && self.0.asked.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }

    /// Something has come. Empty lines between requests begin none (RFC 9112 2.2).
    fn come(&self, bytes: &[u8]) {
        if self.is_between() && bytes.iter().any(|byte| !matches!(byte, b'\r' | b'\n')) {
            let asked = self.0.asked.load(Ordering::Relaxed);
            self.0.before.store(asked, Ordering::Relaxed);
            self.0.begun.notify_one();
        }
    }
}

/// A request whose response has not come to its end.
pub(super) struct UnderWay(Heads);

impl UnderWay {
    /// Until the end of this body, where that is still coming.
    pub(super) fn until(self, body: Body) -> Body {
        match body {
            Body::Whole(_) => body,
            Body::Coming(_) => Body::Coming(Box::pin(Until { body, _end: self })),
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Until {
    body: Body,
    _end: UnderWay,
}

impl HttpBody for Until {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection whose heads are watched.
pub(super) struct Heard {
    pub(super) io: Io,
    pub(super) heads: Heads,
}

impl AsyncRead for Heard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(context, into))?;
        self.heads.come(&into.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Heard {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
