use proptest::prelude::*;

use super::*;

/// Reads a string as the specification of Hessian 2 has it, unit by unit: the other half of the writer, made apart.
fn read(mut bytes: &[u8]) -> String {
    let mut next = || {
        let (first, rest) = bytes.split_first().unwrap();
        bytes = rest;
        u16::from(*first)
    };
    let mut units = Vec::new();
    loop {
        let (last, length) = match next() {
            short @ 0..=0x1f => (true, short),
            middle @ 0x30..=0x33 => (true, (middle - 0x30) << 8 | next()),
            0x53 => (true, next() << 8 | next()),
            0x52 => (false, next() << 8 | next()),
            other => panic!("{other:02x} begins no string"),
        };
        for _ in 0..length {
            units.push(match next() {
                one @ 0..=0x7f => one,
                two @ 0xc0..=0xdf => (two & 0x1f) << 6 | next() & 0x3f,
                three @ 0xe0..=0xef => (three & 0x0f) << 12 | (next() & 0x3f) << 6 | next() & 0x3f,
                other => panic!("{other:02x} begins no unit"),
            });
        }
        if last {
            assert!(bytes.is_empty());
            return String::from_utf16(&units).unwrap();
        }
    }
}

fn written(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    string(&mut out, text);
    out
}

#[test]
fn numbers_are_as_short_as_java_and_node_make_them() {
    let rows: [(i32, &[u8]); 12] = [
        (0, &[0x90]),
        (1, &[0x91]),
        (-16, &[0x80]),
        (47, &[0xbf]),
        (48, &[0xc8, 0x30]),
        (300, &[0xc9, 0x2c]),
        (-2048, &[0xc0, 0x00]),
        (2047, &[0xcf, 0xff]),
        (10_001, &[0xd4, 0x27, 0x11]),
        (-262_144, &[0xd0, 0x00, 0x00]),
        (262_143, &[0xd7, 0xff, 0xff]),
        (262_144, &[b'I', 0x00, 0x04, 0x00, 0x00]),
    ];
    for (number, bytes) in rows {
        let mut out = Vec::new();
        int(&mut out, number);
        assert_eq!(out, bytes, "{number}");
    }
}

#[test]
fn the_form_of_a_string_follows_its_length_in_utf_16_units() {
    let rows: [(usize, &[u8]); 7] = [
        (0, &[0x00]),
        (31, &[0x1f]),
        (32, &[0x30, 0x20]),
        (1023, &[0x33, 0xff]),
        (1024, &[b'S', 0x04, 0x00]),
        (0x8000, &[b'S', 0x80, 0x00]),
        (0x8001, &[b'R', 0x80, 0x00]),
    ];
    for (length, head) in rows {
        for letter in ["a", "é", "世"] {
            let text = letter.repeat(length);
            assert!(written(&text).starts_with(head), "{length} times {letter}");
            assert_eq!(read(&written(&text)), text);
        }
    }
    // 16 characters of two units are too many for one byte of length.
    assert_eq!(written(&"😀".repeat(15))[0], 30);
    assert_eq!(written(&"😀".repeat(16))[..2], [0x30, 0x20]);
    assert_eq!(written("😀"), [0x02, 0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80]);
}

#[test]
fn a_long_string_is_never_cut_inside_of_a_character() {
    let text = format!("a{}", "😀".repeat(0x8000));
    let out = written(&text);
    assert_eq!(out[..3], [b'R', 0x7f, 0xff]);
    assert_eq!(read(&out), text);
}

proptest! {
    #[test]
    fn any_text_survives(text in any::<String>(), times in 0usize..2000) {
        let text = text.repeat(times);
        prop_assert_eq!(read(&written(&text)), text);
    }
}
