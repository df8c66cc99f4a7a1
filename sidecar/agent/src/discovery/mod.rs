//! Where a sidecar learns what to run: plan documents and endpoints from their sources, merged into one [`Known`].
//!
//! [`Discovery::run`] owns all of it: it looks at the file, keeps the live stream up, merges what they say, publishes
//! the latest, and keeps the last good state on disk. It knows nothing of workers and lookup tables: what it publishes
//! is data, `live` builds what calls read from it, and what the workers run comes back as [`Applied`].

mod file;
mod known;
mod merge;
mod metrics;
mod resolve;
mod saved;
mod shrink;
pub mod stream;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use plan::stream::RateShare;
use plan::{Control, Plan, Revision};
use process::drain;
use process::logging::causes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use self::file::PlanFile;
pub use self::file::{FileError, read};
pub use self::known::Known;
pub use self::merge::Change;
use self::merge::{Merge, Noted, Verdict};
pub use self::metrics::Metrics;
use self::resolve::{Found, Names};
use self::stream::{Dial, Event, Refused, Told};

/// Writes of the last good state are at least this far apart: endpoints may change many times a second in a rollout.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// How often the log says that there is no plan yet.
const REMIND_EVERY: Duration = Duration::from_secs(10);

/// Messages of the stream that wait to be merged; more make the stream wait, and with it the operator.
const EVENTS: usize = 16;

/// Where a plan came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A file, or the ConfigMap.
    File,
    /// The operator's live stream.
    Stream,
    /// The state directory.
    Saved,
}

impl Source {
    pub(crate) const ALL: [Self; 3] = [Self::File, Self::Stream, Self::Saved];

    /// The word used in logs and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Stream => "stream",
            Self::Saved => "saved",
        }
    }
}

/// What discovery needs to begin.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The plan's file, or the directory that a ConfigMap is mounted at.
    pub plan: PathBuf,
    /// Where the last good state is kept; `None` keeps none.
    pub state_dir: Option<PathBuf>,
    /// How the operator is reached.
    pub dial: Dial,
    /// Whether this process knows its inbound address without a plan; else a plan with exports must say it.
    pub inbound: bool,
}

/// What is published: the latest that is known, and where its plan came from.
#[derive(Debug, Clone)]
pub struct Current {
    /// What is known.
    pub known: Arc<Known>,
    /// Where the plan came from.
    pub source: Source,
}

/// The owner of all that the sources say.
#[derive(Debug)]
pub struct Discovery {
    settings: Settings,
    metrics: Metrics,
    merge: Merge,
    names: Names,
    file: PlanFile,
    /// The last trouble with reaching the file, and when the log spoke of it.
    absent: Option<(String, Instant)>,
    save: Save,
    current: watch::Sender<Option<Current>>,
    settled: watch::Sender<bool>,
    control: watch::Sender<Option<Control>>,
    refused: watch::Sender<Refused>,
    shares: watch::Sender<Vec<RateShare>>,
}

/// When the last good state is due to be written, and whether that failed last time: the log says it once.
#[derive(Debug, Default)]
struct Save {
    last: Option<Instant>,
    due: Option<Instant>,
    failed: bool,
}

impl Discovery {
    /// Reads the last good state and the file once, so that a plan on disk is known at once.
    #[must_use]
    pub fn open(settings: Settings, metrics: Metrics) -> Self {
        let mut discovery = Self {
            merge: restored(&settings),
            names: Names::default(),
            file: PlanFile::at(settings.plan.clone()),
            settings,
            metrics,
            absent: None,
            save: Save::default(),
            current: watch::channel(None).0,
            settled: watch::channel(false).0,
            control: watch::channel(None).0,
            refused: watch::channel(Refused::default()).0,
            shares: watch::channel(Vec::new()).0,
        };
        discovery.look();
        discovery.publish();
        discovery
    }

    /// The latest that is known, from now on; `None` until there is a plan.
    #[must_use]
    pub fn current(&self) -> watch::Receiver<Option<Current>> {
        self.current.subscribe()
    }

    /// Whether what is published is complete: there is a plan, and each name in it was looked up once.
    #[must_use]
    pub fn settled(&self) -> watch::Receiver<bool> {
        self.settled.subscribe()
    }

    /// What this pod may let in of rates that are shared, as the operator told it last.
    #[must_use]
    pub fn shares(&self) -> watch::Receiver<Vec<RateShare>> {
        self.shares.subscribe()
    }

    /// Follows all sources until the drain starts; `told` is what the operator hears of it.
    pub async fn run(mut self, told: Told, mut drain: drain::Watch) {
        let (events_in, mut events) = mpsc::channel(EVENTS);
        let (found_in, mut found) = mpsc::channel(EVENTS);
        // Dropped with this function, and what runs in it too.
        let mut tasks = JoinSet::new();
        let voice = (told, self.refused.subscribe());
        tasks.spawn(resolve::run(self.names.wanted(), found_in));
        tasks.spawn(stream::run(
            self.settings.dial.clone(),
            self.control.subscribe(),
            voice,
            events_in,
        ));
        let mut ticks = tokio::time::interval_at(Instant::now() + file::EVERY, file::EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = drain.started() => break,
                _ = ticks.tick() => self.look(),
                Some(event) = events.recv() => {
                    self.take(event);
                    while let Ok(event) = events.try_recv() {
                        self.take(event);
                    }
                }
                Some(found) = found.recv() => self.resolved(found),
                () = at(self.merge.next()) => {}
                () = at(self.save.due) => self.write(),
            }
            self.publish();
        }
        if self.save.due.is_some() {
            self.write();
        }
    }

    /// Reads the file.
    fn look(&mut self) {
        match self.file.changed() {
            Ok(None) => {}
            Ok(Some(plan)) => self.offer(plan, Source::File),
            Err(error @ FileError::Malformed(..)) => {
                self.refuse(Source::File, Revision(0), causes(&error).to_string());
            }
            Err(error) => self.remind(causes(&error).to_string()),
        }
    }

    /// The file can't be reached: said when that is new, and again and again while there is no plan at all.
    fn remind(&mut self, reason: String) {
        let now = Instant::now();
        let waits = self.merge.chosen().is_none();
        let due = match &self.absent {
            Some((said, at)) => *said != reason || (waits && now >= *at + REMIND_EVERY),
            None => true,
        };
        if due && waits {
            tracing::warn!(reason, "waiting for a plan");
        } else if due {
            tracing::warn!(
                reason,
                "the plan's file is out of reach; the last good plan stays"
            );
        }
        if due {
            self.absent = Some((reason, now));
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Connected => drop(self.metrics.connected.set(1)),
            Event::Disconnected => drop(self.metrics.connected.set(0)),
            Event::Plan(plan) => self.offer(*plan, Source::Stream),
            Event::Shares(shares) => drop(self.shares.send_replace(shares)),
            Event::Bad(revision, reason) => self.refuse(Source::Stream, revision, reason),
            Event::Endpoints(change) => {
                let service = change.service.clone();
                match self.merge.note(change, Instant::now()) {
                    Noted::Yes => {}
                    Noted::NoSuchService => {
                        tracing::debug!(%service, "endpoints of a service that is not in the plan");
                    }
                    Noted::Cut => {
                        tracing::warn!(%service, limit = merge::MAX_ENDPOINTS, "endpoints over the limit ignored");
                    }
                }
                self.save.ask(Instant::now());
            }
        }
    }

    /// A name was looked up.
    fn resolved(&mut self, found: Found) {
        let name = found.name.clone();
        if let Err(error) = self.names.note(found) {
            tracing::warn!(%name, %error, "a name of a service outside can't be resolved; what was last known stays");
        }
    }

    fn offer(&mut self, plan: Plan, source: Source) {
        let revision = plan.revision;
        if !self.settings.inbound && inbound(&plan).is_none() && !plan.exports.is_empty() {
            let reason =
                "exports: nobody can reach them; give --inbound-address, or an IP and port as `inbound`";
            return self.refuse(source, revision, reason.to_owned());
        }
        match self.merge.offer(plan, source, Instant::now()) {
            Verdict::Taken => {
                tracing::debug!(%revision, source = source.as_str(), "plan taken");
                self.save.ask(Instant::now());
            }
            Verdict::Older => {
                // Usual: a ConfigMap lags behind the stream.
                tracing::info!(%revision, source = source.as_str(), "plan ignored: a higher revision runs");
                self.metrics.older(source);
            }
        }
    }

    fn refuse(&self, source: Source, revision: Revision, reason: String) {
        tracing::warn!(%revision, source = source.as_str(), reason, "plan refused; the last good plan stays");
        self.metrics.refuse(source);
        self.refused.send_replace(Refused { revision, reason });
    }

    /// Tells everyone what is known now, where that is new.
    fn publish(&mut self) {
        let Some(known) = self.merge.known(Instant::now()) else {
            return;
        };
        let Some((_, source)) = self.merge.chosen() else {
            return;
        };
        self.metrics.held.set(self.merge.services_held() as i64);
        self.metrics.revision.set(known.plan.revision.0 as i64);
        self.metrics.runs(source);
        let known = self.names.expand(known);
        let control = known.plan.control.clone();
        self.control.send_if_modified(|old| replace(old, control));
        self.current.send_if_modified(|old| match old {
            Some(old) if *old.known == known && old.source == source => false,
            _ => {
                *old = Some(Current {
                    known: Arc::new(known),
                    source,
                });
                true
            }
        });
        let settled = self.names.is_settled();
        self.settled.send_if_modified(|old| replace(old, settled));
    }

    fn write(&mut self) {
        self.save.last = Some(Instant::now());
        self.save.due = None;
        let (Some(dir), Some(state)) = (&self.settings.state_dir, self.merge.to_save()) else {
            return;
        };
        let written = saved::save(dir, &state);
        let failed_before = std::mem::replace(&mut self.save.failed, written.is_err());
        if let Err(error) = written {
            self.metrics.unsaved.inc();
            if !failed_before {
                let error = causes(&error);
                tracing::warn!(%error, "a restart during an outage would begin with the plan's seeds");
            }
        }
    }
}

impl Save {
    /// Something is worth to be written: as soon as the last write is long enough ago.
    fn ask(&mut self, now: Instant) {
        let free = self.last.map_or(now, |last| last + SAVE_EVERY);
        self.due.get_or_insert(free.max(now));
    }
}

/// Where a plan says that other agents reach this one; only an IP and port can be listened on.
#[must_use]
pub fn inbound(plan: &Plan) -> Option<SocketAddr> {
    plan.inbound.as_ref()?.as_str().parse().ok()
}

fn restored(settings: &Settings) -> Merge {
    let Some(dir) = &settings.state_dir else {
        return Merge::default();
    };
    match saved::load(dir) {
        Ok(Some(state)) => Merge::from_saved(state, Instant::now()),
        Ok(None) => Merge::default(),
        Err(error) => {
            tracing::warn!(error = %causes(&error), "the last good state is ignored");
            Merge::default()
        }
    }
}

fn replace<T: PartialEq>(old: &mut T, new: T) -> bool {
    let changed = *old != new;
    *old = new;
    changed
}

/// Never, where there is nothing to wait for.
async fn at(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
