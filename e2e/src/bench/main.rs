//! Figures of this machine: a pair of real sidecars between a real load and a real program, beside the direct call.
//!
//! `make bench` runs it. Ratios within one run carry over to other machines; absolute figures don't.

mod load;
mod pair;

use std::{io::Write, path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;

use crate::{
    load::{Figure, Protocol, Shape},
    pair::Pair,
};

#[derive(Parser)]
#[command(
    name = "motanmesh-bench",
    about = "Figures of a pair of sidecars beside the direct call"
)]
struct Cli {
    /// Folder of the binaries motanmesh-sidecar and motanmesh-demo.
    #[arg(long)]
    binaries: PathBuf,
    /// Seconds of each run.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
}

/// Connections × requests under way on each.
const SHAPES: [Shape; 4] = [Shape(1, 1), Shape(16, 1), Shape(64, 1), Shape(64, 16)];

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match figures(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn figures(cli: Cli) -> anyhow::Result<()> {
    let Cli { binaries, seconds } = cli;
    let time = Duration::from_secs(seconds);
    let mut out = std::io::stdout().lock();
    let pair = Pair::start(&binaries).await?;
    writeln!(
        out,
        "start to ready            {:>8.1} ms",
        pair.started.as_secs_f64() * 1e3
    )?;
    writeln!(
        out,
        "idle, 20 dependencies     {:>8.1} MiB",
        pair.client.memory()?
    )?;
    {
        let _held = pair.connections(1_000).await?;
        writeln!(
            out,
            "with 1000 connections     {:>8.1} MiB",
            pair.client.memory()?
        )?;
    }
    writeln!(
        out,
        "\n{:28} {:>10} {:>10} {:>7} {:>9} {:>9}",
        "1 KiB, closed loop", "direct/s", "pair/s", "ratio", "p50 ms", "p99 ms"
    )?;
    for protocol in [Protocol::Motan, Protocol::Http] {
        for shape in SHAPES
            .iter()
            .filter(|shape| protocol == Protocol::Motan || shape.1 == 1)
        {
            let direct = load::run(protocol, *shape, pair.direct(protocol), time).await?;
            let through = load::run(protocol, *shape, pair.entry(protocol), time).await?;
            let Figure {
                rate,
                p50,
                p99,
                failed,
            } = &through;
            anyhow::ensure!(*failed == 0, "{failed} calls failed in {protocol:?} {shape:?}");
            writeln!(
                out,
                "{:28} {:>10.0} {:>10.0} {:>7.2} {:>9.3} {:>9.3}",
                format!("{protocol:?} {} x {}", shape.0, shape.1),
                direct.rate,
                rate,
                rate / direct.rate,
                p50,
                p99
            )?;
        }
    }
    writeln!(
        out,
        "\nmemory after the load      {:>7.1} MiB client agent, {:.1} MiB server agent",
        pair.client.memory()?,
        pair.server.memory()?
    )?;
    Ok(())
}
