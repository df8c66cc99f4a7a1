//! Requests that two readers could take for different ones. Each is refused, or reaches the program as exactly one request
//! that both ends read alike: never two where one was sent, never a header that was not.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::corpus::{Expected, Row};
use super::recorder::{Received, Recorder};
use super::stage::{HOST, Stage};
use super::world::PATIENCE;

/// What the mesh may add to a request.
const ADDED: [&str; 5] = [
    "host",
    "content-length",
    "transfer-encoding",
    "via",
    "x-forwarded-for",
];

#[tokio::test]
async fn no_request_becomes_another_or_two() {
    let recorder = Recorder::default();
    let stage = Stage::around(|at| recorder.serve(at)).await;
    recorder.take(); // the look whether it listens
    let mut wrong = Vec::new();
    for row in Row::all() {
        let answers = exchange(stage.entry(), &row.bytes()).await;
        let received = recorder.take();
        if let Err(what) = judge(&row, &answers, &received) {
            wrong.push(format!(
                "{}: {what}\n  answers: {answers:?}\n  received: {received:?}",
                row.name
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} rows are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    // The agent is as well as before.
    let (status, body) = stage.caller.get(HOST, "/after").await;
    assert_eq!((status, body.as_str()), (200, "ok"));
}

/// Statuses of all that comes back until the connection is closed.
async fn exchange(entry: SocketAddr, bytes: &[u8]) -> Result<Vec<u16>, String> {
    let conversation = async {
        let socket = TcpStream::connect(entry).await.unwrap();
        let (mut reader, mut writer) = socket.into_split();
        let mut answer = Vec::new();
        // It may be closed before all is written, which is no failure.
        let write = async {
            let _ = writer.write_all(bytes).await;
            writer
        };
        let read = async {
            let _ = reader.read_to_end(&mut answer).await;
        };
        let (_writer, ()) = tokio::join!(write, read);
        answer
    };
    let answer = timeout(PATIENCE, conversation).await;
    let answer = answer.map_err(|_| "the connection stays open".to_owned())?;
    let text = String::from_utf8_lossy(&answer).into_owned();
    // Bodies here hold no such words.
    let starts = text.split("HTTP/1.").skip(1);
    starts
        .map(|rest| {
            let status = rest.split(' ').nth(1).and_then(|status| status.parse().ok());
            status.ok_or_else(|| format!("no answer of HTTP: {text:?}"))
        })
        .collect()
}

fn judge(row: &Row, answers: &Result<Vec<u16>, String>, received: &[Received]) -> Result<(), String> {
    let answers = answers.as_ref().map_err(Clone::clone)?;
    let fits = answers.len() == row.answers.len()
        && answers
            .iter()
            .zip(&row.answers)
            .all(|(status, allowed)| allowed.contains(status));
    if !fits {
        return Err(format!("expected {:?}", row.answers));
    }
    match (&row.received, received) {
        (None, []) => Ok(()),
        (Some(expected), [one]) => same(expected, one),
        (_, other) => Err(format!("the program got {} requests", other.len())),
    }
}

fn same(expected: &Expected, received: &Received) -> Result<(), String> {
    let line = format!("{} HTTP/1.1", expected.line);
    if received.line() != line {
        return Err(format!("expected the line {line:?}"));
    }
    if received.body != expected.body.as_bytes() {
        return Err(format!("expected the body {:?}", expected.body));
    }
    let framed = ["content-length", "transfer-encoding"].map(|name| received.values(name).len());
    if framed.iter().sum::<usize>() > 1 {
        return Err("framed in more ways than one".to_owned());
    }
    if received.values("host") != [expected.host.as_str()] {
        return Err(format!("expected one host {:?}", expected.host));
    }
    let allowed: BTreeSet<_> = ADDED
        .into_iter()
        .map(str::to_owned)
        .chain(expected.headers.iter().cloned())
        .collect();
    let mut names = received.names();
    names.retain(|name| !name.starts_with("motan-")); // metadata, which each program is shown
    if !names.is_subset(&allowed) {
        return Err(format!(
            "headers that may not be: {:?}",
            names.difference(&allowed)
        ));
    }
    Ok(())
}
