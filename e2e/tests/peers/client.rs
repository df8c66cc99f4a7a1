//! A peer that calls.

use std::net::SocketAddr;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::mesh::PATH;
use super::process::Peer;
use super::rust;
use super::world::PATIENCE;

/// A client that calls whatever it is told to.
pub(crate) struct Client {
    pub(crate) peer: Peer,
    process: Option<Process>,
}

struct Process {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Client {
    pub(crate) fn start(peer: Peer) -> Self {
        let process = (peer != Peer::Rust).then(|| Process::start(&mut peer.program()));
        Self { peer, process }
    }

    /// A process with more in its environment.
    pub(crate) fn under(peer: Peer, name: &str, value: &str) -> Self {
        let process = Some(Process::start(peer.program().env(name, value)));
        Self { peer, process }
    }

    /// What a call looks like that is made as this peer's programs call a local agent: `method` and `args` are to be
    /// added.
    pub(crate) fn by_agent(&self, agent: SocketAddr, group: &str, serialization: &str) -> Value {
        json!({"by": "mesh", "to": agent.to_string(), "path": PATH, "group": group, "serialization": serialization,
            "timeoutMs": 10_000})
    }

    /// Makes a call, or many, and gives what came of it.
    pub(crate) async fn ask(&mut self, asked: &Value) -> Value {
        let answer = async {
            match &mut self.process {
                Some(process) => process.ask(asked).await,
                None => rust::call(asked).await,
            }
        };
        timeout(PATIENCE, answer)
            .await
            .unwrap_or_else(|_| panic!("{} has no answer in time to {asked}", self.peer.name()))
    }

    /// One call of a method.
    pub(crate) async fn call(&mut self, how: &Value, method: &str, args: &Value) -> Value {
        self.ask(&with(how, json!({"method": method, "args": args})))
            .await
    }

    /// Many calls of `echo` with a text of its own each; panics where an answer belongs to another call.
    pub(crate) async fn many(&mut self, how: &Value, calls: u32, workers: u32, every_ms: u32) -> Count {
        let many = json!({"method": "echo", "calls": calls, "workers": workers, "everyMs": every_ms});
        let answer = self.ask(&with(how, many)).await;
        let number = |key: &str| u32::try_from(answer[key].as_u64().unwrap()).unwrap();
        let count = Count {
            right: number("right"),
            failed: number("failed"),
            errors: answer["errors"].to_string(),
        };
        assert!(
            number("wrong") == 0 && count.right + count.failed == calls,
            "{}: {answer}",
            self.peer.name()
        );
        count
    }

    /// Calls until twenty in a row succeed: how soon is not the promise here, that it does so without a new client is.
    pub(crate) async fn recovers(&mut self, how: &Value) {
        let what = format!("{:?} gets answers again", self.peer);
        let again = async { while self.many(how, 20, 1, 5).await.failed > 0 {} };
        timeout(PATIENCE, again).await.expect(&what);
    }
}

/// What came of many calls.
#[derive(Debug)]
pub(crate) struct Count {
    pub(crate) right: u32,
    pub(crate) failed: u32,
    /// The messages, for reading.
    #[expect(dead_code, reason = "read by people, where a test fails")]
    pub(crate) errors: String,
}

/// An object with more keys.
pub(crate) fn with(object: &Value, more: Value) -> Value {
    match (object.clone(), more) {
        (Value::Object(mut object), Value::Object(more)) => {
            object.extend(more);
            object.into()
        }
        (object, more) => panic!("not two objects: {object}, {more}"),
    }
}

impl Process {
    fn start(command: &mut Command) -> Self {
        let command = command.arg("client").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()).lines(),
            _child: child,
        }
    }

    async fn ask(&mut self, asked: &Value) -> Value {
        self.input
            .write_all(format!("{asked}\n").as_bytes())
            .await
            .unwrap();
        let line = self.output.next_line().await.unwrap();
        serde_json::from_str(&line.expect("the client runs")).unwrap()
    }
}
