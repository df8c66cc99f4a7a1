//! Passes on what this replica's sidecars say to the replica that leads, which alone writes status.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, StatusCode,
    client::conn::http2::{Connection, SendRequest},
    header,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use process::logging::causes;
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, InvalidDnsNameError, ServerName, pem::PemObject};
use serde::Serialize;
use tokio::{net::TcpStream, sync::watch, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tracing::debug;

use super::acks::{Acks, Said};
use crate::{authority::root::Roots, backoff::Backoff, lease::Leadership};

/// Where the leader takes them.
pub const PATH: &str = "/v1/acks";
/// How long answers are gathered before they go: status is written at most once a second anyway.
const GATHER: Duration = Duration::from_millis(300);
/// How long one delivery may take.
const DELIVERY: Duration = Duration::from_secs(10);
/// How much goes at once, in bytes, and with it the longest single answer: well below what the leader takes.
const BATCH: usize = 2 << 20;

/// What is needed to reach the leader.
#[derive(Debug, Clone)]
pub struct Route {
    /// The name that its certificate carries.
    pub server_name: String,
    /// This replica's projected token, with the stream's audience.
    pub token_file: PathBuf,
    /// The roots to believe.
    pub roots: watch::Receiver<Roots>,
}

/// Drives a connection to the leader.
pub(crate) type ToLeader = Connection<TokioIo<TlsStream<TcpStream>>, Full<Bytes>, TokioExecutor>;

/// Why a delivery failed; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    #[error("the token can't be read")]
    Token(#[source] std::io::Error),
    #[error("the leader can't be reached")]
    Connect(#[source] std::io::Error),
    #[error("TLS can't be set up")]
    Tls(#[from] rustls::Error),
    #[error("the server name can't be used")]
    Name(#[from] InvalidDnsNameError),
    #[error("the delivery failed")]
    Http(#[from] hyper::Error),
    #[error("the delivery can't be written")]
    Request(#[from] hyper::http::Error),
    #[error("the answers can't be written")]
    Encode(#[from] serde_json::Error),
    #[error("the leader answered {0}")]
    Refused(StatusCode),
    #[error("the leader's answer can't be read")]
    Answer,
    #[error("the delivery took too long")]
    Late,
}

/// Passes on for as long as it is run: everything to a new leader, then what is new.
pub async fn run(acks: Arc<Acks>, route: Route, mut leadership: watch::Receiver<Leadership>) {
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(15));
    loop {
        let leader = match &*leadership.borrow_and_update() {
            Leadership::Follower { leader } => leader.clone(),
            Leadership::Leader => None,
        };
        acks.send_again();
        let passing = async {
            let Some(leader) = leader else {
                return std::future::pending().await;
            };
            loop {
                let said = acks.unsent().await;
                tokio::time::sleep(GATHER).await;
                match timeout(DELIVERY, deliver(&route, &leader, &said))
                    .await
                    .unwrap_or(Err(ForwardError::Late))
                {
                    Ok(()) => backoff.reset(),
                    Err(error) => {
                        debug!(error = %causes(&error), leader, "answers of sidecars were not passed on; trying again");
                        tokio::time::sleep(backoff.pause()).await;
                        acks.send_again();
                    }
                }
            }
        };
        tokio::select! {
            () = passing => {}
            changed = leadership.changed() => if changed.is_err() { return },
        }
    }
}

async fn deliver(route: &Route, leader: &str, said: &[Said]) -> Result<(), ForwardError> {
    let (mut sender, connection) = connect(route, leader).await?;
    let posting = async {
        for batch in batches(said)? {
            let response = sender.send_request(route.request(PATH, batch).await?).await?;
            if !response.status().is_success() {
                return Err(ForwardError::Refused(response.status()));
            }
        }
        Ok(())
    };
    tokio::select! {
        posted = posting => posted,
        ended = connection => Err(ended.map_or_else(ForwardError::Http, |()| ForwardError::Late)),
    }
}

/// A connection to the leader; it lives for as long as its second half is run.
pub(crate) async fn connect(
    route: &Route,
    leader: &str,
) -> Result<(SendRequest<Full<Bytes>>, ToLeader), ForwardError> {
    let socket = TcpStream::connect(leader).await.map_err(ForwardError::Connect)?;
    let name = ServerName::try_from(route.server_name.clone())?;
    let bundle = route.roots.borrow().bundle();
    let stream = connector(&bundle)?
        .connect(name, socket)
        .await
        .map_err(ForwardError::Connect)?;
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    Ok(handshake.await?)
}

impl Route {
    /// A delivery, with the token as it is now.
    pub(crate) async fn request(
        &self,
        path: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, ForwardError> {
        let token = tokio::fs::read_to_string(&self.token_file)
            .await
            .map_err(ForwardError::Token)?;
        let request = Request::post(format!("https://{}{path}", self.server_name))
            .header(header::AUTHORIZATION, format!("Bearer {}", token.trim()))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        Ok(request)
    }
}

/// These as JSON lists of about [`BATCH`] bytes.
pub(crate) fn batches<T: Serialize>(said: &[T]) -> Result<Vec<Bytes>, serde_json::Error> {
    let mut batches: Vec<Vec<u8>> = Vec::new();
    for one in said {
        let one = serde_json::to_vec(one)?;
        match batches.last_mut() {
            Some(batch) if batch.len() + one.len() < BATCH => batch.push(b','),
            _ => batches.push(vec![b'[']),
        }
        batches
            .last_mut()
            .into_iter()
            .for_each(|batch| batch.extend_from_slice(&one));
    }
    let closed = batches.into_iter().map(|mut batch| {
        batch.push(b']');
        Bytes::from(batch)
    });
    Ok(closed.collect())
}

fn connector(bundle: &str) -> Result<TlsConnector, rustls::Error> {
    let mut store = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(bundle.as_bytes()).flatten() {
        store.add(root)?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use plan::{GroupName, PathName, PlanHash, stream::Subscription};

    use super::*;

    #[test]
    fn answers_go_in_bodies_that_the_leader_takes_however_much_programs_ask_for() {
        let subscription = |n: usize| Subscription {
            path: PathName::new(format!("{n:0>253}")).unwrap(),
            group: GroupName::new("g".repeat(253)).unwrap(),
        };
        let said: Vec<Said> = (0..40)
            .map(|n| Said {
                namespace: "shop".into(),
                pod: format!("web-{n}").into(),
                uid: n.to_string().into(),
                runs: PlanHash("a".to_owned()),
                refused: None,
                undeclared: Some((0..plan::stream::MAX_UNDECLARED).map(subscription).collect()),
                version: "1".into(),
            })
            .collect();
        let batches = batches(&said).unwrap();
        assert!(batches.len() > 1 && batches.iter().all(|batch| batch.len() <= 4 << 20));
        let read: Vec<Said> = batches
            .iter()
            .flat_map(|batch| serde_json::from_slice::<Vec<Said>>(batch).unwrap())
            .collect();
        assert_eq!(read, said);
        assert!(super::batches::<Said>(&[]).unwrap().is_empty());
    }
}
