//! The processes that are measured: a program, its server agent, and a client agent, each at an address of its own.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::load::Protocol;

/// Loopback addresses that stand for pods; high ports, so that nothing else is met.
const PROGRAM: Ipv4Addr = Ipv4Addr::new(127, 0, 77, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 77, 2);
const SERVER: Ipv4Addr = Ipv4Addr::new(127, 0, 77, 3);
const PATIENCE: Duration = Duration::from_secs(10);

/// A process that ends with its owner.
pub(crate) struct Process(Child);

impl Process {
    /// Resident memory in MiB.
    pub(crate) fn memory(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .context("a process has VmRSS")?;
        let kib: f64 = line.split_whitespace().nth(1).context("a number")?.parse()?;
        Ok(kib / 1024.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A client agent and a server agent before a program.
pub(crate) struct Pair {
    pub(crate) client: Process,
    pub(crate) server: Process,
    /// From exec to ready, of the client agent.
    pub(crate) started: Duration,
    _program: Process,
    _plans: Plans,
}

impl Pair {
    pub(crate) async fn start(binaries: &Path) -> anyhow::Result<Self> {
        let plans = Plans::write()?;
        let program = Command::new(binaries.join("motanmesh-demo"))
            .args([
                "serve",
                "--http",
                &format!("{PROGRAM}:8080"),
                "--motan",
                &format!("{PROGRAM}:7000"),
            ])
            .spawn()
            .context("motanmesh-demo")?;
        let program = Process(program);
        let (server, _) = sidecar(binaries, &plans.0.join("server.json"), SERVER).await?;
        let (client, started) = sidecar(binaries, &plans.0.join("client.json"), CLIENT).await?;
        Ok(Self {
            client,
            server,
            started,
            _program: program,
            _plans: plans,
        })
    }

    /// The program itself.
    pub(crate) fn direct(&self, protocol: Protocol) -> SocketAddr {
        (PROGRAM, if protocol == Protocol::Http { 8080 } else { 7000 }).into()
    }

    /// The client agent.
    pub(crate) fn entry(&self, protocol: Protocol) -> SocketAddr {
        (CLIENT, if protocol == Protocol::Http { 9983 } else { 9981 }).into()
    }

    /// Idle connections to the client agent.
    pub(crate) async fn connections(&self, count: usize) -> anyhow::Result<Vec<TcpStream>> {
        let mut held = Vec::with_capacity(count);
        for _ in 0..count {
            held.push(TcpStream::connect(self.entry(Protocol::Motan)).await?);
        }
        // The last of them has been accepted once the agent answers a page.
        ready(CLIENT).await?;
        Ok(held)
    }
}

async fn sidecar(binaries: &Path, plan: &Path, address: Ipv4Addr) -> anyhow::Result<(Process, Duration)> {
    let begin = Instant::now();
    let child = Command::new(binaries.join("motanmesh-sidecar"))
        .args(["run", "--log-level", "warn", "--plan"])
        .arg(plan)
        .args([
            "--local-address",
            &address.to_string(),
            "--inbound-address",
            &address.to_string(),
        ])
        .stdout(Stdio::null())
        .spawn()
        .context("motanmesh-sidecar")?;
    let process = Process(child);
    ready(address).await?;
    Ok((process, begin.elapsed()))
}

/// Waits until `/ready` of the agent at this address says so.
async fn ready(address: Ipv4Addr) -> anyhow::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let ask = async {
        loop {
            if let Ok(mut socket) = TcpStream::connect((address, 9990)).await {
                socket
                    .write_all(b"GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                    .await?;
                let mut answer = Vec::new();
                socket.read_to_end(&mut answer).await?;
                if answer.starts_with(b"HTTP/1.1 200") {
                    return anyhow::Ok(());
                }
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ask)
        .await
        .with_context(|| format!("the sidecar at {address} is not ready"))?
}

/// Plan files in a folder that goes with them.
struct Plans(PathBuf);

impl Plans {
    fn write() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("motanmesh-bench-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let plans = Self(folder);
        let workload = |pod: &str| json!({"namespace": "bench", "pod": pod, "application": pod});
        let policy = json!({"timeoutMs": 10_000});
        let mut services: Vec<Value> = (0..18)
            .map(|n| {
                json!({"name": format!("bench/other{n}"), "path": format!("other{n}"), "group": "bench", "protocol": "motan2",
                    "policy": policy, "seeds": []})
            })
            .collect();
        let seeds = json!([{"address": format!("{SERVER}:9982")}]);
        services.push(
            json!({"name": "bench/http", "path": "http.bench", "group": "bench", "protocol": "http",
            "hosts": ["http.bench.mesh"], "policy": policy, "seeds": seeds}),
        );
        services.push(
            json!({"name": "bench/motan", "path": "motan.bench", "group": "bench", "protocol": "motan2",
            "policy": policy, "seeds": seeds}),
        );
        let export = |name: &str, protocol: &str, port: u16| {
            json!({"name": format!("bench/{name}"), "path": format!("{name}.bench"), "group": "bench",
                "protocol": protocol, "backend": format!("{PROGRAM}:{port}"), "policy": policy})
        };
        let client = json!({"revision": 1, "workload": workload("client"), "services": services});
        let exports = [export("http", "http", 8080), export("motan", "motan2", 7000)];
        let server = json!({"revision": 1, "workload": workload("server"), "exports": exports});
        fs::write(plans.0.join("client.json"), client.to_string())?;
        fs::write(plans.0.join("server.json"), server.to_string())?;
        Ok(plans)
    }
}

impl Drop for Plans {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
