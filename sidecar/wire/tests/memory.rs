//! Memory follows what arrived, not what was announced. Every allocation of this program is counted, so it has one
//! thread and no harness.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::alloc::System;
use std::hint::black_box;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use wire::message::{self, Message};
use wire::motan1::{self, Outcome, Request, Unreadable};
use wire::motan2::{self, DEFAULT_LIMIT, Header, MIN_FRAME};
use wire::value::{NotSimple, Values};
use wire::{breeze, gzip, keys};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const MIB: usize = 1024 * 1024;

/// Bytes that `run` asked the allocator for, those given back included.
fn allocated<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let region = Region::new(COUNTED);
    let result = black_box(run());
    (result, region.change().bytes_allocated)
}

fn main() {
    decoding_motan_2_allocates_nothing();
    reading_motan_1_allocates_nothing();
    announced_lengths_of_frames_allocate_nothing();
    texts_across_records_allocate_what_arrived();
    announced_counts_allocate_nothing();
    values_allocate_a_bounded_multiple();
    a_bomb_allocates_no_more_than_the_limit();
}

fn decoding_motan_2_allocates_nothing() {
    let mut frame = Vec::new();
    motan2::encode(
        &mut frame,
        Header::request(7),
        |meta| meta.pair(keys::PATH, b"demo.Hello"),
        |out| out.resize(out.len() + 1024, 0),
    );
    let (found, bytes) = allocated(|| {
        let (frame, _) = motan2::decode(&frame, DEFAULT_LIMIT).ok()??;
        frame.meta.find(keys::PATH).map(<[u8]>::len)
    });
    assert_eq!((found, bytes), (Some(10), 0));
    // Nor does encoding into a buffer that has the room.
    let mut out = Vec::with_capacity(2048);
    let ((), bytes) = allocated(|| {
        motan2::encode(
            &mut out,
            Header::request(7),
            |meta| meta.pair(keys::PATH, b"demo.Hello"),
            |out| out.resize(out.len() + 1024, 0),
        );
    });
    assert_eq!(bytes, 0);
}

fn reading_motan_1_allocates_nothing() {
    let mut stream = Vec::new();
    motan1::write_heartbeat(&mut stream, 1);
    motan1::write_exception(&mut stream, 2, 10_001, "no provider");
    let (outcome, bytes) = allocated(|| {
        let (first, taken) = message::decode(&stream, DEFAULT_LIMIT).ok()??;
        let (second, _) = message::decode(&stream[taken..], DEFAULT_LIMIT).ok()??;
        let (Message::One(request), Message::One(response)) = (first, second) else {
            return None;
        };
        let heartbeat = Request::read(request).ok()?.is_heartbeat();
        Some((heartbeat, Outcome::read(response).ok()?.is_biz()))
    });
    assert_eq!((outcome, bytes), (Some((true, false)), 0));
}

fn announced_lengths_of_frames_allocate_nothing() {
    let mut two = Vec::new();
    motan2::encode_head(&mut two, Header::request(7), |_| {}, DEFAULT_LIMIT);
    assert_eq!(two.len(), MIN_FRAME);
    let mut one = vec![0xf1, 0xf1, 0, 0];
    one.extend(7u64.to_be_bytes());
    one.extend(u32::try_from(DEFAULT_LIMIT).unwrap().to_be_bytes());
    for frame in [two, one] {
        let (result, bytes) = allocated(|| message::decode(&frame, DEFAULT_LIMIT));
        assert_eq!((result, bytes), (Ok(None), 0));
    }
}

fn request(body: &[u8]) -> motan1::Frame<'_> {
    motan1::Frame {
        id: 7,
        kind: motan1::Kind::Request,
        version: 1,
        flag: motan1::flags::REQUEST,
        body,
    }
}

fn texts_across_records_allocate_what_arrived() {
    // 65 535 bytes announced, three arrive, one to a record.
    let body = b"\xac\xed\0\x05\x77\x02\xff\xff\x77\x01a\x77\x01b\x77\x01c";
    let (result, bytes) = allocated(|| Request::read(request(body)));
    assert_eq!(result, Err(Unreadable::Short));
    assert!(bytes <= 16, "{bytes} bytes for three");
}

fn announced_counts_allocate_nothing() {
    let mut body = b"\xac\xed\0\x05\x77\x0a".to_vec();
    body.extend([0; 6]); // three names
    body.extend(u32::MAX.to_be_bytes()); // attachments
    let (result, bytes) = allocated(|| Request::read(request(&body)));
    assert_eq!((result, bytes), (Err(Unreadable::Short), 0));
    let (result, bytes) = allocated(|| breeze::Map::read(b"\xdb\xff\xff\xff\xff\x0f\x3f\x3f"));
    assert_eq!((result, bytes), (Err(breeze::NotAMap::Short), 0));
    let (result, bytes) = allocated(|| Values::new(b"\x15\xff\xff\xff\xff").next());
    assert_eq!((result, bytes), (Err(NotSimple::Short), 0));
}

fn values_allocate_a_bounded_multiple() {
    let nulls = u32::try_from(DEFAULT_LIMIT).unwrap();
    let body = [&[21], &nulls.to_be_bytes()[..], &vec![0; DEFAULT_LIMIT]].concat();
    let (result, bytes) = allocated(|| Values::new(&body).next());
    assert_eq!(result, Err(NotSimple::Many));
    assert!(bytes <= 4 * MIB, "{bytes} bytes");
}

fn a_bomb_allocates_no_more_than_the_limit() {
    let mut bomb = Vec::new();
    gzip::deflate(&vec![0; 32 * MIB], &mut bomb);
    assert!(bomb.len() < MIB);
    let mut out = Vec::new();
    let (result, bytes) = allocated(|| gzip::inflate(&bomb, MIB, &mut out));
    assert_eq!(result, Err(gzip::NotGzip::TooLarge));
    // Twice for how a vector grows, and the window of the decompressor.
    assert!(bytes <= 2 * MIB + MIB / 4, "{bytes} bytes");
}
