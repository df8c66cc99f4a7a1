//! Motan programs: one that calls, one that is called.

use std::collections::HashMap;
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, split};
use tokio::sync::mpsc;
use wire::error::{self, Exception};
use wire::motan2::{self, DEFAULT_LIMIT, Header, bits};

use crate::net::Net;

/// A frame of one's own.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) header: Header,
    pub(crate) meta: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Message {
    pub(crate) fn get(&self, key: &str) -> &str {
        self.meta.get(key).map_or("", |value| value)
    }

    pub(crate) fn exception(&self) -> Exception {
        assert_eq!(self.header.status, motan2::EXCEPTION, "{self:?}");
        error::read(self.get("M_e").as_bytes()).unwrap()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        motan2::encode(
            &mut out,
            self.header,
            |meta| {
                for (key, value) in &self.meta {
                    meta.pair(key.as_bytes(), value.as_bytes());
                }
            },
            |out| out.extend_from_slice(&self.body),
        );
        out
    }
}

/// A request for a method of a path.
pub(crate) fn request(id: u64, path: &str, method: &str, body: &[u8]) -> Message {
    let meta = [("M_p", path), ("M_m", method)];
    Message {
        header: Header::request(id),
        meta: meta.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        body: body.to_vec(),
    }
}

/// One end of a connection.
pub(crate) struct Reader {
    io: ReadHalf<DuplexStream>,
    buffer: Vec<u8>,
}

impl Reader {
    /// The next frame; `None` once the other side has closed.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            let decoded = motan2::decode(&self.buffer, DEFAULT_LIMIT).unwrap();
            if let Some((frame, taken)) = decoded {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                let message = Message {
                    header: frame.header,
                    meta: frame
                        .meta
                        .pairs()
                        .map(|(key, value)| (text(key), text(value)))
                        .collect(),
                    body: frame.body.to_vec(),
                };
                self.buffer.drain(..taken);
                return Some(message);
            }
            if self.io.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
        }
    }
}

/// A program that calls.
pub(crate) struct Client {
    pub(crate) reader: Reader,
    pub(crate) writer: WriteHalf<DuplexStream>,
}

impl Client {
    pub(crate) fn new(io: DuplexStream) -> Self {
        let (io, writer) = split(io);
        let reader = Reader {
            io,
            buffer: Vec::new(),
        };
        Self { reader, writer }
    }

    pub(crate) async fn send(&mut self, message: &Message) {
        self.writer.write_all(&message.encode()).await.unwrap();
    }

    pub(crate) async fn call(&mut self, message: &Message) -> Message {
        self.send(message).await;
        self.reader.next().await.expect("the agent must answer")
    }
}

/// What a program was asked, and how to answer.
pub(crate) struct Asked {
    pub(crate) message: Message,
    answer: Rc<tokio::sync::Mutex<WriteHalf<DuplexStream>>>,
}

impl Asked {
    /// Answers with this body.
    pub(crate) async fn answer(&self, body: &[u8]) {
        self.answer_raw(bits::RESPONSE, body).await;
    }

    /// Answers with this body, compressed.
    pub(crate) async fn answer_compressed(&self, body: &[u8]) {
        let mut small = Vec::new();
        wire::gzip::deflate(body, &mut small);
        self.answer_raw(bits::RESPONSE | bits::GZIP, &small).await;
    }

    /// Answers another question.
    pub(crate) async fn answer_to(&self, id: u64) {
        let mut other = self.message.clone();
        other.header = Header {
            kind: bits::RESPONSE,
            id,
            ..other.header
        };
        let _ = self.answer.lock().await.write_all(&other.encode()).await;
    }

    /// Answers with an exception that says this.
    pub(crate) async fn answer_exception(&self, words: &str) {
        let reply = Message {
            header: Header {
                kind: bits::RESPONSE,
                ..Header::exception(self.message.header.id)
            },
            meta: HashMap::from([("M_e".to_owned(), words.to_owned())]),
            body: Vec::new(),
        };
        let _ = self.answer.lock().await.write_all(&reply.encode()).await;
    }

    /// Answers with this message type.
    pub(crate) async fn answer_raw(&self, kind: u8, body: &[u8]) {
        let header = Header {
            kind,
            ..self.message.header
        };
        let reply = Message {
            header,
            meta: HashMap::from([("k1".to_owned(), "v1".to_owned())]),
            body: body.to_vec(),
        };
        let _ = self.answer.lock().await.write_all(&reply.encode()).await;
    }
}

/// A program at an address; requests come by the receiver.
pub(crate) fn program(net: &Net, address: &str) -> mpsc::UnboundedReceiver<Asked> {
    let mut accepted = net.listen(address);
    let (ask, asked) = mpsc::unbounded_channel();
    tokio::task::spawn_local(async move {
        while let Some(io) = accepted.recv().await {
            let ask = ask.clone();
            tokio::task::spawn_local(async move {
                let Client { mut reader, writer } = Client::new(io);
                let answer = Rc::new(tokio::sync::Mutex::new(writer));
                while let Some(message) = reader.next().await {
                    let answer = Rc::clone(&answer);
                    if ask.send(Asked { message, answer }).is_err() {
                        return;
                    }
                }
            });
        }
    });
    asked
}

/// A program that answers every request with `<name>:<body>`, after `delay`.
pub(crate) fn echo(net: &Net, address: &str, name: &'static str, delay: std::time::Duration) {
    let mut asked = program(net, address);
    tokio::task::spawn_local(async move {
        while let Some(asked) = asked.recv().await {
            tokio::task::spawn_local(async move {
                tokio::time::sleep(delay).await;
                let body = [name.as_bytes(), b":", &asked.message.body].concat();
                asked.answer(&body).await;
            });
        }
    });
}
