//! `motanmesh-sidecar`: the words it knows, and what it exits with.
//!
//! 0: done. 1: it failed, and said why. 2: a flag is wrong.

use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use agent::boot::{ADMIN_PORT, Boot};
use agent::{app, ask};
use anyhow::Context;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "motanmesh-sidecar",
    version,
    about = "WeiboMesh for Kubernetes: the proxy beside a program"
)]
struct Cli {
    #[command(subcommand)]
    word: Word,
}

#[derive(Subcommand)]
enum Word {
    /// Serve calls as a plan says, until SIGTERM.
    Run(Box<Boot>),
    /// Read a plan and say what is in it, or what is wrong with it.
    Check {
        /// A plan's file, or a directory with a plan.json in it.
        #[arg(long, value_name = "PATH")]
        plan: PathBuf,
    },
    /// Tell the sidecar of this pod that the pod goes (for preStop); returns at once.
    Drain {
        /// Where its local listeners are.
        #[arg(
            long,
            env = "MOTANMESH_LOCAL_ADDRESS",
            value_name = "IP",
            default_value = "127.0.0.1"
        )]
        local_address: IpAddr,
        /// Its admin port.
        #[arg(long, env = "MOTANMESH_ADMIN_PORT", value_name = "PORT", default_value_t = ADMIN_PORT)]
        admin_port: u16,
    },
    /// Print the version.
    Version,
}

fn main() -> ExitCode {
    let done = match Cli::parse().word {
        Word::Run(boot) => app::main(&boot),
        Word::Check { plan } => ask::check(&plan).map_err(Into::into).and_then(|text| say(&text)),
        Word::Drain {
            local_address,
            admin_port,
        } => ask::drain((local_address, admin_port).into()).context("the drain was not asked for"),
        Word::Version => say(env!("CARGO_PKG_VERSION")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "motanmesh-sidecar: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("can't write to stdout")
}
