//! The load: one thread, many connections. A closed loop keeps so many requests under way; an open loop begins calls at
//! fixed moments whatever became of the earlier ones, and counts latency from those moments.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    net::SocketAddr,
    time::Duration,
};

use anyhow::ensure;
use clap::Args;
use e2e::measured::{Latency, Measured};
use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token, net::TcpStream};

use crate::{
    clock::{self, SECOND, Timer},
    grpc::{self, caller::Form},
    http::{self, messages},
    motan::{self, frames},
};

/// Bytes read at once.
pub(crate) const READ: usize = 256 << 10;
/// How long after the end of a load its last answers are waited for, and how long the first call may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Calls under way at once in an open loop; more are counted as failed, so that a stall is seen and memory bounded.
const MAX_UNDER_WAY: usize = 100_000;
/// Latencies over this are counted as this: nanoseconds.
const SLOWEST: u64 = 60 * SECOND;
const EVENTS: usize = 1_024;
const TIMER: Token = Token(usize::MAX);

/// What a load says, and a program understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Speech {
    /// Motan 2, multiplexed.
    Motan,
    /// HTTP/1.1, a request at a time on each connection.
    Http,
    /// gRPC, a stream for each call.
    Grpc,
    /// gRPC, a stream on each connection, whose messages come back one by one.
    GrpcStream,
    /// gRPC, a stream on each connection, on which messages come without end.
    GrpcChunks,
}

/// What to call, and how often.
#[derive(Args)]
pub(crate) struct Call {
    /// Where.
    #[arg(long)]
    to: SocketAddr,
    #[arg(long = "as", value_enum, default_value_t = Speech::Motan)]
    speech: Speech,
    #[command(flatten)]
    target: frames::Target,
    /// The host that is asked for, where that is how a service is named.
    #[arg(long, default_value = "http.bench.mesh")]
    host: String,
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Requests under way on each connection, in a closed loop.
    #[arg(long, default_value_t = 1)]
    depth: usize,
    /// Calls a second over all connections: an open loop.
    #[arg(long)]
    rate: Option<f64>,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Seconds before that.
    #[arg(long, default_value_t = 0.3)]
    warm_up: f64,
}

/// Runs a load to its end.
pub(crate) fn run(call: &Call) -> anyhow::Result<Measured> {
    ensure!(
        call.connections > 0 && call.depth > 0,
        "--connections and --depth must be at least 1"
    );
    ensure!(call.rate.is_none_or(|rate| rate > 0.0), "--rate must be over 0");
    ensure!(
        call.seconds > 0.0 && call.warm_up >= 0.0,
        "--seconds must be over 0"
    );
    let payload = call.target.payload;
    let grpc = |form| {
        let request = grpc::caller::Request::new(form, &call.host, payload);
        Load::<grpc::caller::Caller>::open(call, request)?.run(call)
    };
    match call.speech {
        Speech::Motan => {
            let request = frames::Request::new(&call.target);
            Load::<motan::caller::Connection>::open(call, request)?.run(call)
        }
        Speech::Http => {
            ensure!(call.depth == 1, "--depth must be 1: requests are not pipelined");
            let request = messages::Request::new(&call.host, payload);
            Load::<http::caller::Caller>::open(call, request)?.run(call)
        }
        Speech::Grpc => grpc(Form::Unary),
        Speech::GrpcStream => grpc(Form::Message),
        Speech::GrpcChunks => grpc(Form::Chunk),
    }
}

/// A connection of the load, whatever it says.
pub(crate) trait Caller: Sized {
    /// What all calls are, encoded once.
    type Request;

    /// Connects and makes one call, whose answer must be the body it sent, byte for byte.
    fn open(to: SocketAddr, request: &mut Self::Request) -> anyhow::Result<Self>;

    fn socket(&mut self) -> &mut TcpStream;

    /// Requests without an answer.
    fn under_way(&self) -> usize;

    /// Takes a request to write; it was to begin at `begin`.
    fn push(&mut self, begin: u64);

    /// Writes what the socket takes.
    fn flush(&mut self, request: &mut Self::Request, scratch: &mut Vec<u8>) -> io::Result<()>;

    /// Reads until the socket is empty and tells what became of each call.
    fn read(
        &mut self,
        request: &Self::Request,
        scratch: &mut [u8],
        ended: impl FnMut(&mut Self, Outcome),
    ) -> anyhow::Result<()>;
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A good answer; when the call was to begin.
    Good(u64),
    /// An exception, or another body than was sent.
    Bad(&'static str),
}

struct Load<C: Caller> {
    poll: Poll,
    timer: Timer,
    connections: Vec<C>,
    request: C::Request,
    read: Vec<u8>,
    write: Vec<u8>,
    tally: Tally,
}

impl<C: Caller> Load<C> {
    fn open(call: &Call, mut request: C::Request) -> anyhow::Result<Self> {
        let poll = Poll::new()?;
        let timer = Timer::new(&poll, TIMER)?;
        let mut connections = Vec::with_capacity(call.connections);
        for index in 0..call.connections {
            let mut connection = C::open(call.to, &mut request)?;
            let both = Interest::READABLE | Interest::WRITABLE;
            poll.registry()
                .register(connection.socket(), Token(index), both)?;
            connections.push(connection);
        }
        Ok(Self {
            poll,
            timer,
            connections,
            request,
            read: vec![0; READ],
            write: Vec::new(),
            tally: Tally::new()?,
        })
    }

    fn run(mut self, call: &Call) -> anyhow::Result<Measured> {
        let start = clock::now();
        self.tally.from = start + nanos(call.warm_up);
        self.tally.until = self.tally.from + nanos(call.seconds);
        let mut schedule = call.rate.map(|rate| Schedule {
            start,
            rate,
            begun: 0,
        });
        match &schedule {
            Some(schedule) => self.timer.set(schedule.next())?,
            None => {
                self.fill(call.depth, start)?;
                self.timer.set(self.tally.until)?;
            }
        }
        let mut events = Events::with_capacity(EVENTS);
        let give_up = self.tally.until + u64::try_from(PATIENCE.as_nanos())?;
        loop {
            match self.poll.poll(&mut events, Some(Duration::from_millis(100))) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            if let Some(schedule) = &mut schedule {
                self.begin_due(schedule)?;
            }
            for event in &events {
                match event.token() {
                    TIMER => {}
                    Token(index) => self.serve(index, schedule.is_none())?,
                }
            }
            let now = clock::now();
            self.tally.look(now);
            let under_way: usize = match now >= self.tally.until {
                true => self.connections.iter().map(C::under_way).sum(),
                false => continue,
            };
            if under_way == 0 || now >= give_up {
                self.tally.unanswered(under_way);
                return self.tally.measured(call);
            }
        }
    }

    fn fill(&mut self, depth: usize, now: u64) -> anyhow::Result<()> {
        for connection in &mut self.connections {
            (0..depth).for_each(|_| connection.push(now));
            connection.flush(&mut self.request, &mut self.write)?;
        }
        Ok(())
    }

    /// Begins every call whose moment has come, and sets the timer to the next.
    fn begin_due(&mut self, schedule: &mut Schedule) -> anyhow::Result<()> {
        let now = clock::now();
        let until = self.tally.until;
        let mut begun = false;
        while schedule.next() <= now.min(until) {
            let count = self.connections.len();
            let connection = &mut self.connections[schedule.begun as usize % count];
            if connection.under_way() * count < MAX_UNDER_WAY {
                connection.push(schedule.next());
                connection.flush(&mut self.request, &mut self.write)?;
            } else {
                self.tally.failed("too many under way");
            }
            schedule.begun += 1;
            begun = true;
        }
        if begun {
            self.timer.set(schedule.next().min(until))?;
        }
        Ok(())
    }

    fn serve(&mut self, index: usize, closed_loop: bool) -> anyhow::Result<()> {
        let connection = &mut self.connections[index];
        let tally = &mut self.tally;
        // Read once for everything that one event brings: what it can be wrong by is the time to look through it.
        let mut moment = 0;
        connection.read(&self.request, &mut self.read, |connection, outcome| {
            if moment == 0 {
                moment = clock::now();
            }
            tally.count(outcome, moment);
            if closed_loop && moment < tally.until {
                connection.push(moment);
            }
        })?;
        Ok(connection.flush(&mut self.request, &mut self.write)?)
    }
}

/// When the calls of an open loop are to begin.
struct Schedule {
    start: u64,
    rate: f64,
    begun: u64,
}

impl Schedule {
    /// Computed from the start each time, so that no error adds up.
    fn next(&self) -> u64 {
        self.start + nanos((self.begun as f64 + 1.0) / self.rate)
    }
}

fn nanos(seconds: f64) -> u64 {
    (seconds * SECOND as f64) as u64
}

/// What was seen.
struct Tally {
    /// The time that is measured.
    from: u64,
    until: u64,
    all: u64,
    latencies: Histogram<u64>,
    failures: BTreeMap<&'static str, u64>,
    /// Processor time at its begin and at its end.
    spent: [Option<u64>; 2],
}

impl Tally {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            from: 0,
            until: 0,
            all: 0,
            latencies: Histogram::new_with_bounds(1, SLOWEST, 3)?,
            failures: BTreeMap::new(),
            spent: [None; 2],
        })
    }

    /// A call ended now. It counts where it was to begin in the time that is measured, however late its answer:
    /// leaving late ones out would hide a stall.
    fn count(&mut self, outcome: Outcome, now: u64) {
        match outcome {
            Outcome::Good(begin) => {
                self.all += 1;
                if begin >= self.from && begin < self.until {
                    self.latencies.saturating_record(now.saturating_sub(begin).max(1));
                }
            }
            Outcome::Bad(kind) => self.failed(kind),
        }
    }

    fn failed(&mut self, kind: &'static str) {
        *self.failures.entry(kind).or_default() += 1;
    }

    fn unanswered(&mut self, calls: usize) {
        if calls > 0 {
            self.failures.insert("no answer", calls as u64);
        }
    }

    fn look(&mut self, now: u64) {
        for (moment, spent) in [self.from, self.until].into_iter().zip(&mut self.spent) {
            if now >= moment && spent.is_none() {
                *spent = Some(clock::spent());
            }
        }
    }

    fn measured(&self, call: &Call) -> anyhow::Result<Measured> {
        let [Some(before), Some(after)] = self.spent else {
            anyhow::bail!("the load ended before its time");
        };
        let micros = |nanos: u64| nanos as f64 / 1e3;
        let quantile = |quantile| micros(self.latencies.value_at_quantile(quantile));
        let answers = self.latencies.len();
        Ok(Measured {
            connections: call.connections,
            depth: call.rate.is_none().then_some(call.depth),
            meant_rate: call.rate,
            payload: call.target.payload,
            seconds: call.seconds,
            answers,
            rate: answers as f64 / call.seconds,
            all: self.all,
            failed: self.failures.values().sum(),
            failures: self
                .failures
                .iter()
                .map(|(kind, count)| ((*kind).to_owned(), *count))
                .collect(),
            latency: Latency {
                p50_us: quantile(0.5),
                p99_us: quantile(0.99),
                p999_us: quantile(0.999),
                max_us: micros(self.latencies.max()),
            },
            cpu_seconds: micros(after.saturating_sub(before)) / 1e6,
        })
    }
}
