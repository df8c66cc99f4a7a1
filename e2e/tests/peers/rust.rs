//! Our own peer, in the test's process: the service and its caller on the wire format alone.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use wire::error::{self, ErrorType};
use wire::motan2::{self, DEFAULT_LIMIT, EXCEPTION, Frame, Header, SIMPLE, bits};
use wire::value::{Value, Values};
use wire::{keys, meta};

use super::values;

/// Answers waiting to be written, a connection.
const QUEUE: usize = 1_024;

/// Serves until it is aborted.
pub(crate) async fn serve(address: SocketAddr, name: String) -> JoinHandle<()> {
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            connections.spawn(connection(socket, name.clone()));
        }
    })
}

async fn connection(socket: TcpStream, name: String) -> std::io::Result<()> {
    let (mut reader, mut writer) = socket.into_split();
    let (answers, mut queue) = mpsc::channel::<Vec<u8>>(QUEUE);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Some(answer) = queue.recv().await {
            if writer.write_all(&answer).await.is_err() {
                return;
            }
        }
    });
    let mut bytes = BytesMut::new();
    while reader.read_buf(&mut bytes).await? > 0 {
        while let Some((frame, length)) = motan2::decode(&bytes, DEFAULT_LIMIT).unwrap() {
            let (answer, wait) = answer(&frame, &name);
            let answers = answers.clone();
            tasks.spawn(async move {
                tokio::time::sleep(wait).await;
                let _ = answers.send(answer).await; // the caller may have gone
            });
            let _ = bytes.split_to(length);
        }
    }
    Ok(())
}

/// The answer to a request and how long it takes.
fn answer(frame: &Frame<'_>, name: &str) -> (Vec<u8>, Duration) {
    let id = frame.header.id;
    let now = Duration::ZERO;
    if frame.header.is_heartbeat() {
        let mut out = Vec::new();
        motan2::encode(&mut out, Header::heartbeat(bits::RESPONSE, id), |_| {}, |_| {});
        return (out, now);
    }
    let mut args = Values::new(frame.body);
    match frame.meta.find(keys::METHOD).unwrap_or_default() {
        // One value is an argument and a result alike, in every serialization.
        b"echo" | b"bytes" | b"tree" => (respond(frame.header, frame.body), now),
        b"who" => (simple(id, &Value::String(name.as_bytes())), now),
        b"nothing" => (simple(id, &Value::Null), now),
        b"zipped" => {
            let word = if frame.header.kind & bits::GZIP == 0 {
                "plain"
            } else {
                "gzip"
            };
            (simple(id, &Value::String(word.as_bytes())), now)
        }
        b"sum" => match (args.next(), args.next()) {
            (Ok(Some(Value::Int64(first))), Ok(Some(Value::Int64(second)))) => {
                (simple(id, &Value::Int64(first + second)), now)
            }
            other => (
                refuse(id, ErrorType::Service, 500, &format!("arguments: {other:?}")),
                now,
            ),
        },
        b"fill" => match args.next() {
            Ok(Some(Value::Int64(length))) => {
                let bytes = values::pattern(length.try_into().unwrap());
                (simple(id, &Value::Bytes(&bytes)), now)
            }
            other => (
                refuse(id, ErrorType::Service, 500, &format!("argument: {other:?}")),
                now,
            ),
        },
        b"slow" => match args.next() {
            Ok(Some(Value::Int64(millis))) => {
                let text = format!("slept {millis}");
                let wait = Duration::from_millis(millis.try_into().unwrap());
                (simple(id, &Value::String(text.as_bytes())), wait)
            }
            other => (
                refuse(id, ErrorType::Service, 500, &format!("argument: {other:?}")),
                now,
            ),
        },
        b"fail" => {
            let text = args.next().ok().flatten();
            let text = text.as_ref().and_then(Value::bytes).unwrap_or_default();
            (
                refuse(id, ErrorType::Biz, 30_001, &String::from_utf8_lossy(text)),
                now,
            )
        }
        other => {
            let words = format!("no method {}", String::from_utf8_lossy(other));
            (refuse(id, ErrorType::Service, 500, &words), now)
        }
    }
}

fn respond(request: Header, body: &[u8]) -> Vec<u8> {
    let header = Header {
        kind: bits::RESPONSE | request.kind & bits::GZIP,
        ..request
    };
    let mut out = Vec::new();
    motan2::encode(&mut out, header, |_| {}, |out| out.extend_from_slice(body));
    out
}

fn simple(id: u64, value: &Value<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    wire::value::write(&mut body, value);
    respond(Header::request(id), &body)
}

fn refuse(id: u64, kind: ErrorType, code: i64, words: &str) -> Vec<u8> {
    let header = Header {
        kind: bits::RESPONSE,
        status: EXCEPTION,
        ..Header::request(id)
    };
    let mut out = Vec::new();
    motan2::encode(
        &mut out,
        header,
        |meta| error::write(meta, code, kind, words),
        |_| {},
    );
    out
}

/// Makes a call, or many on one connection at once, and gives what came of it.
pub(crate) async fn call(asked: &Json) -> Json {
    let address: SocketAddr = asked["to"].as_str().unwrap().parse().unwrap();
    let mut socket = TcpStream::connect(address).await.unwrap();
    match asked["calls"].as_u64() {
        None => once(&mut socket, asked).await,
        Some(calls) => many(&mut socket, asked, calls).await,
    }
}

async fn once(socket: &mut TcpStream, asked: &Json) -> Json {
    let start = Instant::now();
    socket
        .write_all(&request(1, asked, &asked["args"]))
        .await
        .unwrap();
    let mut answers = HashMap::new();
    read(socket, 1, &mut answers).await;
    let mut answer = answers.remove(&1).unwrap();
    answer["tookMs"] = u64::try_from(start.elapsed().as_millis()).unwrap().into();
    answer
}

/// All requests are written before an answer is read, except as far as they fill the sockets' buffers.
async fn many(socket: &mut TcpStream, asked: &Json, calls: u64) -> Json {
    let text = |id| format!("call {id}");
    let requests: Vec<_> = (0..calls)
        .flat_map(|id| request(id, asked, &json!([text(id)])))
        .collect();
    let mut answers = HashMap::new();
    let (mut reader, mut writer) = socket.split();
    let (written, ()) = tokio::join!(
        writer.write_all(&requests),
        read(&mut reader, calls, &mut answers)
    );
    written.unwrap();
    let right = answers
        .iter()
        .filter(|(id, answer)| answer["result"] == text(**id))
        .count() as u64;
    let failed: Vec<_> = answers.values().filter(|answer| answer["ok"] == false).collect();
    json!({"calls": calls, "right": right, "failed": failed.len(), "wrong": calls - right - failed.len() as u64,
        "errors": failed.first()})
}

fn request(id: u64, asked: &Json, args: &Json) -> Vec<u8> {
    let said = |key: &str| asked[key].as_str().unwrap_or_default().as_bytes();
    let meta = |meta: &mut meta::Writer<'_>| {
        meta.pair(keys::PATH, said("path"));
        meta.pair(keys::METHOD, said("method"));
        meta.pair(keys::GROUP, said("group"));
        meta.pair(keys::SOURCE, b"rust-client");
        meta.pair(keys::TIMEOUT, asked["timeoutMs"].to_string().as_bytes());
        meta.pair(keys::FRAMEWORK, said("framework"));
    };
    let mut out = Vec::new();
    motan2::encode(&mut out, Header::request(id), meta, |out| {
        out.extend(values::body(args))
    });
    out
}

/// Reads so many answers, by id.
async fn read(socket: &mut (impl AsyncReadExt + Unpin), count: u64, answers: &mut HashMap<u64, Json>) {
    let mut bytes = BytesMut::new();
    while (answers.len() as u64) < count {
        assert!(
            socket.read_buf(&mut bytes).await.unwrap() > 0,
            "the connection was closed"
        );
        while let Some((frame, length)) = motan2::decode(&bytes, DEFAULT_LIMIT).unwrap() {
            let twice = answers.insert(frame.header.id, told(&frame));
            assert!(twice.is_none(), "{} is answered twice", frame.header.id);
            let _ = bytes.split_to(length);
        }
    }
}

fn told(frame: &Frame<'_>) -> Json {
    if frame.header.status == EXCEPTION {
        let exception = error::read(frame.meta.find(keys::EXCEPTION).unwrap()).unwrap();
        let kind = match exception.kind {
            ErrorType::Framework => 0,
            ErrorType::Service => 1,
            ErrorType::Biz => 2,
            ErrorType::Other(number) => number,
        };
        return json!({"ok": false, "result": null, "code": exception.code, "type": kind, "message": exception.words});
    }
    assert_eq!(frame.header.serialization(), SIMPLE, "we asked in simple");
    json!({"ok": true, "result": values::result(frame.body)})
}
