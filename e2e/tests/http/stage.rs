//! One program behind one sidecar, called through another: what all tests here stand on.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::process::Child;

use super::tools::Tools;
use super::world::{Pod, World, eventually};

/// The name by which the program is called.
pub(crate) const HOST: &str = "site.web.mesh";

/// Longer than a call of these tests that should succeed takes on a busy machine, milliseconds.
const TIMEOUT_MS: u32 = 20_000;

/// A pair of sidecars.
pub(crate) struct Stage {
    provider: Pod,
    pub(crate) caller: Pod,
    _program: Option<Child>,
    _world: World,
}

impl Stage {
    /// The web server of Go behind the pair.
    pub(crate) async fn with_web_server() -> Self {
        Self::with(8080, "http", |at| {
            let mut server = Tools::Go.program("web-go-peer");
            server.args(["server", "-listen", &at.to_string()]);
            Some(server.spawn().unwrap())
        })
        .await
    }

    /// grpc-go's test service behind the pair.
    pub(crate) async fn with_grpc_server() -> Self {
        Self::with(9090, "grpc", |at| {
            let mut server = Tools::Go.program("web-go-peer");
            server.args(["grpc-server", "-listen", &at.to_string()]);
            Some(server.spawn().unwrap())
        })
        .await
    }

    /// Whatever the caller has at port 8080 of the pod of the provider.
    pub(crate) async fn around(program: impl FnOnce(SocketAddr)) -> Self {
        Self::with(8080, "http", |at| {
            program(at);
            None
        })
        .await
    }

    async fn with(port: u16, protocol: &str, program: impl FnOnce(SocketAddr) -> Option<Child>) -> Self {
        let world = World::new();
        let (mut provider, mut caller) = (world.pod("provider"), world.pod("caller"));
        let backend = provider.at(port);
        let program = program(backend);
        eventually("the program listens", async || {
            TcpStream::connect(backend).await.is_ok()
        })
        .await;
        provider.plan(
            &[],
            &json!([service(protocol, &json!({"backend": backend.to_string()}))]),
        );
        let listen = json!([caller.at(CAPTURED).to_string()]);
        let seeds = json!([{"address": provider.at(9982).to_string()}]);
        caller.plan(
            &[service(
                protocol,
                &json!({"hosts": [HOST], "listen": listen, "seeds": seeds}),
            )],
            &json!([]),
        );
        for pod in [&mut provider, &mut caller] {
            pod.start_sidecar();
            pod.ready().await;
        }
        Self {
            provider,
            caller,
            _program: program,
            _world: world,
        }
    }

    /// Where the caller's agent takes HTTP by host, and as a proxy.
    pub(crate) fn entry(&self) -> SocketAddr {
        self.caller.at(9983)
    }

    /// Where it takes calls of this service alone, as loopback capture has it: a plain URL leads there.
    pub(crate) fn captured(&self) -> SocketAddr {
        self.caller.at(CAPTURED)
    }

    /// Where the provider's agent takes calls of other agents.
    pub(crate) fn inbound(&self) -> SocketAddr {
        self.provider.at(9982)
    }
}

/// A port that nobody needs rights for.
const CAPTURED: u16 = 8081;

fn service(protocol: &str, more: &Value) -> Value {
    let mut service = json!({"name": "web/site", "path": "site.web", "group": "web", "protocol": protocol,
        "policy": {"timeoutMs": TIMEOUT_MS}});
    let more = more.as_object().expect("an object").clone();
    service.as_object_mut().expect("an object").extend(more);
    service
}
