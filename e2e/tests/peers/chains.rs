//! The reference agent in the place of either sidecar.

use serde_json::{Value, json};

use super::client::{Client, with};
use super::mesh::{PATH, TIMEOUT_MS, export, provider, service, within};
use super::process::{Peer, free_port, go_agent};
use super::server::Server;
use super::values::printed_bytes;
use super::world::{Pod, World, eventually, http};

/// The reference agent as a server agent of these programs: where it takes calls.
pub(crate) struct GoServerAgent {
    child: tokio::process::Child,
    yaml: String,
    pub(crate) address: String,
}

impl GoServerAgent {
    pub(crate) async fn start(pod: &Pod, servers: &[&Server]) -> Self {
        let port = free_port();
        let services: String = servers
            .iter()
            .map(|server| {
                let (name, group, proxy) = (&server.name, &server.group, server.address().port());
                format!(
                    "  {name}: {{path: {PATH}, group: {group}, protocol: motan2, registry: none, provider: motan2, \
                     proxy: \"motan2:{proxy}\", export: \"motan2:{port}\", requestTimeout: {TIMEOUT_MS}}}\n"
                )
            })
            .collect();
        let yaml = agent_section(pod) + "motan-service:\n" + &services;
        let agent = Self {
            child: go_agent(pod, &yaml),
            yaml,
            address: format!("127.0.0.1:{port}"),
        };
        listens(&agent.address).await;
        agent
    }

    /// Ends it at once, and starts it where it was.
    async fn restart(&mut self, pod: &Pod) {
        self.child.kill().await.unwrap();
        self.child = go_agent(pod, &self.yaml);
        listens(&self.address).await;
    }
}

/// The reference agent as a client agent at 9981 of a pod, for these groups at one address, in one version of Motan.
pub(crate) async fn go_client_agent(
    pod: &Pod,
    protocol: &str,
    groups: &[&str],
    provider: &str,
) -> tokio::process::Child {
    let refers: String = groups
        .iter()
        .map(|group| {
            format!(
                "  {group}: {{path: {PATH}, group: {group}, protocol: {protocol}, registry: providers, serialization: simple, \
                 requestTimeout: {TIMEOUT_MS}, asyncInitConnection: false}}\n"
            )
        })
        .collect();
    let yaml = agent_section(pod)
        + &format!("  providers: {{protocol: direct, address: \"{provider}\"}}\nmotan-refer:\n{refers}");
    let agent = go_agent(pod, &yaml);
    listens(&pod.at(9981).to_string()).await;
    agent
}

fn agent_section(pod: &Pod) -> String {
    let Pod { name, ip, .. } = pod;
    let (export, management) = (free_port(), free_port());
    format!(
        "motan-agent: {{host: {ip}, port: 9981, eport: {export}, mport: {management}, application: {name}, log_dir: ./log, \
         pidfile: ./pid, runtime_dir: ./runtime, snapshot_dir: ./snapshot}}\n\
         motan-registry:\n  none: {{protocol: direct, address: \"127.0.0.1:1\"}}\n"
    )
}

async fn listens(address: &str) {
    eventually(address, async || {
        tokio::net::TcpStream::connect(address).await.is_ok()
    })
    .await;
}

/// The same calls whatever the chain is made of.
async fn works(client: &mut Client, how: &Value, server: &Server) {
    let what = format!("{:?} to {}", client.peer, server.name);
    for (method, args, result) in [
        ("who", json!([]), json!(server.name)),
        ("bytes", json!([{"$bytes": 1 << 20}]), printed_bytes(1 << 20)),
        (
            "tree",
            json!([{"a": 1, "b": {"c": "d"}}]),
            json!({"a": 1, "b": {"c": "d"}}),
        ),
        ("nothing", json!([]), Value::Null),
    ] {
        let answer = client.call(how, method, &args).await;
        assert!(
            answer["ok"] == true && answer["result"] == result,
            "{what}, {method}: {answer}"
        );
    }
    let answer = client.call(how, "fail", &json!(["no"])).await;
    assert_eq!(answer["ok"], false, "{what}: {answer}");
    let answer = client.call(how, "unknown", &json!([])).await;
    assert!(answer["ok"] == false && answer["type"] == 1, "{what}: {answer}");
    let count = client.many(how, 1_000, 100, 0).await;
    assert_eq!(count.failed, 0, "{what}: {count:?}");
}

async fn servers() -> [Server; 3] {
    let [java, go, rust] = Peer::ALL;
    [
        Server::start(java).await,
        Server::start(go).await,
        Server::start(rust).await,
    ]
}

#[tokio::test]
async fn our_client_agent_calls_through_the_reference_server_agent() {
    let world = World::new();
    let servers = servers().await;
    let agent = GoServerAgent::start(&world.pod("provider"), &servers.each_ref()).await;
    let mut caller = world.pod("caller");
    let outside = json!({"external": true, "seeds": [{"address": agent.address}]});
    let services = Peer::ALL.map(|peer| with(&service(peer.name(), &[]), outside.clone()));
    caller.plan(&services, &json!([]));
    caller.start_sidecar();
    caller.ready().await;
    for peer in Peer::ALL {
        let mut client = Client::start(peer);
        for server in &servers {
            let how = client.by_agent(caller.at(9981), &server.name, "simple");
            works(&mut client, &how, server).await;
        }
    }
}

#[tokio::test]
async fn the_reference_client_agent_calls_through_our_server_agent() {
    let world = World::new();
    let servers = servers().await;
    let mut provider = world.pod("provider");
    let exports: Vec<_> = servers
        .iter()
        .map(|server| with(&export(server), json!({"plain": true})))
        .collect();
    provider.plan(&[], &Value::from(exports));
    provider.start_sidecar();
    provider.ready().await;
    let caller = world.pod("caller");
    let _agent = go_client_agent(
        &caller,
        "motan2",
        &Peer::ALL.map(Peer::name),
        &provider.at(9982).to_string(),
    )
    .await;
    for peer in Peer::ALL {
        let mut client = Client::start(peer);
        for server in &servers {
            let how = client.by_agent(caller.at(9981), &server.name, "simple");
            works(&mut client, &how, server).await;
        }
    }
}

#[tokio::test]
async fn our_client_agent_finds_a_reference_agent_again_that_was_killed() {
    let world = World::new();
    let server = Server::start(Peer::Java).await;
    let pod = world.pod("provider");
    let mut agent = GoServerAgent::start(&pod, &[&server]).await;
    let mut caller = world.pod("caller");
    let outside = json!({"external": true, "seeds": [{"address": agent.address}]});
    caller.plan(
        &[with(&within(1_000, &service("java", &[])), outside)],
        &json!([]),
    );
    caller.start_sidecar();
    caller.ready().await;
    let mut client = Client::start(Peer::Java);
    let how = client.by_agent(caller.at(9981), "java", "hessian2");
    assert_eq!(client.many(&how, 100, 8, 0).await.failed, 0);
    agent.restart(&pod).await;
    client.recovers(&how).await;
    let count = client.many(&how, 500, 8, 0).await;
    assert_eq!(count.failed, 0, "{count:?}");
}

#[tokio::test]
async fn the_reference_client_agent_finds_our_server_agent_again_after_its_restart() {
    let world = World::new();
    let server = Server::start(Peer::Java).await;
    let mut provider = world.pod("provider");
    provider.plan(&[], &json!([with(&export(&server), json!({"plain": true}))]));
    provider.start_sidecar();
    provider.ready().await;
    let caller = world.pod("caller");
    let _agent = go_client_agent(&caller, "motan2", &["java"], &provider.at(9982).to_string()).await;
    let mut client = Client::start(Peer::Go);
    let how = client.by_agent(caller.at(9981), "java", "simple");
    assert_eq!(client.many(&how, 100, 8, 0).await.failed, 0);
    assert!(provider.end_sidecar().await);
    provider.start_sidecar();
    provider.ready().await;
    client.recovers(&how).await;
    let count = client.many(&how, 500, 8, 0).await;
    assert_eq!(count.failed, 0, "{count:?}");
}

#[tokio::test]
async fn the_reference_client_agent_is_told_of_a_service_that_is_not_open_to_it() {
    let world = World::new();
    let server = Server::start(Peer::Rust).await;
    let provider = provider(&world, "provider", &[&server]).await;
    let caller = world.pod("caller");
    let _agent = go_client_agent(&caller, "motan2", &["rust"], &provider.at(9982).to_string()).await;
    for peer in Peer::ALL {
        let mut client = Client::start(peer);
        let how = client.by_agent(caller.at(9981), "rust", "simple");
        let answer = client.call(&how, "who", &json!([])).await;
        let words = "peers/rust is not open to callers outside of the mesh";
        assert!(
            answer["ok"] == false && answer["message"].to_string().contains(words),
            "{peer:?}: {answer}"
        );
    }
}

/// The host of the HTTP program, and its service.
const HOST: &str = "user.example.com";
const WEB: &str = "user.shop";

#[tokio::test]
async fn an_http_caller_of_ours_reaches_a_program_behind_the_reference_server_agent() {
    let world = World::new();
    let mut provider = world.pod("provider");
    provider.start_program();
    let port = free_port();
    let (ip, address) = (provider.ip, format!("127.0.0.1:{port}"));
    let service = format!(
        "motan-service:\n  user: {{path: {WEB}, group: shop, protocol: motan2, registry: none, provider: http, \
         proxyAddress: \"{ip}:8080\", proxySchema: http, domain: {HOST}, enableRewrite: \"false\", export: \"motan2:{port}\", \
         requestTimeout: {TIMEOUT_MS}}}\n"
    );
    let _agent = go_agent(&provider, &(agent_section(&provider) + &service));
    listens(&address).await;
    let mut caller = world.pod("caller");
    let declared = json!({"name": "shop/user", "path": WEB, "group": "shop", "protocol": "http", "external": true,
        "hosts": [HOST], "policy": {"timeoutMs": TIMEOUT_MS}, "seeds": [{"address": address}]});
    caller.plan(&[declared], &json!([]));
    caller.start_sidecar();
    caller.ready().await;
    eventually("the program answers", async || {
        caller.get(HOST, "/users/7").await.0 == 200
    })
    .await;
    let (status, body) = caller.get(HOST, "/users/7?x=%20y").await;
    assert!(
        status == 200 && body.contains("\"servedBy\":\"provider\""),
        "{body}"
    );
    assert_eq!(caller.get(HOST, "/status/418").await.0, 418);
    let (status, body) = echoed(caller.at(9983), "some words").await;
    assert!(status == 200 && body.contains("\"bodyLength\":10,"), "{body}");
}

#[tokio::test]
async fn an_http_caller_of_the_reference_client_agent_reaches_a_program_behind_ours() {
    let world = World::new();
    let mut provider = world.pod("provider");
    provider.start_program();
    let ip = provider.ip;
    provider.plan(
        &[],
        &json!([{"name": "shop/user", "path": WEB, "group": "shop", "protocol": "http", "plain": true,
            "backend": format!("{ip}:8080"), "policy": {"timeoutMs": TIMEOUT_MS}}]),
    );
    provider.start_sidecar();
    provider.ready().await;
    let caller = world.pod("caller");
    let yaml = agent_section(&caller).replacen(
        "port: 9981,",
        "port: 9981, hport: 9983, httpProxyEnable: true,",
        1,
    ) + &format!(
        "  providers: {{protocol: direct, address: \"{}\"}}\n\
         http-client:\n  user: {{domain: {HOST}, group: shop, protocol: motan2, registry: providers, serialization: simple, \
         requestTimeout: {TIMEOUT_MS}, preload: {WEB}}}\n\
         http-locations:\n  {HOST}:\n  - {{match: /, type: start, upstream: {WEB}}}\n",
        provider.at(9982)
    );
    let _agent = go_agent(&caller, &yaml);
    eventually("the program answers", async || {
        caller.get(HOST, "/users/7").await.0 == 200
    })
    .await;
    let (status, body) = caller.get(HOST, "/users/7?x=%20y").await;
    assert!(
        status == 200 && body.contains("\"servedBy\":\"provider\""),
        "{body}"
    );
    assert_eq!(caller.get(HOST, "/status/418").await.0, 418);
    let (status, body) = echoed(caller.at(9983), "some words").await;
    assert!(status == 200 && body.contains("\"bodyLength\":10,"), "{body}");
}

async fn echoed(entry: std::net::SocketAddr, words: &str) -> (u16, String) {
    let length = words.len();
    let request = format!(
        "POST /echo HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{words}"
    );
    http(entry, &request).await
}
