//! Who may write: leadership by a `coordination.k8s.io/v1` Lease.
//!
//! [`Election`] decides (pure: what was read and the time come in), [`run`] acts. A holder renews every [`RENEW`],
//! stops writing [`GIVE_UP`] after its last good renewal, and others may take over after [`DURATION`] without a
//! change: so two never write at once, whatever the clocks of the machines say (only elapsed time is compared).
//! At shutdown the holder vacates, and the next one takes over at its next look.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, api::PostParams};
use tokio::{sync::watch, time::Instant};
use tracing::{debug, info, warn};

use crate::connect::plain;

/// How long a silent holder keeps the lease.
pub const DURATION: Duration = Duration::from_secs(15);
/// How often a holder renews: twice within [`GIVE_UP`].
pub const RENEW: Duration = Duration::from_secs(5);
/// A holder that could not renew for this long stops writing, five seconds before another may begin.
pub const GIVE_UP: Duration = Duration::from_secs(10);
/// How often the others look.
const LOOK: Duration = Duration::from_secs(2);
/// How long one request may take: three tries fit before giving up.
const REQUEST: Duration = Duration::from_secs(3);
/// Annotation on the Lease: where the holder's stream server answers (`ip:port`), for the acks of other replicas.
const LEADER_ADDRESS: &str = "motanmesh.io/leader-address";

/// Who leads now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leadership {
    /// This process, and it may write.
    Leader,
    /// Another one, or nobody known.
    Follower {
        /// Where the leader's stream server answers, once known.
        leader: Option<String>,
    },
}

impl Leadership {
    /// Whether this process may write.
    #[must_use]
    pub fn leads(&self) -> bool {
        matches!(self, Self::Leader)
    }
}

/// What the Lease said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Who holds it; `None` when vacated.
    pub holder: Option<String>,
    /// When it was renewed: compared for equality only, never with a clock.
    pub renewed: Option<Timestamp>,
    /// How long its holder keeps it in silence.
    pub duration: Duration,
    /// Where the holder answers.
    pub address: Option<String>,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There is no Lease: make it.
    Create,
    /// It is ours: renew it.
    Renew,
    /// It is free, or its holder has been silent too long: take it.
    Take,
    /// Another one holds it: look again later.
    Wait,
}

/// One candidate's view of the election.
#[derive(Debug)]
pub struct Election {
    me: String,
    observed: Option<(Record, Instant)>,
    renewed: Option<Instant>,
}

impl Election {
    /// A candidate with this identity (the pod's name), which has seen nothing yet.
    #[must_use]
    pub fn new(me: impl Into<String>) -> Self {
        Self {
            me: me.into(),
            observed: None,
            renewed: None,
        }
    }

    /// What to do about what the Lease says now.
    pub fn decide(&mut self, seen: Option<&Record>, now: Instant) -> Step {
        let Some(seen) = seen else { return Step::Create };
        match &seen.holder {
            None => Step::Take,
            Some(holder) if *holder == self.me => Step::Renew,
            Some(_) => self.watch_other(seen, now),
        }
    }

    fn watch_other(&mut self, seen: &Record, now: Instant) -> Step {
        self.renewed = None;
        match &self.observed {
            Some((known, since)) if known == seen => {
                if now.duration_since(*since) >= seen.duration {
                    Step::Take
                } else {
                    Step::Wait
                }
            }
            _ => {
                self.observed = Some((seen.clone(), now));
                Step::Wait
            }
        }
    }

    /// A write that made or kept us the holder, begun at `began`, has succeeded.
    pub fn renewed(&mut self, began: Instant) {
        self.renewed = Some(began);
    }

    /// Whether we may still write.
    #[must_use]
    pub fn leads(&self, now: Instant) -> bool {
        self.renewed
            .is_some_and(|renewed| now.duration_since(renewed) < GIVE_UP)
    }

    /// Where the other holder answers, as last seen.
    fn leader(&self) -> Option<String> {
        self.observed
            .as_ref()
            .and_then(|(record, _)| record.address.clone())
    }

    fn leadership(&self, now: Instant) -> Leadership {
        if self.leads(now) {
            Leadership::Leader
        } else {
            Leadership::Follower {
                leader: self.leader(),
            }
        }
    }
}

/// Who stands for election, where.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The Lease's name.
    pub lease: String,
    /// The pod's name.
    pub identity: String,
    /// Where this replica's stream server answers other replicas.
    pub address: Option<String>,
}

/// Stands for election until `stop` says so, then vacates. `told` always has the present state.
pub async fn run(
    api: Api<Lease>,
    candidate: Candidate,
    told: watch::Sender<Leadership>,
    stop: impl Future<Output = ()>,
) {
    let mut election = Election::new(&candidate.identity);
    tokio::pin!(stop);
    loop {
        match tokio::time::timeout(REQUEST, turn(&api, &candidate, &mut election)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                warn!(error = %plain(&error), lease = candidate.lease, "the lease could not be read or written");
            }
            Err(_) => warn!(lease = candidate.lease, "the lease did not answer in time"),
        }
        tell(&told, &election);
        tokio::select! {
            () = pause(&told, &election) => {}
            () = &mut stop => break,
        }
    }
    if election.leads(Instant::now()) {
        vacate(&api, &candidate).await;
    }
}

/// The state as it is now; said aloud when it changes.
fn tell(told: &watch::Sender<Leadership>, election: &Election) {
    let now = election.leadership(Instant::now());
    told.send_if_modified(|state| {
        if *state == now {
            return false;
        }
        match (&*state, &now) {
            (Leadership::Follower { .. }, Leadership::Leader) => info!("leading: this replica writes"),
            (Leadership::Leader, Leadership::Follower { .. }) => {
                warn!("no longer leading: this replica stops writing");
            }
            _ => {}
        }
        *state = now;
        true
    });
}

/// Until the next look; a leadership that runs out meanwhile is told at that moment.
async fn pause(told: &watch::Sender<Leadership>, election: &Election) {
    let wait = match election.renewed {
        // After a failed renewal the next try comes sooner than the next regular one.
        Some(renewed) if renewed.elapsed() < RENEW => RENEW.saturating_sub(renewed.elapsed()),
        Some(_) => Duration::from_secs(1),
        None => LOOK,
    };
    let until = Instant::now() + wait;
    if let Some(renewed) = election.renewed {
        let end = renewed + GIVE_UP;
        if end < until {
            tokio::time::sleep_until(end).await;
            tell(told, election);
        }
    }
    tokio::time::sleep_until(until).await;
}

async fn turn(api: &Api<Lease>, candidate: &Candidate, election: &mut Election) -> Result<(), kube::Error> {
    let lease = api.get_opt(&candidate.lease).await?;
    let record = lease.as_ref().map(read);
    let began = Instant::now();
    let written = match election.decide(record.as_ref(), began) {
        Step::Wait => return Ok(()),
        Step::Create => api.create(&PostParams::default(), &held(candidate, None)).await,
        Step::Renew | Step::Take => {
            let next = held(candidate, lease.as_ref());
            api.replace(&candidate.lease, &PostParams::default(), &next).await
        }
    };
    match written {
        Ok(_) => election.renewed(began),
        // Another candidate was faster: its word is read at the next look.
        Err(kube::Error::Api(status)) if status.code == 409 => {
            debug!("another candidate wrote the lease first");
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// The last act: the next leader need not wait for the lease to run out.
async fn vacate(api: &Api<Lease>, candidate: &Candidate) {
    let leave = async {
        let Some(mut lease) = api.get_opt(&candidate.lease).await? else {
            return Ok(());
        };
        if read(&lease).holder.as_deref() != Some(candidate.identity.as_str()) {
            return Ok(());
        }
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = None;
        }
        api.replace(&candidate.lease, &PostParams::default(), &lease)
            .await
            .map(drop)
    };
    match tokio::time::timeout(REQUEST, leave).await {
        Ok(Ok(())) => info!("the lease is vacated"),
        Ok(Err(error)) => {
            warn!(error = %plain(&error), "the lease could not be vacated; it runs out by itself")
        }
        Err(_) => warn!("the lease could not be vacated in time; it runs out by itself"),
    }
}

fn read(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec
        .lease_duration_seconds
        .and_then(|seconds| u64::try_from(seconds).ok());
    Record {
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        renewed: spec.renew_time.map(|MicroTime(time)| time),
        duration: seconds.map_or(DURATION, Duration::from_secs),
        address: lease
            .metadata
            .annotations
            .as_ref()
            .and_then(|all| all.get(LEADER_ADDRESS).cloned()),
    }
}

/// The Lease as it is written by us, on top of what was read (whose resourceVersion makes the write conditional).
fn held(candidate: &Candidate, before: Option<&Lease>) -> Lease {
    let now = MicroTime(Timestamp::now());
    let mut lease = before.cloned().unwrap_or_else(|| Lease {
        metadata: ObjectMeta {
            name: Some(candidate.lease.clone()),
            ..ObjectMeta::default()
        },
        spec: None,
    });
    let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
    if spec.holder_identity.as_deref() != Some(candidate.identity.as_str()) {
        spec.lease_transitions = Some(spec.lease_transitions.map_or(0, |count| count.saturating_add(1)));
        spec.acquire_time = Some(now.clone());
    }
    spec.holder_identity = Some(candidate.identity.clone());
    spec.lease_duration_seconds = i32::try_from(DURATION.as_secs()).ok();
    spec.renew_time = Some(now);
    let annotations = lease.metadata.annotations.get_or_insert_default();
    match &candidate.address {
        Some(address) => annotations.insert(LEADER_ADDRESS.to_owned(), address.clone()),
        None => annotations.remove(LEADER_ADDRESS),
    };
    lease
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(holder: Option<&str>, renewed: i64) -> Record {
        Record {
            holder: holder.map(str::to_owned),
            renewed: Timestamp::from_second(renewed).ok(),
            duration: DURATION,
            address: holder.map(|holder| format!("{holder}:9444")),
        }
    }

    #[test]
    fn a_missing_lease_is_made_and_a_vacated_one_is_taken() {
        let mut election = Election::new("a");
        let now = Instant::now();
        assert_eq!(election.decide(None, now), Step::Create);
        assert_eq!(election.decide(Some(&record(None, 1)), now), Step::Take);
    }

    #[test]
    fn a_holder_that_renews_is_left_alone_for_ever() {
        let mut election = Election::new("a");
        let start = Instant::now();
        for turn in 0..100u32 {
            let now = start + RENEW * turn;
            assert_eq!(
                election.decide(Some(&record(Some("b"), i64::from(turn))), now),
                Step::Wait
            );
        }
        assert_eq!(
            election.leadership(start),
            Leadership::Follower {
                leader: Some("b:9444".to_owned())
            }
        );
    }

    #[test]
    fn a_silent_holder_loses_the_lease_after_its_duration_whatever_its_clock_said() {
        let mut election = Election::new("a");
        let start = Instant::now();
        let far_future = record(Some("b"), 9_999_999_999);
        assert_eq!(election.decide(Some(&far_future), start), Step::Wait);
        assert_eq!(
            election.decide(Some(&far_future), start + DURATION - Duration::from_millis(1)),
            Step::Wait
        );
        assert_eq!(election.decide(Some(&far_future), start + DURATION), Step::Take);
    }

    #[test]
    fn leadership_ends_before_another_may_take_it() {
        let mut election = Election::new("a");
        let start = Instant::now();
        assert!(!election.leads(start));
        assert_eq!(election.decide(Some(&record(Some("a"), 1)), start), Step::Renew);
        election.renewed(start);
        assert!(election.leads(start + GIVE_UP - Duration::from_millis(1)));
        assert!(!election.leads(start + GIVE_UP));
        const { assert!(GIVE_UP.as_secs() < DURATION.as_secs()) };
    }

    #[test]
    fn seeing_another_holder_ends_leadership_at_once() {
        let mut election = Election::new("a");
        let now = Instant::now();
        election.renewed(now);
        assert_eq!(election.decide(Some(&record(Some("b"), 2)), now), Step::Wait);
        assert!(!election.leads(now));
    }

    #[test]
    fn taking_over_counts_a_transition_and_renewing_does_not() {
        let candidate = |identity: &str| Candidate {
            lease: "lease".to_owned(),
            identity: identity.to_owned(),
            address: None,
        };
        let first = held(&candidate("a"), None);
        let renewed = held(&candidate("a"), Some(&first));
        let taken = held(&candidate("b"), Some(&renewed));
        let count = |lease: &Lease| lease.spec.as_ref().and_then(|spec| spec.lease_transitions);
        assert_eq!(
            (count(&first), count(&renewed), count(&taken)),
            (Some(0), Some(0), Some(1))
        );
    }
}
