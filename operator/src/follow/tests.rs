//! A follower against a server that plays a script: what it tells, and what it asks for next.

use std::sync::{Arc, Mutex};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::*;

/// Answers requests one after the other, each on a connection of its own, and keeps what was asked for.
struct Server {
    address: std::net::SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn playing(script: Vec<(u16, Vec<Value>)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            for (status, lines) in script {
                let (mut socket, _) = listener.accept().await.unwrap();
                let target = read_target(&mut socket).await;
                log.lock().unwrap().push(target);
                let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                socket.write_all((head + &body).as_bytes()).await.unwrap();
            }
            std::future::pending::<()>().await; // further connections hang, as at a frozen server
        });
        Self { address, asked }
    }

    /// The first `count` things that a follower tells of this server.
    async fn followed(&self, count: usize) -> Vec<String> {
        let config = Config::new(format!("http://{}", self.address).parse().unwrap());
        let api: Api<ConfigMap> = Api::namespaced(Client::try_from(config).unwrap(), "shop");
        let (tell, mut told) = mpsc::unbounded_channel();
        let following = follow(api, "configmaps", Scope::default(), move |seen| {
            let _ = tell.send(word(&seen));
        });
        let reading = async {
            let mut words = Vec::new();
            while words.len() < count {
                words.extend(told.recv().await);
            }
            words
        };
        let both = async {
            tokio::select! {
                words = reading => words,
                frozen = following => panic!("{frozen}"),
            }
        };
        timeout(Duration::from_secs(20), both).await.unwrap()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn read_target(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    head.split_whitespace().nth(1).unwrap().to_owned()
}

fn word(seen: &Seen<ConfigMap>) -> String {
    match seen {
        Seen::All { objects, revision } => {
            let names: Vec<_> = objects.iter().map(ResourceExt::name_any).collect();
            format!("all {} at {revision}", names.join(","))
        }
        Seen::Applied(object) => format!("applied {}", object.name_any()),
        Seen::Gone(object) => format!("gone {}", object.name_any()),
        Seen::Reached(revision) => format!("reached {revision}"),
    }
}

fn object(name: &str, revision: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "resourceVersion": revision}})
}

fn list(names: &[&str], revision: &str, more: &str) -> (u16, Vec<Value>) {
    let items: Vec<_> = names.iter().map(|name| object(name, "1")).collect();
    let metadata = json!({"resourceVersion": revision, "continue": more});
    (
        200,
        vec![json!({"apiVersion": "v1", "kind": "ConfigMapList", "metadata": metadata, "items": items})],
    )
}

fn event(kind: &str, object: &Value) -> Value {
    json!({"type": kind, "object": object})
}

fn gone() -> Value {
    let status = json!({"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"});
    event("ERROR", &status)
}

#[tokio::test]
async fn a_kind_is_listed_page_by_page_and_then_watched_from_there() {
    let bookmark = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"resourceVersion": "20"}});
    let watch = vec![
        event("ADDED", &object("c", "11")),
        event("DELETED", &object("a", "12")),
        event("BOOKMARK", &bookmark),
    ];
    let server = Server::playing(vec![
        list(&["a"], "10", "next"),
        list(&["b"], "10", ""),
        (200, watch),
    ])
    .await;
    let told = server.followed(4).await;
    assert_eq!(told, ["all a,b at 10", "applied c", "gone a", "reached 20"]);
    let asked = server.asked();
    assert!(
        asked[0].contains("limit=500") && !asked[0].contains("continue"),
        "{asked:?}"
    );
    assert!(asked[1].contains("continue=next"), "{asked:?}");
    assert!(
        asked[2].contains("watch=true") && asked[2].contains("resourceVersion=10"),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_watch_that_ends_goes_on_where_it_was_without_a_new_list() {
    let first = vec![event("MODIFIED", &object("a", "15"))];
    let second = vec![event("MODIFIED", &object("a", "16"))];
    let server = Server::playing(vec![list(&["a"], "10", ""), (200, first), (200, second)]).await;
    assert_eq!(
        server.followed(3).await,
        ["all a at 10", "applied a", "applied a"]
    );
    assert!(
        server.asked()[2].contains("resourceVersion=15"),
        "{:?}",
        server.asked()
    );
}

#[tokio::test]
async fn a_server_that_has_forgotten_is_listed_again() {
    let script = vec![
        list(&["a", "b"], "10", ""),
        (200, vec![gone()]),
        list(&["b"], "90", ""),
    ];
    let server = Server::playing(script).await;
    assert_eq!(server.followed(2).await, ["all a,b at 10", "all b at 90"]);
}

#[tokio::test]
async fn a_server_that_answers_an_error_is_asked_again_after_a_pause() {
    let error = json!({"kind": "Status", "status": "Failure", "code": 500, "reason": "InternalError", "message": "no"});
    let server = Server::playing(vec![(500, vec![error]), list(&["a"], "10", "")]).await;
    assert_eq!(server.followed(1).await, ["all a at 10"]);
}
