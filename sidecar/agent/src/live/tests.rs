use plan::Plan;
use prometheus_client::registry::Registry;

use super::route::Wanted;
use super::*;
use crate::discovery::Known;
use crate::failure::Kind;
use crate::observe::metrics::Metrics;

const PLAN: &str = r#"{
  "revision": 7,
  "workload": {"namespace": "shop", "pod": "web-1", "application": "web"},
  "services": [
    {"name": "shop/old", "path": "demo.User", "group": "g1", "version": "1.0", "protocol": "motan2",
     "policy": {"timeoutMs": 500}, "seeds": [{"address": "10.0.0.1:9982"}, {"address": "10.0.0.2:9982"}]},
    {"name": "shop/new", "path": "demo.User", "group": "g2", "protocol": "http", "hosts": ["user.shop.mesh"],
     "policy": {"timeoutMs": 500}, "seeds": [{"address": "10.0.0.2:9982", "state": "draining"}]},
    {"name": "shop/cart", "path": "demo.Cart", "group": "g1", "protocol": "motan2", "policy": {"timeoutMs": 500}}],
  "exports": [{"name": "shop/web", "path": "demo.Web", "group": "g1", "protocol": "http",
    "backend": "127.0.0.1:8080", "policy": {"timeoutMs": 500}}]
}"#;

fn metrics() -> Metrics {
    Metrics::register(&mut Registry::default())
}

fn live(previous: Option<&Live>, plan: &str, metrics: &Metrics) -> Live {
    let plan = Plan::parse(plan.as_bytes()).unwrap();
    build(
        previous,
        &Known::seeded(Arc::new(plan)),
        metrics,
        std::time::Instant::now(),
    )
}

fn wanted<'a>(path: &'a str, group: &'a str, version: &'a str, protocol: &'a str) -> Wanted<'a> {
    Wanted {
        path: path.as_bytes(),
        group: group.as_bytes(),
        version: version.as_bytes(),
        protocol: protocol.as_bytes(),
    }
}

#[test]
fn a_request_finds_its_service_as_with_the_existing_agent() {
    let live = live(None, PLAN, &metrics());
    let rows = [
        // One service of a path: whatever else is said.
        (wanted("demo.Cart", "", "", ""), Ok("shop/cart")),
        (wanted("demo.Cart", "other", "9", "grpc"), Ok("shop/cart")),
        // Several: group, protocol and version decide.
        (wanted("demo.User", "", "", ""), Err(Kind::BadRequest)),
        (wanted("demo.User", "g1", "", ""), Ok("shop/old")),
        (wanted("demo.User", "g1", "1.0", "motan"), Ok("shop/old")),
        (wanted("demo.User", "g1", "2.0", "motan2"), Err(Kind::BadRequest)),
        (wanted("demo.User", "g2", "2.0", "motan2"), Ok("shop/new")),
        (wanted("demo.User", "g2", "", "grpc"), Err(Kind::BadRequest)),
        (wanted("demo.User", "g3", "", ""), Err(Kind::BadRequest)),
        (wanted("demo.None", "g1", "", ""), Err(Kind::Undeclared)),
        (wanted("", "", "", ""), Err(Kind::Undeclared)),
    ];
    for (wanted, expected) in rows {
        let found = live.service(&wanted);
        let found = found
            .map(|service| service.name.as_str())
            .map_err(|failure| failure.kind);
        assert_eq!(found, expected, "{wanted:?}");
    }
}

#[test]
fn an_export_is_found_by_group_and_path_exactly() {
    let live = live(None, PLAN, &metrics());
    assert!(live.export(&wanted("demo.Web", "g1", "", "")).is_ok());
    let failure = live.export(&wanted("demo.Web", "g2", "", "")).unwrap_err();
    assert_eq!(failure.kind, Kind::NotProvided);
    assert_eq!(failure.words, "provider not exist serviceKey=g2_demo.Web");
}

#[test]
fn a_host_names_one_service() {
    let live = live(None, PLAN, &metrics());
    let at = |host, path: &str| {
        live.at(host, path.as_bytes())
            .map(|service| service.name.as_str().to_owned())
    };
    assert_eq!(at("user.shop.mesh", "/any/path").unwrap(), "shop/new");
    assert_eq!(at("cart.shop.mesh", "/").unwrap_err().kind, Kind::Undeclared);
}

#[test]
fn services_at_one_address_share_its_counters() {
    let live = live(None, PLAN, &metrics());
    let old = live.service(&wanted("demo.User", "g1", "", "")).unwrap();
    let new = live.at("user.shop.mesh", b"/").unwrap();
    assert!(Arc::ptr_eq(&old.places[1].endpoint, &new.places[0].endpoint));
    assert_eq!(old.places[1].state, plan::EndpointState::Ready);
    assert_eq!(new.places[0].state, plan::EndpointState::Draining);
}

#[test]
fn an_endpoint_that_stays_keeps_its_counters_over_a_new_plan() {
    let metrics = metrics();
    let before = live(None, PLAN, &metrics);
    let place = |live: &Live, index: usize| {
        let service = live.service(&wanted("demo.User", "g1", "", "")).unwrap();
        Arc::clone(&service.places[index].endpoint)
    };
    let busy = place(&before, 1).enter();
    let after = live(
        Some(&before),
        &PLAN.replace("10.0.0.1:9982", "10.0.0.9:9982"),
        &metrics,
    );
    assert_eq!(place(&after, 1).in_flight() + place(&after, 0).in_flight(), 1);
    assert!(before.knows(&place(&before, 0)) && !after.knows(&place(&before, 0)));
    assert!(after.knows(&place(&before, 1)));
    drop(busy);
    assert_eq!(place(&after, 0).in_flight() + place(&after, 1).in_flight(), 0);
}

#[test]
fn a_program_is_no_agent_even_at_the_same_address() {
    let metrics = metrics();
    let plan = PLAN.replace("127.0.0.1:8080", "10.0.0.1:9982");
    let before = live(None, PLAN, &metrics);
    let after = live(Some(&before), &plan, &metrics);
    let export = after.export(&wanted("demo.Web", "g1", "", "")).unwrap();
    let service = after.service(&wanted("demo.User", "g1", "", "")).unwrap();
    assert_eq!(export.backend.kind, EndpointKind::Program);
    assert_eq!(service.places[0].endpoint.kind, EndpointKind::Agent);
}

#[test]
fn what_is_outside_is_no_agent_of_ours() {
    let external = r#""protocol": "motan2", "external": true, "policy": {"timeoutMs": 500}, "seeds": [{"address": "10.0.0.1:9982"}"#;
    let plan = PLAN.replace(
        r#""protocol": "motan2",
     "policy": {"timeoutMs": 500}, "seeds": [{"address": "10.0.0.1:9982"}"#,
        external,
    );
    let live = live(None, &plan, &metrics());
    let old = live.service(&wanted("demo.User", "g1", "", "")).unwrap();
    let new = live.service(&wanted("demo.User", "g2", "", "")).unwrap();
    assert_eq!(old.places[1].endpoint.kind, EndpointKind::Outside);
    assert_eq!(new.places[0].endpoint.kind, EndpointKind::Agent);
    assert!(!Arc::ptr_eq(&old.places[1].endpoint, &new.places[0].endpoint));
}

#[test]
fn a_path_leads_to_an_exact_location_then_to_an_expression_then_to_the_longest_beginning() {
    let service = |name: &str, more: &str| {
        format!(
            r#"{{"name": "shop/{name}", "path": "{name}", "group": "g", "protocol": "http", {more},
            "policy": {{"timeoutMs": 500}}}}"#
        )
    };
    let locations = |locations: &str| {
        let each = locations.split(' ').map(|one| {
            let (kind, text) = one.split_once(':').unwrap();
            format!(r#"{{"host": "h.example.com", "type": "{kind}", "match": "{text}"}}"#)
        });
        format!(r#""locations": [{}]"#, each.collect::<Vec<_>>().join(","))
    };
    let services = [
        service("a", &locations("exact:/cart/one start:/cart regexp:[.]php$")),
        service("b", &locations("start:/cart/big iregexp:^/IMG/ regexp:[.]php")),
        service("c", r#""hosts": ["h.example.com"]"#),
        service(
            "d",
            r#""locations": [{"host": "only.example.com", "match": "/d"}]"#,
        ),
    ];
    let plan = format!(
        r#"{{"revision": 1, "workload": {{"namespace": "shop", "pod": "p", "application": "a"}}, "services": [{}]}}"#,
        services.join(",")
    );
    let live = live(None, &plan, &metrics());
    for (path, expected) in [
        ("/cart/one", "shop/a"),
        ("/cart/on%65", "shop/a"),
        ("/x/../cart//two", "shop/a"),
        ("/carton", "shop/a"),
        ("/cart/big/one", "shop/b"),
        ("/cart/big/x.php", "shop/a"),
        ("/x.php5", "shop/b"),
        ("/img/x", "shop/b"),
        ("/other", "shop/c"),
        ("/", "shop/c"),
    ] {
        let found = live.at("h.example.com", path.as_bytes()).unwrap();
        assert_eq!(found.name.as_str(), expected, "{path}");
    }
    assert!(live.at("only.example.com", b"/d/x").is_ok());
    let failure = live.at("only.example.com", b"/e").unwrap_err();
    assert_eq!(failure.kind, Kind::Undeclared);
    assert!(
        failure
            .words
            .starts_with("path \"/e\" of host \"only.example.com\" is not declared")
    );
    assert!(live.knows_host("only.example.com") && !live.knows_host("other.example.com"));
}
