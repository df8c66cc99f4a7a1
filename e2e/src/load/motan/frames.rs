//! Motan 2 frames as cheaply as a load can have them: one request encoded once, answers scanned and never kept.

use wire::{keys, meta, motan2, value};

/// Bytes up to and including the metadata length.
const HEAD: usize = 17;
/// The fixed part of a response without metadata, with the length of its body.
pub(crate) const ANSWER_HEAD: usize = motan2::MIN_FRAME;

/// What is called.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Target {
    /// Service path.
    #[arg(long, default_value = "motan.bench")]
    pub(crate) path: String,
    /// Method.
    #[arg(long, default_value = "echo")]
    pub(crate) method: String,
    /// Group.
    #[arg(long, default_value = "bench")]
    pub(crate) group: String,
    /// Bytes of the one argument, a byte array.
    #[arg(long, default_value_t = 1_024)]
    pub(crate) payload: usize,
}

/// A request, encoded once; calls differ in the id only.
pub(crate) struct Request {
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(target: &Target) -> Self {
        let Target {
            path,
            method,
            group,
            payload,
        } = target;
        let (mut head, mut body) = (Vec::new(), Vec::new());
        value::write_bytes(&mut body, &vec![b'x'; *payload]);
        let write_meta = |meta: &mut meta::Writer<'_>| {
            meta.pair(keys::PATH, path.as_bytes());
            meta.pair(keys::METHOD, method.as_bytes());
            meta.pair(keys::GROUP, group.as_bytes());
        };
        motan2::encode_head(&mut head, motan2::Header::request(0), write_meta, body.len());
        Self { head, body }
    }

    /// Bytes of the whole frame.
    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// The argument, encoded: what an echo gives back.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Everything before the body, with this id.
    pub(crate) fn head(&mut self, id: u64) -> &[u8] {
        motan2::set_id(&mut self.head, id);
        &self.head
    }

    /// Appends the whole frame with this id.
    pub(crate) fn append(&mut self, out: &mut Vec<u8>, id: u64) {
        out.extend_from_slice(self.head(id));
        out.extend_from_slice(&self.body);
    }
}

/// The fixed part of a message, and how long its body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) header: motan2::Header,
    pub(crate) body: u32,
}

/// What a step of a [`Scanner`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The metadata is over, the body comes next.
    Head(Head),
    /// So many bytes of the body have just been passed.
    Body(usize),
    /// The message is over.
    End(Head),
}

/// Bytes that are not Motan 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("bytes {0:02x?} do not begin a Motan 2 frame")]
pub(crate) struct NotMotan([u8; 4]);

/// Finds the messages in a stream of bytes, whatever pieces it comes in, without keeping any but of a split head.
#[derive(Debug)]
pub(crate) struct Scanner {
    stage: Stage,
    held: [u8; HEAD],
    have: usize,
    header: motan2::Header,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Head,
    Meta(usize),
    BodyLength,
    Body(u32, usize),
}

impl Scanner {
    pub(crate) const fn new() -> Self {
        Self {
            stage: Stage::Head,
            held: [0; HEAD],
            have: 0,
            header: motan2::Header::request(0),
        }
    }

    /// The next part in `bytes` from `at`, which moves past it; `None` where more must be read.
    pub(crate) fn next(&mut self, bytes: &[u8], at: &mut usize) -> Result<Option<Part>, NotMotan> {
        loop {
            match self.stage {
                Stage::Head => {
                    let Some(raw) = self.take::<HEAD>(bytes, at) else {
                        return Ok(None);
                    };
                    let (header, meta) = parse(&raw)?;
                    self.header = header;
                    self.stage = Stage::Meta(meta);
                }
                Stage::Meta(left) => {
                    let passed = left.min(bytes.len() - *at);
                    *at += passed;
                    if passed < left {
                        self.stage = Stage::Meta(left - passed);
                        return Ok(None);
                    }
                    self.stage = Stage::BodyLength;
                }
                Stage::BodyLength => {
                    let Some(raw) = self.take::<4>(bytes, at) else {
                        return Ok(None);
                    };
                    let body = u32::from_be_bytes(raw);
                    self.stage = Stage::Body(body, body as usize);
                    return Ok(Some(Part::Head(self.head(body))));
                }
                Stage::Body(body, 0) => {
                    self.stage = Stage::Head;
                    return Ok(Some(Part::End(self.head(body))));
                }
                Stage::Body(body, left) => {
                    let passed = left.min(bytes.len() - *at);
                    if passed == 0 {
                        return Ok(None);
                    }
                    *at += passed;
                    self.stage = Stage::Body(body, left - passed);
                    return Ok(Some(Part::Body(passed)));
                }
            }
        }
    }

    const fn head(&self, body: u32) -> Head {
        Head {
            header: self.header,
            body,
        }
    }

    /// The next `N` bytes, together with what was held of them; `N` is at most [`HEAD`].
    fn take<const N: usize>(&mut self, bytes: &[u8], at: &mut usize) -> Option<[u8; N]> {
        let rest = &bytes[*at..];
        if let (0, Some(whole)) = (self.have, rest.first_chunk::<N>()) {
            *at += N;
            return Some(*whole);
        }
        let missing = (N - self.have).min(rest.len());
        self.held[self.have..self.have + missing].copy_from_slice(&rest[..missing]);
        self.have += missing;
        *at += missing;
        if self.have < N {
            return None;
        }
        self.have = 0;
        self.held.first_chunk::<N>().copied()
    }
}

fn parse(raw: &[u8; HEAD]) -> Result<(motan2::Header, usize), NotMotan> {
    let header = motan2::header(raw).ok_or(NotMotan([raw[0], raw[1], raw[2], raw[3]]))?;
    let [.., a, b, c, d] = *raw;
    Ok((header, u32::from_be_bytes([a, b, c, d]) as usize))
}

/// The head of an answer to a request: no metadata, a body as long as the request's.
pub(crate) fn answer_head(asked: Head) -> [u8; ANSWER_HEAD] {
    let Head { header, body } = asked;
    let mut head = [0; ANSWER_HEAD];
    head[..2].copy_from_slice(&motan2::MAGIC);
    head[2] = header.kind & (motan2::bits::GZIP | motan2::bits::HEARTBEAT) | motan2::bits::RESPONSE;
    head[3] = 1 << 3;
    head[4] = header.serialization;
    head[5..13].copy_from_slice(&header.id.to_be_bytes());
    head[17..].copy_from_slice(&body.to_be_bytes());
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(payload: usize) -> Target {
        Target {
            path: "a".to_owned(),
            method: "b".to_owned(),
            group: "c".to_owned(),
            payload,
        }
    }

    #[test]
    fn a_request_is_one_frame_whose_id_can_be_changed() {
        let mut request = Request::new(&target(3));
        let mut out = Vec::new();
        request.append(&mut out, 1);
        request.append(&mut out, 2);
        let (first, length) = motan2::decode(&out, 1_024).unwrap().unwrap();
        assert_eq!((first.header.id, length), (1, request.len()));
        assert_eq!(first.body, request.body());
        let (second, _) = motan2::decode(&out[length..], 1_024).unwrap().unwrap();
        assert_eq!((second.header.id, second.meta), (2, first.meta));
    }

    #[test]
    fn frames_are_found_whatever_pieces_they_come_in() {
        let mut request = Request::new(&target(40));
        let mut bytes = Vec::new();
        (1..=5).for_each(|id| request.append(&mut bytes, id));
        for piece in 1..bytes.len() {
            let (mut scanner, mut ids, mut body) = (Scanner::new(), Vec::new(), 0);
            for read in bytes.chunks(piece) {
                let mut at = 0;
                while let Some(part) = scanner.next(read, &mut at).unwrap() {
                    match part {
                        Part::Head(head) => assert_eq!(head.body as usize, request.body().len()),
                        Part::Body(passed) => body += passed,
                        Part::End(head) => ids.push(head.header.id),
                    }
                }
                assert_eq!(at, read.len());
            }
            assert_eq!((ids.as_slice(), body), (&[1, 2, 3, 4, 5][..], 5 * 45), "{piece}");
        }
    }

    #[test]
    fn an_answer_is_a_frame_with_the_same_id_and_body_length() {
        let asked = Head {
            header: motan2::Header::request(7),
            body: 2,
        };
        let bytes = [&answer_head(asked)[..], b"ok"].concat();
        let (frame, length) = motan2::decode(&bytes, 1_024).unwrap().unwrap();
        assert!(frame.header.is_response());
        assert_eq!(
            (frame.header.id, frame.body, length),
            (7, &b"ok"[..], bytes.len())
        );
    }

    #[test]
    fn other_bytes_are_refused() {
        let mut scanner = Scanner::new();
        assert!(scanner.next(b"HTTP/1.1 400 Bad Request", &mut 0).is_err());
    }
}
