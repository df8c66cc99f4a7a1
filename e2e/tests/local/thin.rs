//! Thin clients, and what is outside of the mesh: the Unix socket, node lists in files, names that are resolved.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use wire::motan2::{self, DEFAULT_LIMIT, Header, bits};
use wire::value::{self, Value as Simple};
use wire::{keys, meta};

use super::calls::motan;
use super::world::{PATIENCE, Pod, World, eventually, services};

const GREET: &str = "com.example.Greet";

/// One call over a connection: the text of the answer, or of the exception.
async fn call(mut io: impl AsyncRead + AsyncWrite + Unpin) -> String {
    let mut out = Vec::new();
    let write_meta = |meta: &mut meta::Writer<'_>| {
        meta.pair(keys::PATH, GREET.as_bytes());
        meta.pair(keys::METHOD, b"hello");
    };
    let write_body = |out: &mut Vec<u8>| value::write(out, &Simple::String(b"thin"));
    motan2::encode(&mut out, Header::request(7), write_meta, write_body);
    let exchange = async {
        io.write_all(&out).await.unwrap();
        let mut bytes = Vec::new();
        loop {
            if let Some((frame, _)) = motan2::decode(&bytes, DEFAULT_LIMIT).unwrap() {
                assert_eq!(frame.header.id, 7);
                let text = frame.meta.find(keys::EXCEPTION).unwrap_or(frame.body);
                return String::from_utf8_lossy(text).into_owned();
            }
            assert!(
                io.read_buf(&mut bytes).await.unwrap() > 0,
                "an answer before the end"
            );
        }
    };
    timeout(PATIENCE, exchange).await.unwrap()
}

#[tokio::test]
async fn a_program_calls_by_a_socket_in_the_file_system() {
    let world = World::new();
    let user = world.provider("user").await;
    let mut web = world.pod("web");
    let socket = web.dir.join("motan.sock");
    web.flags = vec!["--motan-socket".into(), socket.clone().into()];
    web.plan(&services(&[&user]), &json!([]));
    web.start_sidecar();
    web.ready().await;
    let is = fs::metadata(&socket).unwrap();
    assert!(is.file_type().is_socket());
    assert_eq!(is.permissions().mode() & 0o777, 0o666);
    let greeted = async || call(UnixStream::connect(&socket).await.unwrap()).await;
    assert!(greeted().await.contains("hello thin"));
    assert!(
        motan(web.at(9981), GREET, "hello").await.0,
        "the port is there beside it"
    );

    // What a killed one leaves is replaced; at a proper end nothing is left.
    web.kill_sidecar().await;
    assert!(socket.exists());
    web.start_sidecar();
    web.ready().await;
    assert!(greeted().await.contains("hello thin"));
    assert!(web.end_sidecar().await);
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_file_in_the_place_of_the_socket_is_not_replaced() {
    let world = World::new();
    let mut web = world.pod("web");
    let socket = web.dir.join("motan.sock");
    fs::write(&socket, "precious").unwrap();
    web.flags = vec!["--motan-socket".into(), socket.clone().into()];
    web.plan(&[], &json!([]));
    let log = web.start_sidecar_logged();
    eventually("it says why it ends", async || {
        fs::read_to_string(&log)
            .unwrap()
            .contains("a file that is no socket")
    })
    .await;
    assert_eq!(fs::read_to_string(&socket).unwrap(), "precious");
}

/// The addresses in a node list; none where there is no list.
fn nodes(dir: &Path, name: &str) -> Vec<String> {
    let text = fs::read(dir.join(name)).unwrap_or_default();
    let list: Value = serde_json::from_slice(&text).unwrap_or_default();
    let nodes = list["nodes"].as_array().cloned().unwrap_or_default();
    nodes
        .iter()
        .map(|node| node["address"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn node_lists_are_written_for_thin_clients_and_follow_what_is_known() {
    let world = World::new();
    let (one, two) = (world.pod("one"), world.pod("two"));
    let mut web = world.pod("web");
    let dir = web.dir.join("run").join("snapshot");
    web.flags = vec!["--snapshot-dir".into(), dir.clone().into()];
    let plain = |providers: &[&Pod]| {
        let mut services = services(providers);
        services[0]["plain"] = json!(true);
        services
    };
    web.plan(&plain(&[&one]), &json!([]));
    web.start_sidecar();
    web.ready().await;
    let name = "shop_com.example.Greet";
    let at = |pod: &Pod| pod.at(9982).to_string();
    eventually("the list is there", async || nodes(&dir, name) == [at(&one)]).await;
    let list: Value = serde_json::from_slice(&fs::read(dir.join(name)).unwrap()).unwrap();
    assert_eq!((&list["group"], &list["path"]), (&json!("shop"), &json!(GREET)));
    assert!(list["nodes"][0]["extInfo"].is_string());
    assert_eq!(
        fs::read_dir(&dir).unwrap().count(),
        1,
        "no list of a service that takes no such callers"
    );

    web.plan(&plain(&[&one, &two]), &json!([]));
    eventually("both are in it", async || nodes(&dir, name).len() == 2).await;
    web.plan(&services(&[&one]), &json!([]));
    eventually("it goes with its service", async || !dir.join(name).exists()).await;
}

/// A Motan 2 program or an older agent outside: it answers what it understands and tells of every frame.
struct Outside {
    port: u16,
    /// Whether each frame was a heartbeat, and the keys of its metadata.
    frames: mpsc::UnboundedReceiver<(bool, Vec<String>)>,
    _server: JoinSet<()>,
}

impl Outside {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, frames) = mpsc::unbounded_channel();
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(answer(socket, tell.clone()));
            }
        });
        Self {
            port,
            frames,
            _server: server,
        }
    }
}

async fn answer(mut socket: TcpStream, tell: mpsc::UnboundedSender<(bool, Vec<String>)>) {
    let mut bytes = Vec::new();
    loop {
        let mut out = Vec::new();
        let mut taken = 0;
        while let Ok(Some((frame, length))) = motan2::decode(&bytes[taken..], DEFAULT_LIMIT) {
            let keys = frame
                .meta
                .pairs()
                .map(|(key, _)| String::from_utf8_lossy(key).into_owned());
            let _ = tell.send((frame.header.is_heartbeat(), keys.collect()));
            let header = Header {
                kind: bits::RESPONSE,
                ..Header::request(frame.header.id)
            };
            motan2::encode(
                &mut out,
                header,
                |_| {},
                |out| value::write(out, &Simple::String(b"from outside")),
            );
            taken += length;
        }
        bytes.drain(..taken);
        if socket.write_all(&out).await.is_err() || !matches!(socket.read_buf(&mut bytes).await, Ok(1..)) {
            return;
        }
    }
}

#[tokio::test]
async fn a_service_outside_is_called_by_its_name() {
    let world = World::new();
    let mut outside = Outside::start().await;
    let mut web = world.pod("web");
    let service = json!({"name": "shop/greet", "path": GREET, "group": "shop", "protocol": "motan2", "external": true,
        "policy": {"timeoutMs": 5_000}, "seeds": [{"address": format!("localhost:{}", outside.port)}]});
    web.plan(&[service], &json!([]));
    web.start_sidecar();
    web.ready().await;
    let (well, text) = motan(web.at(9981), GREET, "hello").await;
    assert!(
        well && text.contains("from outside"),
        "the first call finds it: {text}"
    );
    let (is_heartbeat, keys) = timeout(PATIENCE, outside.frames.recv()).await.unwrap().unwrap();
    assert!(!is_heartbeat, "no hello");
    assert!(keys.iter().all(|key| !key.starts_with("x-mesh-")), "{keys:?}");
    let (_, plan) = web.page("GET", 8002, "/plan").await;
    let plan: Value = serde_json::from_str(&plan).unwrap();
    let addresses = plan["endpoints"]["shop/greet"].as_array().unwrap();
    assert!(!addresses.is_empty(), "{plan}");
    for endpoint in addresses {
        let address: std::net::SocketAddr = endpoint["address"].as_str().unwrap().parse().unwrap();
        assert!(address.ip().is_loopback());
    }
}
