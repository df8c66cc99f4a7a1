//! HTTP callers of real Motan programs, by the routes that their services declare.

use serde_json::{Value, json};

use super::client::with;
use super::mesh::{export, service};
use super::process::Peer;
use super::server::Server;
use super::world::{Pod, World, http};

/// Routes to the methods that all servers have, with arguments in one serialization, below a path of its name.
fn routes(serialization: &str) -> Vec<Value> {
    let route = |method: &str, path: &str, call: &str, arguments: Value| {
        json!({"match": {"method": method, "path": format!("/{serialization}{path}")}, "call": call,
            "serialization": serialization, "arguments": arguments,
            "errors": [{"code": 30_001, "status": 409}]})
    };
    vec![
        route(
            "GET",
            "/sum/{first}",
            "sum",
            json!([{"path": "first", "as": "int64"}, {"query": "second", "as": "int64"}]),
        ),
        route("GET", "/echo/{text=**}", "echo", json!([{"path": "text"}])),
        route("POST", "/tree", "tree", json!([{"body": "json"}])),
        route("POST", "/bytes", "bytes", json!([{"body": "bytes"}])),
        route("POST", "/turn", "turn", json!([{"body": "json"}])),
        route("POST", "/fail", "fail", json!([{"query": "why"}])),
        route("POST", "/nothing", "nothing", json!([])),
    ]
}

async fn pair(world: &World, server: &Server) -> (Pod, Pod) {
    let mut provider = world.pod("provider");
    let routes: Vec<Value> = ["simple", "hessian2", "breeze"]
        .iter()
        .flat_map(|name| routes(name))
        .collect();
    provider.plan(&[], &json!([with(&export(server), json!({"http": routes}))]));
    provider.start_sidecar();
    provider.ready().await;
    let mut caller = world.pod("caller");
    let declared = with(
        &service(&server.group, &[&provider]),
        json!({"hosts": ["probe.mesh"]}),
    );
    caller.plan(&[declared], &json!([]));
    caller.start_sidecar();
    caller.ready().await;
    (provider, caller)
}

/// Calls, and gives status and JSON.
async fn ask(caller: &Pod, method: &str, target: &str, body: &str) -> (u16, Value) {
    let length = body.len();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nhost: probe.mesh\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    let (status, answer) = http(caller.at(9983), &request).await;
    (
        status,
        serde_json::from_str(&answer).unwrap_or(Value::String(answer)),
    )
}

#[tokio::test]
async fn java_and_go_programs_are_called_by_http_in_each_serialization_that_they_read() {
    for (peer, serializations) in [
        (Peer::Java, &["simple", "hessian2", "breeze"][..]),
        (Peer::Go, &["simple"]),
    ] {
        let world = World::new();
        let server = Server::start(peer).await;
        let (_provider, caller) = pair(&world, &server).await;
        for name in serializations {
            let gives = async |method: &str, path: &str, body: &str, result: Value| {
                let target = format!("/{name}{path}");
                let answer = ask(&caller, method, &target, body).await;
                assert_eq!(answer, (200, result), "{peer:?} {method} {target} {body}");
            };
            gives(
                "GET",
                "/sum/9007199254740992?second=1",
                "",
                json!(9_007_199_254_740_993_u64),
            )
            .await;
            gives("GET", "/echo/h%C3%A9/%F0%9F%98%80", "", json!("hé/😀")).await;
            gives("POST", "/nothing", "", Value::Null).await;
            gives("POST", "/bytes", "\x01\x02\x03", json!("AQID")).await;
            let tree = match *name {
                // Java itself writes all values of a map in breeze as the kind of the first, and fails at another.
                "breeze" => json!({"name": "Ann", "tag": "b"}),
                _ => {
                    json!({"name": "Ann", "age": 7, "tags": ["a", "b"], "more": {"x": "y", "f": 1.5, "t": true}})
                }
            };
            gives("POST", "/tree", &tree.to_string(), tree.clone()).await;
        }
        let (status, problem) = ask(&caller, "POST", "/simple/fail?why=so", "").await;
        if peer == Peer::Java {
            assert_eq!((status, &problem["errcode"]), (409, &json!(30_001)), "{problem}");
            assert!(problem["errmsg"].as_str().unwrap().contains("so"), "{problem}");
        } else {
            assert_eq!(
                (status, &problem["type"]),
                (500, &json!("urn:motanmesh:problem:exception")),
                "{problem}"
            );
        }
        let (status, problem) = ask(&caller, "GET", "/simple/sum/x?second=1", "").await;
        assert_eq!((status, &problem["argument"]), (400, &json!("path first")));
    }
}

#[tokio::test]
async fn an_object_of_a_java_program_is_a_json_object() {
    let world = World::new();
    let server = Server::start(Peer::Java).await;
    let (_provider, caller) = pair(&world, &server).await;
    let parcel = json!({"label": "é", "weight": 3, "content": ["a", "b"]});
    let (status, turned) = ask(&caller, "POST", "/hessian2/turn", &parcel.to_string()).await;
    assert_eq!(status, 200, "{turned}");
    assert_eq!(
        (&turned["label"], &turned["weight"], &turned["content"]),
        (&json!("é"), &json!(3), &json!(["b", "a"]))
    );
}
