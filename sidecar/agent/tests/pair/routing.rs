//! Routing: which program answers, and what it is told of where the call went.

use std::time::Duration;

use agent::worker::ListenerKind;
use bytes::Bytes;
use hyper::Request;

use crate::mesh::{Agent, provider, run};
use crate::motan::{self, Message, echo, request};
use crate::net::Net;
use crate::web::{self, Client, get, whole};

const A: &str = "10.0.0.1:9982";
const B: &str = "10.0.0.2:9982";
const C: &str = "10.1.0.3:9982";
const APP_A: &str = "127.0.0.1:8001";
const APP_B: &str = "127.0.0.1:8002";
const APP_C: &str = "127.0.0.1:8003";
const HOST: &str = "user.shop.mesh";

/// The plan of one that calls `shop/user` in group g1, at A (subset v1) and B (v2), and by its routing `shop/user-g2`, the
/// same path in group g2, and `shop/other`, both at C.
fn plan(revision: u32, protocol: &str, routing: &str) -> String {
    format!(
        r#"{{"revision": {revision}, "workload": {{"namespace": "shop", "pod": "web-1", "application": "web"}}, "services": [
        {{"name": "shop/user", "path": "demo.User", "group": "g1", "protocol": "{protocol}", "hosts": ["{HOST}"],
          "policy": {{"timeoutMs": 1000, "routing": {routing}}},
          "seeds": [{{"address": "{A}", "subsets": ["v1"]}}, {{"address": "{B}", "subsets": ["v2"]}}]}},
        {{"name": "shop/user-g2", "path": "demo.User", "group": "g2", "protocol": "{protocol}", "indirect": true,
          "policy": {{"timeoutMs": 1000}}, "seeds": [{{"address": "{C}"}}]}},
        {{"name": "shop/other", "path": "demo.Other", "group": "g1", "protocol": "{protocol}", "indirect": true,
          "policy": {{"timeoutMs": 1000}}, "seeds": [{{"address": "{C}"}}]}}]}}"#
    )
}

/// The agents of all three programs.
fn servers(net: &Net, protocol: &str) -> [Agent; 3] {
    let others = format!(
        r#"{{"revision": 1, "workload": {{"namespace": "shop", "pod": "c-1", "application": "c"}}, "exports": [
        {{"name": "shop/user-g2", "path": "demo.User", "group": "g2", "protocol": "{protocol}", "backend": "{APP_C}", "policy": {{"timeoutMs": 1000}}}},
        {{"name": "shop/other", "path": "demo.Other", "group": "g1", "protocol": "{protocol}", "backend": "{APP_C}", "policy": {{"timeoutMs": 1000}}}}]}}"#
    );
    [
        Agent::start(net, Some(A), &provider(protocol, APP_A)),
        Agent::start(net, Some(B), &provider(protocol, APP_B)),
        Agent::start(net, Some(C), &others),
    ]
}

fn echoes(net: &Net) {
    for (at, name) in [(APP_A, "a"), (APP_B, "b"), (APP_C, "c")] {
        echo(net, at, name, Duration::ZERO);
    }
}

/// How many of these calls each program answered: a, b, c.
async fn count(program: &mut motan::Client, calls: u64, message: impl Fn(u64) -> Message) -> [u64; 3] {
    let mut by = [0; 3];
    for id in 1..=calls {
        let reply = program.call(&message(id)).await;
        let at = b"abc".iter().position(|name| reply.body.first() == Some(name));
        assert!(at.is_some(), "{reply:?}");
        by[at.unwrap()] += 1;
    }
    by
}

fn hello(id: u64) -> Message {
    request(id, "demo.User", "hello", b"x")
}

fn saying(key: &'static str, value: &'static str) -> impl Fn(u64) -> Message {
    move |id| {
        let mut message = hello(id);
        message.meta.insert(key.to_owned(), value.to_owned());
        message
    }
}

#[tokio::test(start_paused = true)]
async fn calls_are_split_by_weight_and_a_change_loses_none() {
    run(async {
        let net = Net::default();
        let _servers = servers(&net, "motan2");
        echoes(&net);
        let weights = |revision, one, other| {
            let rule = format!(
                r#"{{"rules": [{{"to": [{{"to": {{"subset": "v1"}}, "weight": {one}}}, {{"to": {{"subset": "v2"}}, "weight": {other}}}]}}]}}"#
            );
            plan(revision, "motan2", &rule)
        };
        let client = Agent::start(&net, None, &weights(1, 90, 10));
        let mut program = client.motan();
        let [a, b, c] = count(&mut program, 1000, hello).await;
        assert!((850..=950).contains(&a) && b == 1000 - a && c == 0, "{a} {b} {c}");
        client.apply(&weights(2, 0, 1));
        assert_eq!(count(&mut program, 50, hello).await, [0, 50, 0]);
        client.apply(&plan(3, "motan2", r#"{"rules": [{"to": [{"to": {"subset": "none"}, "weight": 1}]}]}"#));
        let [a, b, c] = count(&mut program, 100, hello).await;
        assert!(a > 0 && b > 0 && c == 0, "where a way has nobody the service itself answers: {a} {b} {c}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_first_rule_that_holds_counts() {
    run(async {
        let net = Net::default();
        let _servers = servers(&net, "motan2");
        echoes(&net);
        let routing = r#"{"rules": [
            {"match": {"callers": ["cron"]}, "to": [{"to": {"service": "shop/other"}, "weight": 1}]},
            {"match": {"metadata": {"x-user": "vip*"}, "methods": ["hel*"]}, "to": [{"to": {"subset": "v2"}, "weight": 1}]},
            {"match": {"methods": ["get*"], "callers": ["we*"]}, "to": [{"to": {"service": "shop/other"}, "weight": 1}]},
            {"to": [{"to": {"subset": "v1"}, "weight": 1}]}]}"#;
        let client = Agent::start(&net, None, &plan(1, "motan2", routing));
        let mut program = client.motan();
        assert_eq!(count(&mut program, 20, hello).await, [20, 0, 0]);
        assert_eq!(count(&mut program, 20, saying("x-user", "vip-7")).await, [0, 20, 0]);
        assert_eq!(count(&mut program, 20, saying("x-user", "v")).await, [20, 0, 0]);
        let gets = |id| request(id, "demo.User", "getUser", b"x");
        assert_eq!(count(&mut program, 20, gets).await, [0, 0, 20]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn groups_are_merged_and_switched_and_the_program_is_told_its_own() {
    run(async {
        let net = Net::default();
        let _servers = servers(&net, "motan2");
        echo(&net, APP_A, "a", Duration::ZERO);
        echo(&net, APP_B, "b", Duration::ZERO);
        let mut third = motan::program(&net, APP_C);
        let switched = r#"{"merge": {"split": [{"to": {"service": "shop/user-g2"}, "weight": 100}]}}"#;
        let client = Agent::start(&net, None, &plan(1, "motan2", switched));
        let mut program = client.motan();
        let mut message = hello(1);
        message.meta.insert("M_g".to_owned(), "g1".to_owned());
        program.send(&message).await;
        let asked = third.recv().await.unwrap();
        assert_eq!(
            (asked.message.get("M_g"), asked.message.get("M_p")),
            ("g2", "demo.User")
        );
        asked.answer(b"c").await;
        assert_eq!(program.reader.next().await.unwrap().body, b"c");

        // Another service has another path.
        let other = r#"{"rules": [{"to": [{"to": {"service": "shop/other"}, "weight": 1}]}]}"#;
        client.apply(&plan(2, "motan2", other));
        program.send(&message).await;
        let asked = third.recv().await.unwrap();
        assert_eq!(
            (asked.message.get("M_g"), asked.message.get("M_p")),
            ("g1", "demo.Other")
        );
        asked.answer(b"c").await;
        program.reader.next().await.unwrap();
        tokio::task::spawn_local(async move {
            while let Some(asked) = third.recv().await {
                asked.answer(b"c").await;
            }
        });

        let mixed = r#"{"merge": {"mixed": [{}, {"service": "shop/user-g2"}]}}"#;
        client.apply(&plan(3, "motan2", mixed));
        let [a, b, c] = count(&mut program, 900, hello).await;
        assert!((220..=380).contains(&c) && a + b + c == 900, "{a} {b} {c}");
        // What is reached by routing only has no name of its own.
        let direct = request(1, "demo.Other", "hello", b"x");
        assert!(
            program
                .call(&direct)
                .await
                .exception()
                .words
                .contains("cluster not found")
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn rules_by_address_leave_some_endpoints_or_are_not_followed() {
    run(async {
        let net = Net::default();
        let _servers = servers(&net, "motan2");
        echoes(&net);
        let routing = r#"{"merge": {"mixed": [{}, {"service": "shop/user-g2"}]}, "addresses": ["10.0.*", "!10.0.0.1"]}"#;
        let client = Agent::start(&net, None, &plan(1, "motan2", routing));
        let mut program = client.motan();
        assert_eq!(count(&mut program, 30, hello).await, [0, 30, 0]);
        client.apply(&plan(2, "motan2", r#"{"addresses": ["10.1.*"]}"#));
        let [a, b, c] = count(&mut program, 100, hello).await;
        assert!(a > 0 && b > 0 && c == 0, "{a} {b} {c}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_names_its_group_and_falls_back_where_nobody_is_there() {
    run(async {
        let net = Net::default();
        let _servers = servers(&net, "motan2");
        echoes(&net);
        let routing = r#"{"named": [{"name": "sandbox", "to": {"service": "shop/user-g2"}}, {"name": "gone", "to": {"subset": "none"}}],
            "rules": [{"to": [{"to": {"subset": "v1"}, "weight": 1}]}]}"#;
        let client = Agent::start(&net, None, &plan(1, "motan2", routing));
        let mut program = client.motan();
        let group = |names| saying("motan-route-group", names);
        assert_eq!(count(&mut program, 5, group("sandbox")).await, [0, 0, 5]);
        assert_eq!(count(&mut program, 5, group("gone, sandbox")).await, [0, 0, 5]);
        assert_eq!(count(&mut program, 5, group("gone,unknown")).await, [5, 0, 0]);
        let empty = plan(2, "motan2", routing).replace(&format!(r#"[{{"address": "{C}"}}]"#), "[]");
        client.apply(&empty);
        assert_eq!(count(&mut program, 5, group("sandbox")).await, [5, 0, 0]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_backup_answers_where_nobody_else_can() {
    run(async {
        let net = Net::default();
        let _servers = servers(&net, "motan2");
        echoes(&net);
        let routing = r#"{"backup": [{"subset": "none"}, {"service": "shop/user-g2"}]}"#;
        let full = plan(1, "motan2", routing);
        let client = Agent::start(&net, None, &full);
        let mut program = client.motan();
        let [a, b, c] = count(&mut program, 20, hello).await;
        assert!(a + b == 20 && c == 0);
        let seeds =
            format!(r#"[{{"address": "{A}", "subsets": ["v1"]}}, {{"address": "{B}", "subsets": ["v2"]}}]"#);
        let empty = full
            .replace(&seeds, "[]")
            .replace("\"revision\": 1", "\"revision\": 2");
        assert!(!empty.contains(A));
        client.apply(&empty);
        assert_eq!(count(&mut program, 20, hello).await, [0, 0, 20]);
        client.apply(&full.replace("\"revision\": 1", "\"revision\": 3"));
        let [a, b, c] = count(&mut program, 20, hello).await;
        assert!(a + b == 20 && c == 0, "{a} {b} {c}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn http_requests_are_routed_by_path_and_header_small_and_large() {
    run(async {
        let net = Net::default();
        let _servers = servers(&net, "http");
        for (at, name) in [(APP_A, "a"), (APP_B, "b"), (APP_C, "c")] {
            web::program(&net, at, move |_| async move { whole(name) });
        }
        let routing = r#"{"named": [{"name": "sandbox", "to": {"service": "shop/user-g2"}}], "rules": [
            {"match": {"metadata": {"x-user": "vip*"}}, "to": [{"to": {"subset": "v2"}, "weight": 1}]},
            {"match": {"methods": ["/other/*"]}, "to": [{"to": {"service": "shop/other"}, "weight": 1}]},
            {"to": [{"to": {"subset": "v1"}, "weight": 1}]}]}"#;
        let client = Agent::start(&net, None, &plan(1, "http", routing));
        let mut program = Client::new(client.connect(ListenerKind::Http)).await;
        let with = |path: &str, key: &'static str, value: &'static str, size: usize| {
            let request = Request::builder().method("POST").uri(path).header("host", HOST);
            let body = Bytes::from(vec![b'x'; size]);
            request.header(key, value).body(body).unwrap()
        };
        for size in [1, 2 << 20] {
            for (path, key, value, expected) in [
                ("/", "x-user", "nobody", "a"),
                ("/", "x-user", "vip-1", "b"),
                ("/other/1", "x-user", "nobody", "c"),
                ("/", "motan-route-group", "sandbox", "c"),
            ] {
                let response = program.call(with(path, key, value, size)).await;
                assert_eq!(response.body(), expected, "{path} {key} {value} {size}");
            }
        }
        let response = program.call(get(HOST, "/")).await;
        assert_eq!(response.body(), "a");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_large_body_passes_by_the_way_of_its_call() {
    run(async {
        let net = Net::default();
        let _servers = servers(&net, "motan2");
        let mut third = motan::program(&net, APP_C);
        let routing = r#"{"rules": [{"to": [{"to": {"service": "shop/other"}, "weight": 1}]}]}"#;
        let client = Agent::start(&net, None, &plan(1, "motan2", routing));
        let body = vec![b'x'; 3 << 20];
        for id in 1..=3 {
            let mut program = client.motan();
            let message = request(id, "demo.User", "hello", &body);
            let asking = async {
                program.send(&message).await;
                program.reader.next().await.unwrap()
            };
            let answering = async {
                let asked = third.recv().await.unwrap();
                assert_eq!(asked.message.get("M_p"), "demo.Other");
                assert_eq!(asked.message.body.len(), body.len());
                asked.answer(b"c").await;
            };
            let (reply, ()) = tokio::join!(asking, answering);
            assert_eq!(reply.body, b"c");
        }
    })
    .await;
}
