//! The far side of a client: a real socket, and frames by hand.

use std::path::Path;
use std::time::Duration;

use client::{Address, ErrorType};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::time::timeout;
use wire::keys;
use wire::meta::Writer;
use wire::motan2::{self, DEFAULT_LIMIT, Header, bits};
use wire::value::{self, Value, Values};

/// How long anything that should happen may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Takes connections.
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    pub(crate) async fn tcp() -> Self {
        Self::Tcp(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn unix(path: &Path) -> Self {
        Self::Unix(UnixListener::bind(path).unwrap())
    }

    pub(crate) fn address(&self) -> Address {
        match self {
            Self::Tcp(listener) => listener.local_addr().unwrap().to_string().parse().unwrap(),
            Self::Unix(_) => panic!("a unix socket is known by its path"),
        }
    }

    pub(crate) async fn accept(&mut self) -> Peer {
        let accepted = async {
            match self {
                Self::Tcp(listener) => Box::new(listener.accept().await.unwrap().0) as Box<dyn Io>,
                Self::Unix(listener) => Box::new(listener.accept().await.unwrap().0),
            }
        };
        Peer {
            io: timeout(PATIENCE, accepted).await.expect("a connection in time"),
            read: Vec::new(),
        }
    }
}

/// A socket of either kind.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// One connection.
pub(crate) struct Peer {
    io: Box<dyn Io>,
    read: Vec<u8>,
}

/// A request.
pub(crate) struct Asked {
    pub(crate) header: Header,
    pub(crate) meta: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    /// Its first argument.
    pub(crate) fn text(&self) -> String {
        let first = Values::new(&self.body).next().unwrap();
        String::from_utf8(first.expect("an argument").bytes().expect("a string").to_vec()).unwrap()
    }
}

impl Peer {
    /// The next request; `None` once the client has closed.
    pub(crate) async fn next(&mut self) -> Option<Asked> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        loop {
            if let Some((frame, length)) = motan2::decode(&self.read, DEFAULT_LIMIT).unwrap() {
                let asked = Asked {
                    header: frame.header,
                    meta: frame.meta.pairs().map(|(k, v)| (text(k), text(v))).collect(),
                    body: frame.body.to_vec(),
                };
                self.read.drain(..length);
                if !asked.header.is_heartbeat() {
                    return Some(asked);
                }
                continue;
            }
            let read = timeout(PATIENCE, self.io.read_buf(&mut self.read)).await;
            match read.expect("something in time") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub(crate) async fn answer(&mut self, id: u64, text: &str) {
        let mut body = Vec::new();
        value::write(&mut body, &Value::String(text.as_bytes()));
        self.serialized(id, motan2::SIMPLE, &body).await;
    }

    /// An answer without a value.
    pub(crate) async fn empty(&mut self, id: u64) {
        self.serialized(id, motan2::SIMPLE, b"").await;
    }

    pub(crate) async fn serialized(&mut self, id: u64, number: u8, body: &[u8]) {
        let header = Header {
            serialization: number << 3,
            ..response(id)
        };
        self.frame(header, body).await;
    }

    pub(crate) async fn exception(&mut self, id: u64, code: i64, kind: ErrorType, words: &str) {
        let mut out = Vec::new();
        let header = Header::exception(id);
        motan2::encode(
            &mut out,
            header,
            |meta| wire::error::write(meta, code, kind, words),
            |_| {},
        );
        self.write(&out).await;
    }

    /// Says that this side goes away, as a sidecar does to those who said hello.
    pub(crate) async fn drain(&mut self) {
        let mut out = Vec::new();
        let meta = |meta: &mut Writer<'_>| meta.pair(keys::MESH_DRAIN, b"1");
        motan2::encode(&mut out, Header::heartbeat(bits::RESPONSE, 0), meta, |_| {});
        self.write(&out).await;
    }

    /// What a client must pass over: a request, a heartbeat's answer, an answer to nothing.
    pub(crate) async fn stray(&mut self, id: u64) {
        self.frame(Header::request(id), b"").await;
        self.frame(Header::heartbeat(bits::RESPONSE, id), b"").await;
        self.frame(response(id + (7 << 32)), b"").await;
        self.frame(response(id + 7_000), b"").await;
    }

    async fn frame(&mut self, header: Header, body: &[u8]) {
        let mut out = Vec::new();
        motan2::encode(&mut out, header, |_| {}, |out| out.extend_from_slice(body));
        self.write(&out).await;
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.io.write_all(bytes))
            .await
            .expect("written in time")
            .unwrap();
    }
}

fn response(id: u64) -> Header {
    Header {
        kind: bits::RESPONSE,
        ..Header::request(id)
    }
}
