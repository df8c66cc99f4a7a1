//! Makes a link and lives with it until it ends: connect, say hello, read.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use relay::ConnectionId;
use wire::keys;
use wire::motan2::{self, Header};

use super::connection::{Connection, Role};
use super::io::Io;
use super::{lost, pump, retry_parked};
use crate::live::{Endpoint, EndpointKind};
use crate::worker::{Worker, now};

/// How long connecting may take (motan-wire 10.3).
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// The id of the hello. Heartbeats are never matched to requests, so any will do.
const HELLO_ID: u64 = 1;
/// What our agents say in the hello.
const HELLO: &str = concat!("motanmesh/", env!("CARGO_PKG_VERSION"));

/// Starts dialling an endpoint, unless that goes on already or must wait.
pub(crate) fn start(worker: &Rc<Worker>, endpoint: &Arc<Endpoint>, now: Instant) {
    if worker.pool.borrow_mut().dialling(endpoint, now) {
        let task = live_with(Rc::clone(worker), Arc::clone(endpoint));
        worker.spawn(task);
    }
}

async fn live_with(worker: Rc<Worker>, endpoint: Arc<Endpoint>) {
    let connecting = worker.network.connect(&endpoint.address);
    let io = match tokio::time::timeout(CONNECT_WITHIN, connecting).await {
        Ok(Ok(io)) => io,
        Ok(Err(error)) => return failed(&worker, &endpoint, &error.to_string()),
        Err(_) => return failed(&worker, &endpoint, "no answer within 1 s"),
    };
    let (id, connection) = open(&worker, &endpoint, io);
    worker.pool.borrow_mut().connected(&endpoint, id);
    retry_parked(&worker, now());
    read(worker, endpoint, id, connection).await;
}

/// Makes a lane; `None` where it can't be made.
pub(super) async fn lane(worker: &Rc<Worker>, endpoint: &Arc<Endpoint>) -> Option<ConnectionId> {
    let io = worker.network.connect(&endpoint.address).await.ok()?;
    let (id, connection) = open(worker, endpoint, io);
    connection.is_lane.set(true);
    let reading = read(Rc::clone(worker), Arc::clone(endpoint), id, connection);
    worker.spawn(reading);
    Some(id)
}

async fn read(worker: Rc<Worker>, endpoint: Arc<Endpoint>, id: ConnectionId, connection: Rc<Connection>) {
    let ended = pump::run(&worker, id, &connection).await;
    tracing::debug!(address = %endpoint.address, reason = %ended, "link ended");
    if ended.is_fault() {
        connection.metrics.broken.inc();
    }
    lost(&worker, id, &connection, &endpoint);
}

fn open(worker: &Rc<Worker>, endpoint: &Arc<Endpoint>, io: Io) -> (ConnectionId, Rc<Connection>) {
    let peer = Box::from(endpoint.address.as_str());
    let role = Role::Link(Arc::clone(endpoint));
    let connection = Connection::new(role, peer, io, worker.places.link.clone());
    let id = worker.core.borrow_mut().open(Rc::clone(&connection));
    if endpoint.kind == EndpointKind::Agent {
        worker.append(id, hello);
    }
    tracing::debug!(address = %endpoint.address, "link up");
    (id, connection)
}

/// Says who calls; the other side answers, whatever else it does.
pub(super) fn hello(out: &mut Vec<u8>) {
    let header = Header::heartbeat(0, HELLO_ID);
    motan2::encode(
        out,
        header,
        |meta| {
            meta.pair(keys::MESH_PEER, HELLO.as_bytes());
            meta.pair(keys::MESH_HEARS, HELLO.as_bytes());
        },
        |_| {},
    );
}

fn failed(worker: &Rc<Worker>, endpoint: &Arc<Endpoint>, error: &str) {
    tracing::debug!(address = %endpoint.address, error, "link could not be made");
    worker.dial_failures.inc();
    let now = now();
    worker.pool.borrow_mut().failed(endpoint, now, worker.random());
    retry_parked(worker, now);
}
