//! Data threads: what one holds ([`Worker`]), and the handle the control thread moves them by ([`Workers`]).
//!
//! A worker belongs to one thread. Its tasks share it by reference count and borrow its parts for a few lines at a
//! time, never across an await.

mod budget;
mod flush;
mod life;
mod threads;
mod timers;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use prometheus_client::metrics::counter::Counter;
use relay::{ConnectionId, Core, HIGH_WATER, Parcel, WaiterId};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::call::Call;
use crate::inbound::handed::Handed;
use crate::link;
use crate::link::connection::{Closing, Connection, Role};
use crate::link::io::{Io, Network};
use crate::link::pool::Pool;
use crate::link::streams::Streams;
use crate::listen;
use crate::live::Live;
use crate::observe::metrics::{Metrics, PlaceMetrics};
use crate::outbound::mirror::Copies;
use crate::provide::http::Clients;
use budget::Budget;
pub(crate) use budget::Held;
use flush::Flusher;
pub(crate) use threads::{Busy, Load, Phase};
pub use threads::{LinkState, ListenerKind, WorkerError, Workers};
use timers::Timer;

/// One read takes at most this much: larger did not help, smaller costs reads.
const SCRATCH: usize = 64 * 1024;

/// What an agent adds to a message, about, in bytes: a handful of metadata pairs.
const ADDED: usize = 512;
/// Answers that wait to be taken by one agent, in bytes: beyond it no more are read from the program that gives them.
pub(crate) const FLOOD: usize = 8 * 1024 * 1024;

/// Everything that one data thread holds.
pub struct Worker {
    index: usize,
    pub(crate) core: RefCell<Core<Rc<Connection>, Call>>,
    pub(crate) live: RefCell<Arc<Live>>,
    pub(crate) phase: Cell<Phase>,
    pub(crate) scratch: RefCell<Box<[u8]>>,
    pub(crate) pool: RefCell<Pool>,
    pub(crate) clients: RefCell<Clients>,
    pub(crate) streams: RefCell<Streams>,
    pub(crate) network: Box<dyn Network>,
    pub(crate) places: Places,
    pub(crate) dial_failures: Counter,
    pub(crate) load: Arc<Load>,
    pub(crate) handed: Handed,
    pub(crate) budget: Budget,
    pub(crate) copies: Rc<Copies>,
    random: Cell<u64>,
    flusher: Flusher,
    timer: Timer,
    /// Told of every new phase.
    turned: Notify,
    tasks: RefCell<JoinSet<()>>,
}

/// Counters of connections.
pub(crate) struct Places {
    pub(crate) motan: PlaceMetrics,
    pub(crate) inbound: PlaceMetrics,
    pub(crate) http: PlaceMetrics,
    pub(crate) link: PlaceMetrics,
}

/// The time, as everything on a data thread means it. Follows tokio's clock, which tests may hold.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Worker {
    /// A worker of the current thread, with its own tasks running. The thread must be able to spawn local tasks.
    #[must_use]
    pub fn start(live: Arc<Live>, metrics: &Metrics, network: Box<dyn Network>) -> Rc<Self> {
        Self::with_load(0, live, metrics, network, Default::default())
    }

    fn with_load(
        index: usize,
        live: Arc<Live>,
        metrics: &Metrics,
        network: Box<dyn Network>,
        (load, handed): (Arc<Load>, Handed),
    ) -> Rc<Self> {
        let worker = Rc::new(Self {
            index,
            core: RefCell::default(),
            live: RefCell::new(live),
            phase: Cell::new(Phase::Serving),
            scratch: RefCell::new(vec![0; SCRATCH].into_boxed_slice()),
            pool: RefCell::default(),
            clients: RefCell::default(),
            streams: RefCell::default(),
            network,
            places: Places {
                motan: metrics.of_place("motan"),
                inbound: metrics.of_place("inbound"),
                http: metrics.of_place("http"),
                link: metrics.of_place("link"),
            },
            dial_failures: metrics.dial_failures().clone(),
            load,
            handed,
            budget: Budget::default(),
            copies: Copies::new(),
            random: Cell::new(seed()),
            flusher: Flusher::default(),
            timer: Timer::default(),
            turned: Notify::new(),
            tasks: RefCell::default(),
        });
        worker.spawn(flush::run(Rc::clone(&worker)));
        worker.spawn(timers::run(Rc::clone(&worker)));
        worker.spawn(timers::watch(Rc::clone(&worker)));
        worker
    }

    /// Serves a connection that came in by a listener from `peer`, an IP address, until it ends.
    pub async fn serve(self: Rc<Self>, kind: ListenerKind, io: Io, peer: Box<str>) {
        match kind {
            ListenerKind::Motan => listen::motan::serve(self, kind, io, peer).await,
            ListenerKind::Inbound => listen::inbound::serve(self, io, peer).await,
            ListenerKind::Http => listen::http::serve_for(self, io, peer, None).await,
            ListenerKind::Service(name) => listen::http::serve_for(self, io, peer, Some(name)).await,
        }
    }

    /// Runs `live` from the next call on.
    pub fn apply(self: &Rc<Self>, live: Arc<Live>) {
        *self.live.borrow_mut() = live;
        link::sort_out(self);
        let live = self.live();
        self.clients
            .borrow_mut()
            .sort_out(|address| live.knows_program(address));
        // A call that waits for a link may have somewhere to go now.
        link::retry_parked(self, now());
    }

    /// Tells agents that call us to go elsewhere, those that connect later too.
    pub fn announce_drain(&self) {
        self.enter(Phase::Announced);
    }

    /// Refuses new calls from other agents, as unsent.
    pub fn refuse_new(&self) {
        self.enter(Phase::Refusing);
    }

    /// Calls under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.load.in_flight.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Counts something as under way, until it is dropped.
    pub(crate) fn busy(&self) -> Busy {
        Busy::of(&self.load)
    }

    /// Every link of this worker.
    #[must_use]
    pub fn links(&self) -> Vec<LinkState> {
        let pool = self.pool.borrow();
        let links = pool.all(now()).map(|(endpoint, state, failures)| LinkState {
            worker: self.index,
            address: endpoint.address.to_string(),
            state: link::state_word(state),
            in_flight: endpoint.in_flight(),
            failures,
        });
        links.collect()
    }

    fn enter(&self, phase: Phase) {
        let before = self.phase.replace(phase.max(self.phase.get()));
        if before < Phase::Announced && phase >= Phase::Announced {
            listen::motan::announce_drain(self);
        }
        if before < Phase::Refusing && phase >= Phase::Refusing {
            listen::motan::announce_refusal(self);
        }
        self.turned.notify_waiters();
    }

    /// Waits until this worker has come so far.
    pub(crate) async fn reaches(&self, phase: Phase) {
        while self.phase.get() < phase {
            self.turned.notified().await;
        }
    }

    /// Waits until this worker comes to a phase; where it is there already, until it stops: whoever comes that late is
    /// served.
    pub(crate) async fn turns(&self, phase: Phase) {
        if self.phase.get() >= phase {
            self.stopping().await;
        } else {
            self.reaches(phase).await;
        }
    }

    /// Waits until this worker stops.
    pub(crate) async fn stopping(&self) {
        self.reaches(Phase::Stopping).await;
    }

    /// Whether no call is under way and nothing waits to be written to a caller or a link.
    fn is_quiet(&self) -> bool {
        let core = self.core.borrow();
        self.in_flight() == 0 && core.connections().all(|(id, _)| core.queued(id) == 0)
    }

    /// Parts from every Motan caller to whom nothing is owed and who does not leave by itself.
    fn part(&self) {
        let core = self.core.borrow();
        for (id, connection) in core.connections() {
            if !connection.hears_drain.get() {
                connection.part(core.queued(id));
            }
        }
    }

    /// The tables in force.
    #[must_use]
    pub fn tables(&self) -> Arc<Live> {
        Arc::clone(&self.live.borrow())
    }

    pub(crate) fn live(&self) -> Arc<Live> {
        self.tables()
    }

    /// Runs a task that ends with this worker.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let mut tasks = self.tasks.borrow_mut();
        while tasks.try_join_next().is_some() {}
        tasks.spawn_local(task);
    }

    /// Appends to a connection and has it flushed; false where it is gone.
    pub(crate) fn append(&self, to: ConnectionId, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let is_there = self.core.borrow_mut().append(to, write);
        self.flusher.wake();
        is_there
    }

    /// Sends a request and waits for its answer; gives it back where it can't be sent.
    #[expect(clippy::result_large_err, reason = "an unsent request comes back whole")]
    pub(crate) fn send(&self, on: ConnectionId, parcel: Parcel<Call>) -> Result<WaiterId, Parcel<Call>> {
        let sent = self.core.borrow_mut().send(on, parcel);
        self.flusher.wake();
        self.timer.look(&self.core.borrow());
        sent
    }

    /// Looks at a request then, if it waits for its answer still.
    pub(crate) fn look_at(&self, id: WaiterId, when: Instant) {
        self.core.borrow_mut().look_at(id, when);
        self.timer.look(&self.core.borrow());
    }

    /// Sends a request that waits for its answer a second time; false where that can't be done.
    pub(crate) fn send_again(&self, id: WaiterId, on: ConnectionId) -> bool {
        let is_sent = self.core.borrow_mut().send_again(id, on);
        self.flusher.wake();
        is_sent
    }

    /// Keeps a request until then, or until a link changes; gives it back where too much is held.
    #[expect(clippy::result_large_err, reason = "an unsent request comes back whole")]
    pub(crate) fn park(&self, parcel: Parcel<Call>, until: Instant) -> Result<(), Parcel<Call>> {
        let parked = self.core.borrow_mut().park(parcel, until);
        self.timer.look(&self.core.borrow());
        parked.map(drop)
    }

    /// Sends the head of a request whose body is passed; gives it back where that can't be done.
    #[expect(clippy::result_large_err, reason = "an unsent request comes back whole")]
    pub(crate) fn send_head(&self, on: ConnectionId, parcel: Parcel<Call>) -> Result<WaiterId, Parcel<Call>> {
        let sent = self.core.borrow_mut().send_head(on, parcel);
        self.flusher.wake();
        self.timer.look(&self.core.borrow());
        sent
    }

    /// Begins a reply whose body is passed; false where that can't be done.
    pub(crate) fn begin(&self, to: ConnectionId, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let has_begun = self.core.borrow_mut().begin(to, write);
        self.flusher.wake();
        has_begun
    }

    /// Passes a piece of a body; false where nobody is there any more. What the socket takes at once is not copied.
    pub(crate) fn pass(&self, to: ConnectionId, piece: &[u8]) -> bool {
        let gone = self.write_by(to, piece);
        let rest = &piece[gone..];
        let mut core = self.core.borrow_mut();
        if rest.is_empty() {
            return core.attached(to).is_some();
        }
        let is_there = core.pass(to, rest);
        drop(core);
        self.flusher.wake();
        is_there
    }

    /// Writes as much of a piece as the socket takes now, after what waits before it. Gives how much of the piece.
    fn write_by(&self, to: ConnectionId, piece: &[u8]) -> usize {
        let core = self.core.borrow();
        let Some((connection, before)) = core.before_piece(to) else {
            return 0;
        };
        let connection = Rc::clone(connection);
        // Nobody is woken by this one: what is left over is queued, and the flusher waits for the socket.
        let mut context = Context::from_waker(Waker::noop());
        let written = connection.poll_write_both(&mut context, before, piece);
        drop(core);
        match written {
            Poll::Ready(Ok(count)) if count > 0 => {
                connection.moved();
                let of_piece = self.core.borrow_mut().went_by(to, count);
                if of_piece < count {
                    connection.room.notify_waiters();
                }
                of_piece
            }
            Poll::Ready(_) => {
                connection.close(Closing::Broken);
                0
            }
            Poll::Pending => 0,
        }
    }

    /// Ends a body that was passed.
    pub(crate) fn finish(&self, to: ConnectionId, waiter: Option<WaiterId>) {
        self.core.borrow_mut().finish(to, waiter);
        self.flusher.wake();
    }

    /// An empty buffer for a message of so many bytes and what an agent adds to it.
    pub(crate) fn take_buffer(&self, bytes: usize) -> Vec<u8> {
        self.core.borrow_mut().buffers.take(bytes + ADDED)
    }

    pub(crate) fn give_buffer(&self, buffer: Vec<u8>) {
        self.core.borrow_mut().buffers.give(buffer);
    }

    /// The connection that must get on before more is read from `own`: the one that was written to, or `own` itself
    /// where its replies are not read or too many of its requests are under way. Answers of another agent are always
    /// read: two agents that both wait with reading until the other one reads would wait for ever. Those of the program
    /// are, up to [`FLOOD`] for one agent: it reads, so it has room again, and its connection, which carries the calls of
    /// many, is not cut because one of them asks for much.
    pub(crate) fn is_blocked(&self, target: Option<ConnectionId>, own: ConnectionId) -> Option<ConnectionId> {
        let core = self.core.borrow();
        let connection = core.attached(own)?;
        let asks = !matches!(connection.role, Role::Link(_));
        let limit = if asks { HIGH_WATER } else { FLOOD };
        if let Some(target) = target.filter(|target| core.queued(*target) >= limit) {
            return Some(target);
        }
        (asks && (connection.is_deep() || core.queued(own) >= HIGH_WATER)).then_some(own)
    }

    /// Waits until nothing blocks `own` any more.
    pub(crate) async fn room(&self, target: ConnectionId, own: ConnectionId) {
        while let Some(blocker) = self.is_blocked(Some(target), own) {
            let connection = self.core.borrow().attached(blocker).map(Rc::clone);
            let Some(connection) = connection else {
                return;
            };
            connection.room.notified().await;
        }
    }

    /// Waits until more of a body under way can be passed there.
    pub(crate) async fn way(&self, to: ConnectionId) {
        while self.core.borrow().is_jammed(to) {
            let connection = self.core.borrow().attached(to).map(Rc::clone);
            let Some(connection) = connection else {
                return;
            };
            connection.room.notified().await;
        }
    }

    /// A random number (xorshift64*): for choices between endpoints, not for secrets.
    pub(crate) fn random(&self) -> u64 {
        let mut state = self.random.get();
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        self.random.set(state);
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

/// Different for every worker of every process, and never 0, which the generator could not leave.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0) | 1
}
