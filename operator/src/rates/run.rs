//! Once a second: the leader moves shares, the others pass on what their sidecars say and bring back what they are told.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, client::conn::http2::SendRequest};
use jiff::Timestamp;
use process::{logging::causes, ready::Readiness};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tracing::debug;

use super::{
    Seats,
    book::{Given, Report},
};
use crate::{
    backoff::Backoff,
    discovery::forward::{self, ForwardError, Route},
    lease::Leadership,
    world::{Cluster, World},
};

/// Where the leader takes reports.
pub const PATH: &str = "/v1/rates";
/// How often shares move: as often as sidecars say how many calls came within a second.
const EVERY: Duration = Duration::from_secs(1);
/// How often a new leader looks whether it knows the world.
const LOOK: Duration = Duration::from_millis(50);
/// How long one delivery may take: an older one is worth nothing.
const DELIVERY: Duration = Duration::from_secs(5);
/// The longest answer, in bytes: it is shorter than the reports that it is to.
const MAX_ANSWER: usize = 4 << 20;

/// Goes on for as long as it is run.
pub async fn run(
    seats: Arc<Seats>,
    (cluster, synced): (Arc<Cluster>, Readiness),
    route: Route,
    mut leadership: watch::Receiver<Leadership>,
) {
    loop {
        let now = leadership.borrow_and_update().clone();
        let working = async {
            match now {
                Leadership::Leader => lead(&seats, &cluster, &synced).await,
                Leadership::Follower { leader: Some(leader) } => pass_on(&seats, &route, &leader).await,
                Leadership::Follower { leader: None } => std::future::pending().await,
            }
        };
        let changed = tokio::select! {
            never = working => match never {},
            changed = leadership.changed() => changed,
        };
        seats.follow();
        if changed.is_err() {
            return;
        }
    }
}

async fn lead(seats: &Seats, cluster: &Cluster, synced: &Readiness) -> Infallible {
    while !synced.is_ready() {
        sleep(LOOK).await; // of half a world it would give what other pods have
    }
    // No leader before has come so far: it would have told a million shares a second.
    let number = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or_default();
    seats.lead(number, Instant::now());
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        seats.step(&cluster.read(World::shared), Instant::now());
    }
}

async fn pass_on(seats: &Seats, route: &Route, leader: &str) -> Infallible {
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(15));
    loop {
        while seats.reports().is_empty() {
            sleep(EVERY).await;
        }
        let began = Instant::now();
        let error = match deliver(seats, route, leader).await {
            Ok(never) => match never {},
            Err(error) => error,
        };
        debug!(error = %causes(&error), leader, "rates of sidecars are not passed on; trying again");
        if began.elapsed() > DELIVERY * 2 {
            backoff.reset(); // it went well for a while
        }
        sleep(backoff.pause()).await;
    }
}

/// Over one connection, until something fails.
async fn deliver(seats: &Seats, route: &Route, leader: &str) -> Result<Infallible, ForwardError> {
    let connecting = timeout(DELIVERY, forward::connect(route, leader)).await;
    let (mut sender, connection) = connecting.unwrap_or(Err(ForwardError::Late))?;
    tokio::select! {
        error = keep_posting(&mut sender, seats, route) => error,
        ended = connection => Err(ended.map_or_else(ForwardError::Http, |()| ForwardError::Late)),
    }
}

async fn keep_posting(
    sender: &mut SendRequest<Full<Bytes>>,
    seats: &Seats,
    route: &Route,
) -> Result<Infallible, ForwardError> {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let posted = timeout(DELIVERY, post(sender, route, &seats.reports())).await;
        seats.give(posted.unwrap_or(Err(ForwardError::Late))?);
    }
}

async fn post(
    sender: &mut SendRequest<Full<Bytes>>,
    route: &Route,
    reports: &[Report],
) -> Result<Vec<Given>, ForwardError> {
    let mut all = Vec::new();
    for batch in forward::batches(reports)? {
        let request: Request<Full<Bytes>> = route.request(PATH, batch).await?;
        let response = sender.send_request(request).await?;
        if !response.status().is_success() {
            return Err(ForwardError::Refused(response.status()));
        }
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|_| ForwardError::Answer)?.to_bytes();
        let given: Vec<Given> = serde_json::from_slice(&body).map_err(|_| ForwardError::Answer)?;
        all.extend(given);
    }
    Ok(all)
}
