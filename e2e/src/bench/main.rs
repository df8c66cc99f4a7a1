//! Figures of this machine: a pair of our sidecars, pairs of motan-go agents and of Envoys and the direct call, side by
//! side.
//!
//! `make bench` runs it. [`subjects`] starts what is measured, [`rounds`] measures it, [`results`] and [`chart`] show it.
//! Ratios within one run carry over to other machines; absolute figures don't.

mod chart;
mod cores;
mod envoy;
mod goals;
mod machine;
mod process;
mod results;
mod rounds;
mod standing;
mod subjects;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    cores::Cores,
    machine::Machine,
    results::Results,
    rounds::{Bench, Extent, Speech},
    standing::Standing,
    subjects::{Binaries, Subject},
};

#[derive(Parser)]
#[command(
    name = "motanmesh-bench",
    about = "Our sidecars, motan-go, Envoy and the direct call, side by side"
)]
struct Cli {
    /// Folder of the binaries motanmesh-sidecar and motanmesh-load.
    #[arg(long)]
    binaries: PathBuf,
    /// The program on motan-go that knows the word `agent`; without it there is nothing to compare with.
    #[arg(long)]
    motan_go: Option<PathBuf>,
    /// Envoy; without it there is nothing to compare HTTP with.
    #[arg(long)]
    envoy: Option<PathBuf>,
    /// Folder for RESULTS.md and results.svg; without it the page is printed.
    #[arg(long)]
    out: Option<PathBuf>,
    /// A file of lines that belong on the page too: what was measured elsewhere.
    #[arg(long)]
    also: Option<PathBuf>,
    /// The shapes that have goals, less long: two minutes.
    #[arg(long)]
    quick: bool,
    /// Only what is said like this.
    #[arg(long, value_enum)]
    only: Option<Speech>,
    /// Measure nothing: start our pair before the program, say where they are, and wait until interrupted.
    #[arg(long, conflicts_with_all = ["out", "also", "quick"])]
    hold: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let done = tokio::select! {
        done = figures(Cli::parse()) => done,
        // What was started ends with what owns it.
        ended = terminated() => ended,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Ends with SIGTERM or SIGINT, as an error.
async fn terminated() -> anyhow::Result<()> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
    anyhow::bail!("interrupted")
}

async fn figures(cli: Cli) -> anyhow::Result<()> {
    let Cli {
        binaries,
        motan_go,
        envoy,
        out,
        also,
        quick,
        only,
        hold,
    } = cli;
    let processors = machine::processors();
    let cores = Cores::choose()?;
    cores::pin(cores.load)?;
    standing::raise_file_limit()?;
    let binaries = Binaries {
        ours: binaries,
        motan_go,
        envoy,
    };
    let programs = subjects::programs(&binaries, cores)?;
    if hold {
        let ours = subjects::ours(&binaries, cores).await.context("ours")?;
        return stay(&ours, cores).await;
    }
    let subjects = ways(&binaries, cores).await?;
    let bench = Bench {
        binaries: &binaries,
        cores,
        extent: if quick { Extent::quick() } else { Extent::whole() },
        subjects: &subjects,
        programs: &programs,
        repeated: std::cell::Cell::default(),
    };
    let mut results = Results {
        machine: Machine::look(
            processors,
            cores,
            binaries.motan_go.as_deref(),
            binaries.envoy.as_deref(),
        ),
        is_quick: quick,
        ways: subjects.iter().map(|subject| subject.name).collect(),
        rows: Vec::new(),
        left_out: Vec::new(),
        standing: Vec::new(),
        judged: Vec::new(),
        problems: Vec::new(),
        also: also_lines(also.as_deref())?,
    };
    measure(&bench, only, &mut results).await?;
    show(&results, out.as_deref())
}

/// Direct first, ours last; in between what ours is compared with.
async fn ways(binaries: &Binaries, cores: Cores) -> anyhow::Result<Vec<Subject>> {
    let mut ways = vec![subjects::direct()];
    if let Some(program) = &binaries.motan_go {
        ways.push(subjects::motan_go(program, cores).await.context("motan-go")?);
    }
    if let Some(program) = &binaries.envoy {
        ways.push(subjects::envoy(program, cores).await.context("Envoy")?);
    }
    ways.push(
        subjects::copies(binaries, cores)
            .await
            .context(subjects::COPIES)?,
    );
    ways.push(subjects::ours(binaries, cores).await.context("ours")?);
    Ok(ways)
}

async fn measure(bench: &Bench<'_>, only: Option<Speech>, results: &mut Results) -> anyhow::Result<()> {
    for subject in bench.subjects {
        let standing = Standing::before(subject, async || bench.answers(subject).await).await;
        results.standing.push(standing.with_context(|| subject.name)?);
    }
    let (mut cells, left_out) = rounds::cells(bench.extent.is_quick);
    cells.retain(|cell| only.is_none_or(|only| only == cell.speech));
    results.left_out = left_out;
    let count = cells.len();
    for (index, cell) in cells.into_iter().enumerate() {
        progress(&format!("{} of {count}: {cell}", index + 1))?;
        results.rows.push(bench.row(cell, &mut results.problems).await);
    }
    for (standing, subject) in results.standing.iter_mut().zip(bench.subjects) {
        if let Some(standing) = standing {
            standing.after(subject)?;
        }
    }
    let ours = results.standing.last().and_then(Option::as_ref);
    results.judged = goals::judge(&results.rows, ours);
    Ok(())
}

fn also_lines(file: Option<&Path>) -> anyhow::Result<Vec<String>> {
    let Some(file) = file else {
        return Ok(Vec::new());
    };
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    Ok(text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(str::to_owned)
        .collect())
}

fn show(results: &Results, out: Option<&Path>) -> anyhow::Result<()> {
    let page = results.page()?;
    match out {
        None => std::io::stdout().write_all(page.as_bytes())?,
        Some(folder) => {
            fs::create_dir_all(folder)?;
            fs::write(folder.join("RESULTS.md"), page)?;
            fs::write(folder.join("results.svg"), chart::draw(results)?)?;
        }
    }
    Ok(())
}

/// For a profiler: the pair runs as it does when it is measured.
async fn stay(ours: &Subject, cores: Cores) -> anyhow::Result<()> {
    let mut words = String::new();
    for speech in [Speech::Motan, Speech::Http, Speech::Grpc] {
        if let Some(entry) = ours.entry(speech) {
            words.push_str(&format!(
                "entry --as {} --host {} --to {entry}\n",
                speech.word(),
                speech.host()
            ));
        }
    }
    for (role, agent) in ["client agent", "server agent"].into_iter().zip(&ours.agents) {
        words.push_str(&format!(
            "{role}: process {}, processor {}\n",
            agent.id(),
            cores.agents
        ));
    }
    std::io::stdout().write_all(words.as_bytes())?;
    std::future::pending().await
}

fn progress(words: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stderr(), "    {words}")?)
}
