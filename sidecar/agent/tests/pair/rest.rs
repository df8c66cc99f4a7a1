//! HTTP → Motan → a program that speaks Motan, by the routes that its service declares.

use agent::worker::ListenerKind;
use bytes::Bytes;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value as Json, json};
use tokio::sync::mpsc;
use wire::value::{Value, Values};

use crate::mesh::{Agent, caller, provider, run};
use crate::motan::{Asked, program};
use crate::net::Net;
use crate::web::{Client, get, mesh_error};

const A: &str = "10.0.0.1:9982";
const APP: &str = "127.0.0.1:8001";
const HOST: &str = "user.shop.mesh";
const ROUTES: &str = r#""version": "1.0", "http": [
    {"match": {"method": "GET", "path": "/users/{id}"}, "call": "getUser", "descriptor": "long,boolean",
     "arguments": [{"path": "id", "as": "int64"}, {"query": "verbose", "as": "bool", "default": "false"}],
     "errors": [{"code": 1001, "status": 404}]},
    {"match": {"method": "POST", "path": "/users"}, "call": "add", "serialization": "hessian2",
     "arguments": [{"body": "json"}]},
    {"match": {"method": "DELETE", "path": "/files/{name=**}"}, "call": "remove", "serialization": "breeze",
     "arguments": [{"path": "name"}]}
], "#;

fn routed() -> String {
    provider("motan2", APP).replace("\"backend\"", &format!("{ROUTES}\"backend\""))
}

fn pair(net: &Net, timeout_ms: u32) -> (Agent, Agent) {
    let server = Agent::start(net, Some(A), &routed());
    let client = Agent::start(net, None, &caller("motan2", &[A], timeout_ms));
    (client, server)
}

async fn connect(agent: &Agent) -> Client {
    Client::new(agent.connect(ListenerKind::Http)).await
}

fn send(method: Method, path: &str, body: &'static str) -> Request<Bytes> {
    let mut request = get(HOST, path).map(|_| Bytes::from(body));
    *request.method_mut() = method;
    request
}

fn json_of(response: &Response<Bytes>) -> Json {
    serde_json::from_slice(response.body()).unwrap()
}

fn media(response: &Response<Bytes>) -> &str {
    response.headers()["content-type"].to_str().unwrap()
}

/// Calls, and answers the program's side by `answer`.
async fn exchange(
    caller: &mut Client,
    asked: &mut mpsc::UnboundedReceiver<Asked>,
    request: Request<Bytes>,
    answer: impl AsyncFnOnce(Asked),
) -> Response<Bytes> {
    let serve = async { answer(asked.recv().await.expect("the program is asked")).await };
    tokio::join!(caller.call(request), serve).0
}

#[tokio::test(start_paused = true)]
async fn a_request_becomes_a_motan_call_and_its_result_json() {
    run(async {
        let net = Net::default();
        let (client, server) = pair(&net, 1000);
        let mut asked = program(&net, APP);
        let mut caller = connect(&client).await;
        let reply = exchange(
            &mut caller,
            &mut asked,
            get(HOST, "/users/7?verbose=true"),
            async |asked| {
                let message = &asked.message;
                assert_eq!((message.get("M_p"), message.get("M_g")), ("demo.User", "g1"));
                assert_eq!(
                    (message.get("M_m"), message.get("M_md")),
                    ("getUser", "long,boolean")
                );
                assert_eq!((message.get("M_s"), message.get("HTTP_PROXY")), ("web", ""));
                assert_eq!(message.header.serialization(), 6);
                let mut values = Values::new(&message.body);
                assert_eq!(values.next(), Ok(Some(Value::Int64(7))));
                assert_eq!(values.next(), Ok(Some(Value::Bool(true))));
                assert_eq!(values.next(), Ok(None));
                let mut body = Vec::new();
                let pairs = vec![(Value::String(b"id"), Value::Int64(9_007_199_254_740_993))];
                wire::value::write(&mut body, &Value::Map(pairs));
                asked.answer_compressed(&body).await;
            },
        )
        .await;
        assert_eq!(reply.status(), StatusCode::OK);
        assert_eq!(
            (media(&reply), &reply.body()[..]),
            ("application/json", &br#"{"id":9007199254740993}"#[..])
        );
        assert_eq!(mesh_error(&reply), None);
        let done = ["service=\"shop/user\"", "outcome=\"ok\"", "role=\"server\""];
        assert_eq!(
            server.metric("motanmesh_calls_total", &done),
            1.0,
            "one call, counted once"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_route_says_the_serialization_and_the_answer_its_own() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 1000);
        let mut asked = program(&net, APP);
        let mut caller = connect(&client).await;
        let request = send(Method::POST, "/users", r#"{"name":"Ann","age":7}"#);
        let reply = exchange(&mut caller, &mut asked, request, async |asked| {
            assert_eq!(asked.message.header.serialization(), 0);
            assert_eq!(asked.message.body, b"H\x03age\xe7\x04name\x03AnnZ");
            asked.answer(b"C\x06Person\x92\x04name\x03age`\x03Ann\x97").await;
        })
        .await;
        assert_eq!(
            (reply.status(), json_of(&reply)),
            (StatusCode::OK, json!({"name": "Ann", "age": 7}))
        );
        let request = send(Method::DELETE, "/files/a/b", "");
        let reply = exchange(&mut caller, &mut asked, request, async |asked| {
            assert_eq!(
                (asked.message.header.serialization(), &asked.message.body[..]),
                (8, &b"\x03a/b"[..])
            );
            asked.answer(b"\x99").await;
        })
        .await;
        assert_eq!(json_of(&reply), Json::Null);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_is_a_problem() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 1000);
        let mut asked = program(&net, APP);
        let mut caller = connect(&client).await;
        let rows = [
            (send(Method::GET, "/none", ""), 404, "no-route"),
            (send(Method::PUT, "/users/7", ""), 405, "method-not-allowed"),
            (send(Method::GET, "/users/x", ""), 400, "bad-argument"),
            (send(Method::POST, "/users", "{"), 400, "bad-argument"),
        ];
        for (request, status, kind) in rows {
            let reply = caller.call(request).await;
            assert_eq!(
                (reply.status().as_u16(), media(&reply)),
                (status, "application/problem+json")
            );
            assert_eq!(json_of(&reply)["type"], format!("urn:motanmesh:problem:{kind}"));
            assert_eq!(mesh_error(&reply), None);
        }
        for (code, kind, status) in [(1001, 2, 404), (1002, 2, 500), (10_002, 1, 503)] {
            let reply = exchange(&mut caller, &mut asked, get(HOST, "/users/7"), async |asked| {
                let words = format!(r#"{{"errcode":{code},"errmsg":"no such user","errtype":{kind}}}"#);
                asked.answer_exception(&words).await;
            })
            .await;
            assert_eq!(
                (reply.status().as_u16(), media(&reply)),
                (status, "application/problem+json")
            );
            let problem = json_of(&reply);
            assert_eq!(
                (&problem["errcode"], &problem["errmsg"]),
                (&json!(code), &json!("no such user"))
            );
        }
        let reply = exchange(&mut caller, &mut asked, get(HOST, "/users/7"), async |asked| {
            asked.answer_exception("not json").await;
        })
        .await;
        assert_eq!(
            (reply.status().as_u16(), mesh_error(&reply)),
            (502, Some("unavailable"))
        );
        let reply = exchange(&mut caller, &mut asked, get(HOST, "/users/7"), async |asked| {
            asked.answer(b"\x63").await;
        })
        .await;
        assert_eq!(
            (reply.status().as_u16(), &json_of(&reply)["title"]),
            (502, &json!("Bad answer of the program"))
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_program_that_takes_too_long_is_a_504() {
    run(async {
        let net = Net::default();
        // The server agent's own limit is a second: it comes before the caller's.
        let (client, server) = pair(&net, 3000);
        let mut asked = program(&net, APP);
        let mut caller = connect(&client).await;
        let reply = exchange(&mut caller, &mut asked, get(HOST, "/users/7"), async |_| {}).await;
        assert_eq!(reply.status(), StatusCode::GATEWAY_TIMEOUT);
        let failed = ["outcome=\"timeout\"", "role=\"server\""];
        assert_eq!(server.metric("motanmesh_calls_total", &failed), 1.0);
        // To the other agent it is an answer of 5xx like any.
        let ended = |outcome| client.metric("motanmesh_calls_total", &[outcome]);
        assert_eq!(
            (ended("outcome=\"app-error\""), ended("outcome=\"ok\"")),
            (1.0, 0.0)
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn head_and_the_document_need_no_body_and_no_program() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 1000);
        let mut asked = program(&net, APP);
        let mut caller = connect(&client).await;
        let reply = exchange(
            &mut caller,
            &mut asked,
            send(Method::HEAD, "/users/7", ""),
            async |asked| {
                asked.answer(b"\x09\x0e").await;
            },
        )
        .await;
        assert_eq!(
            (reply.status(), reply.headers()["content-length"].as_bytes()),
            (StatusCode::OK, &b"1"[..])
        );
        assert!(reply.body().is_empty());
        let document = json_of(&caller.call(get(HOST, "/.mesh/openapi.json")).await);
        assert_eq!(
            (&document["openapi"], &document["info"]["version"]),
            (&json!("3.1.0"), &json!("1.0"))
        );
        assert!(document["paths"]["/users/{id}"]["get"].is_object());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_large_answer_is_translated_whole_and_one_over_the_limit_refused() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 1000);
        let mut asked = program(&net, APP);
        let mut caller = connect(&client).await;
        for (length, status) in [(1 << 20, 200), (9 << 20, 413)] {
            let reply = exchange(&mut caller, &mut asked, get(HOST, "/users/7"), async |asked| {
                let mut body = Vec::new();
                wire::value::write(&mut body, &Value::Bytes(&vec![7; length]));
                asked.answer(&body).await;
            })
            .await;
            assert_eq!(reply.status().as_u16(), status, "{length}");
            if status == 200 {
                // Four characters of base64 for three bytes, and two quotation marks.
                assert_eq!(reply.body().len(), length.div_ceil(3) * 4 + 2);
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn routes_come_and_go_with_the_plan() {
    run(async {
        let net = Net::default();
        let (client, server) = pair(&net, 1000);
        let mut caller = connect(&client).await;
        let _asked = program(&net, APP);
        server.apply(&provider("motan2", APP));
        let reply = caller.call(get(HOST, "/users/7")).await;
        assert_eq!(
            (reply.status(), mesh_error(&reply)),
            (StatusCode::NOT_IMPLEMENTED, Some("unsupported"))
        );
        let words = String::from_utf8(reply.body().to_vec()).unwrap();
        assert!(words.contains("declare spec.http routes"), "{words}");
        server.apply(&routed());
        assert_eq!(
            caller.call(get(HOST, "/none")).await.status(),
            StatusCode::NOT_FOUND
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_large_body_comes_as_a_stream_and_is_an_argument_all_the_same() {
    run(async {
        let net = Net::default();
        let (client, server) = pair(&net, 1000);
        let mut asked = program(&net, APP);
        let mut caller = connect(&client).await;
        let name = "x".repeat(200_000);
        let mut request = get(HOST, "/users").map(|_| Bytes::from(format!(r#"["{name}"]"#)));
        *request.method_mut() = Method::POST;
        let reply = exchange(&mut caller, &mut asked, request, async |asked| {
            let message = &asked.message;
            assert_eq!(
                (message.get("M_p"), message.get("M_m"), message.get("M_s")),
                ("demo.User", "add", "web")
            );
            assert_eq!((message.get("M_v"), message.get("HTTP_PROXY")), ("1.0", ""));
            assert!(message.body.len() > name.len());
            asked.answer(&message.body).await;
        })
        .await;
        assert_eq!((reply.status(), json_of(&reply)), (StatusCode::OK, json!([name])));
        let mut request = get(HOST, "/users").map(|_| Bytes::from(vec![b' '; 200_000]));
        *request.method_mut() = Method::POST;
        let reply = caller.call(request).await;
        assert_eq!(
            (reply.status().as_u16(), media(&reply)),
            (400, "application/problem+json")
        );
        let ok = ["outcome=\"ok\"", "role=\"server\""];
        assert_eq!(server.metric("motanmesh_calls_total", &ok), 2.0);
    })
    .await;
}
