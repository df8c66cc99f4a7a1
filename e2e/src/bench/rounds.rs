//! Runs of the load: each cell is measured by every way in turn, round after round, and medians are kept. Only what was
//! measured side by side is compared.

use std::{
    collections::BTreeMap,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use e2e::measured::Measured;
use tokio::process::Command;

use crate::{
    cores::{self, Cores},
    process::Process,
    subjects::{Binaries, COPIES, Subject},
};

/// How long a load may take beyond its own time.
const PATIENCE: Duration = Duration::from_secs(60);
/// A run in which others had more than this share of the processors is made again.
pub(crate) const NOISE: f64 = 0.05;
/// So often at most; the quietest is kept.
const AGAIN: usize = 2;
/// Bytes that a closed loop may have under way: more than this measures memory.
const MAX_UNDER_WAY: usize = 16 << 20;
/// From here on the kernel's copying is most of what a call costs.
const COPIED: usize = 256 << 10;
/// Connections of an open loop.
const OPEN_CONNECTIONS: usize = 16;

/// How the load calls.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Loop {
    /// So many connections, so many requests under way on each.
    Closed(usize, usize),
    /// So many calls a second.
    Open(u32),
}

/// What is said, and whom ours is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Speech {
    /// Motan 2.
    Motan,
    /// HTTP/1.1, whole requests.
    Http,
    /// gRPC, a stream for each call.
    Grpc,
    /// gRPC, messages to and fro on one stream of each connection.
    GrpcStream,
    /// gRPC, messages that come without end on one stream of each connection.
    GrpcChunks,
}

impl Speech {
    /// As the load calls it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Motan => "motan",
            Self::Http => "http",
            Self::Grpc => "grpc",
            Self::GrpcStream => "grpc-stream",
            Self::GrpcChunks => "grpc-chunks",
        }
    }

    /// The host that the load asks for.
    pub(crate) const fn host(self) -> &'static str {
        match self {
            Self::Motan | Self::Http => "http.bench.mesh",
            Self::Grpc | Self::GrpcStream | Self::GrpcChunks => "grpc.bench.mesh",
        }
    }

    /// The pair of agents that is known for it.
    pub(crate) const fn rival(self) -> Rival {
        match self {
            Self::Motan => Rival::MotanGo,
            Self::Http | Self::Grpc | Self::GrpcStream | Self::GrpcChunks => Rival::Envoy,
        }
    }
}

/// A pair of agents that ours is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rival {
    MotanGo,
    Envoy,
}

impl Rival {
    /// As it is called on the page.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::MotanGo => "motan-go",
            Self::Envoy => "Envoy",
        }
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cell {
    pub(crate) speech: Speech,
    pub(crate) payload: usize,
    pub(crate) shape: Loop,
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) rounds: usize,
    pub(crate) closed_seconds: f64,
    pub(crate) open_seconds: f64,
    /// How long noisy runs may be made again, all together.
    pub(crate) again: Duration,
    pub(crate) is_quick: bool,
}

impl Extent {
    pub(crate) const fn quick() -> Self {
        Self {
            rounds: 2,
            closed_seconds: 0.7,
            open_seconds: 2.0,
            again: Duration::from_secs(30),
            is_quick: true,
        }
    }

    pub(crate) const fn whole() -> Self {
        Self {
            rounds: 3,
            closed_seconds: 1.0,
            open_seconds: 5.0,
            again: Duration::from_secs(120),
            is_quick: false,
        }
    }
}

/// The cells, and those that were left out.
pub(crate) fn cells(is_quick: bool) -> (Vec<Cell>, Vec<Cell>) {
    let mut all = Vec::new();
    for payload in [128, 1 << 10, 16 << 10, 256 << 10] {
        for depth in [1, 16] {
            for connections in [1, 16, 64, 256] {
                all.push(Cell {
                    speech: Speech::Motan,
                    payload,
                    shape: Loop::Closed(connections, depth),
                });
            }
        }
    }
    let fits = |cell: &Cell| match cell.shape {
        Loop::Closed(connections, depth) => connections * depth * cell.payload <= MAX_UNDER_WAY,
        Loop::Open(_) => true,
    };
    let (mut cells, left_out): (Vec<_>, Vec<_>) = all.into_iter().partition(fits);
    cells.extend(whole_requests());
    cells.extend(streams());
    if is_quick {
        let goals = crate::goals::throughput();
        cells.retain(|cell| goals.iter().any(|goal| goal.cell == *cell));
    }
    for (speech, rate) in [
        (Speech::Motan, 1_000),
        (Speech::Motan, 5_000),
        (Speech::Http, 1_000),
        (Speech::Grpc, 1_000),
    ] {
        cells.push(Cell {
            speech,
            payload: 1 << 10,
            shape: Loop::Open(rate),
        });
    }
    (cells, left_out)
}

/// Over HTTP/1.1 a connection has one request under way: browsers and clients do not pipeline.
fn whole_requests() -> impl Iterator<Item = Cell> {
    [1, 16, 64, 256].into_iter().map(|connections| Cell {
        speech: Speech::Http,
        payload: 1 << 10,
        shape: Loop::Closed(connections, 1),
    })
}

/// gRPC: calls and messages on many connections and on few, and what streams carry one way.
fn streams() -> impl Iterator<Item = Cell> {
    let shapes = [
        (Speech::Grpc, 1 << 10, 16, 1),
        (Speech::Grpc, 1 << 10, 4, 16),
        (Speech::GrpcStream, 1 << 10, 16, 1),
        (Speech::GrpcStream, 1 << 10, 4, 16),
        (Speech::GrpcChunks, 64 << 10, 4, 1),
    ];
    shapes
        .into_iter()
        .map(|(speech, payload, connections, depth)| Cell {
            speech,
            payload,
            shape: Loop::Closed(connections, depth),
        })
}

/// Medians of one cell by one way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figure {
    /// Calls a second.
    pub(crate) rate: f64,
    /// Microseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    /// Processor seconds for 1 000 calls, of the client agent and the server agent.
    pub(crate) agents: Vec<f64>,
    /// The same of the program.
    pub(crate) program: f64,
    /// The same of the load.
    pub(crate) load: f64,
    /// Share of the processors that others took.
    pub(crate) others: f64,
}

/// A cell by every way; absent where it could not be measured.
pub(crate) struct Row {
    pub(crate) cell: Cell,
    pub(crate) direct: Option<Figure>,
    pub(crate) rival: Option<Figure>,
    pub(crate) ours: Option<Figure>,
    /// Of a pair that only copies, where copying is what a call costs.
    pub(crate) ceiling: Option<Figure>,
}

impl Row {
    /// The ways as they are called on the page, and their figures.
    pub(crate) fn ways(&self) -> [(&'static str, Option<&Figure>); 3] {
        let Self {
            cell,
            direct,
            rival,
            ours,
            ceiling: _, // no way that anybody would go
        } = self;
        [
            ("direct", direct.as_ref()),
            (cell.speech.rival().name(), rival.as_ref()),
            ("ours", ours.as_ref()),
        ]
    }

    /// Where all three were measured.
    pub(crate) fn all(&self) -> Option<[&Figure; 3]> {
        Some([self.direct.as_ref()?, self.rival.as_ref()?, self.ours.as_ref()?])
    }

    /// Our calls a second beside the rival's.
    pub(crate) fn ratio(&self) -> Option<f64> {
        Some(self.ours.as_ref()?.rate / self.rival.as_ref()?.rate)
    }
}

/// What is measured, and with what.
pub(crate) struct Bench<'a> {
    pub(crate) binaries: &'a Binaries,
    pub(crate) cores: Cores,
    pub(crate) extent: Extent,
    pub(crate) subjects: &'a [Subject],
    pub(crate) programs: &'a [Process],
    /// Time that went into making noisy runs again.
    pub(crate) repeated: std::cell::Cell<Duration>,
}

struct Run {
    measured: Measured,
    agents: Vec<f64>,
    program: f64,
    others: f64,
}

impl Bench<'_> {
    /// Measures a cell by every way in turn; what went wrong is added to `problems`.
    pub(crate) async fn row(&self, cell: Cell, problems: &mut Vec<String>) -> Row {
        let ways = self.ways(cell);
        let mut runs: [Vec<Run>; 4] = Default::default();
        for _ in 0..self.extent.rounds {
            for (subject, runs) in ways.iter().zip(&mut runs) {
                let Some(subject) = subject else { continue };
                match self.quiet_run(cell, subject).await {
                    Ok(run) => runs.push(run),
                    Err(error) => problems.push(format!("{}, {cell}: {error:#}", subject.name)),
                }
            }
        }
        for (subject, runs) in ways.iter().zip(&runs) {
            let mut failures: BTreeMap<&str, u64> = BTreeMap::new();
            for (kind, count) in runs.iter().flat_map(|run| &run.measured.failures) {
                *failures.entry(kind).or_default() += count;
            }
            let name = subject.map_or("nobody", |subject| subject.name);
            for (kind, count) in failures {
                problems.push(format!("{name}, {cell}: {count} calls ended with: {kind}"));
            }
        }
        let [direct, rival, ours, ceiling] = runs.map(|runs| figure(&runs));
        Row {
            cell,
            direct,
            rival,
            ours,
            ceiling,
        }
    }

    /// Direct, the rival, ours, and the pair that only copies, as far as they are there and matter.
    fn ways(&self, cell: Cell) -> [Option<&Subject>; 4] {
        let speech = cell.speech;
        let copies = (cell.payload >= COPIED && matches!(cell.shape, Loop::Closed(..))).then_some(COPIES);
        let names = [Some("direct"), Some(speech.rival().name()), Some("ours"), copies];
        names.map(|name| {
            let mut subjects = self.subjects.iter();
            subjects.find(|subject| Some(subject.name) == name && subject.entry(speech).is_some())
        })
    }

    async fn quiet_run(&self, cell: Cell, subject: &Subject) -> anyhow::Result<Run> {
        let mut quietest = self.run(cell, subject).await?;
        for _ in 0..AGAIN {
            if quietest.others <= NOISE || self.repeated.get() > self.extent.again {
                break;
            }
            let begin = Instant::now();
            let run = self.run(cell, subject).await?;
            self.repeated.set(self.repeated.get() + begin.elapsed());
            if run.others < quietest.others {
                quietest = run;
            }
        }
        Ok(quietest)
    }

    async fn run(&self, cell: Cell, subject: &Subject) -> anyhow::Result<Run> {
        let spent = |processes: &[Process]| {
            processes
                .iter()
                .map(Process::spent)
                .collect::<anyhow::Result<Vec<f64>>>()
        };
        let everyone = || -> anyhow::Result<f64> {
            let mut all = cores::own()? + spent(self.programs)?.iter().sum::<f64>();
            for subject in self.subjects {
                all += spent(&subject.agents)?.iter().sum::<f64>();
            }
            Ok(all)
        };
        let (agents, program) = (spent(&subject.agents)?, spent(self.programs)?);
        let (ours, busy, begin) = (everyone()?, self.cores.busy()?, Instant::now());
        let measured = self.load(cell, subject).await?;
        let time = begin.elapsed().as_secs_f64() * self.cores.count() as f64;
        let others = (self.cores.busy()? - busy) - (everyone()? - ours);
        let thousands = measured.all as f64 / 1e3;
        let each = |before: &[f64], after: &[f64]| -> Vec<f64> {
            before
                .iter()
                .zip(after)
                .map(|(before, after)| (after - before) / thousands)
                .collect()
        };
        Ok(Run {
            agents: each(&agents, &spent(&subject.agents)?),
            program: each(&program, &spent(self.programs)?).iter().sum(),
            measured,
            others: (others / time).max(0.0),
        })
    }

    /// Waits until the way answers a call.
    pub(crate) async fn answers(&self, subject: &Subject) -> anyhow::Result<()> {
        let (speech, _) = subject.first();
        let mut command = self.command(subject, speech)?;
        command.args(["--connections", "1", "--seconds", "0.05", "--warm-up", "0"]);
        finish(command, 0.0).await.map(|_| ())
    }

    fn command(&self, subject: &Subject, speech: Speech) -> anyhow::Result<Command> {
        let entry = subject.entry(speech).context("it does not speak that")?;
        let mut command = Command::new(self.binaries.ours.join("motanmesh-load"));
        command.args(["call", "--as", speech.word(), "--host", speech.host()]);
        command.args(["--to", &entry.to_string()]);
        Ok(command)
    }

    async fn load(&self, cell: Cell, subject: &Subject) -> anyhow::Result<Measured> {
        let mut command = self.command(subject, cell.speech)?;
        command.args(["--payload", &cell.payload.to_string()]);
        let seconds = match cell.shape {
            Loop::Closed(connections, depth) => {
                command
                    .args(["--connections", &connections.to_string()])
                    .args(["--depth", &depth.to_string()]);
                self.extent.closed_seconds
            }
            Loop::Open(rate) => {
                command
                    .args(["--connections", &OPEN_CONNECTIONS.to_string()])
                    .args(["--rate", &rate.to_string()]);
                self.extent.open_seconds
            }
        };
        command.args(["--seconds", &seconds.to_string()]);
        finish(command, seconds).await
    }
}

async fn finish(mut command: Command, seconds: f64) -> anyhow::Result<Measured> {
    let output = command.stderr(Stdio::piped()).kill_on_drop(true).output();
    let output = tokio::time::timeout(PATIENCE + Duration::from_secs_f64(seconds), output)
        .await
        .context("the load does not end")??;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn figure(runs: &[Run]) -> Option<Figure> {
    let first = runs.first()?;
    let of = |value: &dyn Fn(&Run) -> f64| median(runs.iter().map(value).collect());
    Some(Figure {
        rate: of(&|run| run.measured.rate),
        p50: of(&|run| run.measured.latency.p50_us),
        p99: of(&|run| run.measured.latency.p99_us),
        p999: of(&|run| run.measured.latency.p999_us),
        agents: (0..first.agents.len())
            .map(|index| of(&|run| run.agents[index]))
            .collect(),
        program: of(&|run| run.program),
        load: of(&|run| run.measured.cpu_seconds * 1e3 / run.measured.answers as f64),
        others: of(&|run| run.others),
    })
}

/// The middle one, or the mean of the two in the middle; 0 of none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle), values.len() % 2) {
        (Some(value), 1) => *value,
        (Some(value), _) => f64::midpoint(values[middle - 1], *value),
        (None, _) => 0.0,
    }
}

impl std::fmt::Display for Loop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed(connections, depth) => write!(f, "{connections} × {depth}"),
            Self::Open(rate) => write!(f, "{rate}/s"),
        }
    }
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            speech,
            payload,
            shape,
        } = self;
        match speech {
            Speech::Motan => {}
            Speech::Http => f.write_str("HTTP/1.1, ")?,
            Speech::Grpc => f.write_str("gRPC, ")?,
            Speech::GrpcStream => f.write_str("gRPC to and fro, ")?,
            Speech::GrpcChunks => f.write_str("gRPC one way, ")?,
        }
        match payload {
            ..1_024 => write!(f, "{payload} B, {shape}"),
            _ => write!(f, "{} KiB, {shape}", payload >> 10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        for (values, middle) in [
            (vec![], 0.0),
            (vec![3.0], 3.0),
            (vec![9.0, 1.0], 5.0),
            (vec![9.0, 1.0, 2.0], 2.0),
        ] {
            assert_eq!(median(values), middle);
        }
    }

    #[test]
    fn what_has_a_goal_is_measured_quickly_too() {
        let (cells, _) = cells(true);
        assert!(
            crate::goals::throughput()
                .iter()
                .all(|goal| cells.contains(&goal.cell))
        );
    }

    #[test]
    fn only_what_holds_too_many_bytes_is_left_out() {
        let (cells, left_out) = cells(false);
        assert_eq!(cells.len() + left_out.len(), 4 * 2 * 4 + 4 + 5 + 4);
        let left_out: Vec<_> = left_out.iter().map(Cell::to_string).collect();
        assert_eq!(
            left_out,
            [
                "16 KiB, 256 × 16",
                "256 KiB, 256 × 1",
                "256 KiB, 16 × 16",
                "256 KiB, 64 × 16",
                "256 KiB, 256 × 16"
            ]
        );
    }
}
