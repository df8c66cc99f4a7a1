use proptest::prelude::*;

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

#[test]
fn every_type_is_read_and_written_as_the_existing_programs_do() {
    let rows = [
        ("00", Value::Null),
        ("0100000003526179", Value::String(b"Ray")),
        ("0100000000", Value::String(b"")),
        (
            "020000000a00000001610000000131",
            Value::StringMap(vec![(b"a", b"1")]),
        ),
        ("0200000000", Value::StringMap(vec![])),
        ("0300000003010203", Value::Bytes(&[1, 2, 3])),
        (
            "040000000b0000000161000000026263",
            Value::StringArray(vec![b"a", b"bc"]),
        ),
        ("0501", Value::Bool(true)),
        ("0500", Value::Bool(false)),
        ("06ff", Value::Byte(255)),
        ("07fffe", Value::Int16(-2)),
        ("070102", Value::Int16(258)),
        ("0800", Value::Int32(0)),
        ("0801", Value::Int32(-1)),
        ("0802", Value::Int32(1)),
        ("08d804", Value::Int32(300)),
        ("08feffffff0f", Value::Int32(i32::MAX)),
        ("08ffffffff0f", Value::Int32(i32::MIN)),
        ("0901", Value::Int64(-1)),
        ("09ac02", Value::Int64(150)),
        ("09ffffffffffffffffff01", Value::Int64(i64::MIN)),
        ("0a3fc00000", Value::Float32(1.5)),
        ("0bc002000000000000", Value::Float64(-2.25)),
        (
            "140000000801000000016b0902",
            Value::Map(vec![(Value::String(b"k"), Value::Int64(1))]),
        ),
        (
            "150000000d03000000014803000000024242",
            Value::Array(vec![Value::Bytes(b"H"), Value::Bytes(b"BB")]),
        ),
        // What OpenResty makes of {"x", "y"} and {1, "z"}.
        (
            "040000000a00000001780000000179",
            Value::StringArray(vec![b"x", b"y"]),
        ),
        (
            "1500000008090201000000017a",
            Value::Array(vec![Value::Int64(1), Value::String(b"z")]),
        ),
    ];
    for (hex, value) in rows {
        let encoded = bytes(hex);
        let mut values = Values::new(&encoded);
        assert_eq!(values.next(), Ok(Some(value.clone())), "{hex}");
        assert_eq!(values.next(), Ok(None), "{hex}");
        let mut out = Vec::new();
        write(&mut out, &value);
        assert_eq!(out, encoded, "{hex}");
    }
}

#[test]
fn parameters_follow_one_another() {
    let body = bytes("0100000003526179 080e 00");
    let mut values = Values::new(&body);
    assert_eq!(values.next(), Ok(Some(Value::String(b"Ray"))));
    assert_eq!(values.next(), Ok(Some(Value::Int32(7))));
    assert_eq!(values.next(), Ok(Some(Value::Null)));
    assert_eq!(values.next(), Ok(None));
}

#[test]
fn damaged_values_are_refused() {
    let rows = [
        ("0c", NotSimple::Tag(12)),
        ("01000000", NotSimple::Short),
        ("0100000002aa", NotSimple::Short),
        ("0900", NotSimple::Short),
        ("150000000103", NotSimple::Short),
        ("09ffffffffffffffffffff", NotSimple::Varint),
        ("09ffffffffffffffffff02", NotSimple::Varint),
        ("08ffffffffffffffffff01", NotSimple::Varint),
    ];
    for (hex, error) in rows {
        let damaged = bytes(hex);
        let damaged = if hex == "0900" {
            &damaged[..1]
        } else {
            &damaged[..]
        };
        assert_eq!(Values::new(damaged).next(), Err(error), "{hex}");
    }
}

#[test]
fn nesting_without_end_is_refused() {
    let mut value = Value::Null;
    for _ in 0..=MAX_DEPTH {
        value = Value::Array(vec![value]);
    }
    let mut out = Vec::new();
    write(&mut out, &value);
    assert_eq!(Values::new(&out).next(), Err(NotSimple::Deep));
}

#[test]
fn values_without_number_are_refused() {
    let array = |length: u32| {
        let mut out = vec![21];
        out.extend_from_slice(&length.to_be_bytes());
        out.resize(out.len() + length as usize, 0);
        out
    };
    let read = |body: &[u8]| {
        let mut values = Values::new(body);
        while values.next()?.is_some() {}
        Ok(())
    };
    assert_eq!(read(&array(MAX_VALUES)), Ok(()));
    assert_eq!(read(&array(MAX_VALUES + 1)), Err(NotSimple::Many));
    // Several containers share the room.
    let halves = [array(MAX_VALUES / 2), array(MAX_VALUES / 2)].concat();
    assert_eq!(read(&halves), Ok(()));
    assert_eq!(read(&[&halves[..], &array(1)].concat()), Err(NotSimple::Many));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_what_reads_writes_back_to_an_equal_value(
        body in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut values = Values::new(&body);
        while let Ok(Some(value)) = values.next() {
            let mut out = Vec::new();
            write(&mut out, &value);
            let again = Values::new(&out).next().unwrap().unwrap();
            prop_assert_eq!(format!("{again:?}"), format!("{value:?}"));
        }
    }

    #[test]
    fn integers_survive(number in any::<i64>()) {
        let mut out = Vec::new();
        write(&mut out, &Value::Int64(number));
        prop_assert_eq!(Values::new(&out).next(), Ok(Some(Value::Int64(number))));
    }
}
