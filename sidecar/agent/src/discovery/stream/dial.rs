//! From an address to an HTTP/2 connection: TCP, TLS that trusts the plan's roots alone, handshake.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use plan::Control;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

/// What the sidecar says, as it says it.
pub(super) type Saying = StreamBody<BoxStream<'static, Result<Frame<Bytes>, std::convert::Infallible>>>;

/// How long name, TCP, TLS and HTTP/2 may take together: three lost packets and a slow name server.
const DIAL_TIME: Duration = Duration::from_secs(8);

/// The operator is allowed this many bytes on the way: a plan of usual size, not the largest one.
const WINDOW: u32 = 128 * 1024;

/// The stream's connection can't be made.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The roots of the plan.
    #[error("control.roots can't be read as PEM certificates")]
    Roots(#[source] pem::Error),
    /// A root that rustls does not take, a cipher suite that is missing.
    #[error("TLS can't be set up")]
    Tls(#[from] rustls::Error),
    /// The name of the plan.
    #[error("control.serverName is not a name")]
    Name(#[from] InvalidDnsNameError),
    /// Name resolution, TCP, or the TLS handshake.
    #[error("can't connect to {address}")]
    Connect {
        /// The operator's address.
        address: String,
        /// What the system or rustls says.
        #[source]
        source: io::Error,
    },
    /// The HTTP/2 handshake.
    #[error("{0} does not speak HTTP/2")]
    Handshake(String, #[source] hyper::Error),
    /// All of it together.
    #[error("no connection to {0} within {DIAL_TIME:?}")]
    Late(String),
}

/// A connection, and the tasks that move its bytes; all end when this is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: SendRequest<Saying>,
    tasks: Tasks,
}

/// Where hyper's tasks run. Left to the runtime they would outlive their connection: it stays open for as long as
/// there is something to say, and there always may be.
#[derive(Debug, Clone, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl Tasks {
    fn with(&self, act: impl FnOnce(&mut JoinSet<()>)) {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.with(|tasks| drop(tasks.spawn(task)));
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.tasks.with(JoinSet::abort_all);
    }
}

/// Connects to `address`, which must show a certificate for `control.server_name` that one of `control.roots` signed.
pub(super) async fn dial(control: &Control, address: &str) -> Result<Connection, DialError> {
    match tokio::time::timeout(DIAL_TIME, connect(control, address)).await {
        Ok(connection) => connection,
        Err(_elapsed) => Err(DialError::Late(address.to_owned())),
    }
}

async fn connect(control: &Control, address: &str) -> Result<Connection, DialError> {
    let tls = TlsConnector::from(Arc::new(tls(&control.roots)?));
    let name = ServerName::try_from(control.server_name.clone())?;
    let failed = |source| DialError::Connect {
        address: address.to_owned(),
        source,
    };
    let tcp = TcpStream::connect(address).await.map_err(failed)?;
    tcp.set_nodelay(true).map_err(failed)?;
    let secure = tls.connect(name, tcp).await.map_err(failed)?;
    let tasks = Tasks::default();
    let (sender, connection) = http2::Builder::new(tasks.clone())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .handshake(TokioIo::new(secure))
        .await
        .map_err(|error| DialError::Handshake(address.to_owned(), error))?;
    tasks.execute(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to the operator failed");
        }
    });
    Ok(Connection { sender, tasks })
}

fn tls(roots: &str) -> Result<ClientConfig, DialError> {
    let mut store = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(roots.as_bytes()) {
        store.add(root.map_err(DialError::Roots)?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}
