//! An ordinary Motan 2 client: one pipelined connection, made anew when it breaks.

use std::{
    collections::HashMap,
    net::{AddrParseError, SocketAddr},
    path::PathBuf,
    str::FromStr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf},
    net::{TcpStream, UnixStream},
    sync::{Mutex as AsyncMutex, mpsc, oneshot},
    task::JoinHandle,
};
use wire::{keys, meta, motan2, value};

/// Requests waiting to be written.
const QUEUE: usize = 1_024;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) value: String,
    pub(crate) served_by: String,
}

/// Where an agent takes calls.
#[derive(Debug, Clone)]
pub(crate) enum Via {
    /// A port.
    Tcp(SocketAddr),
    /// A socket of the file system.
    Unix(PathBuf),
}

impl FromStr for Via {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, AddrParseError> {
        if text.starts_with('/') {
            return Ok(Self::Unix(text.into()));
        }
        text.parse().map(Self::Tcp)
    }
}

/// What a connection is made of.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Via {
    async fn connect(&self) -> std::io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Tcp(address) => {
                let socket = TcpStream::connect(address).await?;
                socket.set_nodelay(true)?;
                Box::new(socket)
            }
            Self::Unix(path) => Box::new(UnixStream::connect(path).await?),
        })
    }
}

type Waiting = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<anyhow::Result<Answer>>>>>>;

/// A client of one method of one service.
pub(crate) struct Motan {
    via: Via,
    path: String,
    method: String,
    group: Option<String>,
    next: AtomicU64,
    link: AsyncMutex<Option<Link>>,
}

struct Link {
    requests: mpsc::Sender<Vec<u8>>,
    waiting: Waiting,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Link {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Motan {
    pub(crate) fn new(via: Via, path: String, method: String, group: Option<String>) -> Self {
        Self {
            via,
            path,
            method,
            group,
            next: AtomicU64::new(1),
            link: AsyncMutex::new(None),
        }
    }

    /// Calls with one string and waits for the answer, at most `timeout`. The error of a connection that could not be
    /// made is an [`std::io::Error`]; nothing was sent then.
    pub(crate) async fn call(&self, argument: &str, timeout: Duration) -> anyhow::Result<Answer> {
        let exchange = async {
            let id = self.next.fetch_add(1, Ordering::Relaxed);
            let answer = {
                let mut link = self.link.lock().await;
                if link.as_ref().is_none_or(Link::is_broken) {
                    *link = Some(Link::open(&self.via).await?);
                }
                let link = link.as_ref().context("a link was just made")?;
                let (tell, answer) = oneshot::channel();
                match lock(&link.waiting).as_mut() {
                    Some(waiting) => drop(waiting.insert(id, tell)),
                    None => return Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into()),
                }
                link.requests
                    .send(self.request(id, argument))
                    .await
                    .context("connection closed")?;
                answer
            };
            answer.await.context("connection closed before the answer came")?
        };
        tokio::time::timeout(timeout, exchange)
            .await
            .context("no answer in time")?
    }

    fn request(&self, id: u64, argument: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let write_meta = |meta: &mut meta::Writer<'_>| {
            meta.pair(keys::PATH, self.path.as_bytes());
            meta.pair(keys::METHOD, self.method.as_bytes());
            meta.pair(keys::GROUP, self.group.as_deref().unwrap_or_default().as_bytes());
        };
        let write_body = |out: &mut Vec<u8>| value::write(out, &value::Value::String(argument.as_bytes()));
        motan2::encode(&mut out, motan2::Header::request(id), write_meta, write_body);
        out
    }
}

impl Link {
    async fn open(via: &Via) -> std::io::Result<Self> {
        let (reader, mut writer) = tokio::io::split(via.connect().await?);
        let (requests, mut queue) = mpsc::channel::<Vec<u8>>(QUEUE);
        let waiting: Waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        let writing = tokio::spawn(async move {
            while let Some(mut out) = queue.recv().await {
                while let Ok(more) = queue.try_recv() {
                    out.extend_from_slice(&more);
                }
                if writer.write_all(&out).await.is_err() {
                    return;
                }
            }
        });
        let held = Arc::clone(&waiting);
        let reading = tokio::spawn(async move {
            let error = read(reader, &held)
                .await
                .err()
                .unwrap_or_else(|| anyhow::anyhow!("connection closed"));
            // Who still waits is told; who comes later makes a new connection.
            for (_, waiter) in lock(&held).take().into_iter().flatten() {
                let _ = waiter.send(Err(anyhow::anyhow!("{error:#} before the answer came")));
            }
        });
        Ok(Self {
            requests,
            waiting,
            tasks: [writing, reading],
        })
    }

    fn is_broken(&self) -> bool {
        lock(&self.waiting).is_none() || self.requests.is_closed()
    }
}

async fn read(mut reader: ReadHalf<Box<dyn Stream>>, waiting: &Waiting) -> anyhow::Result<()> {
    let mut bytes = BytesMut::new();
    loop {
        while let Some((frame, length)) = motan2::decode(&bytes, motan2::DEFAULT_LIMIT)? {
            let waiter = lock(waiting)
                .as_mut()
                .and_then(|waiting| waiting.remove(&frame.header.id));
            if let Some(waiter) = waiter.filter(|_| !frame.header.is_heartbeat()) {
                let _ = waiter.send(answer(&frame));
            }
            let _ = bytes.split_to(length);
        }
        if reader.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    }
}

fn answer(frame: &motan2::Frame<'_>) -> anyhow::Result<Answer> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if let Some(exception) = frame.meta.find(keys::EXCEPTION) {
        anyhow::bail!("exception: {}", text(exception));
    }
    let value = value::Values::new(frame.body).next()?;
    let value = value
        .as_ref()
        .and_then(value::Value::bytes)
        .map(text)
        .unwrap_or_default();
    Ok(Answer {
        value,
        served_by: frame
            .meta
            .find(b"servedBy")
            .map_or_else(|| "unknown".to_owned(), text),
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
