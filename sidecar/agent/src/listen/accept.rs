//! Connections from accept to a worker: limited in number, handed on as they are. No byte is read here.

use std::net::TcpStream;
use std::sync::Arc;

use process::{drain, listen};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many connections one listener has at a time. A program has tens; this is for the one that leaks them, before
/// it takes all descriptors of the sidecar.
pub const MAX_CONNECTIONS: usize = 10_000;

/// What is spoken on a connection, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Motan from the local program (9981).
    Motan,
    /// Motan from other agents (9982).
    Agents,
    /// HTTP from the local program (9983).
    Http,
}

impl Kind {
    /// The word used in logs and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Motan => "motan",
            Self::Agents => "agents",
            Self::Http => "http",
        }
    }
}

/// A connection for a worker.
#[derive(Debug)]
pub struct Accepted {
    /// What is spoken on it.
    pub kind: Kind,
    /// Not blocking, and without Nagle's delay.
    pub stream: TcpStream,
    /// Held for as long as the connection is open.
    pub slot: Slot,
}

/// One of the connections that a listener may have; free again when dropped.
#[derive(Debug)]
pub struct Slot(#[expect(dead_code, reason = "held, and given back when dropped")] OwnedSemaphorePermit);

/// Hands every connection to `hand` until the drain starts; those over `limit` are closed at once, so that their
/// callers know instead of waiting.
pub async fn run(
    listener: TcpListener,
    kind: Kind,
    limit: usize,
    hand: impl Fn(Accepted),
    mut drain: drain::Watch,
) {
    let slots = Arc::new(Semaphore::new(limit));
    let mut full = false;
    while let Some((stream, peer)) = drain.or(listen::accept(&listener)).await {
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            if !std::mem::replace(&mut full, true) {
                tracing::warn!(listener = kind.as_str(), limit, %peer, "too many connections; new ones are closed");
            }
            continue;
        };
        // Not at the first free slot, or the log would speak of every caller that comes and goes at the limit.
        full = full && slots.available_permits() < limit / 2;
        let ready = stream.set_nodelay(true).and_then(|()| stream.into_std());
        match ready {
            Ok(stream) => hand(Accepted {
                kind,
                stream,
                slot: Slot(slot),
            }),
            Err(error) => tracing::debug!(%error, %peer, "connection lost before it was handed on"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt;
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn connections_over_the_limit_are_closed_and_a_freed_slot_is_used_again() {
        let listener = listen::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (handed, mut accepted) = mpsc::unbounded_channel();
        let (trigger, watch) = drain::channel();
        let hand = move |one| handed.send(one).unwrap();
        let task = tokio::spawn(run(listener, Kind::Motan, 1, hand, watch));
        let connect = || tokio::net::TcpStream::connect(address);

        let _first = connect().await.unwrap();
        let first = accepted.recv().await.unwrap();
        assert_eq!(first.kind, Kind::Motan);
        let mut second = connect().await.unwrap();
        let closed = tokio::time::timeout(Duration::from_secs(5), second.read(&mut [0; 1]))
            .await
            .unwrap();
        assert!(matches!(closed, Ok(0) | Err(_)));
        drop(first);
        let _third = connect().await.unwrap();
        assert!(accepted.recv().await.is_some());

        trigger.drained(Duration::from_secs(5)).await.unwrap();
        task.await.unwrap();
    }
}
