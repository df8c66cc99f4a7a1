//! The task that keeps the connection: makes it when a call needs it, writes what is queued, hands out answers.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{sleep, timeout};
use wire::keys;
use wire::meta::Writer;
use wire::motan2::{self, Broken, Frame as Read, Header};

use crate::error::{CallError, LinkError, Undecodable};
use crate::pending::Frame;
use crate::request::Answer;
use crate::{Address, Shared};

/// Pause after the first failed attempt; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest: a sidecar that restarts is missed by so much at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Bytes taken from the queue at once, unless one frame has more.
const BATCH: usize = 64 << 10;
/// Frames written with one call of the kernel.
const SLICES: usize = 64;
/// The id of the hello; those of calls are larger.
const HELLO: u64 = 1;
/// What is said in it, so that a sidecar that goes away says so and does not just end the connection: a call that was
/// on its way would be lost.
const NAME: &str = concat!("motanmesh-client/", env!("CARGO_PKG_VERSION"));
/// Room for what is read next, at least.
const READ: usize = 16 << 10;

/// Keeps the connection until the client is dropped.
pub(crate) async fn keep(shared: Arc<Shared>) {
    let mut pause = FIRST_PAUSE;
    loop {
        queued(&shared).await;
        let (unwritten, heard, why) = match connect(&shared).await {
            Ok(Socket::Tcp(mut socket)) => {
                let (reader, writer) = socket.split();
                converse(&shared, reader, writer).await
            }
            Ok(Socket::Unix(mut socket)) => {
                let (reader, writer) = socket.split();
                converse(&shared, reader, writer).await
            }
            Err(why) => (VecDeque::new(), Heard::Nothing, why),
        };
        shared.pending().down(unwritten, why);
        match heard {
            Heard::Something => pause = FIRST_PAUSE,
            Heard::Nothing => {
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

async fn queued(shared: &Shared) {
    while !shared.pending().is_queued() {
        shared.queued.notified().await;
    }
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

async fn connect(shared: &Shared) -> Result<Socket, LinkError> {
    let limit = shared.settings.connect_timeout;
    let attempt = async {
        match &shared.address {
            Address::Tcp(address) => {
                let socket = TcpStream::connect(address.as_str()).await?;
                socket.set_nodelay(true)?;
                io::Result::Ok(Socket::Tcp(socket))
            }
            Address::Unix(path) => Ok(Socket::Unix(UnixStream::connect(path).await?)),
        }
    };
    timeout(limit, attempt)
        .await
        .map_err(|_| LinkError::ConnectTimeout(limit))?
        .map_err(LinkError::Connect)
}

/// Whether the far side ever answered on a connection: where it did not, the next is not made at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Nothing,
    Something,
}

/// Writes and reads until the connection breaks; gives back what was taken from the queue and not written.
async fn converse(
    shared: &Shared,
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin,
) -> (VecDeque<Frame>, Heard, LinkError) {
    shared.pending().up();
    let leaving = AtomicBool::new(false);
    let mut batch = Batch::with_hello();
    let mut heard = Heard::Nothing;
    // Hearing comes first: a sidecar that goes away ends the connection when nothing is under way, and a call that is not
    // written after that goes on to the next one, unharmed.
    let why = tokio::select! {
        biased;
        why = read(shared, (&leaving, &mut heard), reader) => why,
        why = write(shared, &leaving, &mut batch, writer) => why,
    };
    (batch.unwritten(), heard, why)
}

/// Frames that are being written.
#[derive(Default)]
struct Batch {
    frames: VecDeque<Frame>,
    /// Bytes of the first that are written.
    done: usize,
}

impl Batch {
    fn with_hello() -> Self {
        let mut bytes = Vec::new();
        let meta = |meta: &mut Writer<'_>| meta.pair(keys::MESH_HEARS, NAME.as_bytes());
        motan2::encode(&mut bytes, Header::heartbeat(0, HELLO), meta, |_| {});
        let hello = Frame {
            id: HELLO,
            bytes: bytes.into(),
        };
        Self {
            frames: VecDeque::from([hello]),
            done: 0,
        }
    }

    fn unwritten(mut self) -> VecDeque<Frame> {
        if self.done > 0 {
            self.frames.pop_front();
        }
        self.frames
    }

    fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut slices: Vec<_> = self
            .frames
            .iter()
            .take(SLICES)
            .map(|frame| IoSlice::new(&frame.bytes))
            .collect();
        if let Some(first) = slices.first_mut() {
            first.advance(self.done);
        }
        slices
    }
}

async fn write(
    shared: &Shared,
    leaving: &AtomicBool,
    batch: &mut Batch,
    mut writer: impl AsyncWrite + Unpin,
) -> LinkError {
    loop {
        if batch.frames.is_empty() {
            queued(shared).await;
            if leaving.load(Ordering::Relaxed) {
                // What is queued goes over the next connection.
                std::future::pending::<()>().await;
            }
            shared.pending().next_into(&mut batch.frames, BATCH);
            continue;
        }
        let slices = batch.slices();
        match writer.write_vectored(&slices).await {
            Ok(0) => return LinkError::Closed,
            Ok(written) => wrote(shared, batch, written),
            Err(error) => return LinkError::Write(error),
        }
    }
}

fn wrote(shared: &Shared, batch: &mut Batch, written: usize) {
    let mut pending = shared.pending();
    batch.done += written;
    while let Some(first) = batch.frames.front()
        && batch.done > 0
    {
        if batch.done < first.bytes.len() {
            break;
        }
        pending.written(first.id);
        batch.done -= first.bytes.len();
        batch.frames.pop_front();
    }
    pending.prune(&mut batch.frames, usize::from(batch.done > 0));
}

async fn read(
    shared: &Shared,
    (leaving, heard): (&AtomicBool, &mut Heard),
    mut reader: impl AsyncRead + Unpin,
) -> LinkError {
    let limit = shared.settings.max_message;
    let mut bytes = BytesMut::new();
    let mut skip: u64 = 0;
    loop {
        bytes.reserve(READ);
        match reader.read_buf(&mut bytes).await {
            Ok(0) => return LinkError::Closed,
            Ok(_) => {}
            Err(error) => return LinkError::Read(error),
        }
        loop {
            let passed = usize::try_from(skip).unwrap_or(usize::MAX).min(bytes.len());
            bytes.advance(passed);
            skip -= passed as u64;
            match motan2::decode(&bytes, limit) {
                Ok(None) => break,
                Ok(Some((frame, length))) => {
                    let (id, outcome) = (frame.header.id, outcome(&frame));
                    let is_answer = frame.header.is_response() && !frame.header.is_heartbeat();
                    if frame.header.is_heartbeat() && frame.meta.find(keys::MESH_DRAIN).is_some() {
                        leaving.store(true, Ordering::Relaxed);
                    }
                    let meta_end = length - 4 - frame.body.len();
                    let meta_at = meta_end - frame.meta.as_bytes().len();
                    let raw = bytes.split_to(length).freeze();
                    *heard = Heard::Something;
                    if is_answer {
                        let answer = outcome.map(|()| Answer {
                            meta: raw.slice(meta_at..meta_end),
                            body: raw.slice(meta_end + 4..),
                        });
                        shared.pending().answered(id, answer);
                    }
                }
                Err(Broken::BodyTooLong(length)) => {
                    let Some((id, body_at)) = head(&bytes) else {
                        return LinkError::Broken(Broken::BodyTooLong(length));
                    };
                    let error = CallError::Undecodable(Undecodable::TooLong(length));
                    shared.pending().answered(id, Err(error));
                    skip = body_at as u64 + u64::from(length);
                }
                Err(broken) => return LinkError::Broken(broken),
            }
        }
        if leaving.load(Ordering::Relaxed) && !shared.pending().is_under_way() {
            return LinkError::Closed;
        }
    }
}

/// The id of the message that bytes begin with, and where its body begins (motan-wire 2).
fn head(bytes: &[u8]) -> Option<(u64, usize)> {
    let id = motan2::header(bytes)?.id;
    let meta = u32::from_be_bytes(bytes.get(13..17)?.try_into().ok()?);
    Some((id, motan2::MIN_FRAME + usize::try_from(meta).ok()?))
}

/// Whether an answer is a good one.
fn outcome(frame: &Read<'_>) -> Result<(), CallError> {
    let Read { header, meta, body } = frame;
    let undecodable = |why| Err(CallError::Undecodable(why));
    if header.status != 0 {
        return match meta.find(keys::EXCEPTION).map(wire::error::read) {
            Some(Ok(exception)) => Err(CallError::Exception(exception)),
            Some(Err(error)) => undecodable(Undecodable::Exception(Arc::new(error))),
            None => undecodable(Undecodable::Status(header.status)),
        };
    }
    if body.is_empty() {
        return Ok(());
    }
    if header.kind & motan2::bits::GZIP != 0 {
        return undecodable(Undecodable::Compressed);
    }
    match header.serialization() {
        motan2::SIMPLE => Ok(()),
        other => undecodable(Undecodable::Serialization(other)),
    }
}
