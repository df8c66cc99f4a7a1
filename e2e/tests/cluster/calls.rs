//! Calls, through both sidecars, by programs that know nothing of them.

use e2e::{
    cluster::{Namespace, check, eventually},
    manifests::{dependency, load, provider, service},
};

/// A provider of `user` over HTTP and `user-rpc` over Motan, and a caller that depends on both.
fn shop(test: &str) -> (Namespace, String) {
    let shop = Namespace::meshed(test);
    shop.apply(&provider("user", 2));
    shop.apply(&service(
        "user",
        "user",
        "http",
        "hosts: [user.example.com]\npolicy: {timeout: 3s}",
    ));
    shop.apply(&service(
        "user-rpc",
        "user",
        "motan2",
        "motan: {path: com.example.UserService}",
    ));
    shop.apply(&dependency("web", "web", "[{name: user}, {name: user-rpc}]"));
    // The load begins with its pod, and a call is refused while nobody provides.
    shop.rolled_out("deployment/user");
    shop.is("msvc/user", "Ready");
    shop.apply(&load(
        "web",
        &format!(
            r#"--http, "http://user.{}.mesh/users/1", --rate, "20""#,
            shop.name
        ),
    ));
    shop.rolled_out("deployment/web");
    shop.is("meshdependency/web", "Ready");
    let web = shop.pods("app=web").remove(0);
    (shop, web)
}

#[test]
fn http_reaches_http_and_motan_reaches_motan() {
    let (shop, web) = shop("calls");
    let stats = shop.answered_more(&web, 40);
    assert_eq!(stats.failed, 0, "{stats:?}");
    assert_eq!(stats.answered_by.len(), 2, "both providers answer: {stats:?}");

    let answer = shop
        .demo(&web, &["motan", "com.example.UserService", "hello", "Ray"])
        .unwrap();
    assert!(answer.contains("hello Ray"), "{answer}");

    let by_host = shop
        .demo(
            &web,
            &[
                "get",
                "http://user.example.com/users/7",
                "--via",
                "127.0.0.1:9983",
            ],
        )
        .unwrap();
    assert!(by_host.contains("\"id\":\"7\""), "{by_host}");
    let by_proxy = shop
        .demo(
            &web,
            &[
                "get",
                "http://user.example.com/users/8",
                "--via",
                "127.0.0.1:9983",
                "--proxy",
            ],
        )
        .unwrap();
    assert!(by_proxy.contains("\"id\":\"8\""), "{by_proxy}");
}

#[test]
fn method_query_headers_body_and_status_survive() {
    let (shop, web) = shop("faithful");
    let get = |args: &[&str]| {
        let via = ["--via", "127.0.0.1:9983"];
        shop.demo(&web, &[&["get"], args, &via].concat())
    };
    let url = |path: &str| format!("http://user.{}.mesh{path}", shop.name);
    let echo = get(&[
        &url("/echo?a=1&b=%20x"),
        "--method",
        "POST",
        "--body",
        "some words",
    ])
    .unwrap();
    assert!(
        echo.contains(r#""method":"POST""#) && echo.contains("/echo?a=1&b=%20x"),
        "{echo}"
    );
    assert!(echo.contains(r#""bodyLength":10"#), "{echo}");
    let missing = get(&[&url("/status/418")]).unwrap_err();
    assert!(missing.contains("418"), "{missing}");
    let cookies = get(&[&url("/cookies")]).unwrap();
    assert!(
        cookies.contains("set-cookie: a=1") && cookies.contains("set-cookie: b=2"),
        "{cookies}"
    );
    let late = get(&[&url("/slow/10000"), "--timeout-ms", "9000"]).unwrap_err();
    assert!(
        late.contains("504"),
        "the service's timeout of 3s ends the call: {late}"
    );
}

#[test]
fn an_undeclared_call_is_told_what_to_declare() {
    let (shop, web) = shop("undeclared");
    let http = shop
        .demo(
            &web,
            &["get", "http://cart.shop.mesh/", "--via", "127.0.0.1:9983"],
        )
        .unwrap_err();
    assert!(
        http.contains("404") && http.contains("x-mesh-error: undeclared") && http.contains("MeshDependency"),
        "{http}"
    );
    let motan = shop
        .demo(&web, &["motan", "com.example.Cart", "get", "x"])
        .unwrap_err();
    assert!(
        motan.contains("cluster not found") && motan.contains("MeshDependency"),
        "{motan}"
    );
}

#[test]
fn a_service_of_another_namespace_is_reached() {
    let (shop, _) = shop("far");
    let street = Namespace::meshed("near");
    street.apply(&dependency(
        "walker",
        "walker",
        &format!("[{{name: user, namespace: {}}}]", shop.name),
    ));
    street.apply(&load(
        "walker",
        &format!(
            r#"--http, "http://user.{}.mesh/users/2", --rate, "20""#,
            shop.name
        ),
    ));
    street.rolled_out("deployment/walker");
    let walker = street.pods("app=walker").remove(0);
    let stats = street.answered_more(&walker, 20);
    assert!(stats.ok >= 20, "{stats:?}");
}

#[test]
fn metrics_count_calls_by_service_and_role() {
    let (shop, web) = shop("metrics");
    shop.answered_more(&web, 20);
    let address = shop.try_get(&["pod", &web]).unwrap()["status"]["podIP"]
        .as_str()
        .unwrap()
        .to_owned();
    eventually("the client agent counts what it did", || {
        let text = shop.demo(&web, &["get", &format!("http://{address}:9990/metrics")])?;
        let wanted = format!("service=\"{}/user\"", shop.name);
        let line = text
            .lines()
            .find(|line| line.starts_with("motanmesh_calls_total") && line.contains(&wanted));
        check(line.is_some(), text.lines().take(5).collect::<String>())
    });
}
