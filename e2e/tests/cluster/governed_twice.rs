//! Backup requests, changed by `kubectl apply` alone.

use e2e::{
    cluster::{Namespace, check, eventually},
    manifests::{dependency, load, provider, service},
};

#[test]
fn a_slow_call_is_sent_to_another_pod_too_where_the_policy_says_so() {
    let home = Namespace::meshed("twice");
    home.apply(&provider("user", 2));
    home.apply(&service("user", "user", "http", ""));
    home.apply(&dependency("web", "web", "[{name: user}]"));
    home.rolled_out("deployment/user");
    home.is("msvc/user", "Ready");
    let url = format!("http://user.{}.mesh", home.name);
    home.apply(&load("web", &format!(r#"--http, "{url}/users/1", --rate, "20""#)));
    home.rolled_out("deployment/web");
    home.is("meshdependency/web", "Ready");
    let web = home.pods("app=web").remove(0);
    let sent = || {
        home.metric(
            (&web, &web),
            "motanmesh_policy_actions_total",
            "action=\"backup\"",
        )
    };
    let slow = || {
        let address = format!("{url}/slow/400");
        home.demo(&web, &["get", &address, "--via", "127.0.0.1:9983"])
            .unwrap_or_else(|error| error)
    };
    assert!(slow().contains("400"));
    assert!(sent() == 0.0, "nobody has asked for it");

    let twice = r#"{methods: [{match: "/slow/*", backup: {delay: 50ms, maxPercent: 100}}]}"#;
    home.apply(&service("user", "user", "http", &format!("policy: {twice}")));
    eventually("slow calls are sent a second time", || {
        let seen = slow();
        check(seen.contains("400") && sent() >= 1.0, seen)
    });
    // Both pods have worked on it, and the caller has one answer of each call.
    for pod in home.pods("app=user") {
        let label = "role=\"server\"";
        assert!(
            home.metric((&web, &pod), "motanmesh_calls_total", label) > 0.0,
            "{pod}"
        );
    }
    let failed = home.metric((&web, &web), "motanmesh_calls_total", "outcome=\"unavailable\"");
    assert!(failed == 0.0, "{failed}");

    // The calling team does without.
    let never = r#"[{name: user, policy: {backup: {maxPercent: 0}}}]"#;
    home.apply(&dependency("web", "web", never));
    eventually("no call is sent a second time", || {
        let before = sent();
        let seen = slow();
        check(
            seen.contains("400") && sent() == before,
            format!("{seen}, {before}"),
        )
    });
}
