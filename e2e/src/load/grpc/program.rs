//! The program that speaks gRPC: every call is answered with the messages that it sends, as they come; one whose message
//! asks for it gets messages without end.

use std::{
    collections::{HashMap, VecDeque},
    mem,
};

use super::{
    frames::{self, CHUNKS, PREFIX, flag, kind},
    link::{Event, Link, Then},
};
use crate::echo::Program;

/// Bytes that are put out at once.
const BATCH: usize = 256 << 10;
/// The largest message that can be asked for.
const MAX_CHUNK: usize = 1 << 20;

/// What a caller has under way.
pub(crate) struct Grpc {
    link: Link,
    streams: HashMap<u32, Stream>,
    /// Those that have something to say without being asked, in turn.
    speakers: VecDeque<u32>,
    head: Vec<u8>,
    trailers: Vec<u8>,
}

struct Stream {
    window: i64,
    taken: u32,
    has_begun: bool,
    has_ended: bool,
    /// What the caller has not taken yet.
    unsent: Vec<u8>,
    /// The message that is said without end, and how much of it has gone out.
    chunk: Option<(Vec<u8>, usize)>,
}

impl Default for Grpc {
    fn default() -> Self {
        Self {
            link: Link::server(),
            streams: HashMap::new(),
            speakers: VecDeque::new(),
            head: frames::answer_block(),
            trailers: frames::trailer_block(),
        }
    }
}

impl Program for Grpc {
    const ROOM: usize = 0;
    const SPEAKS: bool = true;

    fn answer<'s>(
        &mut self,
        scratch: &'s mut [u8],
        end: usize,
        out: &'s mut Vec<u8>,
    ) -> anyhow::Result<&'s [u8]> {
        let Self {
            link,
            streams,
            speakers,
            head,
            trailers,
        } = self;
        link.read(&scratch[..end], |link, event| {
            let asks = see(link, streams, (head, trailers), event)?;
            speakers.extend(asks);
            Ok(())
        })?;
        self.more(out);
        Ok(out)
    }

    /// A message of each stream in turn, as long as one of them is taken.
    fn more(&mut self, out: &mut Vec<u8>) {
        let Self {
            link,
            streams,
            speakers,
            ..
        } = self;
        let mut untaken = 0;
        while link.out.len() <= BATCH
            && untaken < speakers.len()
            && let Some(stream) = speakers.pop_front()
        {
            // One that was given up is forgotten here.
            if let Some(one) = streams.get_mut(&stream) {
                untaken = if one.say(link, stream) == 0 {
                    untaken + 1
                } else {
                    0
                };
                speakers.push_back(stream);
            }
        }
        if out.is_empty() {
            mem::swap(out, &mut link.out);
        } else {
            out.append(&mut link.out);
        }
    }
}

/// Gives the stream on which messages without end have just been asked for.
fn see(
    link: &mut Link,
    streams: &mut HashMap<u32, Stream>,
    (head, trailers): (&[u8], &[u8]),
    event: Event<'_>,
) -> anyhow::Result<Option<u32>> {
    let mut asks = None;
    let stream = match event {
        Event::Headers { stream, is_end, .. } => {
            frames::write(&mut link.out, kind::HEADERS, flag::END_HEADERS, stream, head);
            let begun = Stream::new(link.stream_window, is_end);
            streams.insert(stream, begun);
            stream
        }
        Event::Data {
            stream,
            bytes,
            is_end,
        } => {
            let Some(one) = streams.get_mut(&stream) else {
                return Ok(None); // it was given up
            };
            one.has_ended = is_end;
            if !is_end {
                link.take_on(stream, &mut one.taken, bytes.len());
            }
            let asked = one.chunk.is_some();
            one.take(link, stream, bytes)?;
            asks = (one.chunk.is_some() && !asked).then_some(stream);
            stream
        }
        Event::Wider { stream, by } => {
            let Some(one) = streams.get_mut(&stream) else {
                return Ok(None);
            };
            one.window += by;
            one.flush(link, stream);
            stream
        }
        Event::Open | Event::AllWider(_) => {
            if let Event::AllWider(by) = event {
                streams.values_mut().for_each(|one| one.window += by);
            }
            streams
                .iter_mut()
                .for_each(|(stream, one)| one.flush(link, *stream));
            streams.retain(|stream, one| !one.is_over(link, *stream, trailers));
            return Ok(None);
        }
        Event::Reset { stream } => {
            streams.remove(&stream);
            return Ok(None);
        }
    };
    if streams
        .get(&stream)
        .is_some_and(|one| one.is_over(link, stream, trailers))
    {
        streams.remove(&stream);
    }
    Ok(asks)
}

impl Stream {
    const fn new(window: i64, has_ended: bool) -> Self {
        Self {
            window,
            taken: 0,
            has_begun: false,
            has_ended,
            unsent: Vec::new(),
            chunk: None,
        }
    }

    /// What came goes back, or tells what is to be said.
    fn take(&mut self, link: &mut Link, stream: u32, bytes: &[u8]) -> anyhow::Result<()> {
        if !self.has_begun
            && let Some([CHUNKS, a, b, c, d]) = bytes.get(PREFIX..PREFIX + 5)
        {
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            anyhow::ensure!(length <= MAX_CHUNK, "messages of {length} bytes are asked for");
            self.chunk = Some((frames::message(&vec![b'x'; length]), 0));
        }
        self.has_begun = true;
        if self.chunk.is_some() {
            return Ok(());
        }
        self.flush(link, stream);
        let sent = if self.unsent.is_empty() {
            link.send(stream, &mut self.window, bytes, Then::GoesOn)
        } else {
            0
        };
        self.unsent.extend_from_slice(&bytes[sent..]);
        Ok(())
    }

    fn flush(&mut self, link: &mut Link, stream: u32) {
        if !self.unsent.is_empty() {
            let sent = link.send(stream, &mut self.window, &self.unsent, Then::GoesOn);
            self.unsent.drain(..sent);
        }
    }

    /// Says the rest of a message, as far as the caller takes it, and gives how many bytes that was.
    fn say(&mut self, link: &mut Link, stream: u32) -> usize {
        let Some((message, gone)) = &mut self.chunk else {
            return 0;
        };
        let sent = link.send(stream, &mut self.window, &message[*gone..], Then::GoesOn);
        *gone = (*gone + sent) % message.len();
        sent
    }

    /// Whether nothing more is to be said; if so the end has been.
    fn is_over(&self, link: &mut Link, stream: u32, trailers: &[u8]) -> bool {
        let is_over = self.has_ended && self.unsent.is_empty() && self.chunk.is_none();
        if is_over {
            let flags = flag::END_HEADERS | flag::END_STREAM;
            frames::write(&mut link.out, kind::HEADERS, flags, stream, trailers);
        }
        is_over
    }
}
