//! A world of pods on loopback: programs and sidecars as processes, plans as files, and what there is to ask them.

use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use e2e::stats::Report;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// How long anything that should happen may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// A folder for plans and state, and addresses that nobody else has.
pub(crate) struct World {
    dir: TempDir,
}

/// A pod: an address, and perhaps a program and a sidecar that run at it.
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) ip: Ipv4Addr,
    pub(crate) dir: PathBuf,
    /// More flags of its sidecar.
    pub(crate) flags: Vec<OsString>,
    program: Option<Child>,
    sidecar: Option<Child>,
    revision: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// A pod in which nothing runs yet.
    pub(crate) fn pod(&self, name: &str) -> Pod {
        let dir = self.dir.path().join(name);
        fs::create_dir(&dir).unwrap();
        Pod {
            name: name.to_owned(),
            ip: address(),
            dir,
            flags: Vec::new(),
            program: None,
            sidecar: None,
            revision: 0,
        }
    }

    /// A pod that provides `shop/user` by HTTP and `shop/greet` by Motan 2.
    pub(crate) async fn provider(&self, name: &str) -> Pod {
        let mut pod = self.pod(name);
        pod.start_program();
        pod.plan(&[], &exports(pod.ip));
        pod.start_sidecar();
        pod.ready().await;
        pod
    }

    /// A pod that calls both, at these providers.
    pub(crate) async fn caller(&self, name: &str, providers: &[&Pod]) -> Pod {
        let mut pod = self.pod(name);
        pod.plan(&services(providers), &json!([]));
        pod.start_sidecar();
        pod.ready().await;
        pod
    }
}

/// 127.x.y.z from the process and a counter: standard ports are free at an address that only one test uses.
fn address() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let process = std::process::id();
    let host = NEXT.fetch_add(1, Ordering::Relaxed);
    Ipv4Addr::from(0x7f00_0000 | (64 + (process & 0x3f)) << 16 | (process >> 6 & 0xff) << 8 | host)
}

/// What a caller is told of `shop/user` and `shop/greet`.
pub(crate) fn services(providers: &[&Pod]) -> Vec<Value> {
    let seeds: Vec<_> = providers
        .iter()
        .map(|pod| json!({"address": format!("{}:9982", pod.ip)}))
        .collect();
    let policy = json!({"timeoutMs": 5_000});
    vec![
        json!({"name": "shop/greet", "path": "com.example.Greet", "group": "shop", "protocol": "motan2",
            "policy": policy, "seeds": seeds}),
        json!({"name": "shop/user", "path": "user.shop", "group": "shop", "protocol": "http",
            "hosts": ["user.shop.mesh"], "policy": policy, "seeds": seeds}),
    ]
}

pub(crate) fn exports(ip: Ipv4Addr) -> Value {
    let policy = json!({"timeoutMs": 5_000});
    json!([
        {"name": "shop/greet", "path": "com.example.Greet", "group": "shop", "protocol": "motan2",
            "backend": format!("{ip}:7000"), "policy": policy},
        {"name": "shop/user", "path": "user.shop", "group": "shop", "protocol": "http",
            "backend": format!("{ip}:8080"), "policy": policy},
    ])
}

impl Pod {
    pub(crate) fn at(&self, port: u16) -> SocketAddr {
        (self.ip, port).into()
    }

    pub(crate) fn plan_file(&self) -> PathBuf {
        self.dir.join("plan.json")
    }

    /// Writes the next plan, as the kubelet does: whole or not at all.
    pub(crate) fn plan(&mut self, services: &[Value], exports: &Value) -> u64 {
        self.revision += 1;
        let workload = json!({"namespace": "shop", "pod": self.name, "application": self.name});
        let plan = json!({"revision": self.revision, "workload": workload, "services": services, "exports": exports});
        self.write_plan(&plan.to_string());
        self.revision
    }

    pub(crate) fn write_plan(&self, text: &str) {
        let beside = self.dir.join("plan.json.new");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, self.plan_file()).unwrap();
    }

    /// What its sidecar shows to the operator.
    pub(crate) fn write_token(&self, text: &str) {
        fs::write(self.dir.join("token"), text).unwrap();
    }

    pub(crate) fn start_program(&mut self) {
        self.start_program_at(7000);
    }

    /// Starts a program that serves Motan 2 at another port.
    pub(crate) fn start_program_at(&mut self, port: u16) {
        let (http, motan) = (self.at(8080).to_string(), self.at(port).to_string());
        let program = Command::new(env!("CARGO_BIN_EXE_motanmesh-demo"))
            .args(["serve", "--http", &http, "--motan", &motan, "--name", &self.name])
            .kill_on_drop(true)
            .spawn();
        self.program = Some(program.unwrap());
    }

    pub(crate) fn start_sidecar(&mut self) {
        self.start_sidecar_to(Stdio::inherit());
    }

    /// Starts the sidecar with its log going to a file, and gives that file.
    pub(crate) fn start_sidecar_logged(&mut self) -> PathBuf {
        let log = self.dir.join("log");
        self.start_sidecar_to(fs::File::create(&log).unwrap().into());
        log
    }

    fn start_sidecar_to(&mut self, log: Stdio) {
        let ip = self.ip.to_string();
        let sidecar = Command::new(sidecar())
            .stderr(log)
            .args([
                "run",
                "--local-address",
                &ip,
                "--inbound-address",
                &ip,
                "--drain-delay",
                "1s",
            ])
            .arg("--plan")
            .arg(self.plan_file())
            .arg("--state-dir")
            .arg(&self.dir)
            .arg("--token-file")
            .arg(self.dir.join("token"))
            .args(&self.flags)
            .kill_on_drop(true)
            .spawn();
        self.sidecar = Some(sidecar.unwrap());
    }

    /// Ends the sidecar as the kubelet does, and says whether it ended well.
    pub(crate) async fn end_sidecar(&mut self) -> bool {
        let mut sidecar = self.sidecar.take().expect("a sidecar runs");
        signal(&sidecar, Signal::TERM);
        timeout(PATIENCE, sidecar.wait())
            .await
            .expect("it ends in time")
            .unwrap()
            .success()
    }

    /// Ends the sidecar at once, without a word.
    pub(crate) async fn kill_sidecar(&mut self) {
        self.sidecar.take().expect("a sidecar runs").kill().await.unwrap();
    }

    /// Ends the program at once, without a word.
    pub(crate) async fn kill_program(&mut self) {
        self.program.take().expect("a program runs").kill().await.unwrap();
    }

    pub(crate) async fn ready(&self) {
        eventually("it is ready", async || {
            self.page("GET", 9990, "/ready").await.0 == 200
        })
        .await;
    }

    /// Waits until the sidecar runs this revision.
    pub(crate) async fn runs(&self, revision: u64) {
        let line = format!("motanmesh_plan_revision {revision}\n");
        eventually(&line, async || {
            self.page("GET", 9990, "/metrics").await.1.contains(&line)
        })
        .await;
    }

    /// Status and body of a page of the sidecar; status 0 where nobody answers.
    pub(crate) async fn page(&self, method: &str, port: u16, path: &str) -> (u16, String) {
        let request = format!("{method} {path} HTTP/1.1\r\nhost: pod\r\nconnection: close\r\n\r\n");
        http(self.at(port), &request).await
    }

    /// Posts to the admin page, as a Motan client library does.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        let length = body.len();
        let request = format!("POST {path} HTTP/1.1\r\nhost: pod\r\ncontent-length: {length}\r\n\r\n{body}");
        let (status, answer) = http(self.at(8002), &request).await;
        let answer = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{answer:?}: {error}"));
        (status, answer)
    }

    /// A GET of the program in this pod through its sidecar.
    pub(crate) async fn get(&self, host: &str, path: &str) -> (u16, String) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        http(self.at(9983), &request).await
    }

    /// The sum of the samples of a metric whose labels have all of these.
    pub(crate) async fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        let (_, text) = self.page("GET", 9990, "/metrics").await;
        let samples = text.lines().filter_map(|line| line.split_once(' '));
        let named = samples.filter(|(sample, _)| {
            sample.split('{').next() == Some(name) && labels.iter().all(|label| sample.contains(label))
        });
        named.map(|(_, value)| value.parse::<u64>().unwrap_or(0)).sum()
    }

    /// Memory of the sidecar that is resident, bytes.
    pub(crate) fn resident(&self) -> u64 {
        let id = self.sidecar.as_ref().and_then(Child::id).expect("a sidecar runs");
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: u64 = line.unwrap().trim().trim_end_matches(" kB").parse().unwrap();
        kib << 10
    }

    /// Sends a signal to the sidecar, which is not waited for.
    pub(crate) fn signal_sidecar(&self, what: Signal) {
        signal(self.sidecar.as_ref().expect("a sidecar runs"), what);
    }

    /// Sends a signal to the program, which is not waited for.
    pub(crate) fn signal_program(&self, what: Signal) {
        signal(self.program.as_ref().expect("a program runs"), what);
    }

    /// A Motan load of the program in this pod, so many calls a second over so many connections, until it is ended.
    pub(crate) fn endless(&self, rate: u32, connections: u32) -> Load {
        let via = self.at(9981).to_string();
        let (rate, connections) = (rate.to_string(), connections.to_string());
        let load = Command::new(env!("CARGO_BIN_EXE_motanmesh-demo"))
            .args([
                "load",
                "--rate",
                &rate,
                "--connections",
                &connections,
                "--control-port",
                "0",
            ])
            .args(["--motan", "com.example.Greet", "--via", &via])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        Load(load.unwrap())
    }

    /// A load of the program in this pod, 200 calls a second, by HTTP or by Motan.
    pub(crate) fn load(&self, kind: Kind, seconds: u64) -> Load {
        let (seconds, motan, web) = (
            seconds.to_string(),
            self.at(9981).to_string(),
            self.at(9983).to_string(),
        );
        let what = match kind {
            Kind::Http => ["--http", "http://user.shop.mesh/users/1", "--via", &web],
            Kind::Motan => ["--motan", "com.example.Greet", "--via", &motan],
        };
        let load = Command::new(env!("CARGO_BIN_EXE_motanmesh-demo"))
            .args([
                "load",
                "--rate",
                "200",
                "--control-port",
                "0",
                "--seconds",
                &seconds,
            ])
            .args(what)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        Load(load.unwrap())
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Http,
    Motan,
}

/// A load that runs.
pub(crate) struct Load(Child);

impl Load {
    /// Ends it, and gives its report.
    pub(crate) async fn end(self) -> Report {
        signal(&self.0, Signal::TERM);
        self.report().await
    }

    pub(crate) async fn report(self) -> Report {
        let output = timeout(PATIENCE, self.0.wait_with_output())
            .await
            .expect("it ends in time")
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str(text.lines().last().expect("a report")).unwrap()
    }

    /// The report of a load in which nothing may fail.
    pub(crate) async fn unharmed(self) -> Report {
        let report = self.report().await;
        assert!(report.sent > 0 && report.failed == 0, "{report:?}");
        report
    }
}

fn signal(child: &Child, what: Signal) {
    let id = child.id().and_then(|id| Pid::from_raw(id.try_into().unwrap()));
    kill_process(id.expect("it runs"), what).unwrap();
}

/// Waits for a condition.
pub(crate) async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    let wait = async {
        while !holds().await {
            sleep(LOOK).await;
        }
    };
    timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("not in time: {what}"));
}

pub(crate) async fn http(address: SocketAddr, request: &str) -> (u16, String) {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = match timeout(PATIENCE, ask).await {
        Ok(Ok(answer)) => answer,
        _ => return (0, String::new()),
    };
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or(0), body.to_owned())
}

/// The binary, built once where it is missing: cargo builds only the binaries of the package under test.
pub(crate) fn sidecar() -> &'static Path {
    static SIDECAR: OnceLock<PathBuf> = OnceLock::new();
    SIDECAR.get_or_init(|| {
        let path = Path::new(env!("CARGO_BIN_EXE_motanmesh-demo")).with_file_name("motanmesh-sidecar");
        if !path.exists() {
            let mut build = std::process::Command::new(env!("CARGO"));
            build.args(["build", "-p", "motanmesh-agent", "--bin", "motanmesh-sidecar"]);
            if !cfg!(debug_assertions) {
                build.arg("--release");
            }
            assert!(build.status().unwrap().success(), "the sidecar does not build");
        }
        path
    })
}
