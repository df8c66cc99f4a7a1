//! A process that is measured: where it runs, what it costs, and that it ends with the run.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::cores::{self, Cores};

/// How long anything may take to start.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked at while it starts: much shorter than what is measured.
const LOOK: Duration = Duration::from_micros(200);

/// A process that ends with its owner.
pub(crate) struct Process {
    child: Child,
    begin: Instant,
}

impl Process {
    /// Starts it beside the load, or beside the agents.
    pub(crate) fn start(command: &mut Command, cpu: usize, cores: Cores) -> anyhow::Result<Self> {
        cores::pin(cpu)?;
        let begin = Instant::now();
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        cores::pin(cores.load)?;
        let name = || command.get_program().to_string_lossy().into_owned();
        Ok(Self {
            child: child.with_context(name)?,
            begin,
        })
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in MiB.
    pub(crate) fn memory(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        Ok(kib.context("a process has VmRSS")?.parse::<f64>()? / 1024.0)
    }

    /// Seconds of processor time of its threads so far.
    pub(crate) fn spent(&self) -> anyhow::Result<f64> {
        let mut nanos = 0.0;
        for task in fs::read_dir(format!("/proc/{}/task", self.id()))? {
            // A thread that has just ended has no file any more.
            let Ok(stat) = fs::read_to_string(task?.path().join("schedstat")) else {
                continue;
            };
            let spent = stat.split_whitespace().next().context("schedstat has a number")?;
            nanos += spent.parse::<f64>()?;
        }
        Ok(nanos / 1e9)
    }

    /// Waits until it is ready, and says how long that took from its start.
    pub(crate) async fn ready(&mut self, ready: Ready) -> anyhow::Result<Duration> {
        let look = async {
            loop {
                if ready.is_there().await {
                    return Ok(self.begin.elapsed());
                }
                if let Some(status) = self.child.try_wait()? {
                    anyhow::bail!("it ended with {status}");
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(PATIENCE, look)
            .await
            .unwrap_or_else(|_| Err(anyhow::anyhow!("it is not ready")))
            .with_context(|| format!("waiting for {ready:?}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What tells that a process is ready.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ready {
    /// It takes connections here.
    Accepts(std::net::SocketAddr),
    /// `/ready` here is answered with 200.
    Says(std::net::SocketAddr),
}

impl Ready {
    async fn is_there(self) -> bool {
        match self {
            Self::Accepts(address) => TcpStream::connect(address).await.is_ok(),
            Self::Says(address) => ask(address).await.is_ok_and(|said| said),
        }
    }
}

async fn ask(address: std::net::SocketAddr) -> std::io::Result<bool> {
    let mut socket = TcpStream::connect(address).await?;
    let request = b"GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    socket.write_all(request).await?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1.1 200"))
}
