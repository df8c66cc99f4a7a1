//! Writes of HTTP/2 gathered. h2 writes and flushes each piece of a body by itself, however many wait; here what is
//! written in one turn of a connection's task leaves in the next one, which is queued behind every stream that is ready,
//! so that the pieces of many streams leave in one system call.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// As much as is gathered, in bytes; beyond it the connection must take some first.
const MOST: usize = 64 * 1024;
/// Room made at once, in bytes: several small messages.
const ROOM: usize = 16 * 1024;

/// A connection under HTTP/2. Only for that: it counts on a task that reads in each of its turns before it flushes.
pub(crate) struct Batched<T> {
    io: T,
    /// What has not been written, from `sent` on. Freed when all has been.
    waiting: Vec<u8>,
    sent: usize,
    turn: Turn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Nobody has flushed what waits.
    Open,
    /// Flushed in this turn of the task, which has been told to come again.
    Deferred,
    /// This is the turn after that.
    Due,
}

impl<T: AsyncWrite + Unpin> Batched<T> {
    pub(crate) const fn new(io: T) -> Self {
        Self {
            io,
            waiting: Vec::new(),
            sent: 0,
            turn: Turn::Open,
        }
    }

    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.waiting.len() {
            let rest = &self.waiting[self.sent..];
            match ready!(Pin::new(&mut self.io).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.sent += count,
            }
        }
        self.waiting = Vec::new();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Makes room for so many bytes; false where they are too many to be gathered.
    fn poll_room(&mut self, context: &mut Context<'_>, length: usize) -> Poll<io::Result<bool>> {
        if self.waiting.len() + length > MOST {
            ready!(self.poll_drain(context))?;
        }
        if length > MOST {
            return Poll::Ready(Ok(false));
        }
        if self.waiting.capacity() == 0 {
            self.waiting.reserve(length.max(ROOM));
        }
        Poll::Ready(Ok(true))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Batched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.turn == Turn::Deferred {
            self.turn = Turn::Due;
        }
        Pin::new(&mut self.io).poll_read(context, into)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Batched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !ready!(self.poll_room(context, bytes.len()))? {
            return Pin::new(&mut self.io).poll_write(context, bytes);
        }
        self.waiting.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        if !ready!(self.poll_room(context, length))? {
            return Pin::new(&mut self.io).poll_write_vectored(context, slices);
        }
        for slice in slices {
            self.waiting.extend_from_slice(slice);
        }
        Poll::Ready(Ok(length))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.turn {
            Turn::Due => {
                ready!(self.poll_drain(context))?;
                self.turn = Turn::Open;
                Pin::new(&mut self.io).poll_flush(context)
            }
            Turn::Open if !self.waiting.is_empty() => {
                self.turn = Turn::Deferred;
                context.waker().wake_by_ref();
                Poll::Ready(Ok(()))
            }
            Turn::Open | Turn::Deferred => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// A turn of a connection's task: it reads, then writes and flushes each piece.
    fn turn(
        io: &mut Batched<DuplexStream>,
        context: &mut Context<'_>,
        pieces: &[&[u8]],
    ) -> Poll<io::Result<()>> {
        let mut read = [0; 16];
        assert!(
            Pin::new(&mut *io)
                .poll_read(context, &mut ReadBuf::new(&mut read))
                .is_pending()
        );
        for piece in pieces {
            let written = ready!(Pin::new(&mut *io).poll_write(context, piece))?;
            assert_eq!(written, piece.len());
            ready!(Pin::new(&mut *io).poll_flush(context))?;
        }
        Pin::new(&mut *io).poll_flush(context)
    }

    async fn arrived(near: &mut DuplexStream) -> Vec<u8> {
        let mut into = vec![0; MOST];
        poll_fn(|context| {
            let mut read = ReadBuf::new(&mut into);
            let _ = Pin::new(&mut *near).poll_read(context, &mut read);
            Poll::Ready(read.filled().to_vec())
        })
        .await
    }

    #[tokio::test]
    async fn pieces_of_one_turn_leave_together_in_the_next_and_the_task_is_told_to_take_it() {
        let (mut near, far) = duplex(MOST);
        let mut io = Batched::new(far);
        let mut turns = 0;
        let mut in_between = Vec::new();
        poll_fn(|context| {
            turns += 1;
            match turns {
                1 => {
                    assert!(turn(&mut io, context, &[b"one ", b"two"]).is_ready());
                    let mut into = [0; 16];
                    let mut read = ReadBuf::new(&mut into);
                    let _ = Pin::new(&mut near).poll_read(context, &mut read);
                    in_between.extend_from_slice(read.filled());
                    Poll::Pending // it has been woken, or this test would not end
                }
                _ => turn(&mut io, context, &[]).map(Result::unwrap),
            }
        })
        .await;
        assert_eq!(in_between, b"");
        assert_eq!(arrived(&mut near).await, b"one two");
        assert_eq!(io.waiting.capacity(), 0, "a connection at rest holds nothing");
    }

    #[tokio::test]
    async fn no_more_is_gathered_than_fits_until_the_other_side_takes_some() {
        let (mut near, far) = duplex(1024);
        let mut io = Batched::new(far);
        let piece = vec![7; 16 * 1024];
        let mut written = 0;
        poll_fn(|context| {
            while Pin::new(&mut io).poll_write(context, &piece).is_ready() {
                written += piece.len();
            }
            Poll::Ready(())
        })
        .await;
        assert_eq!(written, MOST);
        let reading = async {
            let mut all = Vec::new();
            near.read_to_end(&mut all).await.unwrap();
            all
        };
        let ending = async move { io.shutdown().await.unwrap() };
        let (all, ()) = tokio::join!(reading, ending);
        assert_eq!(all.len(), MOST, "all of it leaves before the end is told");
    }

    #[tokio::test]
    async fn what_is_too_large_to_be_gathered_keeps_its_place() {
        let (mut near, far) = duplex(4 * MOST);
        let mut io = Batched::new(far);
        io.write_all(b"first").await.unwrap();
        let large = vec![7; MOST + 1];
        let count = io
            .write_vectored(&[IoSlice::new(&large[..MOST]), IoSlice::new(&large[MOST..])])
            .await
            .unwrap();
        assert!(count > 0);
        let mut first = [0; 6];
        near.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"first\x07");
    }
}
