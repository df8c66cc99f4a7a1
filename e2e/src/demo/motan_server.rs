//! The Motan 2 service: `hello` greets, `echo` gives the body back, `fail` throws, `slow` waits as long as it is told.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
};
use wire::{error::ErrorType, keys, meta, motan2, value};

/// Answers waiting to be written, a connection.
const QUEUE: usize = 1_024;
/// How long answers under way are waited for after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);

pub(crate) async fn serve(
    address: SocketAddr,
    name: String,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let name: Arc<str> = name.into();
    let mut connections = JoinSet::new();
    loop {
        let socket = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            Some(_) = connections.join_next() => continue,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        socket.set_nodelay(true)?;
        // A caller that breaks off, or sends what is not Motan, is its own affair.
        connections.spawn(connection(socket, Arc::clone(&name), stop.clone()));
    }
    drop(listener);
    let _ = tokio::time::timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await;
    Ok(())
}

async fn connection(
    socket: TcpStream,
    name: Arc<str>,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let (mut reader, mut writer) = socket.into_split();
    let (answers, mut queue) = mpsc::channel::<Vec<u8>>(QUEUE);
    let writing = tokio::spawn(async move {
        while let Some(mut out) = queue.recv().await {
            while let Ok(more) = queue.try_recv() {
                out.extend_from_slice(&more);
            }
            writer.write_all(&out).await?;
        }
        writer.shutdown().await
    });
    let mut bytes = BytesMut::new();
    let read = async {
        loop {
            while let Some((frame, length)) = motan2::decode(&bytes, motan2::DEFAULT_LIMIT)? {
                answer(&frame, &name, &answers).await?;
                let _ = bytes.split_to(length);
            }
            tokio::select! {
                read = reader.read_buf(&mut bytes) => if read? == 0 { return anyhow::Ok(()) },
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
            }
        }
    };
    let ended = read.await;
    // What was asked is answered: slow answers hold a sender until they are written.
    drop(answers);
    writing.await??;
    ended
}

async fn answer(
    frame: &motan2::Frame<'_>,
    name: &str,
    answers: &mpsc::Sender<Vec<u8>>,
) -> anyhow::Result<()> {
    let id = frame.header.id;
    if frame.header.is_heartbeat() {
        let mut out = Vec::new();
        motan2::encode(
            &mut out,
            motan2::Header::heartbeat(motan2::bits::RESPONSE, id),
            |_| {},
            |_| {},
        );
        return Ok(answers.send(out).await?);
    }
    let method = frame.meta.find(keys::METHOD).unwrap_or_default();
    let text = first_text(frame.body);
    match method {
        b"slow" => {
            let wait = Duration::from_millis(text.parse().unwrap_or(0).min(60_000));
            let (out, answers) = (reply(id, name, &format!("slept {text}")), answers.clone());
            tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                let _ = answers.send(out).await;
            });
            return Ok(());
        }
        b"fail" => {
            answers
                .send(exception(id, ErrorType::Biz, &format!("{text} failed")))
                .await?
        }
        b"echo" => answers.send(echo(&frame.header, name, frame.body)).await?,
        b"hello" | b"load" => answers.send(reply(id, name, &format!("hello {text}"))).await?,
        other => {
            let words = format!("method {:?} not found", String::from_utf8_lossy(other));
            answers.send(exception(id, ErrorType::Service, &words)).await?;
        }
    }
    Ok(())
}

fn first_text(body: &[u8]) -> String {
    let first = value::Values::new(body).next().ok().flatten();
    first
        .as_ref()
        .and_then(value::Value::bytes)
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .unwrap_or_default()
}

fn response(id: u64) -> motan2::Header {
    let mut header = motan2::Header::request(id);
    header.kind |= motan2::bits::RESPONSE;
    header
}

fn reply(id: u64, name: &str, text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let served_by = |meta: &mut meta::Writer<'_>| meta.pair(b"servedBy", name.as_bytes());
    motan2::encode(&mut out, response(id), served_by, |out| {
        value::write(out, &value::Value::String(text.as_bytes()))
    });
    out
}

fn echo(header: &motan2::Header, name: &str, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut back = response(header.id);
    back.serialization = header.serialization;
    back.kind |= header.kind & motan2::bits::GZIP;
    let served_by = |meta: &mut meta::Writer<'_>| meta.pair(b"servedBy", name.as_bytes());
    motan2::encode(&mut out, back, served_by, |out| out.extend_from_slice(body));
    out
}

fn exception(id: u64, kind: ErrorType, words: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut header = response(id);
    header.status = motan2::EXCEPTION;
    motan2::encode(
        &mut out,
        header,
        |meta| wire::error::write(meta, 500, kind, words),
        |_| {},
    );
    out
}
