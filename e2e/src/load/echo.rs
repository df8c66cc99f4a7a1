//! The program behind what is measured: gives each body back, with one read and one write for whatever has arrived.
//!
//! An answer is built in the place of its request, so the first body of a read is not moved, and nothing is allocated
//! for a call.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::SocketAddr,
};

use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};

use crate::frames::{ANSWER_HEAD, Part, Scanner, answer_head};

/// Bytes read at once: a large body passes in pieces of it.
const READ: usize = 256 << 10;
/// Events taken at once.
const EVENTS: usize = 1_024;
const LISTENER: Token = Token(usize::MAX);

/// Answers until the process is ended.
pub(crate) fn serve(listen: SocketAddr) -> anyhow::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(listen)?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(EVENTS);
    let mut callers = Callers::default();
    let mut scratch = vec![0; ANSWER_HEAD + READ];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            match event.token() {
                LISTENER => callers.accept(&poll, &listener)?,
                Token(index) => callers.serve(index, &mut scratch),
            }
        }
    }
}

/// Connections by token; freed places are used again.
#[derive(Default)]
struct Callers {
    places: Vec<Option<Caller>>,
    free: Vec<usize>,
}

impl Callers {
    fn accept(&mut self, poll: &Poll, listener: &TcpListener) -> io::Result<()> {
        loop {
            let mut socket = match listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // The caller was gone before it was taken.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            socket.set_nodelay(true)?;
            let index = self.free.pop().unwrap_or(self.places.len());
            if index == self.places.len() {
                self.places.push(None);
            }
            poll.registry()
                .register(&mut socket, Token(index), Interest::READABLE | Interest::WRITABLE)?;
            self.places[index] = Some(Caller {
                socket,
                scanner: Scanner::new(),
                unsent: Vec::new(),
            });
        }
    }

    fn serve(&mut self, index: usize, scratch: &mut [u8]) {
        let Some(caller) = self.places.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        // Whatever ended it, the caller sees its connection closed, and there is nobody else to tell.
        if !matches!(caller.serve(scratch), Ok(State::Open)) {
            self.places[index] = None;
            self.free.push(index);
        }
    }
}

enum State {
    Open,
    Closed,
}

struct Caller {
    socket: TcpStream,
    scanner: Scanner,
    /// What the socket did not take; nothing is read before it has.
    unsent: Vec<u8>,
}

impl Caller {
    /// Reads and answers until there is nothing to read, or answers are not taken.
    fn serve(&mut self, scratch: &mut [u8]) -> anyhow::Result<State> {
        loop {
            while !self.unsent.is_empty() {
                match self.socket.write(&self.unsent) {
                    Ok(written) => drop(self.unsent.drain(..written)),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(State::Open),
                    Err(error) => return Err(error.into()),
                }
            }
            let read = match self.socket.read(&mut scratch[ANSWER_HEAD..]) {
                Ok(0) => return Ok(State::Closed),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(State::Open),
                Err(error) => return Err(error.into()),
            };
            let answers = self.answer(scratch, ANSWER_HEAD + read)?;
            let written = match self.socket.write(answers) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                written => written?,
            };
            self.unsent.extend_from_slice(&answers[written..]);
            // A short read means that the socket is empty: the next bytes are a new event.
            if read < READ && self.unsent.is_empty() {
                return Ok(State::Open);
            }
        }
    }

    /// Turns the requests in `scratch[ANSWER_HEAD..end]` into answers, moved together from the first of them on. A head
    /// fits before its body: the request's own, at least as long, was there, or the room kept free before a read.
    fn answer<'s>(&mut self, scratch: &'s mut [u8], end: usize) -> anyhow::Result<&'s [u8]> {
        let (mut at, mut answers) = (ANSWER_HEAD, None);
        while let Some(part) = self.scanner.next(&scratch[..end], &mut at)? {
            match part {
                Part::Head(asked) => {
                    let (_, to) = answers.get_or_insert((at - ANSWER_HEAD, at - ANSWER_HEAD));
                    scratch[*to..*to + ANSWER_HEAD].copy_from_slice(&answer_head(asked));
                    *to += ANSWER_HEAD;
                }
                Part::Body(passed) => {
                    let (_, to) = answers.get_or_insert((at - passed, at - passed));
                    if *to != at - passed {
                        scratch.copy_within(at - passed..at, *to);
                    }
                    *to += passed;
                }
                Part::End(_) => {}
            }
        }
        let (from, to) = answers.unwrap_or((0, 0));
        Ok(&scratch[from..to])
    }
}
