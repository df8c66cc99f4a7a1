//! What the program says by itself through the management API of Motan clients (motan-clients 1.10): what it calls
//! and what it serves.
//!
//! [`pages`] reads a request, [`Entries`] judges and remembers it beside the plan, [`Entries::overlay`] is what
//! `follow` builds the tables from, and what nobody declared goes to the operator by the stream. No call comes here.

mod entries;
mod overlay;
pub mod pages;
mod saved;
mod url;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use plan::Plan;
use process::logging::causes;
use tokio::sync::watch;

pub use self::entries::{Entries, Refused};
pub use self::url::{BadUrl, Url};

/// What the program has said; clones share it.
#[derive(Debug, Clone)]
pub struct Registry {
    entries: watch::Sender<Entries>,
    disk: Option<Arc<Disk>>,
}

/// Where it is kept, and whether that failed last time: the log says it once.
#[derive(Debug)]
struct Disk {
    dir: PathBuf,
    failed: AtomicBool,
}

impl Registry {
    /// What a process before this one has kept in `dir`; nothing where it can't be read.
    #[must_use]
    pub fn open(dir: Option<PathBuf>) -> Self {
        let entries = dir.as_ref().map(|dir| saved::load(dir));
        let entries = entries.unwrap_or_else(|| Ok(Entries::default()));
        let entries = entries.unwrap_or_else(|error| {
            tracing::warn!(error = %causes(&error), "begins with nothing registered");
            Entries::default()
        });
        let disk = dir.map(|dir| {
            let failed = AtomicBool::new(false);
            Arc::new(Disk { dir, failed })
        });
        Self {
            entries: watch::channel(entries).0,
            disk,
        }
    }

    /// What the program has said, from now on.
    #[must_use]
    pub fn entries(&self) -> watch::Receiver<Entries> {
        self.entries.subscribe()
    }

    /// A plan runs now.
    pub fn settle(&self, plan: &Plan) {
        self.change(|entries| entries.settle(plan));
    }

    /// Changes what was said, and keeps it where it differs: the answer to the program comes after that. Gives whether
    /// it differs.
    fn change<T>(&self, change: impl FnOnce(&mut Entries) -> T) -> (T, bool) {
        let mut done = None;
        let is_news = self.entries.send_if_modified(|entries| {
            let before = entries.clone();
            done = Some(change(entries));
            before != *entries
        });
        if is_news && let Some(disk) = &self.disk {
            disk.keep(&self.entries.borrow());
        }
        (done.expect("send_if_modified calls its function once"), is_news)
    }
}

impl Disk {
    fn keep(&self, entries: &Entries) {
        let kept = saved::save(&self.dir, entries);
        let failed_before = self.failed.swap(kept.is_err(), Ordering::Relaxed);
        if let Err(error) = kept
            && !failed_before
        {
            let error = causes(&error);
            tracing::warn!(%error, "a restarted sidecar would not know what the program has registered");
        }
    }
}

#[cfg(test)]
mod tests;
