use proptest::prelude::*;

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

#[test]
fn values_are_read_and_written_as_the_existing_programs_do() {
    let rows = [
        ("03526179", Value::String(b"Ray")),
        ("00", Value::String(b"")),
        ("57", Value::Int32(7)),
        ("40", Value::Int32(-16)),
        ("7e", Value::Int32(46)),
        ("7f5e", Value::Int32(47)),
        ("7fffffffff0f", Value::Int32(i32::MIN)),
        ("88", Value::Int64(0)),
        ("80", Value::Int64(-8)),
        ("97", Value::Int64(15)),
        ("9820", Value::Int64(16)),
        ("9880c8afa025", Value::Int64(5_000_000_000)),
        ("99", Value::Null),
        ("9a", Value::Bool(true)),
        ("9b", Value::Bool(false)),
        ("9cff", Value::Byte(255)),
        ("9d00000002 0102", Value::Bytes(&[1, 2])),
        ("9efffe", Value::Int16(-2)),
        ("9f3fc00000", Value::Float32(1.5)),
        ("a03ff8000000000000", Value::Float64(1.5)),
        (
            "d901 0161 57",
            Value::Map(vec![(Value::String(b"a"), Value::Int32(7))]),
        ),
        ("da02 57 99", Value::Array(vec![Value::Int32(7), Value::Null])),
    ];
    for (hex, value) in rows {
        let encoded = bytes(hex);
        assert_eq!(read_value(&encoded), Ok(value.clone()), "{hex}");
        let mut out = Vec::new();
        write_value(&mut out, &value);
        assert_eq!(out, encoded, "{hex}");
    }
}

#[test]
fn packed_containers_and_messages_are_read() {
    let text = Value::String;
    let field = |number, value| (Value::Int64(number), value);
    let rows = [
        ("", Value::Null),
        ("db00", Value::Map(vec![])),
        (
            "db013f3f0b4d4554415f574549474854023230",
            Value::Map(vec![(text(b"META_WEIGHT"), text(b"20"))]),
        ),
        ("db013f7f016e04", Value::Map(vec![(text(b"n"), Value::Int32(2))])),
        ("dc023f01610162", Value::Array(vec![text(b"a"), text(b"b")])),
        (
            "dc029a9a9b",
            Value::Array(vec![Value::Bool(true), Value::Bool(false)]),
        ),
        (
            "dc01dc 01 7f04",
            Value::Array(vec![Value::Array(vec![Value::Int32(2)])]),
        ),
        (
            "de0141 00000002 0157",
            Value::Map(vec![field(1, Value::Int32(7))]),
        ),
        (
            "da03 de0141 00000002 0157 e0 00000000 df01 00000000",
            Value::Array(vec![
                Value::Map(vec![field(1, Value::Int32(7))]),
                Value::Map(vec![]),
                Value::Map(vec![]),
            ]),
        ),
        (
            "dc02 de0141 00000002 0157 00000002 0258",
            Value::Array(vec![
                Value::Map(vec![field(1, Value::Int32(7))]),
                Value::Map(vec![field(2, Value::Int32(8))]),
            ]),
        ),
    ];
    for (hex, value) in rows {
        assert_eq!(read_value(&bytes(hex)), Ok(value), "{hex}");
    }
    let strings = Value::StringArray(vec![b"a", b"b"]);
    let mut out = Vec::new();
    write_value(&mut out, &strings);
    assert_eq!(out, bytes("dc023f01610162"));
}

#[test]
fn what_is_no_value_is_refused() {
    let rows = [
        ("dd", NotBreeze::Tag(0xdd)),
        ("a1", NotBreeze::Tag(0xa1)),
        ("02 61", NotBreeze::Short),
        ("57 57", NotBreeze::Trailing),
        ("da02 57", NotBreeze::Short),
        ("7fffffffffff01", NotBreeze::Varint),
        ("3fffffffffffffffffffff", NotBreeze::Varint),
        ("de0141 00000003 0157", NotBreeze::Short),
        // Four thousand million nothings.
        ("dcffffffff0f99", NotBreeze::Many),
    ];
    for (hex, error) in rows {
        assert_eq!(read_value(&bytes(hex)), Err(error), "{hex}");
    }
    assert_eq!(read_value(&[0xda, 1].repeat(64)), Err(NotBreeze::Deep));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_what_reads_writes_back(body in proptest::collection::vec(any::<u8>(), 0..96)) {
        if let Ok(value) = read_value(&body) {
            let mut out = Vec::new();
            write_value(&mut out, &value);
            prop_assert_eq!(format!("{:?}", read_value(&out)), format!("{:?}", Ok::<_, NotBreeze>(value)));
        }
    }

    #[test]
    fn numbers_survive(int in any::<i32>(), long in any::<i64>(), small in -300i32..300) {
        for value in [Value::Int32(int), Value::Int32(small), Value::Int64(long), Value::Int64(i64::from(small))] {
            let mut out = Vec::new();
            write_value(&mut out, &value);
            prop_assert_eq!(read_value(&out), Ok(value));
        }
    }
}
