//! An HTTPS door: accepts, shakes hands, hands the connection on. Everything bounded: connections, the handshake,
//! and the time a connection may take to end when the process does.

use std::{sync::Arc, time::Duration};

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use process::{drain, listen};
use rustls::{ServerConfig, crypto::ring, server::ResolvesServerCert};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::debug;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long an HTTP/1 connection may wait for its next request, head included: longer than the 90 s for which Go
/// clients, the API server among them, keep an idle one, so that the one who closes is never surprised by a request.
const HEAD: Duration = Duration::from_secs(120);
/// How often an HTTP/2 peer is asked whether it lives, and how long it may take to answer.
const PING: Duration = Duration::from_secs(15);
/// The largest head of a request, in bytes.
const MAX_HEAD: u32 = 32 * 1024;

/// What a door offers.
#[derive(Debug, Clone)]
pub struct Door {
    /// For logs.
    pub name: &'static str,
    /// How many connections may be open; further ones wait to be accepted.
    pub connections: usize,
    /// TLS, with the protocols that are offered.
    pub tls: Arc<ServerConfig>,
}

/// TLS with whatever certificate `resolver` has at the moment; `protocols` in order of preference.
///
/// # Errors
/// In practice none: the versions are rustls' own.
pub fn tls(
    resolver: Arc<dyn ResolvesServerCert>,
    protocols: &[&str],
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = protocols
        .iter()
        .map(|protocol| protocol.as_bytes().to_vec())
        .collect();
    Ok(Arc::new(config))
}

/// Serves `answer` to everyone who comes until the drain starts; then every connection finishes what it has.
/// Connections are tasks of the runtime that runs this, each holding the drain.
pub async fn serve<S, F, B>(listener: TcpListener, door: Door, mut drain: drain::Watch, answer: S)
where
    S: Fn(hyper::Request<hyper::body::Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = hyper::Response<B>> + Send + 'static,
    B: hyper::body::Body<Data = bytes::Bytes, Error = std::convert::Infallible> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(door.connections));
    let acceptor = TlsAcceptor::from(door.tls);
    loop {
        let next = async {
            let permit = Arc::clone(&room).acquire_owned().await;
            (permit, listen::accept(&listener).await)
        };
        let Some((permit, (socket, peer))) = drain.or(next).await else {
            return;
        };
        let (acceptor, answer, drain) = (acceptor.clone(), answer.clone(), drain.clone());
        tokio::spawn(async move {
            let _permit = permit;
            match tokio::time::timeout(HANDSHAKE, shake(&acceptor, socket)).await {
                Ok(Ok(stream)) => talk(stream, drain, answer).await,
                Ok(Err(error)) => debug!(door = door.name, %peer, %error, "handshake failed"),
                Err(_) => debug!(door = door.name, %peer, "handshake took too long"),
            }
        });
    }
}

async fn shake(acceptor: &TlsAcceptor, socket: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
    socket.set_nodelay(true)?;
    acceptor.accept(socket).await
}

/// One connection to its end, in the protocol that was agreed on.
async fn talk<S, F, B>(stream: TlsStream<TcpStream>, mut drain: drain::Watch, answer: S)
where
    S: Fn(hyper::Request<hyper::body::Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = hyper::Response<B>> + Send + 'static,
    B: hyper::body::Body<Data = bytes::Bytes, Error = std::convert::Infallible> + Send + 'static,
{
    let service = hyper::service::service_fn(move |request| {
        let answer = answer(request);
        async move { Ok::<_, std::convert::Infallible>(answer.await) }
    });
    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = TokioIo::new(stream);
    let ended = if is_h2 {
        let mut http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .max_header_list_size(MAX_HEAD)
            .max_concurrent_streams(256)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING);
        let connection = http.serve_connection(io, service);
        tokio::pin!(connection);
        match drain.or(&mut connection).await {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    } else {
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(MAX_HEAD as usize);
        let connection = http.serve_connection(io, service);
        tokio::pin!(connection);
        match drain.or(&mut connection).await {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    if let Err(error) = ended {
        debug!(%error, "connection ended early");
    }
}
