//! Every reader over the same bytes.

use std::hint::black_box;

use wire::gzip;
use wire::message::{self, Message};
use wire::meta::Meta;
use wire::motan1::{Outcome, Request};
use wire::value::Values;
use wire::{breeze, error, keys};

/// Reads `bytes` as whatever they may be: as messages, and as what lies in them.
pub(crate) fn everything(bytes: &[u8], limit: usize) {
    let _ = black_box(message::start(bytes));
    let _ = black_box(message::decode_head(bytes, limit));
    let mut rest = bytes;
    while let Ok(Some((message, taken))) = message::decode(rest, limit) {
        rest = &rest[taken..];
        match message {
            Message::One(frame) => {
                if let Ok(request) = Request::read(frame) {
                    black_box(request.attachments().pairs().count());
                }
                let _ = black_box(Outcome::read(frame));
            }
            Message::Two(frame) => {
                if let Some(json) = frame.meta.find(keys::EXCEPTION) {
                    let _ = black_box(error::read(json));
                }
                body(frame.body, limit);
            }
        }
    }
    body(bytes, limit);
}

fn body(bytes: &[u8], limit: usize) {
    let mut values = Values::new(bytes);
    while let Ok(Some(value)) = values.next() {
        black_box(value);
    }
    if let Ok(map) = breeze::Map::read(bytes) {
        black_box(map.pairs().count());
    }
    if let Ok(meta) = Meta::new(bytes) {
        black_box(meta.pairs().count());
    }
    let _ = black_box(error::read(bytes));
    let _ = black_box(gzip::inflate(bytes, limit, &mut Vec::new()));
}
