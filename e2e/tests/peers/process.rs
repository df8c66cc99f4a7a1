//! The peers as processes.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::process::Command;

use super::world::Pod;

/// Whose library a program stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Java,
    Go,
    Rust,
}

impl Peer {
    pub(crate) const ALL: [Self; 3] = [Self::Java, Self::Go, Self::Rust];

    /// What its server is called, and the group that it serves.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Java => "java",
            Self::Go => "go",
            Self::Rust => "rust",
        }
    }

    /// Its program; ours runs in the test.
    pub(crate) fn program(self) -> Command {
        let path = match self {
            Self::Java => built("java").join("motan-java-peer"),
            Self::Go => built("go").join("motan-go-peer"),
            Self::Rust => unreachable!("our own peer is no process"),
        };
        let mut command = Command::new(path);
        command
            .env("MOTAN_LOCAL_IP", "127.0.0.1")
            .env_remove("MOTAN_MESH_PROXY")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        command
    }
}

/// The reference agent with this configuration, in the folder of a pod.
pub(crate) fn go_agent(pod: &Pod, yaml: &str) -> tokio::process::Child {
    let file = pod.plan_file().with_file_name("agent.yaml");
    std::fs::write(&file, yaml).unwrap();
    let mut command = Peer::Go.program();
    command
        .args(["agent", "-c"])
        .arg(&file)
        .current_dir(file.parent().unwrap());
    command.spawn().unwrap()
}

/// A port that is free on every address: the libraries' servers bind no single one. Below the ports that the kernel gives
/// to connections, so that none takes it in between.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const PORTS: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() * 53 % u32::from(PORTS)).unwrap();
    loop {
        let port = FIRST + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % PORTS;
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

/// The folder of a peer's program, built once where it is missing.
fn built(kind: &str) -> &'static Path {
    static JAVA: OnceLock<PathBuf> = OnceLock::new();
    static GO: OnceLock<PathBuf> = OnceLock::new();
    let folder = if kind == "java" { &JAVA } else { &GO };
    folder.get_or_init(|| {
        let build = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/build");
        let output = std::process::Command::new(build)
            .arg(kind)
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "{build} {kind} fails");
        String::from_utf8(output.stdout).unwrap().trim().into()
    })
}
