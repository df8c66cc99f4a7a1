//! One data thread from its start to its end: what the control thread sends, and the last flush.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;

use super::threads::{Mail, Orders, Phase};
use super::{ListenerKind, Worker};
use crate::link::io::Tcp;
use crate::listen::{self, accept::Socket};

/// How long replies that are on their way may take to leave when everything stops, and callers who were asked to leave
/// may take to do so: a busy machine has them wait for their turn.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);
/// How long an instant in which nothing is under way is waited for, of that time.
const NO_PAUSE: Duration = Duration::from_millis(200);
/// How often it is looked whether they have.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Lives until it is told to stop.
pub(super) async fn run(orders: Orders) {
    let Orders {
        index,
        mut live,
        mut phase,
        mut inbox,
        load,
        metrics,
        handed,
    } = orders;
    let first = live.borrow_and_update().clone();
    let worker = Worker::with_load(index, first, &metrics, Box::new(Tcp), (load, handed));
    worker.enter(*phase.borrow_and_update());
    let mut connections = JoinSet::new();
    // It may have been told before it had begun.
    while worker.phase.get() < Phase::Stopping {
        tokio::select! {
            Some(_) = connections.join_next() => {
                worker.load.connections.fetch_sub(1, Ordering::Relaxed);
            }
            mail = inbox.recv() => match mail {
                Some(Mail::Accept(kind, socket)) => {
                    connections.spawn_local(accept(Rc::clone(&worker), kind, socket));
                }
                Some(Mail::Links(answer)) => drop(answer.send(worker.links())),
                None => break,
            },
            changed = live.changed() => match changed {
                Ok(()) => {
                    let live = live.borrow_and_update().clone();
                    worker.apply(live);
                }
                Err(_) => break,
            },
            changed = phase.changed() => {
                let now = *phase.borrow_and_update();
                worker.enter(now);
                if changed.is_err() {
                    break;
                }
            }
        }
    }
    worker.enter(Phase::Stopping);
    if tokio::time::timeout(FLUSH_WITHIN, last_replies(&worker, &mut connections))
        .await
        .is_err()
    {
        tracing::debug!(worker = index, "stopped before every reply was taken");
    }
}

/// Tells those callers who understand it to leave. Parts from all others in an instant in which nothing at all is under
/// way: in such a pause the programs are least likely to be just about to call. Where there is none, from each when
/// nothing is under way for it. Then waits until they have gone.
async fn last_replies(worker: &Worker, connections: &mut JoinSet<()>) {
    let started = tokio::time::Instant::now();
    listen::motan::announce_end(worker);
    loop {
        // Parks the thread, so that what has arrived is seen; then yields, so that it is read before this looks.
        tokio::time::sleep(LOOK_AGAIN).await;
        tokio::task::yield_now().await;
        while connections.try_join_next().is_some() {}
        if connections.is_empty() {
            return;
        }
        if worker.is_quiet() || started.elapsed() >= NO_PAUSE {
            worker.part();
        }
    }
}

async fn accept(worker: Rc<Worker>, kind: ListenerKind, socket: Socket) {
    let listener = kind.as_str();
    let ready = socket.peer().and_then(|peer| Ok((peer, socket.into_io()?)));
    match ready {
        Ok((peer, io)) => {
            let peer = Box::from(peer.to_string());
            worker.serve(kind, io, peer).await;
        }
        // The other side has gone already, most likely.
        Err(error) => tracing::debug!(listener, %error, "connection could not be taken over"),
    }
}
