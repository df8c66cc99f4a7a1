//! Where the process is in its life, as the kubelet and people move it: serving, going, switched off.
//!
//! It only remembers and tells; what is done about it, in which order, is `app`'s.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use process::ready::{Pending, Readiness};
use tokio::sync::watch;
use tokio::time::Instant;

/// How long calls are still accepted after a SIGTERM that nobody announced (a container that is restarted): other
/// agents hear of it within one round trip, and what they had already sent arrives meanwhile.
const LINGER: Duration = Duration::from_millis(300);

/// The life of this process; clones share it.
#[derive(Debug, Clone)]
pub struct Life {
    /// What it waits for to be ready.
    pub readiness: Readiness,
    going: watch::Sender<Option<Instant>>,
    /// Held while a program has switched the sidecar off with `/503`, and for ever once it goes.
    unready: Arc<Mutex<Unready>>,
}

#[derive(Debug, Default)]
struct Unready {
    switched_off: Option<Pending>,
    going: Option<Pending>,
}

impl Life {
    /// Serving, and ready when `readiness` says so.
    #[must_use]
    pub fn new(readiness: Readiness) -> Self {
        Self {
            readiness,
            going: watch::channel(None).0,
            unready: Arc::default(),
        }
    }

    /// The pod goes, or the process does: not ready from now on, and everyone who waits for it is told. Said again,
    /// it changes nothing.
    pub fn go(&self, now: Instant) {
        self.unready()
            .going
            .get_or_insert_with(|| self.readiness.pending("draining"));
        self.going.send_if_modified(|going| {
            let first = going.is_none();
            going.get_or_insert(now);
            first
        });
    }

    /// Since when it goes.
    #[must_use]
    pub fn going(&self) -> Option<Instant> {
        *self.going.borrow()
    }

    /// Returns once it goes, at once if it does already.
    pub async fn goes(&self) {
        // The sender lives in self, so there is no error.
        let _ = self.going.subscribe().wait_for(Option::is_some).await;
    }

    /// Whether the program behind wants calls (`/200`) or not (`/503`): it is not ready while it does not.
    pub fn switch(&self, on: bool) {
        let mut unready = self.unready();
        match (on, unready.switched_off.take()) {
            (true, Some(pending)) => pending.done(),
            (true, None) => {}
            (false, Some(pending)) => unready.switched_off = Some(pending),
            (false, None) => unready.switched_off = Some(self.readiness.pending("switched off by /503")),
        }
    }

    fn unready(&self) -> std::sync::MutexGuard<'_, Unready> {
        self.unready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a process that is ended at `now` still accepts calls. One that said `delay` ago that it goes needs none:
/// everyone has heard. One that said it later makes up for the rest, if others call it at all (`called`): a job that
/// has done its work must not wait for nobody. One that did not say it gives a short while.
#[must_use]
pub fn linger(going: Option<Instant>, now: Instant, delay: Duration, called: bool) -> Duration {
    let rest = going.map_or(delay, |since| {
        delay.saturating_sub(now.saturating_duration_since(since))
    });
    if going.is_some() && called {
        rest
    } else {
        LINGER.min(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_it_lingers_depends_on_how_long_ago_it_was_announced() {
        let (start, delay) = (Instant::now(), Duration::from_secs(5));
        let millis = Duration::from_millis;
        let table = [
            (None, delay, true, LINGER),
            (None, delay, false, LINGER),
            (None, Duration::ZERO, true, Duration::ZERO),
            (Some(millis(100)), delay, true, millis(4_900)),
            (Some(millis(100)), delay, false, LINGER),
            (Some(millis(4_900)), delay, false, millis(100)),
            (Some(millis(5_000)), delay, true, Duration::ZERO),
            (Some(millis(60_000)), delay, false, Duration::ZERO),
        ];
        for (ago, delay, called, expected) in table {
            let now = start + ago.unwrap_or_default();
            let lingers = linger(ago.map(|_| start), now, delay, called);
            assert_eq!(lingers, expected, "{ago:?} {delay:?} {called}");
        }
    }

    #[tokio::test]
    async fn going_is_said_once_and_is_never_ready_again() {
        let life = Life::new(Readiness::default());
        let first = Instant::now();
        life.go(first);
        life.go(first + LINGER);
        life.goes().await;
        assert_eq!(life.going(), Some(first));
        life.switch(true);
        assert_eq!(life.readiness.waits_for(), ["draining"]);
    }

    #[test]
    fn a_program_switches_readiness_off_and_on() {
        let life = Life::new(Readiness::default());
        life.switch(false);
        life.switch(false);
        assert!(!life.readiness.is_ready());
        life.switch(true);
        life.switch(true);
        assert!(life.readiness.is_ready());
    }
}
