//! What a Motan 1 request says: whom it calls, with which attachments. Its parameters are carried, never read.

use std::borrow::Cow;

use super::blocks::{Blocks, STREAM, Unreadable, write_blocks, write_text};
use super::{Frame, Kind, PLAIN, encode, flags};

/// Interface, method and parameter types of a heartbeat.
const HEARTBEAT: [&[u8]; 3] = [b"com.weibo.api.motan.rpc.heartbeat", b"heartbeat", b"void"];

/// A request of inner version 1. All texts are in Java's modified UTF-8, which is UTF-8 but for NUL and what lies
/// beyond U+FFFF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    interface: Cow<'a, [u8]>,
    method: Cow<'a, [u8]>,
    types: Cow<'a, [u8]>,
    parameters: &'a [u8],
    attachments: Attachments<'a>,
}

impl<'a> Request<'a> {
    /// The same request to another interface.
    #[must_use]
    pub fn of_interface(&self, interface: &'a [u8]) -> Self {
        Self {
            interface: Cow::Borrowed(interface),
            ..self.clone()
        }
    }

    /// Reads the object stream of a frame. What is allocated is bounded by the texts that lie across records.
    ///
    /// # Errors
    /// A frame that is not such a request, or a stream that is not what a request must be.
    pub fn read(frame: Frame<'a>) -> Result<Self, Unreadable> {
        if frame.kind != Kind::Request {
            return Err(Unreadable::Direction);
        }
        if frame.version != PLAIN {
            return Err(Unreadable::Compressed);
        }
        let mut stream = Blocks::new(frame.body)?;
        Ok(Self {
            interface: stream.text()?,
            method: stream.text()?,
            types: stream.text()?,
            parameters: stream.objects()?,
            attachments: Attachments::read(stream)?,
        })
    }

    /// The service's path.
    #[must_use]
    pub fn interface(&self) -> &[u8] {
        &self.interface
    }

    /// The method's name.
    #[must_use]
    pub fn method(&self) -> &[u8] {
        &self.method
    }

    /// Parameter types, `void` where there are none.
    #[must_use]
    pub fn types(&self) -> &[u8] {
        &self.types
    }

    /// The parameter objects as they lie in the stream; empty where there are none.
    #[must_use]
    pub const fn parameters(&self) -> &'a [u8] {
        self.parameters
    }

    /// The attachments.
    #[must_use]
    pub const fn attachments(&self) -> Attachments<'a> {
        self.attachments
    }

    /// Whether it only asks whether the other side lives.
    #[must_use]
    pub fn is_heartbeat(&self) -> bool {
        let [interface, method, _] = HEARTBEAT;
        *self.interface == *interface && *self.method == *method
    }
}

/// The attachments of a request: known to be sound, read where they lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attachments<'a> {
    count: u32,
    stream: Blocks<'a>,
}

impl<'a> Attachments<'a> {
    fn read(mut stream: Blocks<'a>) -> Result<Self, Unreadable> {
        let count = u32::from_be_bytes(stream.number()?);
        let attachments = Self { count, stream };
        for _ in 0..count {
            stream.text()?;
            stream.text()?;
        }
        stream.end()?;
        Ok(attachments)
    }

    /// The pairs in their order. Where a key comes twice the last one counts.
    #[must_use]
    pub const fn pairs(self) -> Pairs<'a> {
        Pairs(self)
    }

    /// The value of a key; the last one where it comes twice.
    #[must_use]
    pub fn find(self, key: &[u8]) -> Option<Cow<'a, [u8]>> {
        let mut found = None;
        for (name, value) in self.pairs() {
            if *name == *key {
                found = Some(value);
            }
        }
        found
    }
}

/// Iterates over attachments.
#[derive(Debug, Clone)]
pub struct Pairs<'a>(Attachments<'a>);

impl<'a> Iterator for Pairs<'a> {
    type Item = (Cow<'a, [u8]>, Cow<'a, [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let Self(Attachments { count, stream }) = self;
        *count = count.checked_sub(1)?;
        // Sound since it was read; there is no error to lose.
        Some((stream.text().ok()?, stream.text().ok()?))
    }
}

/// Writes attachments, one after the other.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    count: u32,
}

impl Writer<'_> {
    /// Adds a pair. One whose key is empty, or whose key or value has more than 65 535 bytes, is left out: the first
    /// means nothing, the second can't be said.
    pub fn pair(&mut self, key: &[u8], value: &[u8]) {
        if !key.is_empty() {
            self.any(key, value);
        }
    }

    /// Adds every attachment whose key `keep` wants.
    pub fn copy(&mut self, attachments: Attachments<'_>, mut keep: impl FnMut(&[u8]) -> bool) {
        for (key, value) in attachments.pairs() {
            if keep(&key) {
                self.any(&key, &value);
            }
        }
    }

    fn any(&mut self, key: &[u8], value: &[u8]) {
        let start = self.out.len();
        if write_text(self.out, key) && write_text(self.out, value) {
            self.count += 1;
        } else {
            self.out.truncate(start);
        }
    }
}

/// Appends a request anew, under another id and with the attachments that `attachments` writes. Block data is divided
/// as Java does it, parameters are copied byte for byte; copying all attachments gives the very frame that Java wrote.
pub fn write_request(
    out: &mut Vec<u8>,
    id: u64,
    request: &Request<'_>,
    attachments: impl FnOnce(&mut Writer<'_>),
) {
    let Request {
        interface,
        method,
        types,
        parameters,
        attachments: _,
    } = request;
    write(out, id, [interface, method, types], parameters, attachments);
}

/// Appends a heartbeat request as Java and motan-go send it.
pub fn write_heartbeat(out: &mut Vec<u8>, id: u64) {
    write(out, id, HEARTBEAT, &[], |_| {});
}

/// `names` fit a text each: they were read from texts, or are ours.
fn write(
    out: &mut Vec<u8>,
    id: u64,
    names: [&[u8]; 3],
    parameters: &[u8],
    attachments: impl FnOnce(&mut Writer<'_>),
) {
    encode(out, id, flags::REQUEST, |out| {
        out.extend_from_slice(&STREAM);
        // Gathered before it is written, because the length of a record stands before it.
        let mut run = Vec::new();
        for name in names {
            write_text(&mut run, name);
        }
        if !parameters.is_empty() {
            write_blocks(out, &run);
            run.clear();
            out.extend_from_slice(parameters);
        }
        let count_at = run.len();
        run.extend_from_slice(&[0; 4]);
        let mut writer = Writer {
            out: &mut run,
            count: 0,
        };
        attachments(&mut writer);
        let count = writer.count.to_be_bytes();
        run[count_at..count_at + 4].copy_from_slice(&count);
        write_blocks(out, &run);
    });
}
