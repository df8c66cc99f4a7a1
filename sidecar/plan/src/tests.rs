use proptest::prelude::*;

use super::*;

const SMALL: &str = r#"{
  "revision": 7,
  "workload": {"namespace": "shop", "pod": "web-1", "application": "web"},
  "inbound": "127.0.0.2:9982",
  "services": [{"name": "shop/user", "path": "com.example.UserService", "group": "shop", "protocol": "http",
    "hosts": ["user.shop.mesh"], "policy": {"timeoutMs": 500},
    "seeds": [{"address": "127.0.0.3:9982"}, {"address": "127.0.0.4:9982", "state": "draining"}]}],
  "exports": [{"name": "shop/web", "path": "web.shop", "group": "shop", "protocol": "motan2",
    "backend": "127.0.0.1:7000", "policy": {"timeoutMs": 1000}}]
}"#;

fn refused(text: &str) -> String {
    Plan::parse(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn a_plan_survives_being_written_and_read() {
    let plan = Plan::parse(SMALL.as_bytes()).unwrap();
    assert_eq!(plan.services[0].seeds[1].state, EndpointState::Draining);
    assert_eq!(Plan::parse(plan.to_json().as_bytes()).unwrap(), plan);
}

#[test]
fn the_hash_ignores_revision_and_seeds_and_nothing_else() {
    let plan = Plan::parse(SMALL.as_bytes()).unwrap();
    let mut other = plan.clone();
    other.revision = Revision(99);
    other.services[0].seeds.clear();
    assert_eq!(plan.content_hash(), other.content_hash());
    other.services[0].policy.call.timeout_ms = Millis::new(501).unwrap();
    assert_ne!(plan.content_hash(), other.content_hash());
}

#[test]
fn what_can_not_be_is_refused_with_its_name() {
    assert!(refused(&SMALL.replace("\"revision\"", "\"revison\"")).contains("revison"));
    assert!(refused(&SMALL.replace("shop/user", "user")).contains("<namespace>/<name>"));
    assert!(refused(&SMALL.replace("127.0.0.3:9982", "127.0.0.3")).contains("<host>:<port>"));
    assert!(refused(&SMALL.replace("500}", "0}")).contains("from 1 to 3600000"));
    assert!(refused(&SMALL.replace("user.shop.mesh", "User.shop")).contains("lower-case"));
    assert!(refused(&" ".repeat(MAX_PLAN_BYTES + 1)).contains("1 MiB"));
}

#[test]
fn a_host_can_belong_to_one_service_only() {
    let second = SMALL.replacen(
        "\"services\": [",
        r#""services": [{"name": "shop/a", "path": "a", "group": "g", "protocol": "http", "hosts": ["user.shop.mesh"],
        "policy": {"timeoutMs": 1}},"#,
        1,
    );
    assert!(refused(&second).contains("host user.shop.mesh belongs to both shop/a and shop/user"));
}

#[test]
fn a_stream_line_names_its_type() {
    let line = serde_json::to_string(&stream::FromOperator::Endpoints {
        service: ServiceName::of("shop", "user").unwrap(),
        reset: true,
        set: vec![],
        removed: vec![],
    })
    .unwrap();
    assert_eq!(
        line,
        r#"{"type":"endpoints","service":"shop/user","reset":true,"set":[],"removed":[]}"#
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(text in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = Plan::parse(&text);
    }

    #[test]
    fn a_damaged_plan_never_panics(at in 0..SMALL.len(), byte in any::<u8>()) {
        let mut text = SMALL.as_bytes().to_vec();
        text[at] = byte;
        if let Ok(plan) = Plan::parse(&text) {
            prop_assert_eq!(&Plan::parse(plan.to_json().as_bytes()).unwrap(), &plan);
        }
    }
}

#[test]
fn only_a_motan2_program_takes_motan_1_too() {
    let also = SMALL.replace(
        "\"127.0.0.1:7000\"",
        "\"127.0.0.1:7000\", \"motan1\": \"127.0.0.1:7001\"",
    );
    assert!(Plan::parse(also.as_bytes()).unwrap().exports[0].motan1.is_some());
    assert!(
        refused(&also.replace("motan2", "motan"))
            .contains("exports: shop/web: motan1 is for motan2 programs")
    );
    let service = SMALL.replace(
        "\"protocol\": \"http\"",
        "\"protocol\": \"http\", \"motan1\": true",
    );
    assert!(refused(&service).contains("services: shop/user: motan1 is for motan2 programs"));
}

#[test]
fn a_listener_is_of_the_loopback_net_and_of_one_service() {
    let listening = |addresses: &str| {
        SMALL.replace(
            r#""protocol": "http","#,
            &format!(r#""protocol": "http", "listen": [{addresses}],"#),
        )
    };
    let plan = Plan::parse(listening(r#""127.1.0.1:80", "[::1]:80""#).as_bytes()).unwrap();
    assert_eq!(plan.services[0].listen[0].to_string(), "127.1.0.1:80");
    assert_eq!(Plan::parse(plan.to_json().as_bytes()).unwrap(), plan);
    for wrong in ["10.0.0.1:80", "127.1.0.1", "127.1.0.1:0", "localhost:80"] {
        let words = refused(&listening(&format!("{wrong:?}")));
        assert!(words.contains("<loopback IP>:<port>"), "{wrong}: {words}");
    }
    let many: Vec<_> = (1..=17).map(|port| format!("\"127.1.0.1:{port}\"")).collect();
    assert!(refused(&listening(&many.join(","))).contains("shop/user has 17 listeners; at most 16"));
    let twice = listening(r#""127.1.0.1:80""#).replacen(
        "\"services\": [",
        r#""services": [{"name": "shop/a", "path": "a", "group": "g", "protocol": "http", "listen": ["127.1.0.1:80"],
        "policy": {"timeoutMs": 1}},"#,
        1,
    );
    assert!(refused(&twice).contains("listener 127.1.0.1:80 belongs to both shop/a and shop/user"));
}

#[test]
fn only_an_http_program_has_statuses_that_can_be_exceptions() {
    let text = SMALL.replace(
        "\"127.0.0.1:7000\"",
        "\"127.0.0.1:7000\", \"httpException\": true",
    );
    assert!(
        refused(&text)
            .contains("exports: shop/web: httpException is for http programs; this one speaks motan2")
    );
    let http = text.replace("\"protocol\": \"motan2\"", "\"protocol\": \"http\"");
    assert!(Plan::parse(http.as_bytes()).unwrap().exports[0].http_exception);
}

fn sharing(locations: &str) -> String {
    SMALL.replace(
        r#""protocol": "http","#,
        &format!(r#""protocol": "http", "locations": [{locations}],"#),
    )
}

#[test]
fn locations_and_rewrites_survive_being_written_and_read() {
    let shared = sharing(
        r#"{"host": "shop.example.com", "match": "/cart"},
        {"host": "shop.example.com", "match": "^/(cart|basket)/\\d+$", "type": "iregexp"}"#,
    );
    let rewriting = shared
        .replace("\"protocol\": \"motan2\"", "\"protocol\": \"http\"")
        .replace(
            "\"backend\"",
            r#""rewrites": [{"match": "/test/rw", "not": true, "pattern": "^/test/(.*)", "replacement": "/new/$1"}], "backend""#,
        );
    let plan = Plan::parse(rewriting.as_bytes()).unwrap();
    let paths = &plan.services[0].locations[0].paths;
    assert_eq!((paths.kind(), paths.text()), (MatchKind::Start, "/cart"));
    let rewrite = &plan.exports[0].rewrites[0];
    assert_eq!((rewrite.not(), rewrite.replacement()), (true, "/new/$1"));
    assert_eq!(Plan::parse(plan.to_json().as_bytes()).unwrap(), plan);
}

#[test]
fn a_location_that_can_not_be_is_refused_with_the_mend() {
    let rows = [
        (r#"{"host": "h", "match": "cart"}"#, "must be a path from"),
        (
            r#"{"host": "h", "match": "/a//b"}"#,
            "without white space, empty segments",
        ),
        (r#"{"host": "h", "match": "/a/../b"}"#, "must be a path from"),
        (
            r#"{"host": "h", "match": "(", "type": "regexp"}"#,
            "is not a regular expression (RE2 syntax",
        ),
        (
            r#"{"host": "h", "match": "(?=a)", "type": "regexp"}"#,
            "look-around",
        ),
        (
            r#"{"host": "h", "match": "\\w{500}{500}", "type": "regexp"}"#,
            "size limit",
        ),
        (
            r#"{"host": "h", "match": "a", "type": "regexpVar"}"#,
            "write regexp",
        ),
        (r#"{"host": "H", "match": "/a"}"#, "lower-case"),
    ];
    for (location, words) in rows {
        let said = refused(&sharing(location));
        assert!(said.contains(words), "{location}: {said}");
    }
    let long = "a".repeat(513);
    let said = refused(&sharing(&format!(
        r#"{{"host": "h", "match": "{long}", "type": "regexp"}}"#
    )));
    assert!(said.contains("it has 513 bytes"), "{said}");
}

#[test]
fn a_part_of_a_host_can_belong_to_one_service_only() {
    let with = |second: &str| {
        sharing(r#"{"host": "h.example.com", "match": "/a"}"#).replacen(
            "\"services\": [",
            &format!(
                r#""services": [{{"name": "shop/a", "path": "a", "group": "g", "protocol": "http", {second},
                "policy": {{"timeoutMs": 1}}}},"#
            ),
            1,
        )
    };
    let beside = [
        r#""hosts": ["h.example.com"]"#,
        r#""locations": [{"host": "h.example.com", "match": "/a", "type": "exact"}]"#,
        r#""locations": [{"host": "h.example.com", "match": "/a/b"}]"#,
        r#""locations": [{"host": "i.example.com", "match": "/a"}]"#,
    ];
    for second in beside {
        assert!(Plan::parse(with(second).as_bytes()).is_ok(), "{second}");
    }
    let same = refused(&with(
        r#""locations": [{"host": "h.example.com", "match": "/a"}]"#,
    ));
    assert!(
        same.contains("location h.example.com (start /a) belongs to both shop/a and shop/user"),
        "{same}"
    );
    let whole = sharing(r#"{"host": "h.example.com", "match": "/"}"#).replacen(
        "\"services\": [",
        r#""services": [{"name": "shop/a", "path": "a", "group": "g", "protocol": "http", "hosts": ["h.example.com"],
        "policy": {"timeoutMs": 1}},"#,
        1,
    );
    assert!(refused(&whole).contains("location h.example.com (start /) belongs to both"));
}

#[test]
fn only_an_http_program_has_paths_to_rewrite() {
    let text = SMALL.replace(
        "\"backend\"",
        r#""rewrites": [{"match": "/", "pattern": "a", "replacement": "b"}], "backend""#,
    );
    assert!(
        refused(&text).contains("exports: shop/web: rewrites are for http programs; this one speaks motan2")
    );
    let nothing = text.replace(r#""replacement": "b""#, r#""replacement": """#);
    assert!(refused(&nothing).contains("replacement \"\": must have from 1 to 512 bytes"));
}
