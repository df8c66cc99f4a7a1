use http::HeaderMap;
use proptest::prelude::*;

use super::*;

const ROUTES: &str = r#"[
    {"match": {"method": "GET", "path": "/users/{id}"}, "call": "getUser", "descriptor": "long,boolean",
     "arguments": [{"path": "id", "as": "int64"}, {"query": "verbose", "as": "bool", "default": "false"}],
     "errors": [{"code": 1001, "status": 404}, {"code": 1002, "status": 404}]},
    {"match": {"method": "POST", "path": "/users"}, "call": "add",
     "arguments": [{"body": "json"}, {"header": "X-Who", "optional": true}]},
    {"match": {"method": "PUT", "path": "/users"}, "call": "put", "serialization": "hessian2",
     "arguments": [{"body": "json"}]},
    {"match": {"method": "PATCH", "path": "/users"}, "call": "patch", "serialization": "breeze",
     "arguments": [{"body": "text"}, {"query": "raw", "as": "bytes"}]},
    {"match": {"method": "DELETE", "path": "/files/{name=**}"}, "call": "remove", "arguments": [{"path": "name"}]}
]"#;

fn rest() -> Rest {
    let about = About {
        name: "shop/user",
        version: Some("1.0"),
    };
    Rest::new(&serde_json::from_str(ROUTES).unwrap(), about)
}

struct Sent<'a>(&'a str, &'a str, &'a [(&'static str, &'static str)], &'a str);

fn ask(Sent(method, target, headers, body): Sent<'_>) -> Step {
    let (path, query) = target
        .split_once('?')
        .map_or((target, None), |(path, query)| (path, Some(query)));
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, value.parse().unwrap());
    }
    rest().ask(Asked {
        method: &method.parse().unwrap(),
        path,
        query,
        headers: &map,
        body: body.as_bytes(),
    })
}

fn call(sent: Sent<'_>) -> Call {
    match ask(sent) {
        Step::Call(call) => call,
        Step::Answer(answer) => panic!("{}", String::from_utf8_lossy(&answer.body)),
    }
}

fn refused(sent: Sent<'_>) -> (u16, Json, Option<String>) {
    match ask(sent) {
        Step::Call(call) => panic!("{call:?}"),
        Step::Answer(answer) => {
            let json = serde_json::from_slice(&answer.body).unwrap_or(Json::Null);
            (answer.status.as_u16(), json, answer.allow)
        }
    }
}

#[test]
fn a_request_becomes_the_parameters_of_its_call() {
    let got = call(Sent("GET", "/users/7?x=1&verbose=true", &[], ""));
    assert_eq!(
        (got.method(), got.descriptor(), got.serialization()),
        ("getUser", Some("long,boolean"), 6)
    );
    assert_eq!(got.parameters, [9, 14, 5, 1]);
    assert_eq!(call(Sent("HEAD", "/users/-1", &[], "")).parameters, [9, 1, 5, 0]);
    let got = call(Sent("POST", "/users", &[("x-who", "me")], r#"{"a":"b"}"#));
    assert_eq!(
        got.parameters,
        b"\x02\0\0\0\x0a\0\0\0\x01a\0\0\0\x01b\x01\0\0\0\x02me"
    );
    let got = call(Sent(
        "POST",
        "/users",
        &[("content-type", "application/merge-patch+json; x=1")],
        "[]",
    ));
    assert_eq!(got.parameters, b"\x15\0\0\0\0\0");
    let got = call(Sent(
        "PUT",
        "/users",
        &[("content-type", "Application/JSON")],
        r#"{"a":1}"#,
    ));
    assert_eq!(
        (got.serialization(), &got.parameters[..]),
        (0, &b"H\x01a\xe1Z"[..])
    );
    let got = call(Sent("PATCH", "/users?raw=_-8", &[], "hi"));
    assert_eq!(
        (got.serialization(), &got.parameters[..]),
        (8, &b"\x02hi\x9d\0\0\0\x02\xff\xef"[..])
    );
    let got = call(Sent("DELETE", "/files/a/b%20c", &[], ""));
    assert_eq!(got.parameters, b"\x01\0\0\0\x05a/b c");
}

#[test]
fn what_can_not_be_called_is_a_problem_that_names_the_mend() {
    let rows = [
        (
            Sent("GET", "/nothing", &[], ""),
            404,
            "no-route",
            "/.mesh/openapi.json lists",
        ),
        (
            Sent("DELETE", "/users/7", &[], ""),
            405,
            "method-not-allowed",
            "takes GET, HEAD",
        ),
        (
            Sent("GET", "/users/seven", &[], ""),
            400,
            "bad-argument",
            "path id: \"seven\" is not a whole number",
        ),
        (
            Sent("GET", "/users/7?verbose=1", &[], ""),
            400,
            "bad-argument",
            "query verbose: \"1\" is not true or false",
        ),
        (
            Sent("PATCH", "/users", &[], "x"),
            400,
            "bad-argument",
            "query raw is missing: send base64",
        ),
        (
            Sent("POST", "/users", &[], ""),
            400,
            "bad-argument",
            "body: it is empty",
        ),
        (
            Sent("POST", "/users", &[], "{"),
            400,
            "bad-argument",
            "line 1 column 1",
        ),
        (
            Sent("POST", "/users", &[("content-type", "text/xml")], "<a/>"),
            415,
            "unsupported-media-type",
            "send application/json",
        ),
    ];
    for (sent, status, kind, words) in rows {
        let target = sent.1.split('?').next().unwrap().to_owned();
        let (got, problem, _) = refused(sent);
        assert_eq!(got, status, "{problem}");
        assert_eq!(problem["type"], format!("urn:motanmesh:problem:{kind}"));
        assert_eq!(
            (&problem["status"], &problem["instance"]),
            (&json!(status), &json!(target))
        );
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(words), "{detail}");
    }
    assert_eq!(refused(Sent("GET", "/users/x", &[], "")).1["argument"], "path id");
    let allow = refused(Sent("GET", "/users", &[], "")).2;
    assert_eq!(allow.as_deref(), Some("PATCH, POST, PUT"));
    let (status, _, allow) = refused(Sent("OPTIONS", "/users/7", &[], ""));
    assert_eq!((status, allow.as_deref()), (204, Some("GET, HEAD")));
}

#[test]
fn a_result_becomes_json_in_whatever_it_was_written() {
    let call = call(Sent("GET", "/users/7", &[], ""));
    let rows: [(u8, &[u8], &str); 8] = [
        (6, b"", "null"),
        (6, b"\0", "null"),
        (
            6,
            b"\x09\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            "9223372036854775807",
        ),
        (0, b"N", "null"),
        (0, b"C\x01A\x91\x01b`\x02hi", r#"{"b":"hi"}"#),
        (8, b"\x99", "null"),
        (8, b"\xd9\x01\x01a\x57", r#"{"a":7}"#),
        (6, b"\x14\0\0\0\x07\x01\0\0\0\x01a\0", r#"{"a":null}"#),
    ];
    for (serialization, body, json) in rows {
        let answer = call.answer(Reply::Result { serialization, body });
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.content_type, Some("application/json"));
        assert_eq!(String::from_utf8(answer.body).unwrap(), json);
    }
    for (serialization, body) in [(6, &b"\x63"[..]), (0, b"\x40"), (8, b"\xdd"), (5, b"\0\0")] {
        let answer = call.answer(Reply::Result { serialization, body });
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
        assert!(String::from_utf8(answer.body).unwrap().contains("can't be read"));
    }
}

#[test]
fn an_exception_becomes_a_status_and_keeps_its_words() {
    let call = call(Sent("GET", "/users/7", &[], ""));
    let rows = [
        (1001, ErrorType::Biz, 404),
        (1002, ErrorType::Service, 404),
        (1003, ErrorType::Biz, 500),
        (30_001, ErrorType::Biz, 500),
        (10_003, ErrorType::Service, 504),
        (10_002, ErrorType::Service, 503),
        (503, ErrorType::Other(503), 503),
        (10_101, ErrorType::Service, 502),
        (20_001, ErrorType::Framework, 500),
    ];
    for (code, kind, status) in rows {
        let exception = Exception {
            code,
            kind,
            words: "no such user".to_owned(),
        };
        let answer = call.answer(Reply::Exception(&exception));
        assert_eq!(answer.status.as_u16(), status, "{code}");
        assert_eq!(answer.content_type, Some("application/problem+json"));
        let problem: Json = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(
            (&problem["errcode"], &problem["errmsg"]),
            (&json!(code), &json!("no such user"))
        );
        assert_eq!(
            (&problem["status"], &problem["instance"]),
            (&json!(status), &json!("/users/7"))
        );
    }
}

#[test]
fn the_document_lists_what_is_declared() {
    let (status, document, _) = refused(Sent("GET", DOCUMENT, &[], ""));
    assert_eq!(status, 200);
    assert_eq!(
        (&document["openapi"], &document["info"]["title"]),
        (&json!("3.1.0"), &json!("shop/user"))
    );
    let get = &document["paths"]["/users/{id}"]["get"];
    assert_eq!(get["operationId"], "getUser_get_users_id");
    assert_eq!(
        get["parameters"],
        json!([
            {"name": "id", "in": "path", "required": true, "schema": {"type": "integer", "format": "int64"}},
            {"name": "verbose", "in": "query", "required": false, "schema": {"type": "boolean", "default": false}},
        ])
    );
    let not_found = &get["responses"]["404"]["description"];
    assert_eq!(
        not_found,
        "Exception 1001 of the program; Exception 1002 of the program"
    );
    assert!(document["paths"]["/users"]["post"]["requestBody"]["content"]["application/json"].is_object());
    assert!(document["paths"]["/files/{name}"]["delete"].is_object());
    assert_eq!(refused(Sent("POST", DOCUMENT, &[], "")).0, 405);
}

proptest! {
    #[test]
    fn no_request_and_no_answer_panics(
        method in "GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS",
        target in "/users|/users/[0-9a-z%]{0,8}|/files/.{0,8}|/.{0,12}",
        query in proptest::option::of(".{0,16}|verbose=[a-z]{0,5}|raw=.{0,8}"),
        body in proptest::collection::vec(any::<u8>(), 0..48),
        serialization in 0u8..10,
    ) {
        let asked = Asked {
            method: &method.parse().unwrap(),
            path: &target,
            query: query.as_deref(),
            headers: &HeaderMap::new(),
            body: &body,
        };
        if let Step::Call(call) = rest().ask(asked) {
            let _ = call.answer(Reply::Result { serialization, body: &body });
        }
    }
}
