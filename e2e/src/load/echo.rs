//! The program behind what is measured: gives each body back, with one read and one write for whatever has arrived.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::SocketAddr,
};

use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};

use crate::call::READ;

/// Events taken at once.
const EVENTS: usize = 1_024;
const LISTENER: Token = Token(usize::MAX);

/// What a program says to one caller.
pub(crate) trait Program: Default {
    /// Bytes that it wants free before what is read, for heads that are longer than those of requests.
    const ROOM: usize;

    /// Whether it may have something to say without being asked.
    const SPEAKS: bool = false;

    /// Reads the requests in `scratch[ROOM..end]`, as far as they have come, and gives the answers to write: in
    /// `scratch` or in `out`, which was empty.
    fn answer<'s>(
        &mut self,
        scratch: &'s mut [u8],
        end: usize,
        out: &'s mut Vec<u8>,
    ) -> anyhow::Result<&'s [u8]>;

    /// Appends what it has to say without being asked; called again once that is written.
    fn more(&mut self, _out: &mut Vec<u8>) {}
}

/// Answers until the process is ended.
pub(crate) fn serve<P: Program>(listen: SocketAddr) -> anyhow::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(listen)?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(EVENTS);
    let mut callers = Callers::<P>::new();
    let mut out = Vec::new();
    let mut scratch = vec![0; P::ROOM + READ];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            match event.token() {
                LISTENER => callers.accept(&poll, &listener)?,
                Token(index) => callers.serve(index, &mut scratch, &mut out),
            }
        }
    }
}

/// Connections by token; freed places are used again.
struct Callers<P> {
    places: Vec<Option<Caller<P>>>,
    free: Vec<usize>,
}

impl<P: Program> Callers<P> {
    const fn new() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }

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
                program: P::default(),
                unsent: Vec::new(),
                gone: 0,
            });
        }
    }

    fn serve(&mut self, index: usize, scratch: &mut [u8], out: &mut Vec<u8>) {
        let Some(caller) = self.places.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        // Whatever ended it, the caller sees its connection closed, and there is nobody else to tell.
        if !matches!(caller.serve(scratch, out), Ok(State::Open)) {
            self.places[index] = None;
            self.free.push(index);
        }
    }
}

enum State {
    Open,
    Closed,
}

struct Caller<P> {
    socket: TcpStream,
    program: P,
    /// What the socket did not take, from `gone` on; nothing is read before it has.
    unsent: Vec<u8>,
    gone: usize,
}

impl<P: Program> Caller<P> {
    /// Reads and answers until there is nothing to read and nothing to say, or answers are not taken.
    fn serve(&mut self, scratch: &mut [u8], out: &mut Vec<u8>) -> anyhow::Result<State> {
        loop {
            while self.gone < self.unsent.len() {
                match self.socket.write(&self.unsent[self.gone..]) {
                    Ok(written) => self.gone += written,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(State::Open),
                    Err(error) => return Err(error.into()),
                }
            }
            self.unsent.clear();
            self.gone = 0;
            out.clear();
            let (read, answers) = match self.socket.read(&mut scratch[P::ROOM..]) {
                Ok(0) => return Ok(State::Closed),
                Ok(read) => (read, self.program.answer(scratch, P::ROOM + read, out)?),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.program.more(out);
                    (0, &out[..])
                }
                Err(error) => return Err(error.into()),
            };
            if !answers.is_empty() {
                let written = match self.socket.write(answers) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                    written => written?,
                };
                self.unsent.extend_from_slice(&answers[written..]);
            }
            // A short read means that the socket is empty: the next bytes are a new event. Who has something to say
            // without being asked gets no event before the socket was full.
            if read < READ && self.unsent.is_empty() && (answers.is_empty() || !P::SPEAKS) {
                return Ok(State::Open);
            }
        }
    }
}
