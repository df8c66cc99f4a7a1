//! Hosts that services share by path, and paths that are rewritten (motan-wire 7.6).

use agent::worker::ListenerKind;
use hyper::StatusCode;
use wire::value::Values;

use crate::mesh::{Agent, caller, provider, run};
use crate::motan::request;
use crate::net::Net;
use crate::web::{Client, get, mesh_error, program, whole};

const A: &str = "10.0.0.1:9982";
const B: &str = "10.0.0.2:9982";
const APP_A: &str = "127.0.0.1:8001";
const APP_B: &str = "127.0.0.1:8002";
const HOST: &str = "shop.example.com";

/// Two services that share a host: `/cart` is of the other one.
fn sharing() -> String {
    let own = r#""hosts": ["user.shop.mesh"]"#;
    let user =
        format!(r#"{own}, "locations": [{{"host": "{HOST}", "match": "^/u(ser)?/", "type": "regexp"}}]"#);
    let cart = format!(
        r#""services": [{{"name": "shop/cart", "path": "demo.Cart", "group": "g1", "protocol": "http",
        "locations": [{{"host": "{HOST}", "match": "/cart"}}], "policy": {{"timeoutMs": 1000}},
        "seeds": [{{"address": "{B}"}}]}},"#
    );
    caller("http", &[A], 1000)
        .replace(own, &user)
        .replace(r#""services": ["#, &cart)
}

fn start(net: &Net) -> (Agent, Agent, Agent) {
    let rewrites = r#""rewrites": [{"match": "/user/v1", "pattern": "^/user/v1/(.*)", "replacement": "/new/$1"}], "backend""#;
    let user = provider("http", APP_A).replace("\"backend\"", rewrites);
    let cart = provider("http", APP_B).replace("demo.User", "demo.Cart");
    for (address, name) in [(APP_A, "user"), (APP_B, "cart")] {
        program(net, address, move |request| async move {
            whole(format!("{name} {}", request.uri()))
        });
    }
    (
        Agent::start(net, None, &sharing()),
        Agent::start(net, Some(A), &user),
        Agent::start(net, Some(B), &cart),
    )
}

#[tokio::test(start_paused = true)]
async fn services_share_a_host_by_path_and_a_program_gets_the_rewritten_one() {
    run(async {
        let net = Net::default();
        let (client, _user, _cart) = start(&net);
        let mut web = Client::new(client.connect(ListenerKind::Http)).await;
        for (host, path, body) in [
            (HOST, "/cart/1?x=%20", "cart /cart/1?x=%20"),
            (HOST, "/x/../cart", "cart /x/../cart"),
            (HOST, "/u/%7Ea?x=1", "user /u/%7Ea?x=1"),
            (HOST, "/user/v1/a%20b?x=%20", "user /new/a%20b?x=%20"),
            ("user.shop.mesh", "/user/v1/c", "user /new/c"),
            ("user.shop.mesh", "/cart", "user /cart"),
        ] {
            assert_eq!(web.call(get(host, path)).await.body(), body, "{host} {path}");
        }
        let reply = web.call(get(HOST, "/other")).await;
        assert_eq!(
            (reply.status(), mesh_error(&reply)),
            (StatusCode::NOT_FOUND, Some("undeclared"))
        );
        let words = String::from_utf8_lossy(reply.body());
        assert!(
            words.starts_with("path \"/other\" of host \"shop.example.com\" is not declared"),
            "{words}"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_motan_caller_finds_a_shared_host_and_a_rewritten_path_too() {
    run(async {
        let net = Net::default();
        let (client, _user, _cart) = start(&net);
        let mut motan = client.motan();
        for (host, method, body) in [
            (HOST, "/cart/1", "cart /cart/1"),
            (HOST, "/user/v1/b", "user /new/b"),
            ("demo.User", "/user/v1/b", "user /new/b"),
        ] {
            let mut call = request(1, host, method, b"");
            call.meta.insert("HTTP_QueryString".into(), "x=1".into());
            let reply = motan.call(&call).await;
            let value = Values::new(&reply.body).next().unwrap().unwrap();
            let expected = format!("{body}?x=1");
            assert_eq!(value.bytes(), Some(expected.as_bytes()), "{host} {method}");
        }
        let exception = motan.call(&request(2, HOST, "/other", b"")).await.exception();
        assert_eq!(exception.code, 400);
        assert!(
            exception.words.contains("path \"/other\" of host"),
            "{}",
            exception.words
        );
    })
    .await;
}
