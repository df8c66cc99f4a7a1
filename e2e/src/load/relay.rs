//! The least that can stand in between: reads up to 64 KiB and writes it on, nothing parsed. What a pair of these does
//! is the ceiling of a pair that looks at what it carries, as long as both copy.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::SocketAddr,
};

use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};

/// Bytes read at once: as the sidecar does.
const READ: usize = 64 << 10;
/// Events taken at once.
const EVENTS: usize = 1_024;
const LISTENER: Token = Token(usize::MAX);

/// Relays every connection to `to` until the process is ended.
pub(crate) fn serve(listen: SocketAddr, to: SocketAddr) -> anyhow::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(listen)?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(EVENTS);
    // Two sides each: the one at 2n leads to the one at 2n + 1. A bench opens few, so places are not used again.
    let mut sides: Vec<Option<Side>> = Vec::new();
    let mut scratch = vec![0; READ];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            match event.token() {
                LISTENER => accept(&poll, &listener, to, &mut sides)?,
                Token(index) => {
                    let pair = index & !1;
                    let is_open = [(pair, pair + 1), (pair + 1, pair)]
                        .into_iter()
                        .all(|(from, to)| pass(&mut sides, from, to, &mut scratch));
                    if !is_open {
                        sides[pair] = None;
                        sides[pair + 1] = None;
                    }
                }
            }
        }
    }
}

struct Side {
    socket: TcpStream,
    /// What the socket did not take; nothing more is brought before it has.
    unsent: Vec<u8>,
}

fn accept(
    poll: &Poll,
    listener: &TcpListener,
    to: SocketAddr,
    sides: &mut Vec<Option<Side>>,
) -> io::Result<()> {
    loop {
        let caller = match listener.accept() {
            Ok((socket, _)) => socket,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(error),
        };
        for mut socket in [caller, TcpStream::connect(to)?] {
            let token = Token(sides.len());
            poll.registry()
                .register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
            sides.push(Some(Side {
                socket,
                unsent: Vec::new(),
            }));
        }
    }
}

/// Passes on what `from` has until it has nothing, or `to` takes no more; false where one of them has ended.
fn pass(sides: &mut [Option<Side>], from: usize, to: usize, scratch: &mut [u8]) -> bool {
    let Ok([Some(from), Some(to)]) = sides.get_disjoint_mut([from, to]) else {
        return false;
    };
    loop {
        while !to.unsent.is_empty() {
            match to.socket.write(&to.unsent) {
                Ok(written) => drop(to.unsent.drain(..written)),
                Err(error) => return will_go_on(&error),
            }
        }
        let read = match from.socket.read(scratch) {
            Ok(0) => return false,
            Ok(read) => read,
            Err(error) => return will_go_on(&error),
        };
        let written = match to.socket.write(&scratch[..read]) {
            Ok(written) => written,
            Err(error) if will_go_on(&error) => 0,
            Err(_) => return false,
        };
        to.unsent.extend_from_slice(&scratch[written..read]);
        // A short read means that the socket is empty: the next bytes are a new event.
        if read < scratch.len() && to.unsent.is_empty() {
            return true;
        }
    }
}

/// Whether it is only not the time for it: a socket that is still connecting says so too.
fn will_go_on(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected)
}
