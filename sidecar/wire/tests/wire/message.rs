//! Both versions on one connection, compressed bodies, and the meta service's map.

use wire::gzip::{self, NotGzip};
use wire::message::{self, Broken, Head, Message, Start, Version};
use wire::motan2::{self, Header, bits};
use wire::{breeze, keys, motan1};

const LIMIT: usize = 4096;

#[test]
fn versions_mix_on_one_connection() {
    let mut stream = Vec::new();
    motan1::write_heartbeat(&mut stream, 1);
    motan2::encode(&mut stream, Header::heartbeat(0, 2), |_| {}, |_| {});
    motan1::write_heartbeat_answer(&mut stream, 3);
    motan2::encode(&mut stream, Header::exception(4), |_| {}, |_| {});
    let mut rest = &mut stream[..];
    let mut seen = Vec::new();
    while let Some((message, taken)) = message::decode(rest, LIMIT).unwrap() {
        let version = match message {
            Message::One(_) => 1,
            Message::Two(_) => 2,
        };
        seen.push((version, message.id(), message.is_response()));
        message::set_id(rest, 99);
        let (message, _) = message::decode(rest, LIMIT).unwrap().unwrap();
        assert_eq!(message.id(), 99);
        rest = &mut rest[taken..];
    }
    assert_eq!(seen, [(1, 1, false), (2, 2, false), (1, 3, true), (2, 4, true)]);
    assert!(rest.is_empty());
}

#[test]
fn what_is_not_motan_is_known_at_the_first_byte_that_differs() {
    assert_eq!(message::decode(b"", LIMIT), Ok(None));
    assert_eq!(message::decode(b"G", LIMIT), Err(Broken::Magic(b'G', 0)));
    assert_eq!(message::decode(b"\xf1G", LIMIT), Err(Broken::Magic(0xf1, b'G')));
    assert_eq!(message::decode(b"\xf1\xf1\x00", LIMIT), Ok(None));
    assert_eq!(
        message::decode(b"\xf1\xf1\x00\x10", LIMIT),
        Err(Broken::Version(2))
    );
    assert_eq!(
        message::decode(b"\xf1\xf1\x00\xff", LIMIT),
        Err(Broken::Version(31))
    );
}

#[test]
fn a_head_is_known_before_its_body_arrives() {
    let mut two = Vec::new();
    let header = Header::request(7);
    motan2::encode_head(&mut two, header, |meta| meta.pair(keys::PATH, b"a.B"), 1000);
    let (head, body_at) = message::decode_head(&two, LIMIT).unwrap().unwrap();
    assert_eq!((head.body_len(), body_at), (1000, two.len()));
    let Head::Two(head) = head else {
        panic!("Motan 2 was written")
    };
    assert_eq!(
        (head.header, head.meta.find(keys::PATH)),
        (header, Some(&b"a.B"[..]))
    );
    assert_eq!(message::decode_head(&two[..two.len() - 1], LIMIT), Ok(None));
    assert_eq!(message::decode(&two, LIMIT), Ok(None));
    two.resize(two.len() + 1000, 0);
    assert!(message::decode(&two, LIMIT).unwrap().is_some());

    let mut one = Vec::new();
    motan1::write_heartbeat(&mut one, 7);
    let (head, body_at) = message::decode_head(&one[..32], LIMIT).unwrap().unwrap();
    assert_eq!(body_at + head.body_len(), one.len());
}

#[test]
fn a_message_that_is_too_long_can_be_answered() {
    let mut two = Vec::new();
    motan2::encode_head(&mut two, Header::request(7), |_| {}, LIMIT + 1);
    let mut one = Vec::new();
    motan1::write_exception(&mut one, 8, 1, &"x".repeat(LIMIT));
    one.truncate(16);
    let rows = [
        (
            two,
            Start {
                version: Version::Two,
                response: false,
                id: 7,
            },
        ),
        (
            one,
            Start {
                version: Version::One,
                response: true,
                id: 8,
            },
        ),
    ];
    for (bytes, start) in rows {
        let broken = message::decode(&bytes, LIMIT).unwrap_err();
        assert_eq!(message::decode_head(&bytes, LIMIT), Err(broken));
        assert!(broken.is_too_long());
        assert_eq!(message::start(&bytes), Some(start));
    }
    assert!(!message::decode(b"GET ", LIMIT).unwrap_err().is_too_long());
    assert_eq!(message::start(b"GET / HTTP/1.1\r\n"), None);
}

#[test]
fn a_body_survives_compression_and_motan_go_s_own_is_read() {
    let body = [b"\x01\x00\x00\x00\x40".to_vec(), vec![b'a'; 64]].concat();
    let go = [
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0xff, 0x04, 0xc0, 0x81, 0x00, 0x00, 0x00, 0x08,
        0x04, 0xb1, 0xcb, 0x2c, 0x95, 0xf9, 0x4b, 0xfc, 0xae, 0x7a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x80, 0x01, 0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff, 0x5c, 0x97, 0x58, 0x06, 0x45, 0x00,
        0x00, 0x00,
    ];
    let mut out = b"before".to_vec();
    gzip::inflate(&go, 69, &mut out).unwrap();
    assert_eq!(out[6..], body);
    let mut ours = Vec::new();
    gzip::deflate(&body, &mut ours);
    assert_eq!(ours[..10], go[..10]);
    out.clear();
    gzip::inflate(&ours, 69, &mut out).unwrap();
    assert_eq!(out, body);
    out.clear();
    gzip::inflate(&[&go[..], &ours].concat(), 138, &mut out).unwrap();
    assert_eq!(out, body.repeat(2));
}

#[test]
fn a_body_that_does_not_inflate_leaves_nothing_behind() {
    let mut bomb = Vec::new();
    gzip::deflate(&vec![0; 1 << 24], &mut bomb);
    let mut wrong_sum = bomb.clone();
    let at = wrong_sum.len() - 8;
    wrong_sum[at] ^= 1;
    let rows: [(&[u8], NotGzip); 6] = [
        (&bomb, NotGzip::TooLarge),
        (b"", NotGzip::Corrupt),
        (b"plain text", NotGzip::Corrupt),
        (&bomb[..10], NotGzip::Corrupt),
        (&bomb[..bomb.len() - 1], NotGzip::Corrupt),
        (&wrong_sum, NotGzip::Corrupt),
    ];
    for (compressed, error) in rows {
        let limit = if error == NotGzip::TooLarge {
            1 << 20
        } else {
            1 << 24
        };
        let mut out = b"before".to_vec();
        assert_eq!(gzip::inflate(compressed, limit, &mut out), Err(error));
        assert_eq!(out, b"before");
    }
}

#[test]
fn the_meta_service_s_answer_is_written_to_the_byte() {
    let header = Header {
        kind: bits::RESPONSE | bits::PROXY,
        status: 0,
        serialization: breeze::NUMBER << 3,
        id: 0x63,
    };
    let pairs: [(&[u8], &[u8]); 2] = [(b"META_WEIGHT", b"20"), (b"a", b"b")];
    let mut out = Vec::new();
    motan2::encode(
        &mut out,
        header,
        |meta| meta.pair(keys::PROCESS_TIME, b"0"),
        |out| breeze::write(out, pairs.into_iter()),
    );
    let golden = b"\xf1\xf1\x03\x08\x40\x00\x00\x00\x00\x00\x00\x00\x63\x00\x00\x00\x06M_pt\n0\
        \x00\x00\x00\x17\xdb\x02\x3f\x3f\x0bMETA_WEIGHT\x0220\x01a\x01b";
    assert_eq!(out, golden);
    let (frame, _) = motan2::decode(&out, LIMIT).unwrap().unwrap();
    let read: Vec<_> = breeze::Map::read(frame.body).unwrap().pairs().collect();
    assert_eq!(read, pairs);
}

type Pairs = &'static [(&'static [u8], &'static [u8])];

#[test]
fn maps_of_the_meta_service_are_written_as_motan_go_writes_them() {
    let rows: [(Pairs, &[u8]); 2] = [
        (&[], b"\xdb\x00"),
        (
            &[(b"META_WEIGHT", b"20")],
            b"\xdb\x01\x3f\x3f\x0bMETA_WEIGHT\x0220",
        ),
    ];
    for (pairs, bytes) in rows {
        let mut out = Vec::new();
        breeze::write(&mut out, pairs.iter().copied());
        assert_eq!(out, bytes);
        let read: Vec<_> = breeze::Map::read(bytes).unwrap().pairs().collect();
        assert_eq!(read, pairs);
    }
    // The same map with a type before each string.
    let tagged = b"\xd9\x01\x0bMETA_WEIGHT\x3f\x0220";
    let read: Vec<_> = breeze::Map::read(tagged).unwrap().pairs().collect();
    assert_eq!(read, [(&b"META_WEIGHT"[..], &b"20"[..])]);
}
