//! Whatever comes, nothing panics; whatever is written, reads the same.

use std::borrow::Cow;
use std::sync::LazyLock;

use proptest::prelude::*;
use wire::breeze;
use wire::error::{self, ErrorType};
use wire::gzip::{self, NotGzip};
use wire::message::{self, Message};
use wire::meta::Writer;
use wire::motan1::{self, BODY_AT, Outcome, Request};
use wire::{keys, motan2, value};

use crate::java::Java;
use crate::read::everything;
use crate::recorded::recorded;

const LIMIT: usize = 1 << 20;

static SEEDS: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| recorded().into_iter().map(|frame| frame.bytes).collect());

fn seed() -> impl Strategy<Value = Vec<u8>> {
    any::<prop::sample::Index>().prop_map(|index| index.get(&SEEDS).clone())
}

fn noise(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..most)
}

/// What object streams are made of, in any order.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(vec![0x77]),
        Just(vec![0x7a]),
        Just(vec![0x70]),
        Just(vec![0x75, 0x71, 0, 0x7e, 0, 0]),
        Just(vec![0]),
        noise(12),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| [vec![0xac, 0xed, 0, 5], pieces.concat()].concat())
}

/// Lengths that lie.
fn length() -> impl Strategy<Value = u32> {
    prop_oneof![
        any::<u32>(),
        0u32..64,
        Just(u32::MAX),
        Just(1 << 31),
        Just(1 << 20)
    ]
}

type Pair = (Vec<u8>, Vec<u8>);

fn attachments() -> impl Strategy<Value = Vec<Pair>> {
    let text = prop_oneof![4 => noise(40), 1 => noise(2500)];
    prop::collection::vec((text.clone(), text), 0..8)
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in noise(256)) {
        everything(&bytes, LIMIT);
    }

    #[test]
    fn arbitrary_bytes_behind_a_magic_never_panic(version in 0u8..2, bytes in noise(256)) {
        let mut frame = vec![0xf1, 0xf1, 0, version << 3];
        frame.extend(bytes);
        everything(&frame, LIMIT);
    }

    #[test]
    fn an_arbitrary_object_stream_never_panics(stream in stream()) {
        let length = u32::try_from(stream.len()).unwrap();
        let mut frame = vec![0xf1, 0xf1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        frame.extend((length + 16).to_be_bytes());
        frame.extend([0xf0, 0xf0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        frame.extend(length.to_be_bytes());
        frame.extend(stream);
        prop_assert!(message::decode(&frame, LIMIT).unwrap().is_some());
        everything(&frame, LIMIT);
    }

    #[test]
    fn a_frame_with_wrong_bytes_never_panics(
        mut frame in seed(),
        wrong in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        for (at, byte) in wrong {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        everything(&frame, LIMIT);
    }

    #[test]
    fn a_frame_with_a_wrong_length_never_panics(
        mut frame in seed(),
        at in any::<prop::sample::Index>(),
        length in length(),
    ) {
        let at = at.index(frame.len() - 3);
        frame[at..at + 4].copy_from_slice(&length.to_be_bytes());
        everything(&frame, LIMIT);
    }

    #[test]
    fn a_frame_that_is_cut_is_incomplete(frame in seed(), cut in any::<prop::sample::Index>()) {
        let cut = &frame[..cut.index(frame.len())];
        prop_assert_eq!(message::decode(cut, LIMIT), Ok(None));
        everything(cut, LIMIT);
    }

    #[test]
    fn two_frames_spliced_never_panic(
        one in seed(),
        other in seed(),
        cut in any::<prop::sample::Index>(),
        from in any::<prop::sample::Index>(),
    ) {
        let spliced = [&one[..cut.index(one.len())], &other[from.index(other.len())..]].concat();
        everything(&spliced, LIMIT);
    }

    #[test]
    fn frames_one_after_the_other_are_told_apart(frames in prop::collection::vec(seed(), 1..5)) {
        let stream = frames.concat();
        let mut rest = &stream[..];
        for frame in &frames {
            let (_, taken) = message::decode(rest, LIMIT).unwrap().unwrap();
            prop_assert_eq!(&rest[..taken], &frame[..]);
            rest = &rest[taken..];
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn a_request_that_java_wrote_is_written_anew_to_the_byte(
        id in any::<u64>(),
        names in prop::array::uniform3(noise(1500)),
        parameters in prop::collection::vec(prop::option::of(noise(64)), 0..4),
        pairs in attachments(),
    ) {
        let mut java = Java::new(1024);
        for name in &names {
            java.text(name);
        }
        let objects = if parameters.is_empty() { Vec::new() } else { java.parameters(&parameters) };
        java.data(&u32::try_from(pairs.len()).unwrap().to_be_bytes());
        for (key, value) in &pairs {
            java.text(key);
            java.text(value);
        }
        let frame = java.frame(id);
        let (decoded, _) = motan1::decode(&frame, LIMIT).unwrap().unwrap();
        let request = Request::read(decoded).unwrap();
        let read = [request.interface(), request.method(), request.types()];
        prop_assert_eq!(read, [&names[0][..], &names[1], &names[2]]);
        prop_assert_eq!(request.parameters(), &objects[..]);
        let owned = |(key, value): (Cow<'_, [u8]>, Cow<'_, [u8]>)| (key.into_owned(), value.into_owned());
        let read: Vec<Pair> = request.attachments().pairs().map(owned).collect();
        prop_assert_eq!(&read, &pairs);
        let mut out = Vec::new();
        motan1::write_request(&mut out, id, &request, |out| out.copy(request.attachments(), |_| true));
        prop_assert_eq!(out, frame);
    }

    #[test]
    fn how_block_data_is_divided_makes_no_difference(record in 1usize..40, pairs in attachments()) {
        let (mut whole, mut divided) = (Java::new(1024), Java::new(record));
        for java in [&mut whole, &mut divided] {
            for name in ["demo.Hello", "hello", "java.lang.String"] {
                java.text(name.as_bytes());
            }
            java.parameters(&[Some(b"\x03Ray".to_vec()), None]);
            java.data(&u32::try_from(pairs.len()).unwrap().to_be_bytes());
            for (key, value) in &pairs {
                java.text(key);
                java.text(value);
            }
        }
        let (whole, divided) = (whole.frame(7), divided.frame(7));
        let (decoded, _) = motan1::decode(&divided, LIMIT).unwrap().unwrap();
        let request = Request::read(decoded).unwrap();
        let mut out = Vec::new();
        motan1::write_request(&mut out, 7, &request, |out| out.copy(request.attachments(), |_| true));
        prop_assert_eq!(out, whole);
    }

    #[test]
    fn any_words_make_an_exception_that_reads(
        id in any::<u64>(),
        code in any::<i32>(),
        words in any::<String>(),
        times in 1usize..500,
    ) {
        let mut out = Vec::new();
        motan1::write_exception(&mut out, id, code, &words.repeat(times));
        let (frame, taken) = motan1::decode(&out, LIMIT << 5).unwrap().unwrap();
        prop_assert_eq!((taken, frame.id), (out.len(), id));
        let class = b"com.weibo.api.motan.exception.MotanServiceException";
        prop_assert_eq!(Outcome::read(frame), Ok(Outcome::Exception(class[..].into())));
        // Block data of 61 bytes, the class of the array, its length.
        let object_at = BODY_AT + 4 + 2 + 61 + 19 + 4;
        let length = u32::from_be_bytes(*out[..object_at].last_chunk().unwrap());
        prop_assert_eq!(length as usize, out.len() - object_at);
    }

    #[test]
    fn a_body_survives_compression(body in noise(4096), before in noise(8)) {
        let mut compressed = before.clone();
        gzip::deflate(&body, &mut compressed);
        let mut out = before.clone();
        gzip::inflate(&compressed[before.len()..], body.len(), &mut out).unwrap();
        prop_assert_eq!(&out[before.len()..], &body[..]);
        if !body.is_empty() {
            let result = gzip::inflate(&compressed[before.len()..], body.len() - 1, &mut out);
            prop_assert_eq!(result, Err(NotGzip::TooLarge));
        }
    }

    #[test]
    fn damaged_gzip_never_panics_and_keeps_the_limit(
        body in noise(2000),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut compressed = Vec::new();
        gzip::deflate(&body, &mut compressed);
        let at = at.index(compressed.len());
        compressed[at] = byte;
        let mut out = Vec::new();
        let _ = gzip::inflate(&compressed, 2000, &mut out);
        prop_assert!(out.len() <= 2000);
        let cut = cut.index(compressed.len());
        out.clear();
        prop_assert!(gzip::inflate(&compressed[..cut], 2000, &mut out).is_err());
    }

    #[test]
    fn a_map_of_strings_survives_breeze(
        pairs in prop::collection::vec((noise(200), noise(200)), 0..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut out = Vec::new();
        breeze::write(&mut out, pairs.iter().map(|(key, value)| (&key[..], &value[..])));
        let map = breeze::Map::read(&out).unwrap();
        let read: Vec<Pair> = map.pairs().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
        prop_assert_eq!(read, pairs);
        prop_assert!(breeze::Map::read(&out[..cut.index(out.len())]).is_err());
    }

    #[test]
    fn any_words_fit_into_an_exception_of_motan_2(code in any::<i64>(), words in any::<String>()) {
        let mut out = Vec::new();
        let meta = |meta: &mut Writer<'_>| error::write(meta, code, ErrorType::Biz, &words);
        motan2::encode(&mut out, motan2::Header::exception(1), meta, |_| {});
        let (Message::Two(frame), _) = message::decode(&out, LIMIT).unwrap().unwrap() else {
            return Err(TestCaseError::fail("Motan 2 was written"));
        };
        let read = error::read(frame.meta.find(keys::EXCEPTION).unwrap()).unwrap();
        prop_assert_eq!((read.code, read.words), (code, words));
    }

    #[test]
    fn values_cut_short_are_never_taken_for_whole(
        number in any::<i64>(),
        text in noise(40),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut out = Vec::new();
        let values = vec![value::Value::Int64(number), value::Value::Bytes(&text)];
        value::write(&mut out, &value::Value::Array(values));
        let cut = cut.index(out.len() - 1) + 1;
        prop_assert!(value::Values::new(&out[..cut]).next().is_err());
    }
}
