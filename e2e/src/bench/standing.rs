//! What an agent is when nothing is asked of it: its memory, its start.

use std::net::{SocketAddr, TcpStream};

use anyhow::Context;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::{rounds::median, subjects::Subject};

/// Connections that do nothing.
const CONNECTIONS: usize = 1_000;

/// Memory of the client agent in MiB, and its start in milliseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Standing {
    pub(crate) idle: f64,
    pub(crate) with_connections: f64,
    /// After the load, of the client agent and the server agent.
    pub(crate) after: [f64; 2],
    pub(crate) start_ms: f64,
}

impl Standing {
    /// Measures before any load; `call` makes a call, whose answer says that the connections before it are taken.
    pub(crate) async fn before(
        subject: &Subject,
        call: impl AsyncFn() -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(client) = subject.agents.first().filter(|_| !subject.starts.is_empty()) else {
            return Ok(None);
        };
        let starts = subject.starts.iter().map(|start| start.as_secs_f64() * 1e3);
        let idle = client.memory()?;
        let held = hold(subject.first().1)?;
        call().await?;
        let with_connections = client.memory()?;
        drop(held);
        Ok(Some(Self {
            idle,
            with_connections,
            after: [0.0; 2],
            start_ms: median(starts.collect()),
        }))
    }

    /// Measures after all load.
    pub(crate) fn after(&mut self, subject: &Subject) -> anyhow::Result<()> {
        for (memory, agent) in self.after.iter_mut().zip(&subject.agents) {
            *memory = agent.memory()?;
        }
        Ok(())
    }
}

fn hold(to: SocketAddr) -> anyhow::Result<Vec<TcpStream>> {
    (0..CONNECTIONS)
        .map(|_| TcpStream::connect(to).context("a connection that does nothing"))
        .collect()
}

/// Lets this process hold the connections, and agents that are started from it take them.
pub(crate) fn raise_file_limit() -> anyhow::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}
