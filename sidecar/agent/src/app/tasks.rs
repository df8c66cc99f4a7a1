//! The tasks of the control thread: each has an owner here, ends when told, and is missed when it dies.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use process::admin::Router;
use process::listen::UnixDoor;
use process::{admin, drain, listen};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::listen::accept::{self, Socket};
use crate::worker::{ListenerKind, Workers};

/// How long tasks may take to end when told: what they then do is write a file or answer a last request.
const END_TIME: Duration = Duration::from_secs(1);

/// All tasks, in two groups that end one after the other.
#[derive(Debug)]
pub(super) struct Tasks {
    /// Each gives its name when it ends.
    running: JoinSet<&'static str>,
    doors: (drain::Trigger, drain::Watch),
    control: (drain::Trigger, drain::Watch),
}

impl Tasks {
    pub(super) fn new() -> Self {
        Self {
            running: JoinSet::new(),
            doors: drain::channel(),
            control: drain::channel(),
        }
    }

    /// A task that lives until the very end.
    pub(super) fn control<F>(&mut self, name: &'static str, task: impl FnOnce(drain::Watch) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let task = task(self.control.1.clone());
        self.running.spawn(async move {
            task.await;
            name
        });
    }

    /// A task that takes calls in, and ends with the doors.
    pub(super) fn entrance<F>(&mut self, name: &'static str, task: impl FnOnce(drain::Watch) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let task = task(self.doors.1.clone());
        self.running.spawn(async move {
            task.await;
            name
        });
    }

    /// An HTTP page.
    pub(super) fn page(
        &mut self,
        name: &'static str,
        address: SocketAddr,
        router: Router,
    ) -> anyhow::Result<()> {
        let (listener, _) = bind(name, address)?;
        self.control(name, |drain| admin::serve(listener, router, drain));
        Ok(())
    }

    /// A listener for calls; gives where it is.
    pub(super) fn door(
        &mut self,
        kind: ListenerKind,
        address: SocketAddr,
        workers: &Workers,
    ) -> anyhow::Result<SocketAddr> {
        let (listener, bound) = bind(kind.as_str(), address)?;
        let name = kind.as_str();
        let (open, hand) = to(kind, workers);
        let task = accept::run(listener, open, hand, self.doors.1.clone());
        self.running.spawn(async move {
            task.await;
            name
        });
        Ok(bound)
    }

    /// A listener for calls in the file system.
    pub(super) fn unix_door(
        &mut self,
        kind: ListenerKind,
        path: &Path,
        workers: &Workers,
    ) -> anyhow::Result<()> {
        let listener = UnixDoor::bind(path).context(kind.as_str())?;
        tracing::info!(listener = kind.as_str(), path = %path.display(), "listening");
        let name = kind.as_str();
        let (open, hand) = to(kind, workers);
        let task = accept::run_unix(listener, open, hand, self.doors.1.clone());
        self.running.spawn(async move {
            task.await;
            name
        });
        Ok(())
    }

    /// Returns when a task has ended that nobody told to: the process is not whole any more.
    pub(super) async fn died(&mut self) -> anyhow::Error {
        match self.running.join_next().await {
            Some(Ok(name)) => anyhow::anyhow!("the task {name} ended by itself"),
            Some(Err(error)) => anyhow::Error::new(error).context("a task of the control thread died"),
            None => anyhow::anyhow!("there are no tasks"),
        }
    }

    /// Closes all doors; whoever has connected is handed on first. Then `meanwhile`, then everything else ends.
    pub(super) async fn end(self, meanwhile: impl Future<Output = ()>) {
        let Self {
            running,
            doors,
            control,
        } = self;
        end("listeners", doors).await;
        meanwhile.await;
        end("control", control).await;
        drop(running);
    }
}

/// How many connections the workers have, and how they get one more.
fn to(kind: ListenerKind, workers: &Workers) -> (impl Fn() -> usize + use<>, impl Fn(Socket) + use<>) {
    let (counting, handing) = (workers.clone(), workers.clone());
    let open = move || counting.connections();
    let hand = move |socket| handing.accept(kind.clone(), socket);
    (open, hand)
}

/// Binds, and says where: with port 0 nobody knows before.
fn bind(name: &'static str, address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = listen::bind(address).context(name)?;
    let address = listener.local_addr().context(name)?;
    tracing::info!(listener = name, %address, "listening");
    Ok((listener, address))
}

async fn end(what: &'static str, (trigger, watch): (drain::Trigger, drain::Watch)) {
    drop(watch);
    if let Err(error) = trigger.drained(END_TIME).await {
        tracing::warn!(%error, what, "tasks are cut");
    }
}
