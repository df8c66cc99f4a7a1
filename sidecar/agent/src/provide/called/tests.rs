use wire::motan2::{self, DEFAULT_LIMIT, Header, SIMPLE};
use wire::value::{self, Value};

use super::*;

fn name() -> ServiceName {
    ServiceName::of("shop", "user").unwrap()
}

fn encoded(serialization: u8, pairs: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let header = Header {
        serialization: serialization << 3,
        ..Header::request(7)
    };
    let meta = |meta: &mut Writer<'_>| {
        for (key, value) in pairs {
            meta.pair(key.as_bytes(), value.as_bytes());
        }
    };
    motan2::encode(&mut out, header, meta, |out| out.extend_from_slice(body));
    out
}

fn made(pairs: &[(&str, &str)], body: &[u8]) -> Result<Request<Bytes>, Failure> {
    let bytes = encoded(SIMPLE, pairs, body);
    let (frame, _) = motan2::decode(&bytes, DEFAULT_LIMIT).unwrap().unwrap();
    request(&name(), &frame)
}

fn simple(values: &[Value<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    values.iter().for_each(|value| value::write(&mut body, value));
    body
}

/// Method, target and body.
async fn line(pairs: &[(&str, &str)], values: &[Value<'_>]) -> (String, String, String) {
    let request = made(pairs, &simple(values)).unwrap();
    let (method, target) = (request.method().to_string(), request.uri().to_string());
    let body = request.into_body();
    (method, target, String::from_utf8(body.to_vec()).unwrap())
}

type Pairs = &'static [(&'static str, &'static str)];
type Line = (
    Pairs,
    Vec<Value<'static>>,
    (&'static str, &'static str, &'static str),
);

#[tokio::test]
async fn method_target_and_body_are_what_metadata_and_argument_say() {
    let map = || Value::StringMap(vec![(b"a", b"1 2"), (b"b&", "ü".as_bytes())]);
    let rows: [Line; 9] = [
        (&[("M_m", "/x")], vec![], ("GET", "/x", "")),
        (
            &[("M_m", "/x"), ("HTTP_QueryString", "q=%20&r=a b")],
            vec![],
            ("GET", "/x?q=%20&r=a%20b", ""),
        ),
        (&[("M_m", "hello")], vec![], ("GET", "/hello", "")),
        (&[("M_m", "/a b/../c?d")], vec![], ("GET", "/c%3Fd", "")),
        (&[("M_m", "/x")], vec![map()], ("GET", "/x?a=1+2&b%26=%C3%BC", "")),
        (
            &[("M_m", "/x"), ("HTTP_QueryString", "q=1")],
            vec![map()],
            ("GET", "/x?q=1&a=1+2&b%26=%C3%BC", ""),
        ),
        (
            &[("M_m", "/x"), ("HTTP_Method", "POST")],
            vec![map()],
            ("POST", "/x", "a=1+2&b%26=%C3%BC"),
        ),
        (
            &[("M_m", "/x"), ("HTTP_Method", "PUT")],
            vec![Value::Bytes(b"raw")],
            ("PUT", "/x", "raw"),
        ),
        (
            &[("M_m", "/x")],
            vec![Value::String(b"with GET too")],
            ("GET", "/x", "with GET too"),
        ),
    ];
    for (pairs, values, (method, target, body)) in rows {
        let expected = (method.to_owned(), target.to_owned(), body.to_owned());
        assert_eq!(line(pairs, &values).await, expected, "{pairs:?}");
    }
}

#[test]
fn metadata_become_headers_by_the_rules() {
    let request = made(
        &[
            ("M_p", "demo.User"),
            ("M_m", "/x"),
            ("M_g", "g1"),
            ("M_s", "web"),
            ("M_rid", "-7"),
            ("HTTP_Method", "POST"),
            ("host", "10.0.0.9"),
            ("Host", "ignored"),
            ("remoteIP", "10.9.9.9"),
            ("content-type", "text/plain"),
            ("http_X-Token", "t"),
            ("http_http_twice", "once"),
            ("custom", "kept"),
            ("not a name", "left out"),
            ("http_x-mesh-error", "left out"),
            ("Content-Length", "99"),
            ("Transfer-Encoding", "chunked"),
            ("Connection", "custom2"),
            ("custom2", "for one hop"),
        ],
        b"",
    )
    .unwrap();
    let mut headers: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    headers.sort();
    let expected = [
        "content-type: text/plain",
        "custom: kept",
        "host: user.shop.mesh",
        "http_twice: once",
        "motan-g: g1",
        "motan-m: /x",
        "motan-p: demo.User",
        "motan-rid: -7",
        "motan-s: web",
        "remoteip: 10.9.9.9",
        "x-forwarded-for: 10.9.9.9",
        "x-token: t",
    ];
    assert_eq!(headers, expected);
}

#[test]
fn the_host_is_what_the_caller_says() {
    for key in ["http_host", "http_Host"] {
        let request = made(&[("M_m", "/"), (key, "user.example.com")], b"").unwrap();
        assert_eq!(request.headers()["host"], "user.example.com");
    }
}

#[test]
fn what_http_has_no_place_for_is_refused() {
    let two = simple(&[Value::String(b"a"), Value::String(b"b")]);
    let number = simple(&[Value::Int64(1)]);
    let rows: [(Pairs, &[u8], &str); 4] = [
        (
            &[("M_m", "/x")],
            &two,
            "shop/user: there is more than one parameter",
        ),
        (
            &[("M_m", "/x")],
            &number,
            "neither a string nor a byte array nor a map",
        ),
        (
            &[("M_m", "/x"), ("HTTP_Method", "A B")],
            b"",
            "HTTP_Method is not a method",
        ),
        (
            &[("M_m", "/x"), ("HTTP_Method", "CONNECT")],
            b"",
            "HTTP_Method is not a method",
        ),
    ];
    for (pairs, body, words) in rows {
        let failure = made(pairs, body).unwrap_err();
        assert_eq!(failure.kind, Kind::BadRequest);
        assert!(failure.words.contains(words), "{}", failure.words);
    }
    let bytes = encoded(5, &[("M_m", "/x")], b"\0\0");
    let (frame, _) = motan2::decode(&bytes, DEFAULT_LIMIT).unwrap().unwrap();
    let failure = request(&name(), &frame).unwrap_err();
    assert_eq!(failure.kind, Kind::Unsupported);
    assert!(
        failure.words.starts_with("service not support: serialization 5"),
        "{}",
        failure.words
    );
}

fn told(http_exception: bool, status: u16, pairs: &[(&'static str, &str)]) -> Made {
    let mut response = hyper::Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in pairs {
        response.headers_mut().append(*name, value.parse().unwrap());
    }
    let (parts, ()) = response.into_parts();
    reply(http_exception, Format::Simple, &parts, b"the body")
}

#[test]
fn a_response_is_metadata_and_bytes_whatever_its_status() {
    let cookies = [
        ("content-type", "text/plain"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("m_e", "no exception of ours"),
        ("x-mesh-unsent", "1"),
        ("etag", "\"x\""),
    ];
    for status in [200, 404, 503] {
        let made = told(false, status, &cookies);
        let meta = Meta::new(&made.meta).unwrap();
        let mut pairs: Vec<_> = meta
            .pairs()
            .map(|(key, value)| {
                format!(
                    "{}={}",
                    String::from_utf8_lossy(key),
                    String::from_utf8_lossy(value)
                )
            })
            .collect();
        pairs.sort();
        let code = format!("upstreamCode={status}");
        assert_eq!(
            pairs,
            ["Content-Type=text/plain", "Etag=\"x\"", "Set-Cookie=b=2", &code]
        );
        assert_eq!((made.serialization, made.exception), (SIMPLE, None));
        assert_eq!(made.body, simple(&[Value::Bytes(b"the body")]));
    }
}

#[test]
fn a_status_is_an_exception_where_the_export_says_so() {
    assert_eq!(told(true, 399, &[]).exception, None);
    let made = told(true, 404, &[]);
    let expected = Exception {
        code: 404,
        words: "the body".to_owned(),
    };
    assert_eq!((made.exception, made.body), (Some(expected), vec![]));
    assert_eq!(
        Meta::new(&made.meta).unwrap().find(b"upstreamCode"),
        Some(&b"404"[..])
    );
}
