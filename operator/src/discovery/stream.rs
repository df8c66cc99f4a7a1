//! The life of one stream: hello, then whatever changes, until someone has had enough.
//!
//! The task waits for room before it compiles, so that what it sends is the state of that moment; what changes while
//! a slow sidecar reads is one flag.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use plan::{
    ServiceName, Undeclared,
    stream::{FromOperator, FromSidecar, HEARTBEAT, MAX_UNDECLARED},
};
use process::drain;
use process::logging::causes;
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};
use tracing::{debug, info, warn};

use super::{
    acks::Said,
    fanout::Place,
    lines::{LineError, Lines, encode},
    metrics::{Ended, EndedLabels},
    server::Discovery,
    session::{Lag, Next, Session, Wanted},
    tokens::Caller,
};
use crate::{backoff::between, compile, world::ObjectKey};

/// How long a sidecar may take to say hello.
const HELLO: Duration = Duration::from_secs(10);
/// A stream lives this long, so that replicas share their sidecars again after one of them was away.
const LIFETIME: (Duration, Duration) = (Duration::from_secs(30 * 60), Duration::from_secs(60 * 60));
/// How long a replica that is behind its sidecar waits to catch up.
const CATCH_UP: Duration = Duration::from_secs(5);
/// What the program asks for is said right after the hello; a sidecar that is silent for this long has nothing to say.
/// Where it may be granted the first plan waits for it: a plan without it would take it away.
const ASKING: Duration = Duration::from_millis(500);
/// How often it looks meanwhile.
const LOOK: Duration = Duration::from_millis(50);

/// Runs a stream to its end.
pub(super) async fn run(
    discovery: Arc<Discovery>,
    caller: Caller,
    mut lines: Lines,
    out: mpsc::Sender<Bytes>,
    place: Place,
    drain: drain::Watch,
) {
    discovery.metrics.connected.inc();
    let why = live(&discovery, &caller, &mut lines, &out, &place, drain).await;
    discovery.metrics.connected.dec();
    discovery.metrics.ended.get_or_create(&EndedLabels { why }).inc();
    info!(pod = %caller, ?why, "stream ended");
    if matches!(why, Ended::Lifetime | Ended::Stopping | Ended::PodGone) {
        // A sidecar that doesn't read finds out by the end of the stream.
        let _ = timeout(Duration::from_secs(1), out.send(encode(&[FromOperator::Goodbye]))).await;
    }
}

async fn live(
    discovery: &Discovery,
    caller: &Caller,
    lines: &mut Lines,
    out: &mpsc::Sender<Bytes>,
    place: &Place,
    mut drain: drain::Watch,
) -> Ended {
    let (revision, hash, version) = match timeout(HELLO, lines.next()).await {
        Ok(Ok(Some(FromSidecar::Hello {
            revision,
            hash,
            version,
        }))) => (revision, hash, version),
        Ok(Ok(None) | Err(LineError::Broken(_))) => return Ended::Left,
        Ok(Ok(Some(_)) | Err(_)) => return Ended::Malformed,
        Err(_) => return Ended::Silent,
    };
    let mut said = Said {
        namespace: caller.pod.namespace.clone(),
        pod: caller.pod.name.clone(),
        uid: caller.uid.as_str().into(),
        runs: hash.clone(),
        refused: None,
        undeclared: None,
        version: version.into(),
    };
    discovery.acks.hear(said.clone());
    let seat = discovery.seats.take(&caller.uid);
    let mut teller = Teller::new(discovery, caller, Session::hello(revision, hash));
    let silent = Instant::now() + ASKING;
    let mut heartbeat = interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = Instant::now() + between(LIFETIME.0, LIFETIME.1);
    let mut is_given = false;
    loop {
        tokio::select! {
            biased;
            () = drain.started() => return Ended::Stopping,
            () = place.replaced() => return Ended::Replaced,
            () = sleep_until(end) => return Ended::Lifetime,
            line = lines.next() => match line {
                Ok(Some(message)) => {
                    if matches!(message, FromSidecar::Undeclared { .. }) {
                        teller.asked();
                    }
                    match message {
                        FromSidecar::Rates { rates } => seat.say(rates),
                        message => hear(discovery, &mut said, message),
                    }
                }
                Ok(None) | Err(LineError::Broken(_)) => return Ended::Left,
                Err(error) => {
                    warn!(pod = %caller, error = %causes(&error), "a sidecar said what can't be read");
                    return Ended::Malformed;
                }
            },
            () = sleep_until(silent), if said.undeclared.is_none() => {
                let subscriptions = Vec::new();
                hear(discovery, &mut said, FromSidecar::Undeclared { subscriptions });
            }
            () = place.touched() => teller.touch(),
            () = seat.given() => is_given = true,
            () = sleep_until(teller.due.unwrap_or(end)), if teller.due.is_some() => {
                // Room first: what is compiled then is the latest. The wait ends with the stream at the latest.
                let permit = tokio::select! {
                    permit = out.reserve() => permit,
                    () = drain.started() => return Ended::Stopping,
                    () = place.replaced() => return Ended::Replaced,
                    () = sleep_until(end) => return Ended::Lifetime,
                };
                let Ok(permit) = permit else { return Ended::Left };
                match teller.tell() {
                    None => return Ended::PodGone,
                    Some(messages) if messages.is_empty() => drop(permit),
                    Some(messages) => permit.send(encode(&messages)),
                }
            },
            // A way of its own: a plan is not compiled for it.
            permit = out.reserve(), if is_given => match permit {
                Ok(permit) => {
                    is_given = false;
                    permit.send(encode(&[FromOperator::Shares { shares: seat.shares() }]));
                }
                Err(mpsc::error::SendError(())) => return Ended::Left,
            },
            _ = heartbeat.tick() => match out.try_reserve() {
                Ok(permit) => permit.send(encode(&[FromOperator::Heartbeat])),
                Err(mpsc::error::TrySendError::Full(())) => {} // there is something on its way
                Err(mpsc::error::TrySendError::Closed(())) => return Ended::Left,
            },
        }
    }
}

/// Decides when and what to tell one sidecar.
struct Teller<'d> {
    discovery: &'d Discovery,
    pod: ObjectKey,
    uid: String,
    session: Session,
    /// When there is something to look at; `None` while all is told.
    due: Option<Instant>,
    /// Not before this: until then the sidecar may still say what its program asked for.
    asking: Instant,
    patience: Instant,
}

impl<'d> Teller<'d> {
    fn new(discovery: &'d Discovery, caller: &Caller, session: Session) -> Self {
        let now = Instant::now();
        let cluster = &discovery.cluster;
        let is_open =
            cluster.undeclared() == Undeclared::Allow && !cluster.read(|world| world.has_asked(&caller.pod));
        let asking = if is_open { now + ASKING } else { now };
        Self {
            discovery,
            pod: caller.pod.clone(),
            uid: caller.uid.clone(),
            session,
            due: Some(asking),
            asking,
            patience: now + CATCH_UP,
        }
    }

    /// Something is different for this pod.
    fn touch(&mut self) {
        self.due = Some(self.asking.max(Instant::now()));
    }

    /// The sidecar has said what its program asked for.
    fn asked(&mut self) {
        let now = Instant::now();
        if now < self.asking {
            self.asking = now;
            self.due = Some(now);
        }
    }

    /// What to say now; `None` where the pod is gone.
    fn tell(&mut self) -> Option<Vec<FromOperator>> {
        let wanted = self.wanted()?;
        let now = Instant::now();
        let lag = if now < self.patience {
            Lag::Possible
        } else {
            Lag::Over
        };
        match self.session.next(wanted, lag) {
            Next::CatchUp => {
                self.due = Some(now + LOOK);
                Some(Vec::new())
            }
            Next::Send(messages) => {
                self.due = None;
                self.count(&messages);
                Some(messages)
            }
        }
    }

    fn wanted(&self) -> Option<Wanted> {
        let cluster = &self.discovery.cluster;
        let is_same = cluster.read(|world| world.pod(&self.pod).is_some_and(|pod| *pod.uid == *self.uid));
        let plan = is_same.then(|| cluster.compile(&self.pod)).flatten()?.plan;
        let endpoints: BTreeMap<ServiceName, _> = cluster.read(|world| {
            let of = |name: &ServiceName| {
                ObjectKey::parse(name.as_str()).map(|key| compile::endpoints(world, &key))
            };
            let names = plan.services.iter().map(|service| &service.name);
            names
                .map(|name| (name.clone(), of(name).unwrap_or_default()))
                .collect()
        });
        Some(Wanted { plan, endpoints })
    }

    fn count(&self, messages: &[FromOperator]) {
        for message in messages {
            match message {
                FromOperator::Plan { plan } => {
                    debug!(pod = %self.pod, revision = %plan.revision, hash = %plan.hash, "plan sent");
                    self.discovery.metrics.plans.inc();
                }
                FromOperator::Endpoints { .. } => {
                    self.discovery.metrics.endpoints.inc();
                }
                FromOperator::Shares { .. } | FromOperator::Heartbeat | FromOperator::Goodbye => {}
            }
        }
    }
}

/// Takes note of an answer.
fn hear(discovery: &Discovery, said: &mut Said, message: FromSidecar) {
    match message {
        FromSidecar::Hello { hash, .. } | FromSidecar::Ack { hash, .. } => {
            said.runs = hash;
            said.refused = None;
        }
        FromSidecar::Rates { .. } | FromSidecar::Unknown => return, // its seat's; nobody's
        FromSidecar::Undeclared { mut subscriptions } => {
            subscriptions.truncate(MAX_UNDECLARED);
            debug!(pod = %said.key(), subscriptions = subscriptions.len(), "a program subscribes by itself");
            said.undeclared = Some(subscriptions);
            said.ask(&discovery.cluster);
        }
        FromSidecar::Nack { revision, reason } => {
            warn!(pod = %said.key(), %revision, reason, "a sidecar refuses its plan");
            discovery.metrics.nacks.inc();
            said.refused = Some(reason);
        }
    }
    discovery.acks.hear(said.clone());
}
