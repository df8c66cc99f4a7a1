//! One kind of object, followed for ever: list, then watch, then list again where the server has forgotten.
//!
//! Made on the client's plain `list` and `watch` rather than kube's `watcher`, for three things that one keeps to
//! itself: the revision of a list, bookmarks (a quiet kind still moves on), and whether a watch is quiet or dead.
//! What is seen goes to the caller's function; nothing is stored here.

use std::{fmt::Debug, time::Duration};

use futures::{Stream, StreamExt};
use kube::{
    Api, Resource, ResourceExt,
    api::{ListParams, WatchEvent, WatchParams},
};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use crate::{backoff::Backoff, connect::plain};

/// How many objects a page of a list holds.
const PAGE: u32 = 500;
/// How long one page of a list, or the start of a watch, may take.
const ANSWER: Duration = Duration::from_secs(30);
/// After this the server ends a watch on purpose, in seconds; the next one goes on where it ended.
const WATCH_LIFE: u32 = 280;
/// A watch without even a bookmark for this long is dead: the server sends one about every minute.
const QUIET: Duration = Duration::from_secs(150);
/// A watch that ends sooner is not begun again without a pause.
const SHORT: Duration = Duration::from_secs(1);
/// A kind that could be neither listed nor watched for this long is frozen, and its follower gives up.
const FROZEN: Duration = Duration::from_secs(300);

/// What became known of a kind.
#[derive(Debug)]
pub enum Seen<K> {
    /// All there is now; what is not in it is gone.
    All {
        /// Every object.
        objects: Vec<K>,
        /// The list's revision.
        revision: u64,
    },
    /// New or changed.
    Applied(K),
    /// Deleted; the last state of it.
    Gone(K),
    /// Nothing happened up to this revision.
    Reached(u64),
}

/// Why a kind is followed no more.
#[derive(Debug, thiserror::Error)]
#[error("no contact with the API server's {kind} for {} s: {last}", FROZEN.as_secs())]
pub struct Frozen {
    kind: String,
    last: String,
}

/// Why following was interrupted; it goes on after a pause.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The request failed.
    #[error("the request failed")]
    Request(#[source] kube::Error),
    /// The server ended the watch with an error.
    #[error("the server says: {message} ({code})")]
    Server {
        /// HTTP status; 410 means that a new list is needed.
        code: u16,
        /// The server's words.
        message: String,
    },
    /// A list came without a revision.
    #[error("a list without a resourceVersion")]
    NoRevision,
    /// Nothing came in time.
    #[error("no answer in time")]
    Silent,
}

impl FollowError {
    /// Whether the revision that we hold is too old for the server.
    fn is_gone(&self) -> bool {
        match self {
            Self::Server { code, .. } => *code == 410,
            Self::Request(kube::Error::Api(status)) => status.code == 410,
            _ => false,
        }
    }
}

/// Which objects of a kind.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// By label.
    pub labels: Option<String>,
    /// By field.
    pub fields: Option<String>,
}

/// Follows a kind and tells what it sees; comes back only when frozen.
pub async fn follow<K>(api: Api<K>, kind: &str, scope: Scope, mut tell: impl FnMut(Seen<K>)) -> Frozen
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let mut follower = Follower {
        api,
        scope,
        revision: None,
        contact: Instant::now(),
    };
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(20));
    loop {
        let (before, began) = (follower.contact, Instant::now());
        let Err(error) = follower.once(&mut tell).await else {
            if began.elapsed() < SHORT {
                tokio::time::sleep(backoff.pause()).await;
            }
            continue;
        };
        if error.is_gone() {
            debug!(kind, "the server has forgotten our revision: listing again");
            follower.revision = None;
            tokio::time::sleep(backoff.pause()).await;
            continue;
        }
        if follower.contact != before {
            backoff.reset();
        }
        if follower.contact.elapsed() >= FROZEN {
            return Frozen {
                kind: kind.to_owned(),
                last: plain(&error).to_string(),
            };
        }
        warn!(kind, error = %plain(&error), "watch interrupted, trying again");
        tokio::time::sleep(backoff.pause()).await;
    }
}

struct Follower<K> {
    api: Api<K>,
    scope: Scope,
    /// Up to where we know everything, as the server wrote it; `None` before the first list.
    revision: Option<String>,
    /// The last time the server said anything good.
    contact: Instant,
}

impl<K> Follower<K>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    /// One list where needed, then one watch to its end.
    async fn once(&mut self, tell: &mut impl FnMut(Seen<K>)) -> Result<(), FollowError> {
        let revision = match self.revision.clone() {
            Some(revision) => revision,
            None => self.list(tell).await?,
        };
        let params = WatchParams {
            label_selector: self.scope.labels.clone(),
            field_selector: self.scope.fields.clone(),
            timeout: Some(WATCH_LIFE),
            bookmarks: true,
            send_initial_events: false,
        };
        let watch = within(ANSWER, self.api.watch(&params, &revision)).await?;
        self.contact = Instant::now();
        self.drain(watch.boxed(), tell).await
    }

    async fn list(&mut self, tell: &mut impl FnMut(Seen<K>)) -> Result<String, FollowError> {
        let mut params = ListParams::default().limit(PAGE);
        params.label_selector = self.scope.labels.clone();
        params.field_selector = self.scope.fields.clone();
        let mut objects = Vec::new();
        let revision = loop {
            let page = within(ANSWER, self.api.list(&params)).await?;
            self.contact = Instant::now();
            objects.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => break page.metadata.resource_version.ok_or(FollowError::NoRevision)?,
            }
        };
        tell(Seen::All {
            objects,
            revision: number(&revision),
        });
        self.revision = Some(revision.clone());
        Ok(revision)
    }

    /// Reads a watch until the server ends it.
    async fn drain(
        &mut self,
        mut watch: impl Stream<Item = Result<WatchEvent<K>, kube::Error>> + Unpin,
        tell: &mut impl FnMut(Seen<K>),
    ) -> Result<(), FollowError> {
        loop {
            let Ok(event) = timeout(QUIET, watch.next()).await else {
                return Err(FollowError::Silent);
            };
            let Some(event) = event else { return Ok(()) };
            let event = event.map_err(FollowError::Request)?;
            self.contact = Instant::now();
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    self.reached(object.resource_version());
                    tell(Seen::Applied(object));
                }
                WatchEvent::Deleted(object) => {
                    self.reached(object.resource_version());
                    tell(Seen::Gone(object));
                }
                WatchEvent::Bookmark(bookmark) => {
                    let revision = bookmark.metadata.resource_version;
                    tell(Seen::Reached(number(&revision)));
                    self.revision = Some(revision);
                }
                WatchEvent::Error(status) => {
                    return Err(FollowError::Server {
                        code: status.code,
                        message: status.message,
                    });
                }
            }
        }
    }

    fn reached(&mut self, revision: Option<String>) {
        if revision.is_some() {
            self.revision = revision;
        }
    }
}

async fn within<T>(
    time: Duration,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, FollowError> {
    match timeout(time, request).await {
        Ok(answer) => answer.map_err(FollowError::Request),
        Err(_) => Err(FollowError::Silent),
    }
}

/// A resource version as a number: Kubernetes promises since 1.35 (KEP-5504) that they are comparable integers, and
/// etcd has always made them so. One that isn't counts as zero and raises nothing.
#[must_use]
pub fn number(revision: &str) -> u64 {
    revision.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests;
