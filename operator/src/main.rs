//! `motanmesh-operator`: words of the command line, exit codes, nothing else.

use std::{io::Write, process::ExitCode};

use clap::{Parser, Subcommand};
use operator::cli;

#[derive(Debug, Parser)]
#[command(name = "motanmesh-operator", version, about = "The operator of motanmesh.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the definitions of MeshService and MeshDependency as YAML.
    Crds,
    /// Print a pod's plan, from objects in a file.
    Compile(Box<cli::Compile>),
    /// Print pods and workloads of a file with their sidecar.
    Inject(cli::Inject),
    /// Print MeshServices and MeshDependencies for a configuration of motan-go.
    Import(cli::Import),
    /// Check the cluster, and the mesh in it: each line with its mend, exit code 1 where something fails.
    Check(operator::check::Check),
    /// Run the operator in a cluster.
    Run(Box<operator::app::Run>),
    /// Print the version.
    Version,
}

fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    let ended = match command {
        Command::Run(run) => run.run().map(|()| (cli::Printed::default(), true)),
        Command::Check(check) => check.run(),
        Command::Crds => done(cli::crds()),
        Command::Compile(command) => done(command.run()),
        Command::Inject(command) => done(command.run()),
        Command::Import(command) => done(command.run()),
        Command::Version => done(Ok(format!("{}\n", operator::settings::VERSION).into())),
    };
    match ended {
        Ok((cli::Printed { document, notes }, well)) => {
            let told = std::io::stderr().write_all(notes.as_bytes());
            let written = std::io::stdout().write_all(document.as_bytes());
            if well && told.and(written).is_ok() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            // A closed stderr leaves the exit code to say it.
            let _ = writeln!(std::io::stderr(), "motanmesh-operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn done(printed: Result<cli::Printed, cli::Error>) -> anyhow::Result<(cli::Printed, bool)> {
    Ok((printed?, true))
}
