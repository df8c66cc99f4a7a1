//! Every frame that was recorded between the real programs is read, and written anew from what was read.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at the first surprise"
)]

use wire::message::{self, Message};
use wire::meta::Writer;
use wire::motan1::{self, Kind, Outcome, Request};
use wire::motan2::{self, DEFAULT_LIMIT, EXCEPTION, SIMPLE, bits};
use wire::value::{self, Values};
use wire::{error, gzip, keys};

use crate::text::{files, tokens};

/// Messages in the recordings; none may be lost by how they are written down.
const RECORDED: usize = 524;

pub(crate) struct Recorded {
    place: String,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) fn recorded() -> Vec<Recorded> {
    let mut frames: Vec<Recorded> = Vec::new();
    for path in files("vectors", "txt") {
        let text = std::fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let place = || format!("{}:{}", path.display(), number + 1);
            match line.split_at_checked(1) {
                None | Some(("#", _)) => {}
                Some((">" | "<", rest)) => frames.push(Recorded {
                    place: place(),
                    bytes: tokens(rest),
                }),
                Some((" ", rest)) => frames.last_mut().unwrap().bytes.extend(tokens(rest)),
                Some(_) => panic!("{}: not a line of a recording", place()),
            }
        }
    }
    frames
}

fn each(mut of: impl FnMut(&Recorded, Message<'_>) -> bool) -> usize {
    let mut seen = 0;
    for frame in recorded() {
        let (message, taken) = message::decode(&frame.bytes, DEFAULT_LIMIT).unwrap().unwrap();
        assert_eq!(taken, frame.bytes.len(), "{}", frame.place);
        seen += usize::from(of(&frame, message));
    }
    seen
}

#[test]
fn every_frame_is_whole_and_its_head_is_known_first() {
    let seen = each(|Recorded { place, bytes }, message| {
        assert_eq!(message::start(bytes).unwrap().id, message.id(), "{place}");
        assert_eq!(
            message::start(bytes).unwrap().response,
            message.is_response(),
            "{place}"
        );
        let (head, body_at) = message::decode_head(bytes, DEFAULT_LIMIT).unwrap().unwrap();
        assert_eq!(body_at + head.body_len(), bytes.len(), "{place}");
        for cut in (0..bytes.len()).step_by(7) {
            assert_eq!(message::decode(&bytes[..cut], DEFAULT_LIMIT), Ok(None), "{place}");
            let known = message::decode_head(&bytes[..cut], DEFAULT_LIMIT).unwrap();
            assert_eq!(known, (cut >= body_at).then_some((head, body_at)), "{place}");
        }
        true
    });
    assert_eq!(seen, RECORDED);
}

#[test]
fn an_id_is_replaced_and_restored_without_a_trace() {
    each(|Recorded { place, bytes }, message| {
        let mut changed = bytes.clone();
        message::set_id(&mut changed, !message.id());
        assert_eq!(message::start(&changed).unwrap().id, !message.id(), "{place}");
        message::set_id(&mut changed, message.id());
        assert_eq!(&changed, bytes, "{place}");
        true
    });
}

#[test]
fn every_motan_2_frame_is_written_anew_to_the_byte() {
    let seen = each(|Recorded { place, bytes }, message| {
        let Message::Two(frame) = message else {
            return false;
        };
        let mut whole = Vec::new();
        motan2::encode(
            &mut whole,
            frame.header,
            |meta| meta.copy(frame.meta, |_| true),
            |out| out.extend_from_slice(frame.body),
        );
        assert_eq!(&whole, bytes, "{place}");
        let mut parts = Vec::new();
        motan2::encode_head(
            &mut parts,
            frame.header,
            |meta| meta.copy(frame.meta, |_| true),
            frame.body.len(),
        );
        parts.extend_from_slice(frame.body);
        assert_eq!(&parts, bytes, "{place}");
        true
    });
    assert_eq!(seen, 436);
}

#[test]
fn every_motan_1_request_is_written_anew_to_the_byte() {
    let seen = each(|Recorded { place, bytes }, message| {
        let Message::One(frame) = message else {
            return false;
        };
        if frame.kind != Kind::Request {
            return false;
        }
        let request = Request::read(frame).unwrap();
        let mut out = Vec::new();
        motan1::write_request(&mut out, frame.id, &request, |out| {
            out.copy(request.attachments(), |_| true);
        });
        assert_eq!(&out, bytes, "{place}");
        if request.is_heartbeat() {
            out.clear();
            motan1::write_heartbeat(&mut out, frame.id);
            assert_eq!(&out, bytes, "{place}");
        } else {
            assert!(request.interface().starts_with(b"demo.api.DemoApi"), "{place}");
            assert!(request.attachments().find(keys::JAVA_GROUP).is_some(), "{place}");
        }
        true
    });
    assert_eq!(seen, 44);
}

#[test]
fn every_motan_1_response_is_judged() {
    let (mut normal, mut void, mut biz, mut other) = (0, 0, 0, 0);
    each(|Recorded { place, .. }, message| {
        let Message::One(frame) = message else {
            return false;
        };
        if frame.kind != Kind::Response {
            return false;
        }
        let outcome = Outcome::read(frame).unwrap();
        match &outcome {
            Outcome::Normal => normal += 1,
            Outcome::Void => void += 1,
            Outcome::Exception(_) if outcome.is_biz() => biz += 1,
            Outcome::Exception(class) => {
                assert!(class.ends_with(b"Exception"), "{place}");
                other += 1;
            }
        }
        true
    });
    assert_eq!((normal, void, biz, other), (28, 8, 8, 0));
}

#[test]
fn simple_values_are_written_anew_to_the_byte() {
    let seen = each(|Recorded { place, .. }, message| {
        let Message::Two(frame) = message else {
            return false;
        };
        if frame.header.serialization() != SIMPLE || frame.body.is_empty() {
            return false;
        }
        let mut inflated = Vec::new();
        let body = if frame.header.kind & bits::GZIP == 0 {
            frame.body
        } else {
            gzip::inflate(frame.body, DEFAULT_LIMIT, &mut inflated).unwrap();
            &inflated
        };
        let (mut values, mut out) = (Values::new(body), Vec::new());
        while let Some(value) = values.next().unwrap() {
            value::write(&mut out, &value);
        }
        assert_eq!(out, body, "{place}");
        true
    });
    assert_eq!(seen, 122);
}

#[test]
fn compressed_bodies_inflate_and_come_back() {
    let seen = each(|Recorded { place, .. }, message| {
        let Message::Two(frame) = message else {
            return false;
        };
        if frame.header.kind & bits::GZIP == 0 {
            return false;
        }
        let mut body = Vec::new();
        gzip::inflate(frame.body, DEFAULT_LIMIT, &mut body).unwrap();
        assert!(body.len() > frame.body.len(), "{place}");
        let (mut ours, mut again) = (Vec::new(), Vec::new());
        gzip::deflate(&body, &mut ours);
        gzip::inflate(&ours, body.len(), &mut again).unwrap();
        assert_eq!(again, body, "{place}");
        true
    });
    assert_eq!(seen, 5);
}

#[test]
fn exceptions_are_read_and_say_the_same_when_written() {
    let seen = each(|Recorded { place, .. }, message| {
        let Message::Two(frame) = message else {
            return false;
        };
        let found = frame.meta.find(keys::EXCEPTION);
        assert_eq!(found.is_some(), frame.header.status == EXCEPTION, "{place}");
        let Some(json) = found else { return false };
        let exception = error::read(json).unwrap();
        let mut out = Vec::new();
        error::write(
            &mut Writer::new(&mut out),
            exception.code,
            exception.kind,
            &exception.words,
        );
        let again = out.strip_prefix(b"M_e\n").unwrap();
        assert_eq!(error::read(again).unwrap(), exception, "{place}");
        true
    });
    assert_eq!(seen, 64);
}

#[test]
fn heartbeats_are_empty_and_told_from_calls() {
    let seen = each(|Recorded { place, bytes }, message| match message {
        Message::One(_) => false,
        Message::Two(frame) => {
            let empty = bytes.len() == motan2::MIN_FRAME;
            assert_eq!(frame.header.is_heartbeat(), empty, "{place}");
            empty
        }
    });
    assert_eq!(seen, 10);
}
