use std::borrow::Cow;
use std::rc::Rc;

use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn json_becomes_what_programs_read() {
    let text = Value::String;
    let rows = [
        ("null", Value::Null),
        ("true", Value::Bool(true)),
        ("7", Value::Int64(7)),
        ("-9223372036854775808", Value::Int64(i64::MIN)),
        ("1.5", Value::Float64(1.5)),
        ("\"a\"", text(b"a")),
        ("[]", Value::Array(vec![])),
        ("[\"a\",\"b\"]", Value::StringArray(vec![b"a", b"b"])),
        ("[\"a\",1]", Value::Array(vec![text(b"a"), Value::Int64(1)])),
        ("{}", Value::Map(vec![])),
        ("{\"a\":\"b\"}", Value::StringMap(vec![(b"a", b"b")])),
        ("{\"a\":null}", Value::Map(vec![(text(b"a"), Value::Null)])),
    ];
    for (json, value) in rows {
        assert_eq!(
            to_value(&parse(json.as_bytes()).unwrap()).unwrap(),
            value,
            "{json}"
        );
    }
}

#[test]
fn what_can_not_be_passed_on_is_refused() {
    let words = |body: &[u8]| match parse(body) {
        Ok(json) => to_value(&json).unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    assert!(words(b"").contains("is empty"));
    assert!(words(b"{\"a\":}").contains("line 1 column 6"));
    assert!(words(b"1 2").contains("trailing"));
    assert!(words(b"18446744073709551615").contains("send it as a string"));
    assert!(words("[".repeat(40).as_bytes()).contains("EOF"));
    let nested = format!("{}{}", "[".repeat(40), "]".repeat(40));
    assert!(words(nested.as_bytes()).contains("nest deeper"));
    let many = format!("[{}1]", "1,".repeat(70_000));
    assert!(words(many.as_bytes()).contains("more than 65536 values"));
}

#[test]
fn values_become_json() {
    let rows = [
        (Value::Null, json!(null)),
        (Value::Bytes(&[0xff, 0xef]), json!("/+8=")),
        (Value::String(b"\xff"), json!("\u{fffd}")),
        (Value::Byte(255), json!(255)),
        (Value::Int16(-2), json!(-2)),
        (Value::Int64(i64::MAX), json!(i64::MAX)),
        (Value::Float64(f64::NAN), json!("NaN")),
        (Value::Float32(f32::NEG_INFINITY), json!("-Infinity")),
        (
            Value::Map(vec![(Value::Int64(1), Value::Bool(true))]),
            json!({"1": true}),
        ),
        (Value::StringArray(vec![b"a"]), json!(["a"])),
    ];
    for (value, json) in rows {
        assert_eq!(of_value(&value), json);
    }
    assert_eq!(
        of_value(&Value::Int64(9_007_199_254_740_993)).to_string(),
        "9007199254740993"
    );
    assert_eq!(of_value(&Value::Float32(0.1)).to_string(), "0.1");
    let class = hessian::Class {
        name: "A".to_owned(),
        fields: vec!["b".to_owned(), "when".to_owned()],
    };
    let text = hessian::Value::String(Cow::Borrowed("x"));
    let object = hessian::Value::Object(Rc::new(class), [text, hessian::Value::Date(5)].into());
    assert_eq!(of_hessian(&object), json!({"b": "x", "when": 5}));
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        ".{0,6}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
            proptest::collection::btree_map(".{0,4}", inner, 0..5)
                .prop_map(|pairs| Json::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_survives_each_serialization(json in any_json()) {
        let json = parse(json.to_string().as_bytes()).unwrap();
        let value = to_value(&json).unwrap();
        prop_assert_eq!(&of_value(&value), &json);
        let mut simple = Vec::new();
        wire::value::write(&mut simple, &value);
        prop_assert_eq!(&of_value(&wire::value::Values::new(&simple).next().unwrap().unwrap()), &json);
        let mut written = Vec::new();
        hessian::write(&mut written, &value);
        prop_assert_eq!(&of_hessian(&hessian::read(&written).unwrap()), &json);
        let mut breeze = Vec::new();
        wire::breeze::write_value(&mut breeze, &value);
        prop_assert_eq!(&of_value(&wire::breeze::read_value(&breeze).unwrap()), &json);
    }

    #[test]
    fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(json) = parse(&body) {
            let _ = to_value(&json);
        }
    }
}
