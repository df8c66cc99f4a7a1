//! Which protocol a caller begins with: HTTP/2 by its preface (RFC 9113 3.4), or something else. What was read to find
//! out is read again by whoever serves the connection.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::link::io::Io;
use crate::worker::Worker;

/// What every HTTP/2 client sends first.
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What TLS begins with: a record of a handshake (RFC 8446 5.1).
const TLS_HANDSHAKE: [u8; 2] = [22, 3];
/// What is said to it: a fatal alert, "access denied" (RFC 8446 6.2).
const TLS_DENIED: [u8; 7] = [21, 3, 3, 0, 2, 2, 49];
/// How long a connection that has begun may take to go on.
const GOES_ON_WITHIN: Duration = Duration::from_secs(10);
/// How long the first of a new connection may take to come once everything stops.
const STILL_COMING: Duration = Duration::from_millis(100);
/// How long saying so may take.
const DENY_WITHIN: Duration = Duration::from_secs(1);

/// What a connection begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begins {
    /// HTTP/2.
    Http2,
    /// TLS.
    Tls,
    /// Anything else.
    Other,
}

/// Finds out, unless everything stops before anything has come; what has come by then is still found.
///
/// # Errors
/// It can't be read, or began as something and did not go on.
pub(crate) async fn sniff_unless_stopping(worker: &Worker, io: Io) -> Option<io::Result<(Begins, Io)>> {
    let mut sniffing = pin!(sniff(io));
    tokio::select! {
        biased; // what has come is a request, and whoever sent it counts on an answer
        sniffed = sniffing.as_mut() => Some(sniffed),
        () = worker.stopping() => tokio::time::timeout(STILL_COMING, sniffing).await.ok(),
    }
}

/// Reads until it is known. One that ends before is no HTTP/2.
async fn sniff(mut io: Io) -> io::Result<(Begins, Io)> {
    let mut read = [0; PREFACE.len()];
    let mut count = 0;
    let begins = loop {
        let reading = io.read(&mut read[count..]);
        let more = if count == 0 {
            reading.await? // a connection may rest before it begins
        } else {
            tokio::time::timeout(GOES_ON_WITHIN, reading).await??
        };
        count += more;
        if read[..count].starts_with(&TLS_HANDSHAKE) {
            break Begins::Tls;
        }
        let may_be_tls = TLS_HANDSHAKE.starts_with(&read[..count]);
        if more == 0 || !may_be_tls && !PREFACE.starts_with(&read[..count]) {
            break Begins::Other;
        }
        if count == PREFACE.len() {
            break Begins::Http2;
        }
    };
    let first = Bytes::copy_from_slice(&read[..count]);
    Ok((begins, rewound(first, io)))
}

/// Tells a caller that TLS is not spoken here, in its own words.
pub(crate) async fn refuse_tls(mut io: Io) {
    let telling = async {
        io.write_all(&TLS_DENIED).await?;
        io.shutdown().await
    };
    // It may be gone, and then it needs no telling.
    let _ = tokio::time::timeout(DENY_WITHIN, telling).await;
}

/// A connection on which `first` is read again.
pub(crate) fn rewound(first: Bytes, io: Io) -> Io {
    if first.is_empty() {
        return io;
    }
    Box::new(Rewound { first, io })
}

struct Rewound {
    first: Bytes,
    io: Io,
}

impl AsyncRead for Rewound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.io).poll_read(context, into);
        }
        let count = self.first.len().min(into.remaining());
        into.put_slice(&self.first[..count]);
        self.first.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn only_the_whole_preface_is_http_2_and_nothing_of_it_is_lost() {
        let rows: [(&[u8], Begins); 5] = [
            (b"\x16\x03\x01\x02\x00", Begins::Tls),
            (PREFACE, Begins::Http2),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", Begins::Other),
            (b"PRINT / HTTP/1.1\r\n\r\n", Begins::Other),
            (b"", Begins::Other),
        ];
        for (sent, expected) in rows {
            let (mut near, far) = duplex(64);
            near.write_all(sent).await.unwrap();
            drop(near);
            let (begins, mut io) = sniff(Box::new(far)).await.unwrap();
            assert_eq!(begins, expected);
            let mut read = Vec::new();
            io.read_to_end(&mut read).await.unwrap();
            assert_eq!(read, sent);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_rests_may_rest_and_one_that_has_begun_must_go_on() {
        let (mut near, far) = duplex(64);
        let mut sniffing = pin!(sniff(Box::new(far)));
        let rest = tokio::time::timeout(10 * GOES_ON_WITHIN, sniffing.as_mut()).await;
        assert!(rest.is_err(), "nothing has begun");
        near.write_all(b"PRI * ").await.unwrap();
        let Err(error) = sniffing.await else {
            panic!("it does not go on");
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
