//! Connections from accept to a worker: limited in number, handed on as they are. No byte is read here.

use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::os::unix::net::UnixStream;

use process::listen::UnixDoor;
use process::{drain, listen};
use tokio::net::TcpListener;

use crate::link::io::Io;

/// How many connections a sidecar has at a time. A program has tens; this is for the one that leaks them, before it
/// takes all descriptors of the process.
pub const MAX_CONNECTIONS: usize = 10_000;

/// A connection on its way to a worker.
#[derive(Debug)]
pub enum Socket {
    /// Over TCP.
    Tcp(TcpStream),
    /// Through a socket in the file system.
    Unix(UnixStream),
}

impl Socket {
    /// Who is on the other side. A caller by a Unix socket is in this pod and has no address; what stands in for it,
    /// in `M_h` and so in the access logs of programs, is the one it would have over loopback.
    ///
    /// # Errors
    /// It has gone already.
    pub fn peer(&self) -> io::Result<IpAddr> {
        match self {
            Self::Tcp(stream) => Ok(stream.peer_addr()?.ip().to_canonical()),
            Self::Unix(_) => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        }
    }

    /// The connection for the runtime of this thread.
    ///
    /// # Errors
    /// It has gone already, or the system has no more event slots.
    pub fn into_io(self) -> io::Result<Io> {
        match self {
            Self::Tcp(stream) => Ok(Box::new(tokio::net::TcpStream::from_std(stream)?)),
            Self::Unix(stream) => Ok(Box::new(tokio::net::UnixStream::from_std(stream)?)),
        }
    }

    /// Not blocking, and without Nagle's delay.
    fn ready(self) -> io::Result<Self> {
        match &self {
            Self::Tcp(stream) => {
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
            }
            Self::Unix(stream) => stream.set_nonblocking(true)?,
        }
        Ok(self)
    }
}

/// Gives every connection to `hand`, not blocking and without Nagle's delay, until the drain starts; whoever has
/// connected by then is still handed on. While `open` connections are [`MAX_CONNECTIONS`] or more a new one is closed
/// at once, so that its caller knows instead of waiting.
pub async fn run(
    listener: TcpListener,
    open: impl Fn() -> usize,
    hand: impl Fn(Socket),
    mut drain: drain::Watch,
) {
    let mut door = Door {
        open,
        hand,
        full: false,
    };
    while let Some((stream, _)) = drain.or(listen::accept(&listener)).await {
        door.pass(stream.into_std().map(Socket::Tcp));
    }
    // Without the runtime, which may not have heard yet that somebody waits.
    if let Ok(listener) = listener.into_std() {
        while let Ok((stream, _)) = listener.accept() {
            door.pass(Ok(Socket::Tcp(stream)));
        }
    }
}

/// The same for a socket in the file system, which goes away with it.
pub async fn run_unix(
    listener: UnixDoor,
    open: impl Fn() -> usize,
    hand: impl Fn(Socket),
    mut drain: drain::Watch,
) {
    let mut door = Door {
        open,
        hand,
        full: false,
    };
    while let Some(stream) = drain.or(listener.accept()).await {
        door.pass(stream.into_std().map(Socket::Unix));
    }
    listener.close(|stream| door.pass(Ok(Socket::Unix(stream))));
}

struct Door<O, H> {
    open: O,
    hand: H,
    full: bool,
}

impl<O: Fn() -> usize, H: Fn(Socket)> Door<O, H> {
    fn pass(&mut self, socket: io::Result<Socket>) {
        let open = (self.open)();
        if open >= MAX_CONNECTIONS {
            if !std::mem::replace(&mut self.full, true) {
                tracing::warn!(open, "too many connections; new ones are closed");
            }
            return;
        }
        // Not at the first free place, or the log would speak of every caller that comes and goes at the limit.
        self.full = self.full && open > MAX_CONNECTIONS / 2;
        match socket.and_then(Socket::ready) {
            Ok(socket) => (self.hand)(socket),
            Err(error) => tracing::debug!(%error, "connection lost before it was handed on"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::io::AsyncReadExt;
    use tokio::sync::mpsc;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn connections_over_the_limit_are_closed_and_later_ones_handed_on_to_the_last() {
        let listener = listen::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (handed, mut accepted) = mpsc::unbounded_channel();
        let (trigger, watch) = drain::channel();
        let open = Arc::new(AtomicUsize::new(MAX_CONNECTIONS));
        let count = Arc::clone(&open);
        let open_now = move || count.load(Ordering::Relaxed);
        let task = tokio::spawn(run(
            listener,
            open_now,
            move |one| handed.send(one).unwrap(),
            watch,
        ));

        let mut refused = tokio::net::TcpStream::connect(address).await.unwrap();
        let closed = tokio::time::timeout(DEADLINE, refused.read(&mut [0; 1]))
            .await
            .unwrap();
        assert!(matches!(closed, Ok(0) | Err(_)));
        open.store(0, Ordering::Relaxed);
        let _taken = tokio::net::TcpStream::connect(address).await.unwrap();
        assert!(accepted.recv().await.is_some());

        // Connected, but not accepted before the drain: handed on all the same.
        let _last = TcpStream::connect(address).unwrap();
        trigger.drained(DEADLINE).await.unwrap();
        task.await.unwrap();
        assert!(accepted.recv().await.is_some() && accepted.recv().await.is_none());
    }
}
