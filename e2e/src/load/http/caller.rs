//! One connection of the load that speaks HTTP/1.1: a request at a time, others wait for their turn.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Read, Write},
    net::SocketAddr,
};

use anyhow::{Context, ensure};
use mio::net::TcpStream;

use super::messages::{Head, Kind, Part, Request, Scanner};
use crate::call::{self, Outcome, PATIENCE, READ};

/// A connection; it lives as long as the load.
pub(crate) struct Caller {
    socket: TcpStream,
    scanner: Scanner,
    /// When the calls were to begin that have no answer; the first of them is under way.
    begun: VecDeque<u64>,
    /// Bytes of the first that are written.
    written: usize,
}

impl call::Caller for Caller {
    type Request = Request;

    fn open(to: SocketAddr, request: &mut Request) -> anyhow::Result<Self> {
        let mut socket = std::net::TcpStream::connect(to).with_context(|| format!("connecting to {to}"))?;
        socket.set_nodelay(true)?;
        check(&mut socket, request).with_context(|| format!("the first call to {to}"))?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: TcpStream::from_std(socket),
            scanner: Scanner::new(Kind::Response),
            begun: VecDeque::new(),
            written: 0,
        })
    }

    fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    fn under_way(&self) -> usize {
        self.begun.len()
    }

    fn push(&mut self, begin: u64) {
        self.begun.push_back(begin);
    }

    fn flush(&mut self, request: &mut Request, _: &mut Vec<u8>) -> io::Result<()> {
        if self.begun.is_empty() {
            return Ok(());
        }
        while let rest = &request.bytes()[self.written..]
            && !rest.is_empty()
        {
            match self.socket.write(rest) {
                Ok(wrote) => self.written += wrote,
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
                    let outcome = self.take(head, request)?;
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

impl Caller {
    /// The call that an answer belongs to. An answer to nothing is a fault of whoever gave it, and ends the load.
    fn take(&mut self, head: Head, request: &Request) -> anyhow::Result<Outcome> {
        ensure!(
            self.written == request.bytes().len(),
            "an answer before the whole request"
        );
        let begin = self.begun.pop_front().context("an answer to nothing")?;
        self.written = 0;
        let Head { status, body } = head;
        Ok(match (status, body == request.body().len()) {
            (200, true) => Outcome::Good(begin),
            (200, false) => Outcome::Bad("another body"),
            _ => Outcome::Bad("another status than 200"),
        })
    }
}

fn check(socket: &mut std::net::TcpStream, request: &Request) -> anyhow::Result<()> {
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.write_all(request.bytes())?;
    let mut scanner = Scanner::new(Kind::Response);
    let (mut answer, mut piece) = (Vec::new(), vec![0; READ]);
    loop {
        let read = socket.read(&mut piece).context("no answer")?;
        ensure!(read > 0, "the connection was closed");
        let mut at = 0;
        while let Some(part) = scanner.next(&piece[..read], &mut at)? {
            match part {
                Part::Head(Head { status, .. }) => ensure!(
                    status == 200,
                    "{}",
                    String::from_utf8_lossy(&piece[..read]).trim()
                ),
                Part::Body(passed) => answer.extend_from_slice(&piece[at - passed..at]),
                Part::End(_) => {
                    ensure!(answer == request.body(), "the answer is not what was sent");
                    return Ok(());
                }
            }
        }
    }
}
