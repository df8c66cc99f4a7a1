//! A peer that serves.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::task::JoinHandle;

use super::process::{Peer, free_port};
use super::rust;
use super::world::eventually;

/// A server of the service that all peers know.
pub(crate) struct Server {
    pub(crate) peer: Peer,
    /// What `who` answers.
    pub(crate) name: String,
    pub(crate) group: String,
    port: u16,
    args: Vec<String>,
    environment: Option<(&'static str, String)>,
    running: Option<Running>,
}

enum Running {
    Process(Child),
    Task(JoinHandle<()>),
}

impl Drop for Running {
    fn drop(&mut self) {
        match self {
            Self::Process(_) => {} // killed with its handle
            Self::Task(task) => task.abort(),
        }
    }
}

impl Server {
    /// Starts one in the group of its peer and waits until it listens.
    pub(crate) async fn start(peer: Peer) -> Self {
        Self::with(peer, peer.name(), &[]).await
    }

    /// The same in another group, with more flags.
    pub(crate) async fn with(peer: Peer, group: &str, flags: &[&str]) -> Self {
        Self::new(None, peer, group, flags).await
    }

    /// The same with more in its environment.
    pub(crate) async fn under(
        environment: (&'static str, String),
        peer: Peer,
        group: &str,
        flags: &[&str],
    ) -> Self {
        Self::new(Some(environment), peer, group, flags).await
    }

    async fn new(
        environment: Option<(&'static str, String)>,
        peer: Peer,
        group: &str,
        flags: &[&str],
    ) -> Self {
        let port = free_port();
        let port_text = port.to_string();
        let mut args = vec![
            "server",
            "-listen",
            &port_text,
            "-name",
            peer.name(),
            "-group",
            group,
        ];
        args.extend(flags);
        let args = args.into_iter().map(str::to_owned).collect();
        let mut server = Self {
            peer,
            name: peer.name().to_owned(),
            group: group.to_owned(),
            port,
            args,
            environment,
            running: None,
        };
        server.run().await;
        server
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Starts it where it was.
    pub(crate) async fn run(&mut self) {
        self.running = Some(match self.peer {
            Peer::Rust => Running::Task(rust::serve(self.address(), self.name.clone()).await),
            Peer::Java | Peer::Go => {
                let mut program = self.peer.program();
                program.args(&self.args).envs(self.environment.clone());
                Running::Process(program.spawn().unwrap())
            }
        });
        let what = format!("the {} server listens", self.name);
        eventually(&what, async || TcpStream::connect(self.address()).await.is_ok()).await;
    }

    /// Ends it at once, without a word.
    pub(crate) async fn kill(&mut self) {
        match self.running.take().as_mut().expect("it runs") {
            Running::Process(child) => child.kill().await.unwrap(),
            Running::Task(task) => {
                task.abort();
                let _ = task.await; // cancelled
            }
        }
    }
}
