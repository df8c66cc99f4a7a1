//! 9982, from other agents: Motan, or streams of HTTP/2. The first bytes tell.

use std::convert::Infallible;
use std::pin::pin;
use std::rc::Rc;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::motan;
use super::sniff::{self, Begins};
use crate::http::{self, Hands};
use crate::inbound;
use crate::link::batched::Batched;
use crate::link::io::Io;
use crate::worker::{ListenerKind, Phase, Worker};

/// Serves one connection until it ends.
pub(crate) async fn serve(worker: Rc<Worker>, io: Io, peer: Box<str>) {
    let Some(sniffed) = sniff::sniff_unless_stopping(&worker, io).await else {
        return; // nothing was asked on it
    };
    match sniffed {
        Ok((Begins::Http2, io)) => Box::pin(streams(worker, io, peer)).await,
        Ok((Begins::Other | Begins::Tls, io)) => motan::serve(worker, ListenerKind::Inbound, io, peer).await,
        Err(error) => tracing::debug!(listener = "inbound", %peer, %error, "connection lost before it began"),
    }
}

/// Serves streams. When this sidecar goes away the other agent is told, and what is under way ends as it would.
async fn streams(worker: Rc<Worker>, io: Io, peer: Box<str>) {
    worker.places.inbound.connections.inc();
    let peer: Rc<str> = Rc::from(peer);
    let service = service_fn(|request| {
        let (worker, peer) = (Rc::clone(&worker), Rc::clone(&peer));
        async move { Ok::<_, Infallible>(inbound::stream::call(&worker, &peer, request).await) }
    });
    let connection = builder(&worker).serve_connection(TokioIo::new(Batched::new(io)), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = worker.turns(Phase::Announced) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(listener = "inbound", %peer, %error, "connection ended");
    }
    worker.places.inbound.connections.dec();
}

fn builder(worker: &Rc<Worker>) -> http2::Builder<Hands> {
    let mut builder = http2::Builder::new(Hands(Rc::clone(worker)));
    builder
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .max_concurrent_streams(http::MAX_STREAMS)
        .initial_stream_window_size(http::STREAM_WINDOW)
        .initial_connection_window_size(http::CONNECTION_WINDOW)
        .max_header_list_size(http::MAX_HEAD as u32)
        .keep_alive_interval(http::PING_EVERY)
        .keep_alive_timeout(http::PING_WITHIN);
    builder
}
