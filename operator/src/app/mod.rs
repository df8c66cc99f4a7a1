//! `run`: everything is built here, in order, and each part gets only what it needs. Start: admin, stores, webhooks,
//! streams, then the elected. Stop: not ready, the elected and the lease, streams, webhooks, admin.
//!
//! Admission has a thread and a runtime of its own, so that no amount of indexing or compiling delays it.

mod flags;
mod probes;
mod stop;

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use kube::{Api, Client};
use process::{admin, drain, listen, logging, ready::Readiness, signal::Ending};
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
};
use tracing::{info, warn};

use self::{probes::Families, stop::App};
use crate::{
    admission::{self, server::Admission},
    authority::{Authority, Serving, root::Roots},
    connect,
    control::{
        self, Elected,
        events::{self, Events},
    },
    discovery::{
        self,
        acks::{Acks, prune},
        forward,
        server::Discovery,
        tokens::Tokens,
    },
    gauges::Gauges,
    lease::{self, Leadership},
    rates::{self, Seats},
    serve::{self, Door},
    settings::VERSION,
    world::{Cluster, watch::Watches},
};

pub use flags::Run;

/// Port of the webhook server.
pub const WEBHOOK_PORT: u16 = 9443;
/// Port of the stream server.
pub const STREAM_PORT: u16 = 9444;
/// Port of metrics and probes.
pub const ADMIN_PORT: u16 = 9990;
/// How many API servers' connections admission takes.
const ADMISSION_CONNECTIONS: usize = 256;
/// How many sidecars one replica takes.
const STREAM_CONNECTIONS: usize = 8192;

/// A task that must not end, and what to say when it does.
type Task = (&'static str, String);

impl Run {
    /// Runs until a signal, or until something that must not end does.
    ///
    /// # Errors
    /// Something could not be set up, or has ended by itself.
    pub fn run(self) -> anyhow::Result<()> {
        // The client logs each failure on its own as well; who asks for it by name gets it.
        let level = logging::start(&format!("kube_client=off,{}", self.log_level), self.log_format)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("operator")
            .enable_all()
            .build()
            .context("starting threads")?;
        let ended = runtime.block_on(self.start(level));
        runtime.shutdown_timeout(Duration::from_secs(1));
        ended
    }

    async fn start(self, level: logging::Level) -> anyhow::Result<()> {
        let mut ending = Ending::listen().context("listening for signals")?;
        info!(version = VERSION, pod = self.pod_name, "operator starts");
        let app = self.build(level).await?;
        app.until(&mut ending).await
    }
}

/// What several parts share.
struct Shared {
    tasks: JoinSet<Task>,
    synced: Readiness,
    client: Client,
    authority: Arc<Authority>,
    cluster: Arc<Cluster>,
    acks: Arc<Acks>,
    seats: Arc<Seats>,
    events: Events,
    gauges: Gauges,
    metrics: Families,
}

impl Run {
    async fn build(self, level: logging::Level) -> anyhow::Result<App> {
        let (stops, drains) = stop::channels();
        let (events, writer) = events::channel();
        let (gauges, metrics) = (Gauges::default(), Families::default());
        let (synced, mut tasks) = (Readiness::default(), JoinSet::new());
        let first = synced.pending("certificate and stores");

        // Probes are answered before anything else is there.
        let exposition = metrics.expose(&gauges, &events);
        let router = probes::router(exposition, synced.clone(), drains.stopping, level);
        let listener = listen::bind(self.or_any(self.admin_address, ADMIN_PORT))?;
        let drain = drains.admin;
        spawn(&mut tasks, "the admin server", async move {
            admin::serve(listener, router, drain).await;
            std::future::pending().await // it ends with the drain only
        });

        let client = connect::client().await.context("finding the API server")?;
        let secrets = Api::namespaced(client.clone(), &self.injection.namespace);
        let authority = Authority::open(secrets, &self.ca_secret, self.names()).await?;
        let mut roots = authority.roots();
        let control = self.control(&roots.borrow_and_update())?;
        let mut shared = Shared {
            tasks,
            synced,
            client,
            authority,
            cluster: Arc::new(Cluster::new(self.mesh.defaults(Some(control)))),
            acks: Arc::default(),
            seats: Arc::default(),
            events,
            gauges,
            metrics,
        };
        self.stores(&mut shared, roots);
        first.done();
        let admission_thread = self.webhooks(&mut shared, writer, drains.admission)?;
        self.streams(&mut shared, drains.streams).await?;
        self.elect(&mut shared, drains.lease, drains.elected);
        Ok(App {
            tasks: shared.tasks,
            admission_thread,
            stops,
        })
    }

    /// What keeps this replica's view true.
    fn stores(&self, shared: &mut Shared, mut roots: watch::Receiver<Roots>) {
        shared.gauges.follow(&mut shared.tasks, &shared.authority);
        let authority = Arc::clone(&shared.authority);
        spawn(&mut shared.tasks, "the watch of the CA's Secret", async move {
            authority.keep().await.to_string()
        });
        let watches = Watches::new(&shared.client, &shared.cluster, &shared.synced);
        spawn(&mut shared.tasks, "a watch", async move {
            watches.run().await.to_string()
        });
        let (run, cluster) = (self.clone(), Arc::clone(&shared.cluster));
        // Plans are compiled with the roots that are trusted now.
        spawn(&mut shared.tasks, "the roots", async move {
            while roots.changed().await.is_ok() {
                let control = run.control(&roots.borrow_and_update());
                match control {
                    Ok(control) => cluster.set_defaults(run.mesh.defaults(Some(control))),
                    Err(error) => return error.to_string(),
                }
            }
            "they ended".to_owned()
        });
    }

    /// Webhooks, on a thread of their own.
    fn webhooks(
        &self,
        shared: &mut Shared,
        writer: events::Writer,
        drain: drain::Watch,
    ) -> anyhow::Result<oneshot::Receiver<()>> {
        let (client, instance) = (shared.client.clone(), self.pod_name.clone());
        spawn(&mut shared.tasks, "the writer of Events", async move {
            writer.run(client, instance).await;
            "it ended".to_owned()
        });
        let admission = Arc::new(Admission {
            cluster: Arc::clone(&shared.cluster),
            client: shared.client.clone(),
            injection: self.injection.clone(),
            readiness: shared.synced.clone(),
            events: shared.events.clone(),
            metrics: shared.metrics.admission.clone(),
        });
        let door = Door {
            name: "webhooks",
            connections: ADMISSION_CONNECTIONS,
            tls: serve::tls(
                Arc::new(Serving(Arc::clone(&shared.authority))),
                &["h2", "http/1.1"],
            )?,
        };
        let address = self.or_any(self.webhook_address, WEBHOOK_PORT);
        admission_thread(address, door, admission, drain).context("starting the admission thread")
    }

    /// The stream server and what feeds it.
    async fn streams(&self, shared: &mut Shared, drain: drain::Watch) -> anyhow::Result<()> {
        let tokens = Tokens::new(shared.client.clone());
        let discovery = Arc::new(Discovery {
            cluster: Arc::clone(&shared.cluster),
            own_user: own_user(&tokens, &self.token_file).await,
            tokens,
            acks: Arc::clone(&shared.acks),
            fanout: Arc::default(),
            seats: Arc::clone(&shared.seats),
            readiness: shared.synced.clone(),
            metrics: shared.metrics.discovery.clone(),
        });
        let (fanout, cluster) = (Arc::clone(&discovery.fanout), Arc::clone(&shared.cluster));
        spawn(&mut shared.tasks, "the fan-out", async move {
            fanout.run(&cluster).await;
            "it ended".to_owned()
        });
        let (acks, cluster) = (Arc::clone(&shared.acks), Arc::clone(&shared.cluster));
        spawn(&mut shared.tasks, "the pruning of acks", async move {
            prune(&acks, &cluster).await
        });
        let door = Door {
            name: "streams",
            connections: STREAM_CONNECTIONS,
            tls: serve::tls(Arc::new(Serving(Arc::clone(&shared.authority))), &["h2"])?,
        };
        let listener = listen::bind(self.or_any(self.stream_address, STREAM_PORT))?;
        spawn(&mut shared.tasks, "the stream server", async move {
            let held = drain.clone();
            serve::serve(listener, door, drain, move |request| {
                discovery::server::answer(Arc::clone(&discovery), held.clone(), request)
            })
            .await;
            std::future::pending().await // it ends with the drain only
        });
        Ok(())
    }

    /// The election, what the others do, and what the elected does.
    fn elect(self, shared: &mut Shared, lease_drain: drain::Watch, elected_drain: drain::Watch) {
        let (told, leadership) = watch::channel(Leadership::Follower { leader: None });
        let stream_port = self.or_any(self.stream_address, STREAM_PORT).port();
        let candidate = lease::Candidate {
            lease: self.lease.clone(),
            identity: self.pod_name.clone(),
            address: self.pod_ip.map(|ip| SocketAddr::new(ip, stream_port).to_string()),
        };
        let leases = Api::namespaced(shared.client.clone(), &self.injection.namespace);
        spawn(&mut shared.tasks, "the election", async move {
            let mut drain = lease_drain;
            lease::run(leases, candidate, told, drain.started()).await;
            drop(drain);
            std::future::pending().await // it ends with the drain only
        });
        let route = forward::Route {
            server_name: self.server_name(),
            token_file: self.token_file.clone(),
            roots: shared.authority.roots(),
        };
        let (seats, election) = (Arc::clone(&shared.seats), leadership.clone());
        let world = (Arc::clone(&shared.cluster), shared.synced.clone());
        let to_leader = route.clone();
        spawn(&mut shared.tasks, "the sharing of rates", async move {
            rates::run::run(seats, world, to_leader, election).await;
            std::future::pending().await // it ends with the election
        });
        let (acks, election) = (Arc::clone(&shared.acks), leadership.clone());
        spawn(&mut shared.tasks, "the passing on of acks", async move {
            forward::run(acks, route, election).await;
            std::future::pending().await // it ends with the election
        });
        shared
            .gauges
            .follow_leadership(&mut shared.tasks, leadership.clone());
        let elected = Elected {
            client: shared.client.clone(),
            cluster: Arc::clone(&shared.cluster),
            synced: shared.synced.clone(),
            authority: Arc::clone(&shared.authority),
            acks: Arc::clone(&shared.acks),
            events: shared.events.clone(),
            injection: self.injection,
            webhook_name: self.webhook_name,
            plan_writes_per_second: self.plan_writes_per_second,
            metrics: shared.metrics.control.clone(),
        };
        let working = control::run(elected, leadership, elected_drain);
        spawn(&mut shared.tasks, "the elected", working);
    }
}

/// Serves webhooks on a thread and a runtime of their own; the receiver tells when they have ended.
fn admission_thread(
    address: SocketAddr,
    door: Door,
    admission: Arc<Admission>,
    drain: drain::Watch,
) -> anyhow::Result<oneshot::Receiver<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listener = {
        let _inside = runtime.enter();
        listen::bind(address)?
    };
    let (ended, end) = oneshot::channel();
    let serving = async move {
        let answer = move |request| admission::server::answer(Arc::clone(&admission), request);
        serve::serve(listener, door, drain, answer).await;
        // Connections are tasks of this runtime: it stays while they finish, and the process waits no longer.
        tokio::time::sleep(stop::STEP).await;
        let _ = ended.send(()); // nobody waits any more where the process stops
    };
    std::thread::Builder::new()
        .name("admission".to_owned())
        .spawn(move || runtime.block_on(serving))?;
    Ok(end)
}

fn spawn(tasks: &mut JoinSet<Task>, what: &'static str, work: impl Future<Output = String> + Send + 'static) {
    tasks.spawn(async move { (what, work.await) });
}

/// The user that this replica is, and with it the others; `None` outside of a pod.
async fn own_user(tokens: &Tokens, file: &Path) -> Option<String> {
    let token = match tokio::fs::read_to_string(file).await {
        Ok(token) => token,
        Err(error) => {
            warn!(file = %file.display(), %error, "no token of our own: acks of other replicas are not taken");
            return None;
        }
    };
    match tokens.review(token.trim()).await {
        Ok(caller) => Some(caller.user),
        Err(error) => {
            warn!(%error, "our own token could not be reviewed: acks of other replicas are not taken");
            None
        }
    }
}
