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
    Compile(cli::Compile),
    /// Print pods and workloads of a file with their sidecar.
    Inject(cli::Inject),
    /// Run the operator in a cluster.
    Run(Box<operator::app::Run>),
    /// Print the version.
    Version,
}

fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    let printed = match command {
        Command::Run(run) => return exit(run.run()),
        Command::Crds => cli::crds(),
        Command::Compile(command) => command.run(),
        Command::Inject(command) => command.run(),
        Command::Version => Ok(format!("{}\n", operator::settings::VERSION).into()),
    };
    match printed {
        Ok(cli::Printed { document, notes }) => {
            let told = std::io::stderr().write_all(notes.as_bytes());
            let written = std::io::stdout().write_all(document.as_bytes());
            if told.and(written).is_ok() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            let error = anyhow::Error::from(error);
            // A closed stderr leaves the exit code to say it.
            let _ = writeln!(std::io::stderr(), "motanmesh-operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn exit(ended: anyhow::Result<()>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "motanmesh-operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}
