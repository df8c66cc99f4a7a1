//! A network of pipes in one process: who listens where, and who was cut off.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;

use agent::link::io::{Io, Network};
use futures::future::LocalBoxFuture;
use plan::Address;
use tokio::io::{DuplexStream, copy_bidirectional, duplex};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Bytes that a pipe holds, as a socket's buffers would.
const PIPE: usize = 64 * 1024;

/// The network. A clone is the same one.
#[derive(Clone, Default)]
pub(crate) struct Net(Rc<RefCell<HashMap<String, Host>>>);

#[derive(Default)]
struct Host {
    accept: Option<mpsc::UnboundedSender<DuplexStream>>,
    pipes: JoinSet<()>,
    is_deaf: bool,
    connects: usize,
}

impl Net {
    /// Listens; connections come by the receiver.
    pub(crate) fn listen(&self, address: &str) -> mpsc::UnboundedReceiver<DuplexStream> {
        let (accept, accepted) = mpsc::unbounded_channel();
        let mut hosts = self.0.borrow_mut();
        let host = hosts.entry(address.to_owned()).or_default();
        host.accept = Some(accept);
        host.is_deaf = false;
        accepted
    }

    /// Ends whatever listens there and every connection to it.
    pub(crate) fn kill(&self, address: &str) {
        if let Some(host) = self.0.borrow_mut().get_mut(address) {
            host.accept = None;
            host.pipes.abort_all();
        }
    }

    /// Ends every connection to there; new ones are taken.
    pub(crate) fn cut(&self, address: &str) {
        if let Some(host) = self.0.borrow_mut().get_mut(address) {
            host.pipes.abort_all();
        }
    }

    /// Connects, as a program outside the mesh would.
    pub(crate) fn dial(&self, address: &str) -> DuplexStream {
        self.open(address).unwrap().unwrap()
    }

    /// Nobody answers there any more, not even by refusing.
    pub(crate) fn deafen(&self, address: &str) {
        self.0.borrow_mut().entry(address.to_owned()).or_default().is_deaf = true;
    }

    /// How often somebody tried to connect.
    pub(crate) fn connects(&self, address: &str) -> usize {
        self.0.borrow().get(address).map_or(0, |host| host.connects)
    }

    fn open(&self, address: &str) -> io::Result<Option<DuplexStream>> {
        let mut hosts = self.0.borrow_mut();
        let host = hosts.entry(address.to_owned()).or_default();
        host.connects += 1;
        if host.is_deaf {
            return Ok(None);
        }
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let accept = host.accept.as_ref().ok_or_else(refused)?;
        let (near, mut left) = duplex(PIPE);
        let (mut right, far) = duplex(PIPE);
        accept.send(far).map_err(|_| refused())?;
        host.pipes.spawn_local(async move {
            let _ = copy_bidirectional(&mut left, &mut right).await;
        });
        Ok(Some(near))
    }
}

impl Network for Net {
    fn connect(&self, to: &Address) -> LocalBoxFuture<'static, io::Result<Io>> {
        let opened = self.open(to.as_str());
        Box::pin(async move {
            tokio::task::yield_now().await;
            match opened? {
                Some(stream) => Ok(Box::new(stream) as Io),
                None => std::future::pending().await,
            }
        })
    }
}
