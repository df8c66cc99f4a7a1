use proptest::prelude::*;

use super::*;
use crate::value::Value as Simple;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

fn text(text: &str) -> Value<'_> {
    Value::String(Cow::Borrowed(text))
}

#[test]
fn every_tag_is_read() {
    let list = |items: Vec<Value<'static>>| Value::List(items.into());
    let rows = [
        ("", Value::Null),
        ("4e", Value::Null),
        ("54", Value::Bool(true)),
        ("46", Value::Bool(false)),
        ("90", Value::Int(0)),
        ("80", Value::Int(-16)),
        ("c6ff", Value::Int(-257)),
        ("c830", Value::Int(48)),
        ("d7ffff", Value::Int(262_143)),
        ("d00000", Value::Int(-262_144)),
        ("49 80000000", Value::Int(i32::MIN)),
        ("e0", Value::Long(0)),
        ("d8", Value::Long(-8)),
        ("f6ff", Value::Long(-257)),
        ("f000", Value::Long(-2048)),
        ("3fffff", Value::Long(262_143)),
        ("59 ffffffff", Value::Long(-1)),
        ("4c 7fffffffffffffff", Value::Long(i64::MAX)),
        ("5b", Value::Double(0.0)),
        ("5c", Value::Double(1.0)),
        ("5d80", Value::Double(-128.0)),
        ("5e7fff", Value::Double(32_767.0)),
        ("5f000005dc", Value::Double(1.5)),
        ("44 4028800000000000", Value::Double(12.25)),
        ("4a 000000d04b92842 0", Value::Date(0xd0_4b92_8420)),
        ("4b 00e3841f", Value::Date(0x00e3_841f * 60_000)),
        ("00", text("")),
        ("05 68656c6c6f", text("hello")),
        ("02 e4b896e7958c", text("世界")),
        ("02 eda0bdedb880", text("😀")),
        ("52 0001 61 01 62", text("ab")),
        ("52 0001 eda0bd 01 edb880", text("😀")),
        ("23 010203", Value::Bytes(Cow::Borrowed(&[1, 2, 3]))),
        ("41 0001 01 21 02", Value::Bytes(Cow::Borrowed(&[1, 2]))),
        ("3402 0102", Value::Bytes(Cow::Borrowed(&[1, 2]))),
        ("57 90 91 5a", list(vec![Value::Int(0), Value::Int(1)])),
        ("58 91 54", list(vec![Value::Bool(true)])),
        ("55 045b696e74 90 5a", list(vec![Value::Int(0)])),
        ("71 045b696e74 90", list(vec![Value::Int(0)])),
        (
            "7a 71 0161 90 71 90 91",
            list(vec![list(vec![Value::Int(0)]), list(vec![Value::Int(1)])]),
        ),
        (
            "48 0161 91 5a",
            Value::Map(vec![(text("a"), Value::Int(1))].into()),
        ),
        (
            "4d 0174 0161 91 5a",
            Value::Map(vec![(text("a"), Value::Int(1))].into()),
        ),
        // A list that is there twice.
        (
            "7a 79 90 51 91",
            list(vec![list(vec![Value::Int(0)]), list(vec![Value::Int(0)])]),
        ),
    ];
    for (hex, value) in rows {
        assert_eq!(read(&bytes(hex)), Ok(value), "{hex}");
    }
}

#[test]
fn an_object_has_the_fields_of_its_class() {
    let body = bytes("79 43 0141 92 0161 0162 60 91 4f 90 92 4e");
    let Value::List(items) = read(&body).unwrap() else {
        panic!("a list");
    };
    let Value::Object(class, values) = &items[0] else {
        panic!("an object");
    };
    assert_eq!(
        (class.name.as_str(), &class.fields[..]),
        ("A", &["a".to_owned(), "b".to_owned()][..])
    );
    assert_eq!(values[0], Value::Int(1));
    assert!(matches!(&values[1], Value::Object(_, inner) if inner[..] == [Value::Int(2), Value::Null]));
}

#[test]
fn what_is_no_value_is_refused() {
    let rows = [
        ("40", NotHessian::Tag(0x40)),
        ("49 00", NotHessian::Short),
        ("02 61", NotHessian::Short),
        ("01 ff", NotHessian::Text),
        ("01 c361", NotHessian::Text),
        ("90 90", NotHessian::Trailing),
        ("51 90", NotHessian::Reference(0)),
        ("79 51 90", NotHessian::Cycle),
        ("60", NotHessian::Reference(0)),
        ("71 90 90", NotHessian::Reference(0)),
        ("57 90", NotHessian::Short),
        ("43 0141 49 7fffffff", NotHessian::Many),
    ];
    for (hex, error) in rows {
        assert_eq!(read(&bytes(hex)), Err(error), "{hex}");
    }
    assert_eq!(read(&[0x79; 64]), Err(NotHessian::Deep));
}

#[test]
fn references_can_not_make_a_short_body_long() {
    // Each list holds the one before it twice: 2^30 values in a hundred bytes.
    let mut body = vec![0x58, 0x90 + 31, 0x78];
    for number in 1..31u8 {
        body.extend_from_slice(&[0x7a, b'Q', 0x90 + number, b'Q', 0x90 + number]);
    }
    assert_eq!(read(&body), Err(NotHessian::Many));
    // A text of 30 000 bytes, 1000 times.
    let mut body = vec![b'W', 0x79, b'S', 0x75, 0x30];
    body.extend_from_slice(&[b'a'; 30_000]);
    body.extend_from_slice(&[b'Q', 0x91].repeat(1000));
    body.push(b'Z');
    assert_eq!(read(&body), Err(NotHessian::Many));
}

/// What a value is after a program of Java has read it and written it again.
fn expected(value: &Simple<'_>) -> Value<'static> {
    let owned = |text: &[u8]| Value::String(Cow::Owned(String::from_utf8_lossy(text).into_owned()));
    match value {
        Simple::Null => Value::Null,
        Simple::Bool(value) => Value::Bool(*value),
        Simple::Byte(value) => Value::Int(i32::from(*value)),
        Simple::Int16(value) => Value::Int(i32::from(*value)),
        Simple::Int32(value) => Value::Int(*value),
        Simple::Int64(value) => Value::Long(*value),
        Simple::Float32(value) => Value::Double(f64::from(*value)),
        Simple::Float64(value) => Value::Double(*value),
        Simple::String(text) => owned(text),
        Simple::Bytes(bytes) => Value::Bytes(Cow::Owned(bytes.to_vec())),
        Simple::StringArray(items) => Value::List(items.iter().map(|item| owned(item)).collect()),
        Simple::Array(items) => Value::List(items.iter().map(expected).collect()),
        Simple::StringMap(pairs) => Value::Map(
            pairs
                .iter()
                .map(|(key, value)| (owned(key), owned(value)))
                .collect(),
        ),
        Simple::Map(pairs) => Value::Map(
            pairs
                .iter()
                .map(|(key, value)| (expected(key), expected(value)))
                .collect(),
        ),
    }
}

#[test]
fn long_texts_and_arrays_come_in_pieces() {
    let long = "ä😀".repeat(40_000);
    let many = vec![7; 100_000];
    for value in [Simple::String(long.as_bytes()), Simple::Bytes(&many)] {
        let mut out = Vec::new();
        write(&mut out, &value);
        assert!(read(&out) == Ok(expected(&value)));
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..96)) {
        let _ = read(&body);
    }

    #[test]
    fn numbers_survive(int in any::<i32>(), long in any::<i64>(), small in -70_000i64..70_000, double in any::<f64>()) {
        let values = [Simple::Int32(int), Simple::Int64(long), Simple::Int64(small), Simple::Float64(double)];
        for value in values {
            let mut out = Vec::new();
            write(&mut out, &value);
            prop_assert_eq!(format!("{:?}", read(&out)), format!("{:?}", Ok::<_, NotHessian>(expected(&value))));
        }
    }

    #[test]
    fn texts_survive(text in ".{0,80}", items in proptest::collection::vec(".{0,4}", 0..20)) {
        let items: Vec<&[u8]> = items.iter().map(String::as_bytes).collect();
        let value = Simple::Map(vec![(Simple::String(text.as_bytes()), Simple::StringArray(items))]);
        let mut out = Vec::new();
        write(&mut out, &value);
        prop_assert_eq!(read(&out), Ok(expected(&value)));
    }
}
