//! Kept-alive connections to the local program.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use plan::Address;

use crate::failure::{Failure, Kind};
use crate::http::body::Body;
use crate::worker::{Worker, now};

/// How long connecting may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// An idle connection is used again up to this age: below the 5 s after which common servers close theirs.
const KEEP_FOR: Duration = Duration::from_secs(4);
/// Idle connections to one program that are kept: as many as a busy program's callers ask at once. Each holds some 10 KiB,
/// and not for longer than [`KEEP_FOR`] where it is not used.
const KEEP: usize = 256;

/// One connection, free to send.
pub(crate) type Sender = http1::SendRequest<Body>;

/// Idle connections of one worker.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    idle: HashMap<Address, Vec<(Sender, Instant)>>,
}

impl Clients {
    /// Lets go of connections to where no plan leads any more.
    pub(crate) fn sort_out(&mut self, wanted: impl Fn(&Address) -> bool) {
        self.idle.retain(|address, _| wanted(address));
    }
}

/// The connection used last, where there is one that can be used again.
pub(super) fn kept(worker: &Worker, address: &Address) -> Option<Sender> {
    let now = now();
    let mut clients = worker.clients.borrow_mut();
    let idle = clients.idle.get_mut(address)?;
    // The last one is the youngest: where it is too old, so are all.
    while let Some((sender, since)) = idle.pop() {
        if now.duration_since(since) > KEEP_FOR {
            idle.clear();
        } else if sender.is_ready() {
            return Some(sender);
        }
    }
    None
}

/// Keeps a connection once its response has been read to the end.
pub(super) async fn keep(worker: &Worker, address: &Address, mut sender: Sender) {
    if sender.ready().await.is_err() {
        return; // the program has closed it
    }
    let mut clients = worker.clients.borrow_mut();
    if let Some(idle) = clients.idle.get_mut(address) {
        if idle.len() < KEEP {
            idle.push((sender, now()));
        }
    } else {
        clients.idle.insert(address.clone(), vec![(sender, now())]);
    }
}

/// Makes a new connection. Its own task ends when the connection does.
pub(super) async fn dial(worker: &Rc<Worker>, address: &Address) -> Result<Sender, Failure> {
    let refused = |why: &dyn std::fmt::Display| {
        worker.dial_failures.inc();
        let words = format!("the program can't be connected to at {address}: {why}");
        Failure::unsent(Kind::Unavailable, words)
    };
    let io = match tokio::time::timeout(CONNECT_WITHIN, worker.network.connect(address)).await {
        Ok(Ok(io)) => io,
        Ok(Err(error)) => return Err(refused(&error)),
        Err(_) => return Err(refused(&"no answer within 1 s")),
    };
    let (sender, connection) = http1::Builder::new()
        .handshake(TokioIo::new(io))
        .await
        .map_err(|error| refused(&error))?;
    worker.spawn(async {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "connection to the program ended");
        }
    });
    Ok(sender)
}
