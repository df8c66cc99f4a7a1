//! A program that writes down every byte that it receives, and answers each request with `ok`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What it received: one text a request.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<Vec<Received>>>);

/// One request, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Received {
    /// The first line.
    pub(crate) fn line(&self) -> &str {
        self.head.split("\r\n").next().unwrap_or_default()
    }

    /// Names of its headers, in lower case.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let lines = self.head.split("\r\n").skip(1).filter(|line| !line.is_empty());
        lines
            .map(|line| line.split(':').next().unwrap_or_default().to_ascii_lowercase())
            .collect()
    }

    /// All values of a header.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let lines = self.head.split("\r\n").filter_map(|line| line.split_once(':'));
        lines
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }
}

impl Recorder {
    /// Serves there until the runtime of the test ends.
    pub(crate) fn serve(&self, at: SocketAddr) {
        let listener = std::net::TcpListener::bind(at).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (listener, recorder) = (TcpListener::from_std(listener).unwrap(), self.clone());
        tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(recorder.clone().connection(socket));
            }
        });
    }

    /// What has come since this was last asked.
    pub(crate) fn take(&self) -> Vec<Received> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    async fn connection(self, mut socket: TcpStream) {
        let mut read = Vec::new();
        while let Ok(received) = next(&mut socket, &mut read).await {
            self.0.lock().unwrap().push(received);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            if socket.write_all(answer).await.is_err() {
                return;
            }
        }
        // A body that was cut off with its connection is no request. Bytes that are no head either must never come, so
        // they count as one.
        let has_head = read.windows(4).any(|window| window == b"\r\n\r\n");
        if !read.is_empty() && !has_head {
            let head = String::from_utf8_lossy(&read).into_owned();
            let body = Vec::new();
            self.0.lock().unwrap().push(Received { head, body });
        }
    }
}

/// The connection ended before a request was whole, or what came is none.
struct Cut;

/// The next whole request of a connection, framed by `content-length` or by chunks alone.
async fn next(socket: &mut TcpStream, read: &mut Vec<u8>) -> Result<Received, Cut> {
    let end = until(socket, read, b"\r\n\r\n", 0).await?;
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    let mut received = Received {
        head,
        body: Vec::new(),
    };
    let mut at = end;
    if received.values("transfer-encoding").is_empty() {
        let length = received.values("content-length").first().copied().unwrap_or("0");
        let length: usize = length.parse().map_err(|_| Cut)?;
        fill(socket, read, end + length).await?;
        received.body.extend_from_slice(&read[end..end + length]);
        at = end + length;
    } else {
        loop {
            let line = until(socket, read, b"\r\n", at).await?;
            let size = std::str::from_utf8(&read[at..line - 2]).map_err(|_| Cut)?;
            let size = usize::from_str_radix(size, 16).map_err(|_| Cut)?;
            if size == 0 {
                at = line;
                break;
            }
            fill(socket, read, line + size + 2).await?;
            received.body.extend_from_slice(&read[line..line + size]);
            at = line + size + 2;
        }
        // Trailers, and the empty line.
        loop {
            let line = until(socket, read, b"\r\n", at).await?;
            let trailer = String::from_utf8_lossy(&read[at..line]).into_owned();
            at = line;
            if trailer == "\r\n" {
                break;
            }
            received.head.push_str(&trailer); // it is looked at like a header
        }
    }
    read.drain(..at);
    Ok(received)
}

/// Reads until these bytes have come after `from`; where they end.
async fn until(socket: &mut TcpStream, read: &mut Vec<u8>, bytes: &[u8], from: usize) -> Result<usize, Cut> {
    loop {
        let found = read[from..]
            .windows(bytes.len())
            .position(|window| window == bytes);
        if let Some(found) = found {
            return Ok(from + found + bytes.len());
        }
        more(socket, read).await?;
    }
}

async fn fill(socket: &mut TcpStream, read: &mut Vec<u8>, length: usize) -> Result<(), Cut> {
    while read.len() < length {
        more(socket, read).await?;
    }
    Ok(())
}

async fn more(socket: &mut TcpStream, read: &mut Vec<u8>) -> Result<(), Cut> {
    match socket.read_buf(read).await {
        Ok(0) | Err(_) => Err(Cut),
        Ok(_) => Ok(()),
    }
}
