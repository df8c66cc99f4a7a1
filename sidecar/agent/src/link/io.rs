//! What a connection is made of, and how one is made.

use std::io;

use futures::future::LocalBoxFuture;
use plan::Address;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Bytes both ways. It may leave its thread because hyper's upgrades ask for that; ours never do.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// An open connection: a socket, later TLS over one, in tests a pipe.
pub type Io = Box<dyn Duplex>;

/// Where connections come from: the edge of the process, so that tests can join agents by pipes.
pub trait Network {
    /// Connects. The caller bounds the time it may take.
    fn connect(&self, to: &Address) -> LocalBoxFuture<'static, io::Result<Io>>;
}

/// The kernel's TCP.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

impl Network for Tcp {
    fn connect(&self, to: &Address) -> LocalBoxFuture<'static, io::Result<Io>> {
        let to = to.as_str().to_owned();
        Box::pin(async move {
            let socket = TcpStream::connect(to).await?;
            socket.set_nodelay(true)?;
            Ok(Box::new(socket) as Io)
        })
    }
}
