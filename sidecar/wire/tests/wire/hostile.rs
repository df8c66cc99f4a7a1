//! The corpus of what nobody should send, each with what is said to it; and what is too long to be written down.
#![expect(clippy::panic, reason = "a test ends at the first surprise")]

use wire::gzip::{self, NotGzip};
use wire::meta::Meta;
use wire::motan1::{Frame, Kind, Outcome, Request, flags};
use wire::motan2::DEFAULT_LIMIT;
use wire::value::{NotSimple, Value, Values};
use wire::{breeze, error, message};

use crate::read::everything;
use crate::text::{files, tokens};

/// Limit of what a compressed body may grow to, in bytes.
const INFLATED: usize = 1 << 20;
/// Rows of the corpus; none may be lost by how they are written down.
const ROWS: usize = 109;

fn verdict(reader: &str, bytes: &[u8]) -> String {
    let said = |error: Option<String>| error.unwrap_or_else(|| "read".to_owned());
    let frame = |kind, version, flag| Frame {
        id: 1,
        kind,
        version,
        flag,
        body: bytes,
    };
    match reader {
        "message" => match message::decode(bytes, DEFAULT_LIMIT) {
            Ok(None) => "incomplete".to_owned(),
            other => said(other.err().map(|error| error.to_string())),
        },
        "meta" => said(Meta::new(bytes).err().map(|error| error.to_string())),
        "request" => {
            let frame = frame(Kind::Request, 1, flags::REQUEST);
            said(Request::read(frame).err().map(|error| error.to_string()))
        }
        "compressed" => {
            let frame = frame(Kind::Request, 2, flags::REQUEST);
            said(Request::read(frame).err().map(|error| error.to_string()))
        }
        "response" => {
            let frame = frame(Kind::Response, 1, flags::EXCEPTION);
            said(Outcome::read(frame).err().map(|error| error.to_string()))
        }
        "simple" => {
            let mut values = Values::new(bytes);
            loop {
                match values.next() {
                    Ok(Some(_)) => {}
                    other => return said(other.err().map(|error| error.to_string())),
                }
            }
        }
        "breeze" => said(breeze::Map::read(bytes).err().map(|error| error.to_string())),
        "gzip" => {
            let result = gzip::inflate(bytes, INFLATED, &mut Vec::new());
            said(result.err().map(|error| error.to_string()))
        }
        "exception" => said(error::read(bytes).err().map(|error| error.to_string())),
        other => panic!("no reader is called {other}"),
    }
}

#[test]
fn every_row_of_the_corpus_has_its_verdict() {
    let (mut rows, mut wrong) = (0, Vec::new());
    for path in files("corpus", "txt") {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut lines = text.lines().enumerate().peekable();
        while let Some((number, line)) = lines.next() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (reader, expected) = line.split_once(": ").unwrap();
            let mut bytes = Vec::new();
            while let Some((_, row)) = lines.next_if(|(_, next)| next.starts_with(' ')) {
                bytes.extend(tokens(row));
            }
            let place = format!("{}:{}", path.display(), number + 1);
            let verdict = verdict(reader, &bytes);
            if verdict != expected {
                wrong.push(format!("{place}: {verdict}, not {expected}"));
            }
            everything(&bytes, INFLATED);
            rows += 1;
        }
    }
    assert_eq!(wrong, [""; 0]);
    assert_eq!(rows, ROWS);
}

#[test]
fn a_bomb_is_stopped_at_the_limit() {
    let mut bomb = Vec::new();
    gzip::deflate(&vec![b'a'; 32 * INFLATED], &mut bomb);
    let mut out = Vec::new();
    assert_eq!(gzip::inflate(&bomb, INFLATED, &mut out), Err(NotGzip::TooLarge));
    assert!(out.is_empty());
    // A bomb of many small members is one all the same.
    let mut member = Vec::new();
    gzip::deflate(&vec![b'a'; INFLATED / 16], &mut member);
    assert_eq!(gzip::inflate(&member.repeat(16), INFLATED, &mut out), Ok(()));
    out.clear();
    assert_eq!(
        gzip::inflate(&member.repeat(17), INFLATED, &mut out),
        Err(NotGzip::TooLarge)
    );
}

#[test]
fn values_ten_thousand_deep_are_refused() {
    for tag in [20, 21] {
        let mut body = vec![0];
        for _ in 0..10_000 {
            let value = if tag == 20 {
                [&[0], &body[..]].concat()
            } else {
                body
            };
            let length = u32::try_from(value.len()).unwrap().to_be_bytes();
            body = [&[tag], &length[..], &value].concat();
        }
        assert_eq!(Values::new(&body).next(), Err(NotSimple::Deep));
    }
    // Side by side is not deep.
    let empty = [21, 0, 0, 0, 0].repeat(10_000);
    let body = [
        &[21],
        &u32::try_from(empty.len()).unwrap().to_be_bytes()[..],
        &empty,
    ]
    .concat();
    let read = Values::new(&body).next().unwrap();
    assert!(matches!(read, Some(Value::Array(items)) if items.len() == 10_000));
}
