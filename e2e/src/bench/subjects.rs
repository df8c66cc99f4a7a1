//! What stands between the load and the program: nothing, a pair of motan-go agents, a pair of Envoys, a pair of ours.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    cores::Cores,
    envoy,
    process::{Process, Ready},
    rounds::{Rival, Speech},
};

/// Loopback addresses that stand for pods; the programs' own ports, so that nothing else is met.
const PROGRAM: Ipv4Addr = Ipv4Addr::new(127, 0, 77, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 77, 2);
const SERVER: Ipv4Addr = Ipv4Addr::new(127, 0, 77, 3);
const GO_CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 77, 4);
const GO_SERVER: Ipv4Addr = Ipv4Addr::new(127, 0, 77, 5);
const ENVOY_CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 77, 6);
const ENVOY_SERVER: Ipv4Addr = Ipv4Addr::new(127, 0, 77, 7);
const COPY_CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 77, 8);
const COPY_SERVER: Ipv4Addr = Ipv4Addr::new(127, 0, 77, 9);
/// Where the programs listen.
pub(crate) const MOTAN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(PROGRAM), 7000);
pub(crate) const HTTP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(PROGRAM), 8080);
pub(crate) const GRPC: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(PROGRAM), 8090);
/// Dependencies of our client agent, used or not.
pub(crate) const DEPENDENCIES: usize = 20;
/// How often a start is measured.
const STARTS: usize = 5;
/// Longer than any stall that a run should survive: calls must not fail for being slow.
const TIMEOUT_MS: u32 = 10_000;

/// Where the binaries are.
pub(crate) struct Binaries {
    /// The folder of ours.
    pub(crate) ours: PathBuf,
    /// The program on motan-go, where there is one.
    pub(crate) motan_go: Option<PathBuf>,
    /// Envoy, where there is one.
    pub(crate) envoy: Option<PathBuf>,
}

/// A way to the program.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    /// Where the load calls, by what it says; there is one at least.
    entries: Vec<(Speech, SocketAddr)>,
    /// The client agent and the server agent; none in the direct way.
    pub(crate) agents: Vec<Process>,
    /// From exec to ready, of several starts of the client agent.
    pub(crate) starts: Vec<Duration>,
    _files: Option<TempDir>,
}

impl Subject {
    /// Where the load calls; `None` where nobody understands it.
    pub(crate) fn entry(&self, speech: Speech) -> Option<SocketAddr> {
        let mut entries = self.entries.iter();
        entries
            .find(|(known, _)| *known == speech)
            .map(|(_, entry)| *entry)
    }

    /// What it is known for, and where that is called.
    pub(crate) fn first(&self) -> (Speech, SocketAddr) {
        self.entries[0]
    }
}

/// What can be said where: Motan, and HTTP/1.1 and gRPC.
fn entries(motan: Option<SocketAddr>, web: Option<(SocketAddr, SocketAddr)>) -> Vec<(Speech, SocketAddr)> {
    let motan = motan.map(|entry| (Speech::Motan, entry));
    let web = web.map(|(http, grpc)| {
        let streams = [Speech::Grpc, Speech::GrpcStream, Speech::GrpcChunks];
        let streams = streams.map(|speech| (speech, grpc));
        [(Speech::Http, http)].into_iter().chain(streams)
    });
    motan.into_iter().chain(web.into_iter().flatten()).collect()
}

/// The programs that give back what they are sent.
pub(crate) fn programs(binaries: &Binaries, cores: Cores) -> anyhow::Result<[Process; 3]> {
    let start = |speech: Speech, at: SocketAddr| {
        let mut echo = Command::new(binaries.ours.join("motanmesh-load"));
        echo.args(["echo", "--as", speech.word(), "--listen", &at.to_string()]);
        Process::start(&mut echo, cores.load, cores)
    };
    Ok([
        start(Speech::Motan, MOTAN)?,
        start(Speech::Http, HTTP)?,
        start(Speech::Grpc, GRPC)?,
    ])
}

/// Nothing in between.
pub(crate) fn direct() -> Subject {
    Subject {
        name: "direct",
        entries: entries(Some(MOTAN), Some((HTTP, GRPC))),
        agents: Vec::new(),
        starts: Vec::new(),
        _files: None,
    }
}

/// The name of the pair that only copies.
pub(crate) const COPIES: &str = "only copies";

/// Two processes that copy bytes and look at none: what nothing that copies can be better than.
pub(crate) async fn copies(binaries: &Binaries, cores: Cores) -> anyhow::Result<Subject> {
    let start = async |at: Ipv4Addr, to: SocketAddr| {
        let listen = SocketAddr::new(at.into(), MOTAN.port());
        let mut command = Command::new(binaries.ours.join("motanmesh-load"));
        command.args(["relay", "--listen", &listen.to_string(), "--to", &to.to_string()]);
        let mut process = Process::start(&mut command, cores.agents, cores)?;
        process.ready(Ready::Accepts(listen)).await?;
        anyhow::Ok((process, listen))
    };
    let (server, next) = start(COPY_SERVER, MOTAN).await?;
    let (client, entry) = start(COPY_CLIENT, next).await?;
    Ok(Subject {
        name: COPIES,
        entries: vec![(Speech::Motan, entry)],
        agents: vec![client, server],
        starts: Vec::new(),
        _files: None,
    })
}

/// Two of our sidecars, one worker each, everything on that is on by default.
pub(crate) async fn ours(binaries: &Binaries, cores: Cores) -> anyhow::Result<Subject> {
    let files = TempDir::new()?;
    let plan = |name: &str, plan: &Value| {
        let path = files.path().join(name);
        fs::write(&path, plan.to_string()).map(|()| path)
    };
    let (client_plan, server_plan) = (
        plan("client.json", &client_plan())?,
        plan("server.json", &server_plan())?,
    );
    let start = async |plan: &Path, address: Ipv4Addr| {
        let mut command = Command::new(binaries.ours.join("motanmesh-sidecar"));
        command.args(["run", "--workers", "1", "--plan"]).arg(plan);
        for flag in ["--local-address", "--inbound-address"] {
            command.args([flag, &address.to_string()]);
        }
        let mut process = Process::start(&mut command, cores.agents, cores)?;
        let took = process.ready(Ready::Says((address, 9990).into())).await?;
        anyhow::Ok((process, took))
    };
    let server = start(&server_plan, SERVER).await?.0;
    let mut starts = Vec::new();
    for _ in 1..STARTS {
        starts.push(start(&client_plan, CLIENT).await?.1);
    }
    let (client, took) = start(&client_plan, CLIENT).await?;
    starts.push(took);
    Ok(Subject {
        name: "ours",
        entries: entries(
            Some((CLIENT, 9981).into()),
            Some(((CLIENT, 9983).into(), (CLIENT, 9983).into())),
        ),
        agents: vec![client, server],
        starts,
        _files: Some(files),
    })
}

fn client_plan() -> Value {
    let policy = json!({"timeoutMs": TIMEOUT_MS});
    let seeds = json!([{"address": format!("{SERVER}:9982")}]);
    let mut services: Vec<Value> = (3..DEPENDENCIES)
        .map(|n| {
            json!({"name": format!("bench/other{n}"), "path": format!("other{n}"), "group": "bench",
                "protocol": "motan2", "policy": policy, "seeds": []})
        })
        .collect();
    services.push(
        json!({"name": "bench/http", "path": "http.bench", "group": "bench", "protocol": "http",
            "hosts": ["http.bench.mesh"], "policy": policy, "seeds": seeds}),
    );
    services.push(
        json!({"name": "bench/grpc", "path": "grpc.bench", "group": "bench", "protocol": "grpc",
            "hosts": ["grpc.bench.mesh"], "policy": policy, "seeds": seeds}),
    );
    services.push(
        json!({"name": "bench/motan", "path": "motan.bench", "group": "bench", "protocol": "motan2",
            "policy": policy, "seeds": seeds}),
    );
    json!({"revision": 1, "workload": workload("client"), "services": services})
}

fn server_plan() -> Value {
    let export = |name: &str, protocol: &str, backend: SocketAddr| {
        json!({"name": format!("bench/{name}"), "path": format!("{name}.bench"), "group": "bench",
            "protocol": protocol, "backend": backend.to_string(), "policy": {"timeoutMs": TIMEOUT_MS}})
    };
    let exports = [
        export("http", "http", HTTP),
        export("grpc", "grpc", GRPC),
        export("motan", "motan2", MOTAN),
    ];
    json!({"revision": 1, "workload": workload("server"), "exports": exports})
}

fn workload(pod: &str) -> Value {
    json!({"namespace": "bench", "pod": pod, "application": pod})
}

/// Two motan-go agents, one processor each to its scheduler, without the access log and metrics that can be added to
/// each service: they would cost it a fifth.
pub(crate) async fn motan_go(program: &Path, cores: Cores) -> anyhow::Result<Subject> {
    let files = TempDir::new()?;
    let start = async |role: &str, address: Ipv4Addr, config: Value| {
        let folder = files.path().join(role);
        fs::create_dir_all(&folder)?;
        let mut config = config;
        for (key, value) in [
            ("log_dir", folder.clone()),
            ("runtime_dir", folder.clone()),
            ("snapshot_dir", folder.clone()),
            ("pidfile", folder.join("pid")),
        ] {
            config["motan-agent"][key] = json!(value);
        }
        // Its files are YAML, and so is JSON.
        let path = folder.join("agent.yaml");
        fs::write(&path, config.to_string())?;
        let mut command = Command::new(program);
        command.env("GOMAXPROCS", "1").args(["agent", "-c"]).arg(&path);
        let mut process = Process::start(&mut command, cores.agents, cores)?;
        let took = process.ready(Ready::Accepts((address, 9981).into())).await?;
        anyhow::Ok((process, took))
    };
    // These two ports it opens on every address.
    let [export, manage_client, manage_server, none] = free_ports()?;
    let agent = |address: Ipv4Addr, export: u16, manage: u16| {
        json!({"host": address.to_string(), "port": 9981, "eport": export, "mport": manage,
            "application": "bench", "registry": "direct"})
    };
    let service = json!({"path": "motan.bench", "group": "bench", "protocol": "motan2", "registry": "direct",
        "provider": "motan2", "proxy": format!("motan2:{}", MOTAN.port()), "proxy.host": MOTAN.ip().to_string(),
        "export": format!("motan2:{export}"), "serialization": "simple", "requestTimeout": TIMEOUT_MS});
    let server = json!({"motan-agent": agent(GO_SERVER, export, manage_server),
        "motan-registry": {"direct": {"protocol": "direct", "address": format!("127.0.0.1:{export}")}},
        "motan-service": {"echo": service}});
    let refer = json!({"path": "motan.bench", "group": "bench", "protocol": "motan2", "registry": "direct",
        "requestTimeout": TIMEOUT_MS, "haStrategy": "failover", "loadbalance": "roundrobin",
        "serialization": "simple", "asyncInitConnection": false});
    let client = json!({"motan-agent": agent(GO_CLIENT, none, manage_client),
        "motan-registry": {"direct": {"protocol": "direct", "address": format!("{GO_SERVER}:{export}")}},
        "motan-refer": {"echo": refer}});
    // It connects once, and again only after a minute: the server agent comes first and is listening.
    let (mut server, _) = start("server", GO_SERVER, server).await?;
    server.ready(Ready::Accepts((GO_SERVER, export).into())).await?;
    let mut starts = Vec::new();
    for _ in 1..STARTS {
        starts.push(start("client", GO_CLIENT, client.clone()).await?.1);
    }
    let (client, took) = start("client", GO_CLIENT, client).await?;
    starts.push(took);
    Ok(Subject {
        name: Rival::MotanGo.name(),
        entries: entries(Some((GO_CLIENT, 9981).into()), None),
        agents: vec![client, server],
        starts,
        _files: Some(files),
    })
}

/// Two Envoys, a worker each: its client side takes HTTP where ours does, and both relay it as it came.
pub(crate) async fn envoy(program: &Path, cores: Cores) -> anyhow::Result<Subject> {
    let files = TempDir::new()?;
    let start = async |role: &str, at: Ipv4Addr, to: Ipv4Addr| {
        let config = files.path().join(format!("{role}.json"));
        fs::write(&config, envoy::config(role, at, to, TIMEOUT_MS).to_string())?;
        let mut command = Command::new(program);
        command.args([
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "--log-level",
            "error",
        ]);
        command.arg("--config-path").arg(&config);
        let mut process = Process::start(&mut command, cores.agents, cores)?;
        let took = process.ready(Ready::Says((at, envoy::ADMIN).into())).await?;
        anyhow::Ok((process, took))
    };
    let server = start("server", ENVOY_SERVER, PROGRAM).await?.0;
    let mut starts = Vec::new();
    for _ in 1..STARTS {
        starts.push(start("client", ENVOY_CLIENT, ENVOY_SERVER).await?.1);
    }
    let (client, took) = start("client", ENVOY_CLIENT, ENVOY_SERVER).await?;
    starts.push(took);
    Ok(Subject {
        name: Rival::Envoy.name(),
        entries: entries(
            None,
            Some((
                (ENVOY_CLIENT, HTTP.port()).into(),
                (ENVOY_CLIENT, GRPC.port()).into(),
            )),
        ),
        agents: vec![client, server],
        starts,
        _files: Some(files),
    })
}

fn free_ports<const N: usize>() -> std::io::Result<[u16; N]> {
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}
