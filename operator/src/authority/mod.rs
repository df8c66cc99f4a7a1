//! Who vouches for the operator's own servers: the mesh's roots and this replica's leaf.
//!
//! [`root`] and [`issue`] decide, this room acts: it keeps the roots in a Secret (made so that two replicas starting
//! at once agree), follows that Secret, renews the leaf, and offers the two things others need: the bundle of trusted
//! roots, and a resolver for TLS servers. When the roots change is decided by the leader, in [`rotate`].

pub mod issue;
pub mod root;
pub mod rotate;
mod secret;

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, api::PostParams};
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::sync::watch;
use tracing::{error, info, warn};

use self::{
    issue::Leaf,
    root::{Root, Roots},
};
use crate::{
    connect::plain,
    follow::{Frozen, Scope, Seen, follow},
};

/// How often the leaf's age is looked at.
const LOOK: Duration = Duration::from_secs(60);
/// Backdating of everything issued.
const SKEW: Duration = Duration::from_secs(3600);
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(10);

/// What can go wrong with certificates.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A key or certificate can't be made.
    #[error("a certificate can't be made")]
    Make(#[source] rcgen::Error),
    /// Not a private key.
    #[error("the private key can't be read")]
    Key(#[source] rcgen::Error),
    /// Not a certificate.
    #[error("the certificate can't be read: {0}")]
    Certificate(String),
    /// Not a key that TLS can use.
    #[error("the key can't be used for TLS")]
    Serve(#[source] rustls::Error),
    /// The Secret lacks an entry.
    #[error("the Secret has no entry {0}; delete the Secret and a new one is made")]
    Entry(&'static str),
    /// The Secret can't be read or written.
    #[error("the Secret {name} can't be {done}")]
    Request {
        /// Its name.
        name: String,
        /// read, made or written.
        done: &'static str,
        /// Why.
        #[source]
        source: kube::Error,
    },
    /// The API server did not answer in time.
    #[error("the API server did not answer for the Secret {0} in time")]
    Late(String),
}

impl AuthorityError {
    /// Another replica wrote first.
    fn is_conflict(&self) -> bool {
        matches!(self, Self::Request { source: kube::Error::Api(status), .. } if status.code == 409)
    }
}

/// The mesh's authority as this replica knows it.
#[derive(Debug)]
pub struct Authority {
    api: Api<Secret>,
    secret: String,
    names: Vec<String>,
    roots: watch::Sender<Roots>,
    wished: watch::Sender<Option<String>>,
    leaf: RwLock<Leaf>,
}

impl Authority {
    /// Reads the roots, or makes the first ones, and issues this replica's leaf for `names`.
    ///
    /// # Errors
    /// The Secret can't be read or made, or holds no usable root.
    pub async fn open(
        api: Api<Secret>,
        secret: &str,
        names: Vec<String>,
    ) -> Result<Arc<Self>, AuthorityError> {
        let held = read_or_make(&api, secret).await?;
        let now = Timestamp::now();
        let roots = secret::read(&held)?;
        let leaf = issue::leaf(&roots.active, &names, now)?;
        Ok(Arc::new(Self {
            api,
            secret: secret.to_owned(),
            names,
            roots: watch::Sender::new(roots),
            wished: watch::Sender::new(secret::wished(&held)),
            leaf: RwLock::new(leaf),
        }))
    }

    /// The roots, now and at every change.
    #[must_use]
    pub fn roots(&self) -> watch::Receiver<Roots> {
        self.roots.subscribe()
    }

    /// When this replica's leaf ends.
    #[must_use]
    pub fn leaf_not_after(&self) -> Timestamp {
        self.leaf.read().unwrap_or_else(PoisonError::into_inner).not_after
    }

    /// Follows the Secret and renews the leaf; comes back only when the watch is frozen.
    pub async fn keep(&self) -> Frozen {
        let scope = Scope {
            fields: Some(format!("metadata.name={}", self.secret)),
            ..Scope::default()
        };
        let (lost, mut lost_seen) = watch::channel(false);
        let watching = follow(self.api.clone(), "Secret", scope, |seen| match seen {
            Seen::All { objects, .. } => match objects.first() {
                Some(secret) => self.adopt(secret),
                None => drop(lost.send(true)),
            },
            Seen::Applied(secret) => self.adopt(&secret),
            Seen::Gone(_) => drop(lost.send(true)),
            Seen::Reached(_) => {}
        });
        tokio::pin!(watching);
        let mut tick = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                frozen = &mut watching => return frozen,
                _ = tick.tick() => self.renew(Timestamp::now()),
                _ = lost_seen.changed() => self.restore().await,
            }
        }
    }

    /// Takes over what the Secret says; a Secret that makes no sense changes nothing.
    fn adopt(&self, secret: &Secret) {
        let roots = match secret::read(secret) {
            Ok(roots) => roots,
            Err(error) => {
                error!(%error, secret = self.secret, "the roots in the Secret are unusable; keeping those we have");
                return;
            }
        };
        self.wished.send_replace(secret::wished(secret));
        let signer = self.roots.borrow().active.certificate.clone();
        if roots.active.certificate != signer {
            self.issue(&roots.active, Timestamp::now());
        }
        self.roots.send_if_modified(|known| {
            let changed = *known != roots;
            *known = roots;
            changed
        });
    }

    fn renew(&self, now: Timestamp) {
        let due = self.leaf.read().unwrap_or_else(PoisonError::into_inner).renew_at;
        if now >= due {
            let root = self.roots.borrow().active.clone();
            self.issue(&root, now);
        }
    }

    fn issue(&self, root: &Root, now: Timestamp) {
        match issue::leaf(root, &self.names, now) {
            Ok(leaf) => {
                info!(not_after = %leaf.not_after, "serving a new certificate");
                *self.leaf.write().unwrap_or_else(PoisonError::into_inner) = leaf;
            }
            Err(error) => error!(%error, "no new certificate could be made; the present one stays"),
        }
    }

    /// The Secret was deleted: put back the roots that everyone trusts, instead of surprising them with new ones.
    async fn restore(&self) {
        let secret = secret::write(&self.secret, &self.roots.borrow(), None);
        let made = request(
            &self.secret,
            "made",
            self.api.create(&PostParams::default(), &secret),
        )
        .await;
        match made {
            Ok(_) => warn!(
                secret = self.secret,
                "the Secret was deleted; its roots are put back"
            ),
            Err(error) if error.is_conflict() => {} // another replica was faster
            Err(error) => warn!(error = %plain(&error), "the deleted Secret could not be put back"),
        }
    }

    fn serving(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.leaf.read().unwrap_or_else(PoisonError::into_inner).key)
    }
}

/// Hands the present leaf to TLS servers.
#[derive(Debug)]
pub struct Serving(pub Arc<Authority>);

impl ResolvesServerCert for Serving {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.serving())
    }
}

/// Of two replicas that start at once, one makes the first roots and the other reads them. The chart lays an empty
/// Secret, so that it goes with the chart; where there is none, one is made.
async fn read_or_make(api: &Api<Secret>, name: &str) -> Result<Secret, AuthorityError> {
    let held = request(name, "read", api.get_opt(name)).await?;
    if let Some(held) = &held
        && held.data.as_ref().is_some_and(|data| !data.is_empty())
    {
        return Ok(held.clone());
    }
    let first = secret::write(name, &Roots::first(Timestamp::now())?, held.as_ref());
    let made = match held {
        Some(_) => request(name, "written", api.replace(name, &PostParams::default(), &first)).await,
        None => request(name, "made", api.create(&PostParams::default(), &first)).await,
    };
    match made {
        Err(error) if error.is_conflict() => request(name, "read", api.get(name)).await,
        made => made.inspect(|_| info!(secret = name, "the mesh's first root is made")),
    }
}

async fn request<T>(
    name: &str,
    done: &'static str,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, AuthorityError> {
    match tokio::time::timeout(REQUEST, request).await {
        Ok(answer) => answer.map_err(|source| AuthorityError::Request {
            name: name.to_owned(),
            done,
            source,
        }),
        Err(_) => Err(AuthorityError::Late(name.to_owned())),
    }
}

/// Dates a certificate from a while before `now` (tolerated clock skew) until `life` after it.
fn date(params: &mut rcgen::CertificateParams, now: Timestamp, life: Duration) {
    let now = Duration::from_secs(u64::try_from(now.as_second()).unwrap_or(0));
    let epoch = rcgen::date_time_ymd(1970, 1, 1); // rcgen makes whole dates only
    params.not_before = epoch + now.saturating_sub(SKEW);
    params.not_after = epoch + now + life;
}
