//! `run`: everything is built here, in order, and each part gets only what it needs. Start: admin, stores, webhooks,
//! streams, then the elected. Stop: not ready, the elected and the lease, streams, webhooks, admin.
//!
//! Admission has a thread and a runtime of its own, so that no amount of indexing or compiling delays it.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, anyhow};
use clap::Args;
use kube::Api;
use plan::{Address, Control};
use process::{
    admin, drain, listen,
    logging::{self, Format},
    metrics::{Exposition, ProcessCollector},
    ready::Readiness,
    signal::Ending,
};
use prometheus_client::registry::Registry;
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
};
use tracing::{error, info, warn};

use crate::{
    admission::{self, server::Admission},
    authority::{Authority, Serving, root::Roots},
    connect,
    control::{self, Elected, events},
    discovery::{self, acks::Acks, fanout::Fanout, forward, server::Discovery, tokens::Tokens},
    gauges::Gauges,
    lease::{self, Leadership},
    serve::{self, Door},
    settings::{Injection, Mesh, VERSION},
    world::{self, Cluster},
};

/// Port of the webhook server.
pub const WEBHOOK_PORT: u16 = 9443;
/// Port of the stream server.
pub const STREAM_PORT: u16 = 9444;
/// Port of metrics and probes.
pub const ADMIN_PORT: u16 = 9990;
/// After SIGTERM admission answers for this long: until then the API server may still send here.
const LINGER: Duration = Duration::from_secs(5);
/// How long each step of stopping may take.
const STEP: Duration = Duration::from_secs(5);
/// How many API servers' connections admission takes.
const ADMISSION_CONNECTIONS: usize = 256;
/// How many sidecars one replica takes.
const STREAM_CONNECTIONS: usize = 8192;

/// Run the operator.
#[derive(Debug, Clone, Args)]
pub struct Run {
    #[command(flatten)]
    injection: Injection,
    #[command(flatten)]
    mesh: Mesh,

    /// This replica's pod.
    #[arg(long, env = "MOTANMESH_POD_NAME")]
    pod_name: String,
    /// This replica's address, where other replicas pass on what their sidecars say.
    #[arg(long, env = "MOTANMESH_POD_IP")]
    pod_ip: Option<IpAddr>,
    /// The Service in front of all replicas.
    #[arg(long, env = "MOTANMESH_SERVICE_NAME", default_value = "motanmesh-operator")]
    service_name: String,
    /// The cluster's DNS domain.
    #[arg(long, env = "MOTANMESH_CLUSTER_DOMAIN", default_value = "cluster.local")]
    cluster_domain: String,
    /// The name of both webhook configurations.
    #[arg(long, env = "MOTANMESH_WEBHOOK_NAME", default_value = "motanmesh")]
    webhook_name: String,
    /// The Secret that holds the mesh's roots.
    #[arg(long, env = "MOTANMESH_CA_SECRET", default_value = "motanmesh-ca")]
    ca_secret: String,
    /// The Lease that says who writes.
    #[arg(long, env = "MOTANMESH_LEASE", default_value = "motanmesh-operator")]
    lease: String,
    /// Plans written to ConfigMaps a second, at most.
    #[arg(long, env = "MOTANMESH_PLAN_WRITES_PER_SECOND", default_value_t = 50)]
    plan_writes_per_second: u32,
    /// This replica's projected token with the stream's audience, by which the leader knows it.
    #[arg(
        long,
        env = "MOTANMESH_TOKEN_FILE",
        default_value = "/var/run/secrets/motanmesh/token"
    )]
    token_file: PathBuf,
    /// Where webhooks are answered; by default every address of the pod, port 9443.
    #[arg(long, env = "MOTANMESH_WEBHOOK_ADDRESS")]
    webhook_address: Option<SocketAddr>,
    /// Where sidecars are answered; by default every address of the pod, port 9444.
    #[arg(long, env = "MOTANMESH_STREAM_ADDRESS")]
    stream_address: Option<SocketAddr>,
    /// Where metrics and probes are answered; by default every address of the pod, port 9990.
    #[arg(long, env = "MOTANMESH_ADMIN_ADDRESS")]
    admin_address: Option<SocketAddr>,
    /// error, warn, info, debug, trace, or a list such as info,kube=debug.
    #[arg(long, env = "MOTANMESH_LOG_LEVEL", default_value = "info")]
    log_level: String,
    /// json or text.
    #[arg(long, env = "MOTANMESH_LOG_FORMAT", default_value = "json")]
    log_format: Format,
}

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

    /// The names of the certificate: what callers may say, the full one last.
    fn names(&self) -> Vec<String> {
        let (service, namespace) = (&self.service_name, &self.injection.namespace);
        vec![
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}"),
            format!("{service}.{namespace}.svc.{}", self.cluster_domain),
        ]
    }

    /// Every address of the family that the pod has; not both, as a node may have only one.
    fn or_any(&self, address: Option<SocketAddr>, port: u16) -> SocketAddr {
        let any = match self.pod_ip {
            Some(IpAddr::V6(_)) => IpAddr::from([0; 16]),
            Some(IpAddr::V4(_)) | None => IpAddr::from([0; 4]),
        };
        address.unwrap_or_else(|| (any, port).into())
    }

    fn server_name(&self) -> String {
        format!("{}.{}.svc", self.service_name, self.injection.namespace)
    }

    /// Where sidecars find their stream, with the roots that are trusted now.
    fn control(&self, roots: &Roots) -> anyhow::Result<Control> {
        Ok(Control {
            address: Address::new(format!("{}:{STREAM_PORT}", self.server_name()))?,
            server_name: self.server_name(),
            roots: roots.bundle(),
        })
    }
}

/// A task that must not end, and what to say when it does.
type Task = (&'static str, String);

/// Everything that runs, and what stops it.
struct App {
    tasks: JoinSet<Task>,
    admission_thread: oneshot::Receiver<()>,
    stopping: watch::Sender<bool>,
    elected: drain::Trigger,
    lease: drain::Trigger,
    streams: drain::Trigger,
    admission: drain::Trigger,
    admin: drain::Trigger,
}

impl Run {
    async fn build(self, level: logging::Level) -> anyhow::Result<App> {
        let mut tasks = JoinSet::new();
        let synced = Readiness::default();
        let (stopping, is_stopping) = watch::channel(false);
        let (elected_stop, elected_drain) = drain::channel();
        let (lease_stop, lease_drain) = drain::channel();
        let (streams_stop, streams_drain) = drain::channel();
        let (admission_stop, admission_drain) = drain::channel();
        let (admin_stop, admin_drain) = drain::channel();

        // Admin: probes are answered before anything else is there.
        let gauges = Gauges::default();
        let metrics = Families::default();
        let (events, event_writer) = events::channel();
        let exposition = metrics.expose(&gauges, &events);
        let first = synced.pending("certificate");
        let router = admin_router(exposition, synced.clone(), is_stopping, level);
        let listener = listen::bind(self.or_any(self.admin_address, ADMIN_PORT))?;
        spawn(&mut tasks, "the admin server", async move {
            admin::serve(listener, router, admin_drain).await;
            "it ended".to_owned()
        });

        // Stores.
        let client = connect::client().await.context("finding the API server")?;
        let namespace = self.injection.namespace.clone();
        let secrets = Api::namespaced(client.clone(), &namespace);
        let authority = Authority::open(secrets, &self.ca_secret, self.names()).await?;
        first.done();
        gauges.follow(&mut tasks, &authority);
        let control = self.control(&authority.roots().borrow())?;
        let cluster = Arc::new(Cluster::new(self.mesh.defaults(Some(control))));
        let keeping = Arc::clone(&authority);
        spawn(&mut tasks, "the watch of the CA's Secret", async move {
            keeping.keep().await.to_string()
        });
        let (world_client, world, readiness) = (client.clone(), Arc::clone(&cluster), synced.clone());
        spawn(&mut tasks, "a watch", async move {
            world::watch::watch(&world_client, &world, &readiness)
                .await
                .to_string()
        });
        self.follow_roots(&mut tasks, &cluster, authority.roots());

        // Webhooks, on a thread of their own.
        let admission = Arc::new(Admission {
            cluster: Arc::clone(&cluster),
            client: client.clone(),
            injection: self.injection.clone(),
            readiness: synced.clone(),
            events: events.clone(),
            metrics: metrics.admission.clone(),
        });
        let admission_thread = self.serve_admission(admission, &authority, admission_drain)?;
        let (event_client, instance) = (client.clone(), self.pod_name.clone());
        spawn(&mut tasks, "the writer of Events", async move {
            event_writer.run(event_client, instance).await;
            "it ended".to_owned()
        });

        // Streams.
        let acks = Arc::new(Acks::default());
        let tokens = Tokens::new(client.clone());
        let discovery = Arc::new(Discovery {
            cluster: Arc::clone(&cluster),
            own_user: own_user(&tokens, &self.token_file).await,
            tokens,
            acks: Arc::clone(&acks),
            fanout: Arc::new(Fanout::default()),
            readiness: synced,
            metrics: metrics.discovery.clone(),
        });
        self.serve_streams(&mut tasks, discovery, &authority, streams_drain)?;

        // The elected.
        let (told, leadership) = watch::channel(Leadership::Follower { leader: None });
        let stream_port = self.or_any(self.stream_address, STREAM_PORT).port();
        let candidate = lease::Candidate {
            lease: self.lease.clone(),
            identity: self.pod_name.clone(),
            address: self.pod_ip.map(|ip| SocketAddr::new(ip, stream_port).to_string()),
        };
        let leases = Api::namespaced(client.clone(), &namespace);
        spawn(&mut tasks, "the election", async move {
            let mut drain = lease_drain;
            lease::run(leases, candidate, told, drain.started()).await;
            "it ended".to_owned()
        });
        let route = forward::Route {
            server_name: self.server_name(),
            token_file: self.token_file.clone(),
            roots: authority.roots(),
        };
        let (forwarded, election) = (Arc::clone(&acks), leadership.clone());
        spawn(&mut tasks, "the passing on of acks", async move {
            forward::run(forwarded, route, election).await;
            "it ended".to_owned()
        });
        gauges.follow_leadership(&mut tasks, leadership.clone());
        let elected = Elected {
            client,
            cluster,
            authority,
            acks,
            injection: self.injection,
            webhook_name: self.webhook_name,
            plan_writes_per_second: self.plan_writes_per_second,
            metrics: metrics.control,
        };
        spawn(
            &mut tasks,
            "the elected",
            control::run(elected, leadership, elected_drain),
        );

        Ok(App {
            tasks,
            admission_thread,
            stopping,
            elected: elected_stop,
            lease: lease_stop,
            streams: streams_stop,
            admission: admission_stop,
            admin: admin_stop,
        })
    }

    /// Plans are compiled with the roots that are trusted now.
    fn follow_roots(
        &self,
        tasks: &mut JoinSet<Task>,
        cluster: &Arc<Cluster>,
        mut roots: watch::Receiver<Roots>,
    ) {
        let (run, cluster) = (self.clone(), Arc::clone(cluster));
        spawn(tasks, "the roots", async move {
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

    fn serve_admission(
        &self,
        admission: Arc<Admission>,
        authority: &Arc<Authority>,
        drain: drain::Watch,
    ) -> anyhow::Result<oneshot::Receiver<()>> {
        let door = Door {
            name: "webhooks",
            connections: ADMISSION_CONNECTIONS,
            tls: serve::tls(Arc::new(Serving(Arc::clone(authority))), &["h2", "http/1.1"])?,
        };
        let address = self.or_any(self.webhook_address, WEBHOOK_PORT);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("starting the admission thread")?;
        let listener = {
            let _inside = runtime.enter();
            listen::bind(address)?
        };
        let (ended, end) = oneshot::channel();
        let serving = move || {
            runtime.block_on(async {
                let mut until = drain.clone();
                serve::serve(listener, door, drain, move |request| {
                    admission::server::answer(Arc::clone(&admission), request)
                })
                .await;
                until.started().await;
                // Connections finish what they have; the trigger's deadline ends the process if they don't.
                drop(until);
                tokio::time::sleep(STEP).await;
            });
            let _ = ended.send(()); // nobody waits any more where the process stops
        };
        std::thread::Builder::new()
            .name("admission".to_owned())
            .spawn(serving)
            .context("starting the admission thread")?;
        Ok(end)
    }

    fn serve_streams(
        &self,
        tasks: &mut JoinSet<Task>,
        discovery: Arc<Discovery>,
        authority: &Arc<Authority>,
        drain: drain::Watch,
    ) -> anyhow::Result<()> {
        let (fanout, cluster, acks) = (
            Arc::clone(&discovery.fanout),
            Arc::clone(&discovery.cluster),
            Arc::clone(&discovery.acks),
        );
        let fanned = Arc::clone(&cluster);
        spawn(tasks, "the fan-out", async move {
            fanout.run(&fanned).await;
            "it ended".to_owned()
        });
        spawn(tasks, "the pruning of acks", async move {
            discovery::acks::prune(&acks, &cluster).await
        });
        let door = Door {
            name: "streams",
            connections: STREAM_CONNECTIONS,
            tls: serve::tls(Arc::new(Serving(Arc::clone(authority))), &["h2"])?,
        };
        let listener = listen::bind(self.or_any(self.stream_address, STREAM_PORT))?;
        spawn(tasks, "the stream server", async move {
            let inner = drain.clone();
            serve::serve(listener, door, drain, move |request| {
                discovery::server::answer(Arc::clone(&discovery), inner.clone(), request)
            })
            .await;
            "it ended".to_owned()
        });
        Ok(())
    }
}

impl App {
    /// Waits for a signal and stops in order; a task that ends before is a failure.
    async fn until(mut self, ending: &mut Ending) -> anyhow::Result<()> {
        let failure = tokio::select! {
            signal = ending.next() => {
                info!(signal, "stopping");
                None
            }
            Some(ended) = self.tasks.join_next() => Some(describe(ended)),
            _ = &mut self.admission_thread => Some(("the admission thread", "it ended".to_owned())),
        };
        if let Some((what, why)) = failure {
            error!(
                what,
                why, "ended; the process ends with it, so that nothing stale is served"
            );
            return Err(anyhow!("{what}: {why}"));
        }
        self.stop(ending).await;
        Ok(())
    }

    async fn stop(self, ending: &mut Ending) {
        self.stopping.send_replace(true);
        let order = async {
            late("the elected", self.elected.drained(STEP).await);
            late("the lease", self.lease.drained(STEP).await);
            late("streams", self.streams.drained(STEP).await);
            tokio::time::sleep(LINGER).await;
            late("admission", self.admission.drained(STEP).await);
            self.admin.start();
        };
        tokio::select! {
            () = order => info!("stopped"),
            signal = ending.next() => warn!(signal, "a second signal: stopping at once"),
        }
    }
}

fn late(what: &'static str, drained: Result<(), drain::Late>) {
    if let Err(late) = drained {
        warn!(what, %late, "cut off");
    }
}

fn describe(ended: Result<Task, tokio::task::JoinError>) -> Task {
    match ended {
        Ok(task) => task,
        Err(error) => ("a task", error.to_string()),
    }
}

fn spawn(tasks: &mut JoinSet<Task>, what: &'static str, work: impl Future<Output = String> + Send + 'static) {
    tasks.spawn(async move { (what, work.await) });
}

/// The families of every room.
#[derive(Debug, Default)]
struct Families {
    admission: admission::Metrics,
    discovery: discovery::Metrics,
    control: control::Metrics,
}

impl Families {
    fn expose(&self, gauges: &Gauges, events: &events::Events) -> Exposition {
        let mut registry = Registry::default();
        ProcessCollector::register(&mut registry, SystemTime::now());
        gauges.register(&mut registry);
        self.admission.register(&mut registry);
        self.discovery.register(&mut registry);
        self.control.register(&mut registry);
        events.register(&mut registry);
        Exposition::of(registry)
    }
}

fn admin_router(
    exposition: Exposition,
    synced: Readiness,
    stopping: watch::Receiver<bool>,
    level: logging::Level,
) -> admin::Router {
    use admin::Answer;
    use hyper::StatusCode;
    admin::Router::default()
        .get("/live", |_| async { Answer::text("alive\n") })
        .get("/ready", move |_| {
            let waits = synced.waits_for();
            let stops = *stopping.borrow();
            async move {
                if stops {
                    Answer::status(StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
                } else if waits.is_empty() {
                    Answer::text("ready\n")
                } else {
                    Answer::status(
                        StatusCode::SERVICE_UNAVAILABLE,
                        format!("waiting for {}\n", waits.join(", ")),
                    )
                }
            }
        })
        .get("/metrics", move |_| {
            let text = exposition.text();
            async move {
                match text {
                    Ok(text) => Answer::of(StatusCode::OK, process::metrics::CONTENT_TYPE, text),
                    Err(error) => Answer::status(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
                }
            }
        })
        .post("/log-level", move |request| {
            let changed = level.set(String::from_utf8_lossy(&request.body).trim());
            async move {
                match changed {
                    Ok(()) => Answer::text("changed\n"),
                    Err(error) => Answer::status(StatusCode::BAD_REQUEST, format!("{error}\n")),
                }
            }
        })
}

/// The user that this replica is, and with it the others; `None` outside of a pod.
async fn own_user(tokens: &Tokens, file: &PathBuf) -> Option<String> {
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
