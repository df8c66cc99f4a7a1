//! Motan 1 as Java and motan-go put it on the wire (motan-wire 9).
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use wire::motan1::{self, BODY_AT, Broken, DEFAULT_CODE, Frame, Kind, Outcome, Request, Unreadable, flags};

use crate::text::bytes;

const LIMIT: usize = 1 << 20;

const HEARTBEAT: &str = "f1f10000000000000000002a0000004ef0f00100000000000000002a0000003e
    aced000577380021636f6d2e776569626f2e6170692e6d6f74616e2e7270632e6865617274626561740009686561727462656174
    0004766f696400000000";
const HEARTBEAT_ANSWER: &str = "f1f10001000000000000002a00000051f0f00101000000000000002a00000041
    aced0005771a000000000000000000106a6176612e6c616e672e537472696e67757200025b42acf317f8060854e0020000787000
    00000a09686561727462656174";
const EXCEPTION: &str = "f1f10001000000000000002a0000014cf0f00105000000000000002a0000013c
    aced0005773d00000000000000000033636f6d2e776569626f2e6170692e6d6f74616e2e657863657074696f6e2e4d6f74616e53
    657276696365457863657074696f6e757200025b42acf317f8060854e00200007870000000e2433033636f6d2e776569626f2e61
    70692e6d6f74616e2e657863657074696f6e2e4d6f74616e53657276696365457863657074696f6e96086572726f724d73670d64
    657461696c4d6573736167650563617573650d6d6f74616e4572726f724d73670a737461636b5472616365147375707072657373
    6564457863657074696f6e73604e4e4e43302b636f6d2e776569626f2e6170692e6d6f74616e2e657863657074696f6e2e4d6f74
    616e4572726f724d73679306737461747573096572726f72636f6465076d65737361676561c9f7d427110b6e6f2070726f766964
    65724e4e";
const REQUEST: &str = "f1f100001831fffbf0e00002000000f6f0f001001831fffbf0e00002000000e6
    aced00057748002d636f6d2e776569626f2e6d6f74616e2e64656d6f2e736572766963652e4d6f74616e44656d6f536572766963
    65000568656c6c6f00106a6176612e6c616e672e537472696e67757200025b42acf317f8060854e0020000787000000007066d6f
    74616e30777800000005000b6170706c69636174696f6e000b6d794d6f74616e44656d6f000b636c69656e7447726f7570000e6d
    6f74616e2d64656d6f2d72706300066d6f64756c65000e6d6f74616e2d64656d6f2d727063000776657273696f6e0003312e3000
    0567726f7570000e6d6f74616e2d64656d6f2d727063";

fn one(frame: &[u8]) -> Frame<'_> {
    let (decoded, taken) = motan1::decode(frame, LIMIT).unwrap().unwrap();
    assert_eq!(taken, frame.len());
    decoded
}

#[test]
fn a_request_is_read_and_written_to_the_byte() {
    let frame = bytes(REQUEST);
    let decoded = one(&frame);
    assert_eq!((decoded.id, decoded.kind), (0x1831_fffb_f0e0_0002, Kind::Request));
    let request = Request::read(decoded).unwrap();
    assert_eq!(
        request.interface(),
        b"com.weibo.motan.demo.service.MotanDemoService"
    );
    assert_eq!(request.method(), b"hello");
    assert_eq!(request.types(), b"java.lang.String");
    assert!(request.parameters().ends_with(b"\x06motan0"));
    assert_eq!(request.attachments().pairs().count(), 5);
    assert_eq!(
        request.attachments().find(b"group").as_deref(),
        Some(&b"motan-demo-rpc"[..])
    );
    assert_eq!(request.attachments().find(b"host"), None);
    assert!(!request.is_heartbeat());
    let mut out = Vec::new();
    motan1::write_request(&mut out, decoded.id, &request, |out| {
        out.copy(request.attachments(), |_| true)
    });
    assert_eq!(out, frame);
}

#[test]
fn attachments_are_replaced_and_added_and_the_rest_stays() {
    let frame = bytes(REQUEST);
    let request = Request::read(one(&frame)).unwrap();
    let long = vec![b'x'; 3000];
    let mut out = b"before".to_vec();
    motan1::write_request(&mut out, 7, &request, |out| {
        out.copy(request.attachments(), |key| key != b"group");
        out.pair(b"group", b"another");
        out.pair(b"long", &long);
        out.pair(b"", b"without a key");
        out.pair(b"longer than a text", &vec![0; 65_536]);
    });
    let decoded = one(&out[6..]);
    assert_eq!(decoded.id, 7);
    let again = Request::read(decoded).unwrap();
    assert_eq!(again.parameters(), request.parameters());
    assert_eq!(again.attachments().pairs().count(), 6);
    assert_eq!(
        again.attachments().find(b"group").as_deref(),
        Some(&b"another"[..])
    );
    assert_eq!(again.attachments().find(b"version").as_deref(), Some(&b"1.0"[..]));
    assert_eq!(again.attachments().find(b"long").as_deref(), Some(&long[..]));
}

#[test]
fn heartbeats_are_written_to_the_byte_and_known() {
    let frame = bytes(HEARTBEAT);
    let mut out = Vec::new();
    motan1::write_heartbeat(&mut out, 42);
    assert_eq!(out, frame);
    assert!(Request::read(one(&frame)).unwrap().is_heartbeat());
    out.clear();
    motan1::write_heartbeat_answer(&mut out, 42);
    assert_eq!(out, bytes(HEARTBEAT_ANSWER));
    assert_eq!(Outcome::read(one(&out)), Ok(Outcome::Normal));
}

#[test]
fn an_exception_is_written_to_the_byte_and_judged_by_its_class() {
    let frame = bytes(EXCEPTION);
    let mut out = Vec::new();
    motan1::write_exception(&mut out, 42, DEFAULT_CODE, "no provider");
    assert_eq!(out, frame);
    let outcome = Outcome::read(one(&out)).unwrap();
    assert_eq!(
        outcome,
        Outcome::Exception(b"com.weibo.api.motan.exception.MotanServiceException"[..].into())
    );
    assert!(!outcome.is_biz());
    assert!(Outcome::Exception(b"com.weibo.api.motan.exception.MotanBizException"[..].into()).is_biz());
}

#[test]
fn the_id_stands_in_both_headers() {
    let mut frame = bytes(EXCEPTION);
    motan1::set_id(&mut frame, u64::MAX - 1);
    assert_eq!(one(&frame).id, u64::MAX - 1);
    assert_eq!(frame[4..12], frame[20..28]);
    assert_eq!(frame[BODY_AT..], bytes(EXCEPTION)[BODY_AT..]);
}

#[test]
fn the_length_is_known_after_16_bytes_and_the_head_after_32() {
    let frame = bytes(REQUEST);
    for cut in 0..frame.len() {
        let here = &frame[..cut];
        assert_eq!(motan1::total(here, LIMIT), Ok((cut >= 16).then_some(frame.len())));
        let head = motan1::decode_head(here, LIMIT).unwrap();
        assert_eq!(
            head.map(|(head, at)| (head.body_len, at)),
            (cut >= 32).then_some((frame.len() - 32, 32))
        );
        assert_eq!(motan1::decode(here, LIMIT), Ok(None));
        assert_eq!(
            motan1::header(here),
            (cut >= 12).then_some((0x1831_fffb_f0e0_0002, Kind::Request))
        );
    }
}

#[test]
fn headers_that_contradict_themselves_are_refused() {
    let damaged = |at: usize, byte: u8| {
        let mut frame = bytes(REQUEST);
        frame[at] = byte;
        motan1::decode(&frame, LIMIT).map(|_| ())
    };
    assert_eq!(damaged(0, 0xf0), Err(Broken::Magic(0xf0, 0xf1)));
    assert_eq!(damaged(1, 0xf0), Err(Broken::Magic(0xf1, 0xf0)));
    assert_eq!(damaged(3, 2), Err(Broken::Type(2)));
    assert_eq!(damaged(3, 8), Err(Broken::Type(8)));
    assert_eq!(damaged(15, 15), Err(Broken::TooShort(15)));
    assert_eq!(damaged(15, 0xf5), Err(Broken::InnerLength(0xe6)));
    assert_eq!(damaged(12, 1), Err(Broken::TooLong(0x0100_00f6)));
    assert_eq!(damaged(16, 0xf1), Err(Broken::InnerMagic(0xf1, 0xf0)));
    assert_eq!(damaged(18, 3), Err(Broken::InnerVersion(3)));
    assert_eq!(damaged(19, flags::RESPONSE), Err(Broken::Flag(1)));
    assert_eq!(damaged(31, 0), Err(Broken::InnerLength(0)));
    let exact = bytes(HEARTBEAT);
    assert!(motan1::decode(&exact, 0x4e).unwrap().is_some());
    assert_eq!(motan1::decode(&exact, 0x4d), Err(Broken::TooLong(0x4e)));
}

#[test]
fn the_compressed_variant_is_framed_but_not_read() {
    let mut frame = bytes(REQUEST);
    frame[18] = 2;
    assert_eq!(one(&frame).version, 2);
    assert_eq!(Request::read(one(&frame)), Err(Unreadable::Compressed));
    assert_eq!(
        Request::read(one(&bytes(HEARTBEAT_ANSWER))),
        Err(Unreadable::Direction)
    );
    assert_eq!(Outcome::read(one(&frame)), Err(Unreadable::Direction));
}
