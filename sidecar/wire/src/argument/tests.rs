use proptest::prelude::*;

use super::*;

fn text(text: &str) -> Argument<'_> {
    Argument::Text(text.as_bytes().into())
}

fn map<'a>(pairs: &[(&'a str, &'a str)]) -> Argument<'a> {
    let pairs = pairs
        .iter()
        .map(|(key, value)| (key.as_bytes().into(), value.as_bytes().into()));
    Argument::Map(pairs.collect())
}

#[test]
fn every_form_is_read_in_every_serialization() {
    let rows: [(Format, &[u8], Argument<'_>); 20] = [
        (Format::Simple, b"", Argument::None),
        (Format::Simple, b"\0", Argument::None),
        (Format::Simple, b"\x01\0\0\0\x03Ray", text("Ray")),
        (Format::Simple, b"\x03\0\0\0\x03Ray", text("Ray")),
        (
            Format::Simple,
            b"\x02\0\0\0\x0a\0\0\0\x01a\0\0\0\x011",
            map(&[("a", "1")]),
        ),
        (
            Format::Simple,
            b"\x14\0\0\0\x0c\x01\0\0\0\x01a\x01\0\0\0\x011",
            map(&[("a", "1")]),
        ),
        (Format::Simple, b"\x14\0\0\0\0", map(&[])),
        (Format::Hessian2, b"N", Argument::None),
        (Format::Hessian2, b"\x03Ray", text("Ray")),
        (Format::Hessian2, b"\x30\x03Ray", text("Ray")),
        (Format::Hessian2, b"R\0\x01RS\0\x02ay", text("Ray")),
        (Format::Hessian2, b"\x23Ray", text("Ray")),
        (Format::Hessian2, b"A\0\x01R\x22ay", text("Ray")),
        (Format::Hessian2, "\x02ü€".as_bytes(), text("ü€")),
        (Format::Hessian2, b"\x02\xed\xa0\xbd\xed\xb8\x80", text("😀")),
        (Format::Hessian2, b"H\x01a\x011Z", map(&[("a", "1")])),
        (Format::Hessian2, b"M\x03x.Y\x01a\x011Z", map(&[("a", "1")])),
        (Format::Breeze, b"\x03Ray", text("Ray")),
        (Format::Breeze, b"\x9d\0\0\0\x03Ray", text("Ray")),
        (Format::Breeze, b"\xdb\x01\x3f\x3f\x01a\x011", map(&[("a", "1")])),
    ];
    for (format, body, expected) in rows {
        let read = format.read(body);
        assert_eq!(read, Ok(expected), "{format:?} {body:?}");
    }
}

#[test]
fn anything_else_is_refused_with_its_reason() {
    let rows: [(Format, &[u8], NotAnArgument); 10] = [
        (
            Format::Simple,
            b"\x01\0\0\0\x01a\x01\0\0\0\x01b",
            NotAnArgument::Several,
        ),
        (Format::Simple, b"\x08\x02", NotAnArgument::Type),
        (
            Format::Simple,
            b"\x14\0\0\0\x08\x01\0\0\0\x01a\x09\x02",
            NotAnArgument::Type,
        ),
        (Format::Simple, b"\x01\0\0\0\x09a", NotAnArgument::Damaged),
        (Format::Hessian2, b"\x01a\x01b", NotAnArgument::Several),
        (Format::Hessian2, b"\x91", NotAnArgument::Type),
        (Format::Hessian2, b"\x05a", NotAnArgument::Damaged),
        (Format::Hessian2, b"H\x01a\x011", NotAnArgument::Damaged),
        (Format::Breeze, b"\x51", NotAnArgument::Type),
        (Format::Breeze, b"\x01a\x01b", NotAnArgument::Several),
    ];
    for (format, body, expected) in rows {
        let read = format.read(body);
        assert_eq!(read, Err(expected), "{format:?} {body:?}");
    }
}

#[test]
fn a_format_has_its_number_and_other_numbers_have_none() {
    for number in 0..32 {
        let expected = match number {
            0 | 6 | 8 => Ok(number),
            other => Err(NotAnArgument::Serialization(other)),
        };
        assert_eq!(Format::of(number).map(Format::number), expected);
    }
}

fn formats() -> impl Strategy<Value = Format> {
    prop::sample::select(vec![Format::Simple, Format::Hessian2, Format::Breeze])
}

proptest! {
    #[test]
    fn bytes_survive_in_every_format(length in 0usize..70_000, format in formats()) {
        let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        let mut out = Vec::new();
        format.write_bytes(&mut out, &bytes);
        let expected = Argument::Text(bytes.as_slice().into());
        prop_assert_eq!(format.read(&out), Ok(expected));
    }

    #[test]
    fn arbitrary_bytes_never_panic(format in formats(), body in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = format.read(&body);
    }
}
