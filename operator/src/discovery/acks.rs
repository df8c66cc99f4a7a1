//! What sidecars say they run, by pod: kept by every replica for its own streams, gathered by the leader.
//!
//! Only the leader writes status, but each replica hears only its own sidecars. So the others pass on what they hear
//! by `POST /v1/acks` to the leader's stream server (`forward.rs`). An object per replica would have done as well, at
//! the price of an API write for every answer; an answer is soft state that the next hello repeats.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use plan::{PlanHash, stream::Subscription};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::world::{Cluster, ObjectKey, World};

/// The most pods whose answers are kept; above what one cluster runs.
const MOST: usize = 150_000;

/// What one sidecar says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The namespace of its pod.
    pub namespace: Box<str>,
    /// The name of its pod.
    pub pod: Box<str>,
    /// The UID of its pod.
    pub uid: Box<str>,
    /// The hash of the plan it runs.
    pub runs: PlanHash,
    /// Why it refused the last plan it was sent, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// What its program has subscribed to by itself; absent where it has not said yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undeclared: Option<Vec<Subscription>>,
    /// Its version.
    pub version: Box<str>,
}

/// What all sidecars say.
#[derive(Debug, Default)]
pub struct Acks {
    said: Mutex<Book>,
    heard: Notify,
    /// For whoever passes the answers on: a set apart from the leader's own.
    passed: Notify,
}

#[derive(Debug, Default)]
struct Book {
    by_uid: HashMap<Box<str>, Said>,
    news: BTreeSet<ObjectKey>,
    unsent: BTreeSet<Box<str>>,
}

/// How often pods that are gone are forgotten.
const PRUNE: Duration = Duration::from_secs(60);

/// Forgets pods that are gone, for as long as it is run.
pub async fn prune(acks: &Acks, cluster: &Cluster) -> String {
    let mut tick = tokio::time::interval(PRUNE);
    loop {
        tick.tick().await;
        let uids = cluster.read(|world| world.pods().map(|pod| pod.uid.clone()).collect());
        acks.keep(&uids);
        cluster.change(World::prune_asked);
    }
}

impl Said {
    /// The pod it speaks for.
    #[must_use]
    pub fn key(&self) -> ObjectKey {
        ObjectKey::new(&self.namespace, &self.pod)
    }

    /// What its program subscribes to becomes part of the world.
    pub fn ask(&self, cluster: &Cluster) {
        if let Some(subscriptions) = &self.undeclared {
            cluster.ask(&self.key(), &self.uid, subscriptions.clone());
        }
    }
}

impl Acks {
    /// A sidecar of this replica says something.
    pub fn hear(&self, said: Said) {
        let mut book = self.book();
        if book.by_uid.get(&said.uid) != Some(&said) {
            book.unsent.insert(said.uid.clone());
            book.note(said);
            drop(book);
            self.heard.notify_one();
            self.passed.notify_one();
        }
    }

    /// Another replica passes on what it heard.
    pub fn gather(&self, all: Vec<Said>) {
        let mut book = self.book();
        for said in all {
            book.note(said);
        }
        drop(book);
        self.heard.notify_one();
    }

    /// What a pod's sidecar said last.
    #[must_use]
    pub fn of(&self, uid: &str) -> Option<Said> {
        self.book().by_uid.get(uid).cloned()
    }

    /// The pods that said something new since the last call; waits for one.
    pub async fn news(&self) -> BTreeSet<ObjectKey> {
        loop {
            let news = std::mem::take(&mut self.book().news);
            if !news.is_empty() {
                return news;
            }
            self.heard.notified().await;
        }
    }

    /// What this replica's sidecars said and was not passed on yet; waits for something.
    pub async fn unsent(&self) -> Vec<Said> {
        loop {
            {
                let mut book = self.book();
                let uids = std::mem::take(&mut book.unsent);
                if !uids.is_empty() {
                    return uids
                        .iter()
                        .filter_map(|uid| book.by_uid.get(uid).cloned())
                        .collect();
                }
            }
            self.passed.notified().await;
        }
    }

    /// Everything counts as not passed on: the leader has changed, or did not get it.
    pub fn send_again(&self) {
        let mut book = self.book();
        book.unsent = book.by_uid.keys().cloned().collect();
        drop(book);
        self.passed.notify_one();
    }

    /// Forgets pods that are not among these any more.
    pub fn keep(&self, uids: &BTreeSet<Box<str>>) {
        self.book().by_uid.retain(|uid, _| uids.contains(uid));
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn note(&mut self, said: Said) {
        let known = self.by_uid.contains_key(&said.uid);
        if known || self.by_uid.len() < MOST {
            self.news.insert(said.key());
            self.by_uid.insert(said.uid.clone(), said);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(uid: &str, runs: &str) -> Said {
        Said {
            namespace: "shop".into(),
            pod: "web-0".into(),
            uid: uid.into(),
            runs: PlanHash(runs.to_owned()),
            refused: None,
            undeclared: None,
            version: "1".into(),
        }
    }

    #[tokio::test]
    async fn an_answer_is_news_once_and_passed_on_once() {
        let acks = Acks::default();
        acks.hear(said("u", "a"));
        acks.hear(said("u", "a"));
        assert_eq!(acks.news().await.len(), 1);
        assert_eq!(acks.unsent().await, [said("u", "a")]);
        acks.hear(said("u", "b"));
        assert_eq!(acks.unsent().await, [said("u", "b")]);
        acks.send_again();
        assert_eq!(acks.unsent().await, [said("u", "b")]);
    }

    #[tokio::test]
    async fn what_was_gathered_is_news_but_not_passed_on_again() {
        let acks = Acks::default();
        acks.gather(vec![said("u", "a")]);
        assert_eq!(acks.news().await.len(), 1);
        assert_eq!(acks.of("u"), Some(said("u", "a")));
        assert!(acks.book().unsent.is_empty());
    }
}
