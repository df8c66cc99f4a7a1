//! Frames as the existing programs put them on the wire (motan-wire 2.8), and bytes that nobody should.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use proptest::prelude::*;
use wire::error::{self, ErrorType};
use wire::keys;
use wire::meta::Meta;
use wire::motan2::{self, Broken, DEFAULT_LIMIT, Frame, Header, bits};
use wire::value::{Value, Values};

use crate::text::bytes;

fn one(frame: &[u8]) -> Frame<'_> {
    let (decoded, taken) = motan2::decode(frame, DEFAULT_LIMIT).unwrap().unwrap();
    assert_eq!(taken, frame.len());
    decoded
}

fn again(frame: Frame<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    motan2::encode(
        &mut out,
        frame.header,
        |meta| meta.copy(frame.meta, |_| true),
        |out| out.extend_from_slice(frame.body),
    );
    out
}

const A: &str = "f1f1 00 08 30 0102030405060708 00000034
    4d5f6d0a68656c6c6f0a 4d5f670a67310a 4d5f70700a6d6f74616e320a 4d5f700a64656d6f2e48656c6c6f0a 4d5f730a61707031
    00000008 0100000003526179";
const B: &str = "f1f1 01 08 30 0102030405060708 00000006 4d5f70740a33 0000000e 010000000968656c6c6f20526179";
const D: &str = "f1f1 01 09 30 0102030405060708 00000056 4d5f650a
    7b22657272636f6465223a3430342c226572726d7367223a2270726f7669646572206e6f7420
    657869737420736572766963654b65793d67315f64656d6f2e48656c6c6f222c226572727479
    7065223a317d 00000000";
const E: &str = "f1f10309000000000000000005000000714d5f650a7b22657272636f6465223a3430302c226572726d7367223a22636c757374
    6572206e6f7420666f756e642e20636c75737465723a20636c7573746572206e6f7420666f756e642e20736572766963653a206e6f2e5375
    6368222c2265727274797065223a317d0a4d5f70740a3000000000";
const F: &str =
    "f1f103083001020304050607080000002c4d5f70740a350a6b310a76310a782d666f727761726465642d666f720a3132372e
    302e302e313a31393937300000000e010000000968656c6c6f20526179";

#[test]
fn frame_a_a_request() {
    let frame = bytes(A);
    let decoded = one(&frame);
    assert_eq!(decoded.header, Header::request(0x0102_0304_0506_0708));
    assert_eq!(decoded.meta.find(keys::PATH), Some(&b"demo.Hello"[..]));
    assert_eq!(decoded.meta.find(keys::SOURCE), Some(&b"app1"[..]));
    assert_eq!(Values::new(decoded.body).next(), Ok(Some(Value::String(b"Ray"))));
    assert_eq!(again(decoded), frame);
}

#[test]
fn frame_b_a_response() {
    let frame = bytes(B);
    let decoded = one(&frame);
    assert!(decoded.header.is_response());
    assert_eq!(decoded.meta.find(keys::PROCESS_TIME), Some(&b"3"[..]));
    assert_eq!(
        Values::new(decoded.body).next(),
        Ok(Some(Value::String(b"hello Ray")))
    );
    assert_eq!(again(decoded), frame);
}

#[test]
fn frame_c_heartbeats() {
    let rows = [
        (
            "f1f1120830000000000000002a0000000000000000",
            Header::heartbeat(0, 42),
        ),
        (
            "f1f1130830000000000000002a0000000000000000",
            Header::heartbeat(bits::RESPONSE, 42),
        ),
    ];
    for (hex, header) in rows {
        let frame = bytes(hex);
        assert_eq!(one(&frame).header, header);
        assert_eq!(again(one(&frame)), frame);
    }
    for java in [
        "f1f1100808000000000000002a0000000000000000",
        "f1f1110808000000000000002a0000000000000000",
    ] {
        assert!(one(&bytes(java)).header.is_heartbeat());
    }
}

#[test]
fn frame_d_an_exception_of_a_server() {
    let frame = bytes(D);
    let decoded = one(&frame);
    assert_eq!(decoded.header.status, motan2::EXCEPTION);
    let exception = error::read(decoded.meta.find(keys::EXCEPTION).unwrap()).unwrap();
    assert_eq!((exception.code, exception.kind), (404, ErrorType::Service));
    assert_eq!(exception.words, "provider not exist serviceKey=g1_demo.Hello");
    assert_eq!(again(decoded), frame);
}

#[test]
fn frame_e_an_exception_of_an_agent_is_written_to_the_byte() {
    let frame = bytes(E);
    let mut out = Vec::new();
    let words = "cluster not found. cluster: cluster not found. service: no.Such";
    motan2::encode(
        &mut out,
        Header::exception(5),
        |meta| {
            error::write(meta, 400, ErrorType::Service, words);
            meta.pair(keys::PROCESS_TIME, b"0");
        },
        |_| {},
    );
    assert_eq!(out, frame);
}

#[test]
fn frame_f_a_relayed_response() {
    let frame = bytes(F);
    let decoded = one(&frame);
    assert_eq!(decoded.header.kind, bits::RESPONSE | bits::PROXY);
    assert_eq!(
        decoded.meta.find(keys::FORWARDED_FOR),
        Some(&b"127.0.0.1:19970"[..])
    );
    assert_eq!(again(decoded), frame);
}

#[test]
fn frame_g_a_compressed_body_passes_untouched_with_its_bit() {
    let body = bytes(
        "1f8b08000000000004ff04c0810000000804b1cb2c95f94bfcae7a0000000000000080010000ffff010000ffff5c97580645000000",
    );
    let header = Header {
        kind: bits::GZIP,
        ..Header::request(1)
    };
    let mut frame = Vec::new();
    motan2::encode(&mut frame, header, |_| {}, |out| out.extend_from_slice(&body));
    assert_eq!(one(&frame).body, body);
    assert_eq!(again(one(&frame)), frame);
}

/// OpenResty ends its metadata with a line feed and PHP sends an empty group; neither is written on (motan-wire 2.5).
#[test]
fn what_thin_clients_add_to_metadata_is_read_and_left_out() {
    let rows = [
        "f1f1000830 a3c0000000000001 0000000e 4d5f700a612e420a 4d5f6d0a630a 00000000",
        "f1f1000830 a3c0000000000001 00000012 4d5f670a0a 4d5f700a612e420a 4d5f6d0a63 00000000",
    ];
    for row in rows {
        let frame = bytes(row);
        let decoded = one(&frame);
        assert_eq!(decoded.header.id, 0xa3c0_0000_0000_0001);
        assert_eq!(decoded.meta.find(keys::PATH), Some(&b"a.B"[..]));
        assert_eq!(
            again(decoded),
            bytes("f1f1000830 a3c0000000000001 0000000d 4d5f700a612e420a 4d5f6d0a63 00000000")
        );
    }
}

#[test]
fn all_64_bits_of_an_id_survive() {
    let mut frame = bytes(A);
    for id in [0, 1, u64::MAX, 1 << 63, 11_800_000_000_000_000_000] {
        motan2::set_id(&mut frame, id);
        assert_eq!(one(&frame).header.id, id);
    }
}

type Pair = (&'static [u8], &'static [u8]);
type Row = (&'static [Pair], u32, Option<&'static [u8]>);

#[test]
fn a_timeout_is_replaced_where_it_stands_and_the_last_of_two_counts() {
    let frame_with = |pairs: &[Pair]| {
        let mut frame = Vec::new();
        let meta =
            |meta: &mut wire::meta::Writer<'_>| pairs.iter().for_each(|(key, value)| meta.pair(key, value));
        motan2::encode(&mut frame, Header::request(7), meta, |body| body.push(9));
        frame
    };
    let rows: [Row; 6] = [
        (&[(keys::TIMEOUT, b"1000"), (b"k", b"v")], 998, Some(b"0998")),
        (&[(b"k", b"v"), (keys::TIMEOUT, b"1000")], 1, Some(b"0001")),
        (&[(keys::TIMEOUT, b"5"), (keys::TIMEOUT, b"70")], 69, Some(b"69")),
        (&[(keys::TIMEOUT, b"5")], 10, None),
        (&[(b"k", b"v")], 10, None),
        (&[], 10, None),
    ];
    for (pairs, millis, expected) in rows {
        let before = frame_with(pairs);
        let mut frame = before.clone();
        assert_eq!(motan2::set_timeout(&mut frame, millis), expected.is_some());
        match expected {
            Some(value) => {
                let read = one(&frame);
                assert_eq!(read.meta.find(keys::TIMEOUT), Some(value));
                assert_eq!((frame.len(), read.body), (before.len(), &[9][..]));
            }
            None => assert_eq!(frame, before),
        }
    }
    assert!(!motan2::set_timeout(&mut [], 5));
}

#[test]
fn a_limit_is_for_metadata_and_body_each_and_its_own_value_is_fine() {
    let of = |meta: usize, body: usize| {
        let mut frame = bytes("f1f1000830000000000000002a");
        frame.extend_from_slice(&u32::try_from(meta).unwrap().to_be_bytes());
        frame.extend(std::iter::repeat_n(b'\n', meta));
        frame.extend_from_slice(&u32::try_from(body).unwrap().to_be_bytes());
        frame.extend(std::iter::repeat_n(0, body));
        frame
    };
    assert!(motan2::decode(&of(16, 16), 16).unwrap().is_some());
    assert_eq!(motan2::decode(&of(17, 0), 16), Err(Broken::MetaTooLong(17)));
    assert_eq!(motan2::decode(&of(0, 17), 16), Err(Broken::BodyTooLong(17)));
}

#[test]
fn what_can_not_become_a_frame_is_known_at_its_first_bytes() {
    assert_eq!(motan2::decode(b"G", 16), Err(Broken::Magic(b'G', 0)));
    assert_eq!(motan2::decode(&[0xf1, 0xf0], 16), Err(Broken::Magic(0xf1, 0xf0)));
    assert_eq!(motan2::decode(&bytes("f1f10000"), 16), Err(Broken::Version(0)));
    assert_eq!(motan2::decode(&bytes("f1f10010"), 16), Err(Broken::Version(2)));
    let unpaired = bytes("f1f1000830000000000000002a 00000001 6b 00000000");
    assert!(matches!(motan2::decode(&unpaired, 16), Err(Broken::Meta(_))));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(noise in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = motan2::decode(&noise, 32);
    }

    #[test]
    fn a_damaged_frame_never_panics(at in 0usize..81, byte in any::<u8>()) {
        let mut frame = bytes(A);
        frame[at] = byte;
        if let Ok(Some((frame, _))) = motan2::decode(&frame, 4096) {
            let _ = again(frame);
        }
    }

    #[test]
    fn a_frame_cut_anywhere_is_incomplete_and_never_wrong(cut in 0usize..81) {
        let frame = bytes(A);
        prop_assert_eq!(motan2::decode(&frame[..cut], DEFAULT_LIMIT), Ok(None));
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same(
        kind in any::<u8>(),
        status in 0u8..8,
        serialization in any::<u8>(),
        id in any::<u64>(),
        pairs in proptest::collection::vec(("[a-zA-Z_]{1,8}", "[ -~]{1,16}"), 0..6),
        body in proptest::collection::vec(any::<u8>(), 0..64),
        rest in proptest::collection::vec(any::<u8>(), 0..16),
    ) {
        let header = Header { kind, status, serialization, id };
        let mut frame = Vec::new();
        motan2::encode(
            &mut frame,
            header,
            |meta| pairs.iter().for_each(|(key, value)| meta.pair(key.as_bytes(), value.as_bytes())),
            |out| out.extend_from_slice(&body),
        );
        let length = frame.len();
        frame.extend_from_slice(&rest);
        let (decoded, taken) = motan2::decode(&frame, DEFAULT_LIMIT).unwrap().unwrap();
        prop_assert_eq!(taken, length);
        prop_assert_eq!(decoded.header, header);
        prop_assert_eq!(decoded.body, &body[..]);
        let read: Vec<_> = decoded.meta.pairs().collect();
        let wrote: Vec<_> = pairs.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes())).collect();
        prop_assert_eq!(read, wrote);
        prop_assert!(Meta::new(decoded.meta.as_bytes()).is_ok());
    }
}
