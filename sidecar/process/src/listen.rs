//! Sockets that wait for others: binding them, and accepting without giving up.

mod unix;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

pub use unix::{UnixBindError, UnixDoor};

/// How many connections the kernel holds until they are accepted; the kernel's own `somaxconn` may be lower.
const BACKLOG: u32 = 1024;

/// How long accepting rests when the process is out of descriptors or memory: long enough for some to be closed,
/// short enough that a caller's connect timeout does not pass.
const REST: Duration = Duration::from_millis(50);

/// A listener can't be bound.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {address}")]
pub struct BindError {
    /// Where it was to listen.
    pub address: SocketAddr,
    /// What the system says.
    #[source]
    pub source: io::Error,
}

/// Listens on `address`; port 0 lets the system choose. An address that connections of a process before this one
/// linger on can be bound (`SO_REUSEADDR`).
///
/// # Errors
/// The address is in use, is not of this machine, or needs a privilege.
pub fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    let listen = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|source| BindError { address, source })
}

/// The next connection. Errors don't end it: one connection's are skipped, and when descriptors or memory run out it
/// rests for 50 ms, says so at most once per call, and tries again.
pub async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    patiently(|context| listener.poll_accept(context)).await
}

async fn patiently<T>(mut accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>) -> T {
    let mut said = false;
    loop {
        match poll_fn(&mut accept).await {
            Ok(accepted) => return accepted,
            Err(error) if concerns_one_connection(&error) => {
                tracing::debug!(%error, "connection lost before accept");
            }
            Err(error) => {
                if !std::mem::replace(&mut said, true) {
                    tracing::warn!(%error, "can't accept connections; trying on");
                }
                tokio::time::sleep(REST).await;
            }
        }
    }
}

fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_bound_listener_accepts_and_its_address_is_taken() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let error = bind(address).unwrap_err();
        assert_eq!(error.to_string(), format!("can't listen on {address}"));
        let caller = TcpStream::connect(address).await.unwrap();
        let (_, peer) = accept(&listener).await;
        assert_eq!(peer, caller.local_addr().unwrap());
    }
}
