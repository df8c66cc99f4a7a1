//! Which protocol a caller begins with: HTTP/2 by its preface (RFC 9113 3.4), or something else. What was read to find
//! out is read again by whoever serves the connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::link::io::Io;

/// What every HTTP/2 client sends first.
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What TLS begins with: a record of a handshake (RFC 8446 5.1).
const TLS_HANDSHAKE: [u8; 2] = [22, 3];
/// What is said to it: a fatal alert, "access denied" (RFC 8446 6.2).
const TLS_DENIED: [u8; 7] = [21, 3, 3, 0, 2, 2, 49];
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

/// Reads until it is known. One that ends before is no HTTP/2.
///
/// # Errors
/// It can't be read.
pub(crate) async fn sniff(mut io: Io) -> io::Result<(Begins, Io)> {
    let mut read = [0; PREFACE.len()];
    let mut count = 0;
    let begins = loop {
        let more = io.read(&mut read[count..]).await?;
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
}
