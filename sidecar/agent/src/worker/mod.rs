//! Data threads: what one holds, and the handle the control thread moves them by ([`Workers`]).

mod threads;

pub use threads::{LinkState, ListenerKind, WorkerError, Workers};
use threads::{Mail, Orders, Phase};

/// One data thread from its start to its end.
async fn run(orders: Orders) {
    let Orders {
        index: _,
        live: _live,
        mut phase,
        mut inbox,
        load: _load,
        metrics: _metrics,
    } = orders;
    loop {
        tokio::select! {
            mail = inbox.recv() => match mail {
                Some(Mail::Accept(kind, socket)) => drop((kind, socket)),
                Some(Mail::Links(answer)) => drop(answer.send(Vec::new())),
                None => return,
            },
            stopping = phase.wait_for(|phase| *phase == Phase::Stopping) => {
                drop(stopping);
                return;
            }
        }
    }
}
