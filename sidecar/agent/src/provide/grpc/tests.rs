use http_body_util::BodyExt;
use hyper::StatusCode;
use wire::motan2::{self, DEFAULT_LIMIT, Header};

use super::*;

fn asked(number: u8, pairs: &[(&str, &str)], body: &[u8]) -> Result<Request<Body>, Failure> {
    let mut bytes = Vec::new();
    let header = Header {
        serialization: number << 3,
        ..Header::request(7)
    };
    let meta = |meta: &mut Writer<'_>| {
        for (key, value) in pairs {
            meta.pair(key.as_bytes(), value.as_bytes());
        }
    };
    motan2::encode(&mut bytes, header, meta, |out| out.extend_from_slice(body));
    let (frame, _) = motan2::decode(&bytes, DEFAULT_LIMIT).unwrap().unwrap();
    let name = ServiceName::of("shop", "user").unwrap();
    request(&name, carried(&name, &frame)?, &frame, Duration::from_millis(250))
}

#[tokio::test]
async fn a_request_is_one_message_for_the_method_that_is_named() {
    for (number, body) in [(1, &b"\x0a\x01a"[..]), (5, b"\0\x03\x0a\x01a")] {
        let pairs = [
            ("M_p", "demo.User"),
            ("M_m", "Get"),
            ("M_s", "web"),
            ("X-Trace", "t"),
            ("grpc-status", "no"),
            ("Content-Type", "no"),
            ("Connection", "x-hop"),
            ("x-hop", "no"),
            ("words", "ü"),
        ];
        let request = asked(number, &pairs, body).unwrap();
        assert_eq!(
            (request.method(), request.uri().path()),
            (&Method::POST, "/demo.User/Get")
        );
        let mut headers: Vec<_> = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        headers.sort();
        let expected = [
            "content-type: application/grpc",
            "grpc-timeout: 250000u",
            "host: user.shop.mesh",
            "m_m: Get",
            "m_p: demo.User",
            "m_s: web",
            "te: trailers",
            "x-trace: t",
        ];
        assert_eq!(headers, expected);
        let sent = request.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(sent.as_ref(), b"\0\0\0\0\x03\x0a\x01a");
    }
    let whole = asked(1, &[("M_p", "demo.User"), ("M_m", "/other.Service/Get")], b"").unwrap();
    assert_eq!(whole.uri().path(), "/other.Service/Get");
}

#[test]
fn what_is_no_message_is_refused() {
    let named = [("M_p", "demo.User"), ("M_m", "Get")];
    let simple = asked(6, &named, b"").map(drop).unwrap_err();
    assert_eq!(simple.kind, Kind::Unsupported);
    assert!(
        simple
            .words
            .contains("in serialization grpc-pb (1) or protobuf (5), not 6"),
        "{}",
        simple.words
    );
    for (number, pairs, body) in [(5, &named[..], &b"\0\x09a"[..]), (1, &named[..1], b"")] {
        assert_eq!(
            asked(number, pairs, body).map(drop).unwrap_err().kind,
            Kind::BadRequest
        );
    }
}

fn told(
    headers: &[(&'static str, &str)],
    trailers: &[(&'static str, &str)],
    body: &'static [u8],
) -> Result<(Made, u16), Failure> {
    let map = |pairs: &[(&'static str, &str)]| -> HeaderMap {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        pairs.collect()
    };
    let mut response = hyper::Response::new(());
    *response.status_mut() = StatusCode::OK;
    *response.headers_mut() = map(headers);
    let (parts, ()) = response.into_parts();
    reply(Carried::Plain, &parts, &map(trailers), &Bytes::from_static(body))
}

#[test]
fn an_answer_is_its_message_and_its_metadata() {
    let headers = [("content-type", "application/grpc"), ("x-a", "1"), ("m_e", "no")];
    let (made, status) = told(&headers, &[("grpc-status", "0"), ("x-b", "2")], b"\0\0\0\0\x01a").unwrap();
    assert_eq!(
        (made.serialization, made.body.as_slice(), status),
        (1, &b"a"[..], FINE)
    );
    assert_eq!(made.meta, b"x-a\n1\nx-b\n2");
    assert_eq!(made.exception, None);
}

#[test]
fn a_status_is_an_exception_wherever_it_stands() {
    let status = [("grpc-status", "5"), ("grpc-message", "no %C3%BCser")];
    for (headers, trailers) in [(&status[..], &[][..]), (&[], &status)] {
        let (made, counts) = told(headers, trailers, b"").unwrap();
        let expected = Exception {
            code: 5,
            words: "no üser".to_owned(),
        };
        assert_eq!((made.exception, counts), (Some(expected), FINE));
    }
    assert_eq!(told(&[("grpc-status", "13")], &[], b"").unwrap().1, FAULT);
}

#[test]
fn what_is_no_answer_fails() {
    for (trailers, body, words) in [
        (&[][..], &b""[..], "without grpc-status, with HTTP status 200"),
        (&[("grpc-status", "0")], b"", "there is no message"),
        (&[("grpc-status", "0")], b"\x01\0\0\0\x01a", "is compressed"),
    ] {
        let failure = told(&[], trailers, body).unwrap_err();
        assert_eq!(failure.kind, Kind::BadAnswer);
        assert!(failure.words.contains(words), "{}", failure.words);
    }
}
