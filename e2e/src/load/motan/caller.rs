//! One connection of the load that speaks Motan 2: which requests wait to be written, which for their answers.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, IoSlice, Read, Write},
    net::SocketAddr,
};

use anyhow::{Context, ensure};
use mio::net::TcpStream;
use wire::motan2;

use super::frames::{Head, Part, Request, Scanner};
use crate::call::{Caller, Outcome, PATIENCE, READ};

/// Requests are put together until there are so many bytes to write.
const WRITE: usize = 64 << 10;
/// From this size on a request is written from where it lies.
const LARGE: usize = 16 << 10;

/// A connection; it lives as long as the load.
pub(crate) struct Connection {
    socket: TcpStream,
    scanner: Scanner,
    /// Ids of requests not yet written whole.
    unsent: VecDeque<u64>,
    /// Bytes of the first of them that are written.
    written: usize,
    slots: Vec<Slot>,
    free: Vec<u32>,
}

/// A request under way: an answer counts where slot and generation are the request's.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    generation: u32,
    begin: u64,
    busy: bool,
}

impl Caller for Connection {
    type Request = Request;

    fn open(to: SocketAddr, request: &mut Request) -> anyhow::Result<Self> {
        let mut socket = std::net::TcpStream::connect(to).with_context(|| format!("connecting to {to}"))?;
        socket.set_nodelay(true)?;
        check(&mut socket, request).with_context(|| format!("the first call to {to}"))?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: TcpStream::from_std(socket),
            scanner: Scanner::new(),
            unsent: VecDeque::new(),
            written: 0,
            slots: Vec::new(),
            free: Vec::new(),
        })
    }

    fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    fn under_way(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn push(&mut self, begin: u64) {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let slot = &mut self.slots[index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        slot.begin = begin;
        slot.busy = true;
        self.unsent
            .push_back(u64::from(slot.generation) << 32 | u64::from(index));
    }

    fn flush(&mut self, request: &mut Request, scratch: &mut Vec<u8>) -> io::Result<()> {
        while let Some(first) = self.unsent.front() {
            let wrote = if request.len() < LARGE {
                scratch.clear();
                for id in &self.unsent {
                    request.append(scratch, *id);
                    if scratch.len() > WRITE {
                        break;
                    }
                }
                self.socket.write(&scratch[self.written..])
            } else {
                scratch.clear();
                scratch.extend_from_slice(request.head(*first));
                let head = &scratch[self.written.min(scratch.len())..];
                let body = &request.body()[self.written.saturating_sub(scratch.len())..];
                self.socket
                    .write_vectored(&[IoSlice::new(head), IoSlice::new(body)])
            };
            match wrote {
                Ok(wrote) => self.wrote(wrote, request.len()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read(
        &mut self,
        request: &Request,
        scratch: &mut [u8],
        mut ended: impl FnMut(&mut Self, Outcome),
    ) -> anyhow::Result<()> {
        loop {
            let read = match self.socket.read(scratch) {
                Ok(0) => anyhow::bail!("the connection was closed"),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let mut at = 0;
            while let Some(part) = self.scanner.next(&scratch[..read], &mut at)? {
                if let Part::End(head) = part {
                    let outcome = self.take(head, request.body().len())?;
                    ended(self, outcome);
                }
            }
            // A short read means that the socket is empty: the next bytes are a new event.
            if read < scratch.len() {
                return Ok(());
            }
        }
    }
}

impl Connection {
    fn wrote(&mut self, bytes: usize, frame: usize) {
        self.written += bytes;
        while self.written >= frame && self.unsent.pop_front().is_some() {
            self.written -= frame;
        }
    }

    /// The call that an answer belongs to. An answer to nothing is a fault of whoever gave it, and ends the load.
    fn take(&mut self, answer: Head, body: usize) -> anyhow::Result<Outcome> {
        let Head {
            header,
            body: answered,
        } = answer;
        #[expect(clippy::cast_possible_truncation, reason = "the two halves of the id")]
        let (generation, index) = ((header.id >> 32) as u32, header.id as u32);
        let slot = self
            .slots
            .get_mut(index as usize)
            .filter(|slot| slot.busy && slot.generation == generation)
            .with_context(|| format!("an answer to nothing, id {:#x}", header.id))?;
        slot.busy = false;
        self.free.push(index);
        Ok(match (header.status, answered as usize == body) {
            (0, true) => Outcome::Good(slot.begin),
            (0, false) => Outcome::Bad("another body"),
            _ => Outcome::Bad("exception"),
        })
    }
}

fn check(socket: &mut std::net::TcpStream, request: &mut Request) -> anyhow::Result<()> {
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let mut frame = Vec::with_capacity(request.len());
    request.append(&mut frame, u64::MAX);
    socket.write_all(&frame)?;
    let (mut answer, mut piece) = (Vec::new(), vec![0; READ]);
    loop {
        if let Some((frame, _)) = motan2::decode(&answer, motan2::DEFAULT_LIMIT)? {
            let said = frame.meta.find(wire::keys::EXCEPTION).unwrap_or_default();
            ensure!(frame.header.status == 0, "{}", String::from_utf8_lossy(said));
            ensure!(frame.header.id == u64::MAX, "an answer with another id");
            ensure!(frame.body == request.body(), "the answer is not what was sent");
            return Ok(());
        }
        let read = socket.read(&mut piece).context("no answer")?;
        ensure!(read > 0, "the connection was closed");
        answer.extend_from_slice(&piece[..read]);
    }
}
