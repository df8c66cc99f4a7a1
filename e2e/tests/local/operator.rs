//! The operator at the edge of a sidecar: a real HTTP/2 server over TLS that speaks `plan::stream` as a test says.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use plan::stream::{FromOperator, FromSidecar, PATH};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::world::PATIENCE;

/// The name in its certificate.
pub(crate) const NAME: &str = "motanmesh-operator.motanmesh-system.svc";

/// It ends, and all its connections with it, when dropped.
pub(crate) struct Operator {
    pub(crate) address: SocketAddr,
    /// Its root, as PEM.
    pub(crate) roots: String,
    sessions: mpsc::Receiver<Session>,
    _server: JoinSet<()>,
}

/// One stream that a sidecar has opened.
pub(crate) struct Session {
    /// What it authenticates by.
    pub(crate) token: String,
    said: mpsc::Receiver<FromSidecar>,
    tell: mpsc::Sender<Bytes>,
}

impl Operator {
    pub(crate) async fn start() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (opened, sessions) = mpsc::channel(4);
        let mut server = JoinSet::new();
        server.spawn(serve(listener, acceptor(&root), opened));
        Self {
            address,
            roots: root.pem(),
            sessions,
            _server: server,
        }
    }

    /// The next stream.
    pub(crate) async fn session(&mut self) -> Session {
        timeout(PATIENCE, self.sessions.recv())
            .await
            .expect("a stream in time")
            .unwrap()
    }
}

impl Session {
    pub(crate) async fn said(&mut self) -> FromSidecar {
        timeout(PATIENCE, self.said.recv())
            .await
            .expect("a line in time")
            .expect("a stream that lasts")
    }

    /// The next line, whenever it comes; none once the stream is over.
    pub(crate) async fn heard(&mut self) -> Option<FromSidecar> {
        self.said.recv().await
    }

    pub(crate) async fn tell(&self, message: &FromOperator) {
        let line = serde_json::to_string(message).unwrap() + "\n";
        self.tell.send(line.into()).await.unwrap();
    }
}

fn acceptor(root: &CertifiedIssuer<'_, KeyPair>) -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new([NAME.to_owned()])
        .unwrap()
        .signed_by(&key, root)
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, opened: mpsc::Sender<Session>) {
    let mut connections = JoinSet::new();
    while let Ok((tcp, _)) = listener.accept().await {
        let (tls, opened) = (tls.clone(), opened.clone());
        connections.spawn(async move {
            let Ok(secure) = tls.accept(tcp).await else { return };
            let service = service_fn(move |request| {
                let opened = opened.clone();
                async move { Ok::<_, Infallible>(open(request, opened).await) }
            });
            let connection = http2::Builder::new(TokioExecutor::new());
            // A sidecar that ends breaks off.
            let _ = connection.serve_connection(TokioIo::new(secure), service).await;
        });
    }
}

type Telling = StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

async fn open(request: Request<Incoming>, opened: mpsc::Sender<Session>) -> Response<Telling> {
    assert_eq!(request.uri().path(), PATH);
    let token = request
        .headers()
        .get("authorization")
        .map_or("", |token| token.to_str().unwrap())
        .to_owned();
    let (tell, mut told) = mpsc::channel::<Bytes>(8);
    let (saying, said) = mpsc::channel(8);
    opened.send(Session { token, said, tell }).await.unwrap();
    let mut body = request.into_body();
    let mut rest = Vec::new();
    // Reads what is said while it tells: one stream, one task.
    let telling = futures::stream::poll_fn(move |cx| {
        while let std::task::Poll::Ready(Some(Ok(frame))) = body.frame().poll_unpin(cx) {
            rest.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                saying
                    .try_send(serde_json::from_slice(&line).unwrap())
                    .expect("a test hears what is said");
            }
        }
        told.poll_recv(cx)
            .map(|line| line.map(|line| Ok(Frame::data(line))))
    });
    Response::new(StreamBody::new(telling.boxed()))
}
