//! `motanmesh-load`: a load that costs much less than what it measures, and the program to put behind it.
//!
//! One thread, no allocation for a call: [`call`] is the load and [`echo`] the program, [`motan`], [`http`] and
//! [`grpc`] what they speak. It knows nothing of agents; the bench puts them in between.

mod call;
mod clock;
mod echo;
mod grpc;
mod http;
mod motan;
mod relay;

use std::{io::Write, net::SocketAddr, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::call::Speech;

#[derive(Parser)]
#[command(name = "motanmesh-load", about = "A load, and a program to answer it")]
struct Cli {
    #[command(subcommand)]
    word: Word,
}

#[derive(Subcommand)]
enum Word {
    /// Call, then print one line of JSON. Without --rate a closed loop: each answer is followed by the next request.
    Call(call::Call),
    /// Answer every request with its own body, until ended.
    Echo {
        /// Where to listen.
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long = "as", value_enum, default_value_t = Speech::Motan)]
        speech: Speech,
    },
    /// Copy bytes both ways and look at none, until ended.
    Relay {
        /// Where to listen.
        #[arg(long)]
        listen: SocketAddr,
        /// Where every connection leads.
        #[arg(long)]
        to: SocketAddr,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().word {
        Word::Call(call) => call::run(&call).and_then(|measured| {
            let line = serde_json::to_string(&measured)?;
            Ok(writeln!(std::io::stdout(), "{line}")?)
        }),
        Word::Echo { listen, speech } => match speech {
            Speech::Motan => echo::serve::<motan::program::Motan>(listen),
            Speech::Http => echo::serve::<http::program::Http>(listen),
            Speech::Grpc | Speech::GrpcStream | Speech::GrpcChunks => {
                echo::serve::<grpc::program::Grpc>(listen)
            }
        },
        Word::Relay { listen, to } => relay::serve(listen, to),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "motanmesh-load: {error:#}");
            ExitCode::FAILURE
        }
    }
}
