use std::net::{IpAddr, Ipv4Addr};

use hyper::StatusCode;
use plan::stream::Subscription;
use process::admin::Answer;
use serde_json::{Value, json};

use super::*;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// `shop/user` is called; `shop/greet` (Motan 2), `shop/old` (Motan 1) and `shop/web` (HTTP) are provided.
fn plan(undeclared: &str) -> Arc<Plan> {
    let policy = json!({"timeoutMs": 500});
    let export = |name: &str, path: &str, protocol: &str, port: u16| {
        json!({"name": name, "path": path, "group": "shop", "protocol": protocol,
            "backend": format!("10.0.0.1:{port}"), "policy": policy})
    };
    let mut greet = export("shop/greet", "com.example.Greet", "motan2", 7000);
    greet["motan1"] = json!("10.0.0.1:7000");
    let plan = json!({"revision": 1, "undeclared": undeclared,
        "workload": {"namespace": "shop", "pod": "web-1", "application": "web"},
        "services": [{"name": "shop/user", "path": "com.example.User", "group": "shop", "version": "1.0",
            "protocol": "motan2", "policy": policy}],
        "exports": [greet, export("shop/old", "com.example.Old", "motan", 7001),
            export("shop/web", "com.example.Web", "http", 8080)]});
    Arc::new(Plan::parse(plan.to_string().as_bytes()).unwrap())
}

fn url(protocol: &str, path: &str, port: u16) -> Value {
    json!({"protocol": protocol, "host": "192.0.2.2", "port": port, "path": path, "group": "shop", "parameters": {}})
}

/// Status, and what the body says to a client that does not look at the status.
fn said(answer: &Answer) -> (u16, String) {
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    let (status, message) = (answer.status.as_u16(), body["message"].as_str().unwrap());
    assert_eq!(body["code"], status);
    (status, message.to_owned())
}

fn subscribe(registry: &Registry, plan: &Plan, url: &Value) -> (u16, String) {
    said(&registry.subscribe(url.to_string().as_bytes(), Some(plan)))
}

fn register(registry: &Registry, plan: &Plan, url: &Value) -> (u16, String) {
    said(&registry.register(url.to_string().as_bytes(), Some(plan)))
}

fn unregister(registry: &Registry, plan: &Plan, url: &Value) -> (u16, String) {
    said(&registry.unregister(url.to_string().as_bytes(), Some(plan)))
}

fn ok() -> (u16, String) {
    (200, "ok".to_owned())
}

/// Path, protocol, backend and Motan 1 port of what is exported.
fn exported(registry: &Registry, plan: &Arc<Plan>) -> Vec<String> {
    let overlay = registry.entries().borrow().overlay(plan, LOCAL);
    let line = |export: &plan::Export| {
        let motan1 = export.motan1.as_ref().map_or("-", |address| address.as_str());
        format!(
            "{} {} {} {motan1}",
            export.path,
            export.protocol.as_str(),
            export.backend
        )
    };
    overlay.exports.iter().map(line).collect()
}

fn asked(registry: &Registry) -> Vec<String> {
    let asked = registry.entries().borrow().asked();
    asked
        .iter()
        .map(|Subscription { path, group }| format!("{group}/{path}"))
        .collect()
}

#[test]
fn a_subscription_is_granted_where_a_service_of_the_plan_meets_it() {
    let (registry, plan) = (Registry::open(None), plan("refuse"));
    let version = |version: Option<&str>| {
        let mut url = url("motan2", "com.example.User", 0);
        url["parameters"] = json!({"version": version});
        url
    };
    assert_eq!(subscribe(&registry, &plan, &version(Some("1.0"))), ok());
    assert_eq!(subscribe(&registry, &plan, &version(None)), ok());
    let (status, words) = subscribe(&registry, &plan, &version(Some("2.0")));
    assert!(status == 403 && words.contains("version 1.0"), "{words}");
    let mut elsewhere = version(None);
    elsewhere["group"] = json!("other");
    let (status, words) = subscribe(&registry, &plan, &elsewhere);
    assert!(
        status == 403 && words.contains("shop/user has it in group shop"),
        "{words}"
    );
    let (status, words) = subscribe(&registry, &plan, &url("motan2", "com.example.Cart", 0));
    assert_eq!(status, 403);
    for part in [
        "com.example.Cart in group shop is not declared",
        "- name: <the MeshService with motan.path com.example.Cart",
        "a MeshDependency in namespace shop that selects pod web-1",
    ] {
        assert!(words.contains(part), "{words}");
    }
    assert_eq!(
        asked(&registry),
        [
            "shop/com.example.Cart",
            "other/com.example.User",
            "shop/com.example.User"
        ]
    );
}

#[test]
fn what_a_later_plan_declares_is_not_asked_for_any_more() {
    let (registry, plan) = (Registry::open(None), plan("refuse"));
    subscribe(&registry, &plan, &url("motan2", "com.example.Cart", 0));
    let mut declared = Plan::clone(&plan);
    let mut cart = declared.services[0].clone();
    cart.path = plan::PathName::new("com.example.Cart").unwrap();
    declared.services.push(cart);
    registry.settle(&declared);
    assert!(asked(&registry).is_empty());
    registry.settle(&plan);
    assert_eq!(asked(&registry), ["shop/com.example.Cart"]);
}

/// Or the operator would take it back as soon as it has granted it.
#[test]
fn what_is_granted_because_it_was_asked_for_stays_asked_for() {
    let (registry, plan) = (Registry::open(None), plan("allow"));
    assert_eq!(
        subscribe(&registry, &plan, &url("motan2", "com.example.Cart", 0)),
        ok()
    );
    assert_eq!(
        subscribe(&registry, &plan, &url("motan2", "com.example.User", 0)),
        ok()
    );
    let mut granted = Plan::clone(&plan);
    let mut cart = granted.services[0].clone();
    cart.path = plan::PathName::new("com.example.Cart").unwrap();
    granted.services.push(cart);
    registry.settle(&granted);
    subscribe(&registry, &granted, &url("motan2", "com.example.Cart", 0));
    assert_eq!(asked(&registry), ["shop/com.example.Cart"]);
    granted.undeclared = plan::Undeclared::Refuse;
    registry.settle(&granted);
    assert!(asked(&registry).is_empty());
}

#[test]
fn exports_are_where_the_program_registers_them() {
    let greet = |registry: &Registry, plan: &Arc<Plan>| exported(registry, plan)[0].clone();
    let old = |registry: &Registry, plan: &Arc<Plan>| exported(registry, plan)[1].clone();
    let plan = plan("refuse");
    let registry = Registry::open(None);
    assert_eq!(
        greet(&registry, &plan),
        "com.example.Greet motan2 10.0.0.1:7000 10.0.0.1:7000"
    );
    // A port for Motan 2; what told the two apart by itself still does.
    assert_eq!(
        register(&registry, &plan, &url("motan2", "com.example.Greet", 7110)),
        ok()
    );
    assert_eq!(
        greet(&registry, &plan),
        "com.example.Greet motan2 10.0.0.1:7110 10.0.0.1:7110"
    );
    // A port for each.
    assert_eq!(
        register(&registry, &plan, &url("motan", "com.example.Greet", 7111)),
        ok()
    );
    assert_eq!(
        greet(&registry, &plan),
        "com.example.Greet motan2 10.0.0.1:7110 10.0.0.1:7111"
    );
    // One is taken back, then the other.
    assert_eq!(
        unregister(&registry, &plan, &url("motan", "com.example.Greet", 7111)),
        ok()
    );
    assert_eq!(
        greet(&registry, &plan),
        "com.example.Greet motan2 10.0.0.1:7110 -"
    );
    assert_eq!(
        unregister(&registry, &plan, &url("motan2", "com.example.Greet", 7110)),
        ok()
    );
    assert_eq!(exported(&registry, &plan).len(), 2);
    assert_eq!(
        unregister(&registry, &plan, &url("motan2", "com.example.Greet", 7110)),
        ok()
    );
    assert_eq!(
        register(&registry, &plan, &url("motan2", "com.example.Greet", 7110)),
        ok()
    );
    assert_eq!(
        greet(&registry, &plan),
        "com.example.Greet motan2 10.0.0.1:7110 -"
    );
    // A program that registers Motan 1 only has one port.
    let registry = Registry::open(None);
    register(&registry, &plan, &url("motan", "com.example.Greet", 7111));
    register(&registry, &plan, &url("motan", "com.example.Old", 7112));
    assert_eq!(
        greet(&registry, &plan),
        "com.example.Greet motan2 10.0.0.1:7111 10.0.0.1:7111"
    );
    assert_eq!(old(&registry, &plan), "com.example.Old motan 10.0.0.1:7112 -");
    // One declared for Motan 1 that takes Motan 2 as well.
    register(&registry, &plan, &url("motan2", "com.example.Old", 7113));
    assert_eq!(
        old(&registry, &plan),
        "com.example.Old motan2 10.0.0.1:7113 10.0.0.1:7112"
    );
}

#[test]
fn what_is_declared_and_never_registered_can_be_unregistered() {
    let (registry, plan) = (Registry::open(None), plan("refuse"));
    assert_eq!(
        unregister(&registry, &plan, &url("motan2", "com.example.Greet", 7000)),
        ok()
    );
    assert_eq!(
        unregister(&registry, &plan, &url("motan2", "com.example.Web", 8080)),
        ok()
    );
    assert_eq!(
        unregister(&registry, &plan, &url("motan2", "com.example.None", 1)),
        ok()
    );
    let left = exported(&registry, &plan);
    assert!(
        left.len() == 2 && left.iter().all(|line| !line.starts_with("com.example.Greet")),
        "{left:?}"
    );
}

#[test]
fn what_no_mesh_service_declares_is_refused_with_the_line_that_is_missing() {
    let (registry, plan) = (Registry::open(None), plan("refuse"));
    let (status, words) = register(&registry, &plan, &url("motan2", "com.example.Cart", 7110));
    assert_eq!(status, 403);
    for part in [
        "motan: {path: com.example.Cart, group: shop}",
        "port: 7110",
        "selects pod web-1",
    ] {
        assert!(words.contains(part), "{words}");
    }
    let (status, words) = register(&registry, &plan, &url("motan2", "com.example.Web", 7110));
    assert!(
        status == 403 && words.contains("declared by shop/web as http"),
        "{words}"
    );
    let (status, words) = register(&registry, &plan, &url("motan2", "com.example.Greet", 0));
    assert!(status == 400 && words.contains("port: missing"), "{words}");
    assert_eq!(*registry.entries().borrow(), Entries::default());
}

#[test]
fn what_no_mesh_service_declares_is_exported_where_that_is_allowed() {
    let registry = Registry::open(None);
    let allow = plan("allow");
    assert_eq!(
        register(&registry, &allow, &url("motan2", "com.example.Cart", 7110)),
        ok()
    );
    assert_eq!(
        register(&registry, &allow, &url("motan", "com.example.Older", 7111)),
        ok()
    );
    let lines = exported(&registry, &allow);
    assert_eq!(
        lines[3..],
        [
            "com.example.Cart motan2 127.0.0.1:7110 -",
            "com.example.Older motan 127.0.0.1:7111 -"
        ]
    );
    assert_eq!(exported(&registry, &plan("refuse")).len(), 3);
    unregister(&registry, &allow, &url("motan2", "com.example.Cart", 7110));
    assert_eq!(exported(&registry, &allow).len(), 4);
}

#[test]
fn a_program_can_not_say_more_than_fits() {
    let (registry, allow) = (Registry::open(None), plan("allow"));
    for number in 0..256 {
        let url = url("motan2", &format!("p{number}"), 7000);
        assert_eq!(
            (
                subscribe(&registry, &allow, &url),
                register(&registry, &allow, &url)
            ),
            (ok(), ok())
        );
    }
    let more = url("motan2", "more", 7000);
    for (status, words) in [
        subscribe(&registry, &allow, &more),
        register(&registry, &allow, &more),
    ] {
        assert!(status == 400 && words.contains("at most 256"), "{words}");
    }
    assert_eq!(asked(&registry).len(), 256);
    assert_eq!(
        register(&registry, &allow, &url("motan2", "p7", 7001)),
        ok(),
        "what is there can change"
    );
}

#[test]
fn the_list_is_in_the_shape_of_the_existing_agent() {
    let (registry, plan) = (Registry::open(None), plan("refuse"));
    register(&registry, &plan, &url("motan2", "com.example.Greet", 7110));
    register(&registry, &plan, &url("motan", "com.example.Old", 7111));
    unregister(&registry, &plan, &url("motan", "com.example.Old", 7111));
    subscribe(&registry, &plan, &url("motan2", "com.example.Cart", 0));
    let list: Value = serde_json::from_slice(&registry.list(Some(&plan)).body).unwrap();
    let node = |protocol: &str, path: &str, port: u16, declared: bool| {
        let mut node = url(protocol, path, port);
        node["declared"] = json!(declared);
        node
    };
    assert_eq!(
        list,
        json!({"code": 200, "message": "ok", "body": {
            "register_nodes": [node("motan2", "com.example.Greet", 7110, true)],
            "subscribe_nodes": [node("motan2", "com.example.Cart", 0, false)],
            "unregister_nodes": [node("motan", "com.example.Old", 7111, true)]}})
    );
}

#[test]
fn a_body_that_can_not_be_read_and_a_plan_that_is_not_there_are_said() {
    let registry = Registry::open(None);
    let plan = plan("refuse");
    let (status, words) = said(&registry.subscribe(b"{", Some(&plan)));
    assert!(
        status == 400 && words.contains("one JSON object") && words.contains("line 1"),
        "{words}"
    );
    let body = url("motan2", "com.example.User", 0).to_string();
    assert_eq!(said(&registry.subscribe(body.as_bytes(), None)).0, 503);
    assert_eq!(registry.list(None).status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(said(&pages::info(None)).0, 503);
    assert_eq!(
        pages::info(Some(9981)).body,
        r#"{"body":{"mesh_port":9981},"code":200,"message":"ok"}"#
    );
}

#[test]
fn what_was_said_outlives_the_process_and_a_torn_file_is_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Registry::open(Some(dir.path().to_owned()));
    let (registry, plan) = (open(), plan("refuse"));
    register(&registry, &plan, &url("motan2", "com.example.Greet", 7110));
    unregister(&registry, &plan, &url("motan", "com.example.Old", 7001));
    subscribe(&registry, &plan, &url("motan2", "com.example.Cart", 0));
    let again = open();
    assert_eq!(*again.entries().borrow(), *registry.entries().borrow());
    assert_eq!(asked(&again), ["shop/com.example.Cart"]);
    let file = dir.path().join("registry.json");
    let text = std::fs::read(&file).unwrap();
    std::fs::write(&file, &text[..text.len() / 2]).unwrap();
    assert_eq!(*open().entries().borrow(), Entries::default());
    // A directory that can't be written costs the memory of it, not the answer.
    let nowhere = Registry::open(Some(dir.path().join("nowhere")));
    assert_eq!(
        register(&nowhere, &plan, &url("motan2", "com.example.Greet", 7110)),
        ok()
    );
}
