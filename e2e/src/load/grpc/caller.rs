//! One connection of the load that speaks gRPC: a stream for each call, or one stream for all messages.

use std::{
    collections::{HashMap, VecDeque},
    io::{self, ErrorKind, Read, Write},
    net::SocketAddr,
};

use anyhow::{Context, ensure};
use mio::net::TcpStream;

use super::{
    frames::{self, CHUNKS, flag, kind},
    link::{Event, Link, Then},
};
use crate::call::{self, Outcome, PATIENCE, READ};

/// What is under way is written once there is so much of it.
const WRITE: usize = 64 << 10;

/// What a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A stream of its own with one message, which comes back before its trailers.
    Unary,
    /// A message on the connection's stream, which comes back on it.
    Message,
    /// A message that the program says without being asked; how fast depends on how fast they are taken.
    Chunk,
}

/// What all calls are, encoded once.
pub(crate) struct Request {
    form: Form,
    block: Vec<u8>,
    message: Vec<u8>,
    /// What the program is asked with, where that is not the message.
    ask: Vec<u8>,
}

impl Request {
    pub(crate) fn new(form: Form, host: &str, payload: usize) -> Self {
        let mut ask = vec![CHUNKS];
        ask.extend_from_slice(&u32::try_from(payload).unwrap_or(u32::MAX).to_be_bytes());
        Self {
            form,
            block: frames::call_block(host),
            message: frames::message(&vec![b'x'; payload]),
            ask: frames::message(&ask),
        }
    }
}

/// A connection; it lives as long as the load.
pub(crate) struct Caller {
    socket: TcpStream,
    state: State,
    written: usize,
}

/// What has been said and what has come.
struct State {
    link: Link,
    /// The number of the next stream.
    next: u32,
    /// When calls were to begin that wait to be put out.
    waiting: VecDeque<u64>,
    /// Calls under way that have a stream of their own.
    calls: HashMap<u32, Call>,
    /// Not all of them are put out whole: they are larger than the peer takes at once.
    is_short: bool,
    /// The stream of all messages.
    stream: Option<Stream>,
}

#[derive(Debug, Clone, Copy)]
struct Call {
    begin: u64,
    got: usize,
    /// The answer's head said 200.
    is_good: bool,
    window: i64,
    /// Bytes of the message that are put out.
    put: usize,
}

struct Stream {
    id: u32,
    window: i64,
    taken: u32,
    /// When the messages were to begin that have not come back; of the first of those not put out whole, `put` bytes are.
    begun: VecDeque<u64>,
    unput: usize,
    put: usize,
    got: usize,
}

impl call::Caller for Caller {
    type Request = Request;

    fn open(to: SocketAddr, request: &mut Request) -> anyhow::Result<Self> {
        let mut socket = std::net::TcpStream::connect(to).with_context(|| format!("connecting to {to}"))?;
        socket.set_nodelay(true)?;
        let mut state = State {
            link: Link::client(),
            next: 1,
            waiting: VecDeque::new(),
            calls: HashMap::new(),
            is_short: false,
            stream: None,
        };
        check(&mut socket, &mut state, request).with_context(|| format!("the first call to {to}"))?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: TcpStream::from_std(socket),
            state,
            written: 0,
        })
    }

    fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    fn under_way(&self) -> usize {
        let State {
            waiting,
            calls,
            stream,
            ..
        } = &self.state;
        waiting.len() + calls.len() + stream.as_ref().map_or(0, |stream| stream.begun.len())
    }

    fn push(&mut self, begin: u64) {
        self.state.waiting.push_back(begin);
    }

    fn flush(&mut self, request: &mut Request, _: &mut Vec<u8>) -> io::Result<()> {
        loop {
            self.state.put(request);
            let rest = &self.state.link.out[self.written..];
            if rest.is_empty() {
                return Ok(());
            }
            match self.socket.write(rest) {
                Ok(wrote) => self.written += wrote,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
            if self.written == self.state.link.out.len() {
                self.state.link.out.clear();
                self.written = 0;
            }
        }
    }

    fn read(
        &mut self,
        request: &Request,
        scratch: &mut [u8],
        mut ended: impl FnMut(&mut Self, Outcome),
    ) -> anyhow::Result<()> {
        let mut outcomes = Vec::new();
        loop {
            let held = self.state.link.carry(scratch);
            let (read, has_more) = match self.socket.read(&mut scratch[held..]) {
                Ok(0) => anyhow::bail!("the connection was closed"),
                Ok(read) => (read, held + read == scratch.len()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => (0, false),
                Err(error) => return Err(error.into()),
            };
            let bytes = &scratch[..held + read];
            self.state
                .read(bytes, request, |outcome| outcomes.push(outcome), |_| ())?;
            for outcome in outcomes.drain(..) {
                ended(self, outcome);
            }
            // A short read means that the socket is empty: the next bytes are a new event.
            if !has_more {
                return Ok(());
            }
        }
    }
}

impl State {
    /// Puts out what waits, as far as the peer takes it.
    fn put(&mut self, request: &Request) {
        match request.form {
            Form::Unary => self.put_calls(request),
            Form::Message | Form::Chunk => self.put_messages(request),
        }
    }

    fn put_calls(&mut self, request: &Request) {
        if self.is_short {
            let Self { link, calls, .. } = self;
            let shorts = calls
                .iter_mut()
                .map(|(stream, call)| call.put(link, *stream, request));
            self.is_short = shorts.fold(false, |any, short| any | short);
        }
        while self.link.out.len() < WRITE
            && self.link.window > 0
            && let Some(begin) = self.waiting.pop_front()
        {
            let stream = self.begin(request);
            let mut call = Call {
                begin,
                got: 0,
                is_good: false,
                window: self.link.stream_window,
                put: 0,
            };
            self.is_short |= call.put(&mut self.link, stream, request);
            self.calls.insert(stream, call);
        }
    }

    fn put_messages(&mut self, request: &Request) {
        if self.waiting.is_empty() && self.stream.is_none() {
            return;
        }
        let mut stream = self.stream.take().unwrap_or_else(|| self.open(request));
        stream.unput += self.waiting.len();
        stream.begun.append(&mut self.waiting);
        if request.form == Form::Chunk {
            stream.unput = 0;
        }
        while stream.unput > 0 && self.link.out.len() < WRITE {
            let rest = &request.message[stream.put..];
            let sent = self.link.send(stream.id, &mut stream.window, rest, Then::GoesOn);
            stream.put += sent;
            if sent < rest.len() {
                break;
            }
            stream.put = 0;
            stream.unput -= 1;
        }
        self.stream = Some(stream);
    }

    fn open(&mut self, request: &Request) -> Stream {
        let id = self.begin(request);
        if request.form == Form::Chunk {
            frames::write(&mut self.link.out, kind::DATA, flag::END_STREAM, id, &request.ask);
        }
        Stream {
            id,
            window: self.link.stream_window,
            taken: 0,
            begun: VecDeque::new(),
            unput: 0,
            put: 0,
            got: 0,
        }
    }

    fn begin(&mut self, request: &Request) -> u32 {
        let stream = self.next;
        self.next += 2;
        let out = &mut self.link.out;
        frames::write(out, kind::HEADERS, flag::END_HEADERS, stream, &request.block);
        stream
    }

    /// Takes what was read; tells what became of calls, and `see` the bytes of bodies.
    fn read(
        &mut self,
        bytes: &[u8],
        request: &Request,
        mut ended: impl FnMut(Outcome),
        mut see: impl FnMut(&[u8]),
    ) -> anyhow::Result<()> {
        let Self {
            link, calls, stream, ..
        } = self;
        link.read(bytes, |link, event| {
            if let Event::Data { bytes, .. } = event {
                see(bytes);
            }
            match stream.as_mut().filter(|stream| event.is_of(stream.id)) {
                Some(stream) => stream.see(link, request, event, &mut ended),
                None => {
                    see_call(calls, stream.as_mut(), request, event, &mut ended);
                    Ok(())
                }
            }
        })
    }
}

impl Event<'_> {
    const fn is_of(self, id: u32) -> bool {
        match self {
            Self::Headers { stream, .. }
            | Self::Data { stream, .. }
            | Self::Wider { stream, .. }
            | Self::Reset { stream } => stream == id,
            Self::Open | Self::AllWider(_) => false,
        }
    }
}

fn see_call(
    calls: &mut HashMap<u32, Call>,
    all: Option<&mut Stream>,
    request: &Request,
    event: Event<'_>,
    ended: &mut impl FnMut(Outcome),
) {
    let (stream, last) = match event {
        Event::Headers {
            stream,
            block,
            is_end,
        } => {
            let Some(call) = calls.get_mut(&stream) else {
                return;
            };
            // `:status` is a pseudo-header and comes first, after a change of the table at most.
            call.is_good |= block.iter().take(4).any(|byte| *byte == 0x88);
            (stream, is_end.then_some(block))
        }
        Event::Data {
            stream,
            bytes,
            is_end,
        } => {
            let Some(call) = calls.get_mut(&stream) else {
                return;
            };
            call.got += bytes.len();
            (stream, is_end.then_some(&[][..]))
        }
        Event::Reset { stream } => {
            if calls.remove(&stream).is_some() {
                ended(Outcome::Bad("reset"));
            }
            return;
        }
        Event::Wider { stream, by } => {
            if let Some(call) = calls.get_mut(&stream) {
                call.window += by;
            }
            return;
        }
        Event::AllWider(by) => {
            calls.values_mut().for_each(|call| call.window += by);
            if let Some(all) = all {
                all.window += by;
            }
            return;
        }
        Event::Open => return,
    };
    if let Some(trailers) = last
        && let Some(call) = calls.remove(&stream)
    {
        ended(if !call.is_good || !frames::says_ok(trailers) {
            Outcome::Bad("another status than 0")
        } else if call.got != request.message.len() {
            Outcome::Bad("another body")
        } else {
            Outcome::Good(call.begin)
        });
    }
}

impl Call {
    /// Puts out what its stream takes; true where that is not all.
    fn put(&mut self, link: &mut Link, stream: u32, request: &Request) -> bool {
        let rest = &request.message[self.put..];
        self.put += link.send(stream, &mut self.window, rest, Then::Ends);
        self.put < request.message.len()
    }
}

impl Stream {
    fn see(
        &mut self,
        link: &mut Link,
        request: &Request,
        event: Event<'_>,
        ended: &mut impl FnMut(Outcome),
    ) -> anyhow::Result<()> {
        match event {
            Event::Data { bytes, is_end, .. } => {
                ensure!(!is_end, "the stream has ended");
                link.take_on(self.id, &mut self.taken, bytes.len());
                self.got += bytes.len();
                while self.got >= request.message.len() {
                    self.got -= request.message.len();
                    // Chunks go on coming when the load has seen enough of them.
                    if let Some(begin) = self.begun.pop_front() {
                        ended(Outcome::Good(begin));
                    }
                }
            }
            Event::Headers { is_end, .. } => ensure!(!is_end, "the stream has ended"),
            Event::Reset { .. } => anyhow::bail!("the stream was reset"),
            Event::Wider { by, .. } => self.window += by,
            Event::Open | Event::AllWider(_) => {}
        }
        Ok(())
    }
}

/// One call whose answer must be the message it sent, byte for byte.
fn check(socket: &mut std::net::TcpStream, state: &mut State, request: &Request) -> anyhow::Result<()> {
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    state.waiting.push_back(0);
    let (mut answer, mut piece, mut outcome) = (Vec::new(), vec![0; READ], None);
    while outcome.is_none() {
        state.put_calls(request);
        socket.write_all(&state.link.out)?;
        state.link.out.clear();
        let read = socket.read(&mut piece).context("no answer")?;
        ensure!(read > 0, "the connection was closed");
        state.read(
            &piece[..read],
            request,
            |ended| outcome = Some(ended),
            |bytes| answer.extend_from_slice(bytes),
        )?;
    }
    ensure!(outcome == Some(Outcome::Good(0)), "{outcome:?}");
    ensure!(answer == request.message, "the answer is not what was sent");
    Ok(())
}
