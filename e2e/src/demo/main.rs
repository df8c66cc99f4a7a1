//! One program for both ends: `serve` provides a service, `load` calls one, `call` calls once, `stats` asks a load.
//!
//! It knows nothing of the mesh. What is served is so small that a demo's log fits on a screen.

mod http_client;
mod http_server;
mod load;
mod motan_client;
mod motan_server;
mod signals;

use std::{io::Write, net::SocketAddr, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "motanmesh-demo",
    version,
    about = "Programs at both ends of a mesh, for demos and tests"
)]
struct Cli {
    #[command(subcommand)]
    word: Word,
}

#[derive(Subcommand)]
enum Word {
    /// Provide a service over HTTP, Motan 2, or both, until SIGTERM.
    Serve(Serve),
    /// Call a service at a steady rate (open loop) and count.
    Load(Box<load::Load>),
    /// Call once over HTTP and print status, headers and body; exit 1 unless the status is 2xx.
    Get(Get),
    /// Call once over Motan 2 and print the answer; exit 1 if it is an exception.
    Motan(Motan),
    /// Signal processes of this pod by a word of their command line.
    Signal {
        /// TERM, KILL, STOP or CONT.
        signal: String,
        /// For example `serve` or `motanmesh-sidecar`.
        word: String,
    },
    /// Print the counts of a running load.
    Stats {
        /// Its control port.
        #[arg(long, default_value_t = load::CONTROL_PORT)]
        port: u16,
    },
}

#[derive(Args)]
struct Serve {
    /// Serve HTTP/1.1 here.
    #[arg(long)]
    http: Option<SocketAddr>,
    /// Serve Motan 2 here.
    #[arg(long)]
    motan: Option<SocketAddr>,
    /// The name given in every answer.
    #[arg(long, env = "POD_NAME", default_value = "demo")]
    name: String,
}

#[derive(Args)]
struct Get {
    /// For example http://user.shop.mesh/users/1.
    url: String,
    /// Where the request is sent, whatever the URL's host is.
    #[arg(long)]
    via: Option<SocketAddr>,
    /// Send it as to a forward proxy (absolute form).
    #[arg(long)]
    proxy: bool,
    #[arg(long, default_value = "GET")]
    method: String,
    #[arg(long, default_value = "")]
    body: String,
    #[arg(long, default_value_t = 5_000)]
    timeout_ms: u64,
}

#[derive(Args)]
struct Motan {
    /// Where the request is sent: host:port, or unix: and the path of a socket.
    #[arg(long, default_value = "127.0.0.1:9981")]
    via: client::Address,
    /// Service path (`M_p`).
    path: String,
    /// Method (`M_m`).
    method: String,
    /// One string argument.
    #[arg(default_value = "")]
    argument: String,
    /// Group (`M_g`); absent: not sent.
    #[arg(long)]
    group: Option<String>,
    #[arg(long, default_value_t = 5_000)]
    timeout_ms: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match obey(Cli::parse().word).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn obey(word: Word) -> anyhow::Result<()> {
    match word {
        Word::Serve(serve) => serve_until_told(serve).await,
        Word::Load(load) => load::run(*load).await,
        Word::Get(get) => print_get(get).await,
        Word::Motan(motan) => print_motan(motan).await,
        Word::Signal { signal, word } => say(&format!("{} signalled", signals::send(&signal, &word)?)),
        Word::Stats { port } => {
            let url = format!("http://127.0.0.1:{port}/stats");
            let answer = http_client::Http::direct()
                .send("GET", &url, "", Duration::from_secs(5))
                .await?;
            say(&answer.body)
        }
    }
}

async fn serve_until_told(serve: Serve) -> anyhow::Result<()> {
    let Serve { http, motan, name } = serve;
    anyhow::ensure!(
        http.is_some() || motan.is_some(),
        "nothing to serve: give --http or --motan"
    );
    let stop = load::terminated()?;
    let http = async {
        match http {
            Some(address) => http_server::serve(address, name.clone(), stop.clone()).await,
            None => Ok(()),
        }
    };
    let motan = async {
        match motan {
            Some(address) => motan_server::serve(address, name.clone(), stop.clone()).await,
            None => Ok(()),
        }
    };
    tokio::try_join!(http, motan).map(|_| ())
}

async fn print_get(get: Get) -> anyhow::Result<()> {
    let Get {
        url,
        via,
        proxy,
        method,
        body,
        timeout_ms,
    } = get;
    let http = http_client::Http::new(via, proxy);
    let answer = http
        .send(&method, &url, &body, Duration::from_millis(timeout_ms))
        .await?;
    let mut text = format!("{}\n", answer.status);
    for (name, value) in &answer.headers {
        text.push_str(&format!(
            "{name}: {}\n",
            String::from_utf8_lossy(value.as_bytes())
        ));
    }
    say(&format!("{text}\n{}", answer.body))?;
    anyhow::ensure!((200..300).contains(&answer.status), "status {}", answer.status);
    Ok(())
}

async fn print_motan(motan: Motan) -> anyhow::Result<()> {
    let Motan {
        via,
        path,
        method,
        argument,
        group,
        timeout_ms,
    } = motan;
    let patience = Duration::from_millis(timeout_ms);
    let client = motan_client::Motan::new(via, path, method, group, patience);
    let answer = client.call(&argument).await?;
    say(&answer.value)
}

/// Prints a line: the one thing that these words are asked for.
fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", text.trim_end())?;
    Ok(out.flush()?)
}
