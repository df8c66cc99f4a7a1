//! Bytes that follow an upgrade: a connection on one side, bodies of a stream on the other.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame};
use hyper::header::HeaderValue;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf};

use super::body::{Body, BodyError};

/// On a response, as an extension: what the connection has become.
#[derive(Debug, Clone)]
pub(crate) struct Switched(pub(crate) HeaderValue);

/// One read takes at most this much, in bytes.
const READ: usize = 16 * 1024;
/// How long a side that is still open may go on after the other one has ended.
const AFTER_END: Duration = Duration::from_secs(10);

/// Both halves of an upgraded connection: a body of what comes, and where to write.
pub(crate) fn halves(upgraded: Upgraded) -> (Body, WriteHalf<TokioIo<Upgraded>>) {
    let (read, write) = tokio::io::split(TokioIo::new(upgraded));
    let body = Bytestream {
        read,
        buffer: vec![0; READ].into_boxed_slice(),
    };
    (Body::coming(body), write)
}

/// Writes a body to a connection until it ends or breaks off, then says that nothing follows.
pub(crate) async fn write(mut body: Body, mut to: WriteHalf<TokioIo<Upgraded>>) -> io::Result<()> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(io::Error::other)?;
        if let Ok(data) = frame.into_data() {
            to.write_all(&data).await?;
        }
    }
    to.shutdown().await
}

/// Passes bytes both ways until both have ended, or one a while after the other.
pub(crate) async fn join(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    let (mut one, mut other) = (std::pin::pin!(one), std::pin::pin!(other));
    tokio::select! {
        () = &mut one => drop(tokio::time::timeout(AFTER_END, other).await),
        () = &mut other => drop(tokio::time::timeout(AFTER_END, one).await),
    }
}

struct Bytestream {
    read: ReadHalf<TokioIo<Upgraded>>,
    buffer: Box<[u8]>,
}

impl HttpBody for Bytestream {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self { read, buffer } = self.get_mut();
        let mut into = ReadBuf::new(buffer);
        std::task::ready!(Pin::new(read).poll_read(context, &mut into))?;
        let read = into.filled();
        Poll::Ready((!read.is_empty()).then(|| Ok(Frame::data(Bytes::copy_from_slice(read)))))
    }
}
