use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::*;
use crate::drain::{self, Trigger};
use crate::listen;

struct Server {
    address: std::net::SocketAddr,
    drain: Trigger,
    task: JoinHandle<()>,
}

impl Server {
    fn start() -> Self {
        let listener = listen::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::default()
            .get("/ready", async |_| {
                Answer::status(StatusCode::SERVICE_UNAVAILABLE, "waits for plan\n")
            })
            .post("/echo", async |request: Request| {
                Answer::json(format!("{} {}", request.query, request.body.len()))
            });
        let (drain, watch) = drain::channel();
        let task = tokio::spawn(serve(listener, router, watch));
        Self { address, drain, task }
    }

    async fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

#[tokio::test]
async fn a_path_answers_its_own_method_only() {
    let server = Server::start();
    let answer = server.ask("GET /ready HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("waits for plan\n"),
        "{answer}"
    );
    let answer = server
        .ask("POST /echo?level=debug HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc")
        .await;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("level=debug 3"),
        "{answer}"
    );
    let answer = server.ask("GET /echo HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.1 405 ") && answer.ends_with("/echo takes POST\n"),
        "{answer}"
    );
    let answer = server.ask("GET /none HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.1 404 ") && answer.ends_with("/echo /ready\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let server = Server::start();
    let body = "x".repeat(MAX_BODY + 1);
    let request = format!(
        "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    assert!(server.ask(&request).await.starts_with("HTTP/1.1 413 "));
}

#[tokio::test]
async fn a_drained_server_ends_and_refuses_connections() {
    let Server { address, drain, task } = Server::start();
    drain.drained(Duration::from_secs(5)).await.unwrap();
    task.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_says_nothing_is_let_go() {
    let server = Server::start();
    assert_eq!(server.ask("").await, "");
}
