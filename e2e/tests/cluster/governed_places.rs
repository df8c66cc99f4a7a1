//! How many calls a program takes at once, and which go first, changed by `kubectl apply` alone.

use e2e::{
    cluster::{Namespace, check, eventually},
    manifests::{dependency, load, provider, service},
};

#[test]
fn what_matters_less_is_refused_first_and_the_bound_can_be_learnt() {
    let home = Namespace::meshed("places");
    home.apply(&provider("user", 1));
    home.apply(&service("user", "user", "http", ""));
    home.apply(&dependency(
        "web",
        "web",
        "[{name: user, policy: {retries: {attempts: 0}}}]",
    ));
    home.rolled_out("deployment/user");
    home.is("msvc/user", "Ready");
    // About ten at a time.
    let url = format!("http://user.{}.mesh", home.name);
    home.apply(&load(
        "web",
        &format!(r#"--http, "{url}/slow/500", --rate, "20""#),
    ));
    home.rolled_out("deployment/web");
    home.is("meshdependency/web", "Ready");
    let (web, user) = (home.pods("app=web").remove(0), home.pods("app=user").remove(0));
    let acted = |action: &str| {
        let label = format!("action=\"{action}\"");
        home.metric((&web, &user), "motanmesh_policy_actions_total", &label)
    };
    assert!(acted("shed-low") == 0.0, "nothing bounds them");

    let priorities =
        r#"priorities: [{methods: ["/users/*"], priority: critical}, {methods: ["/slow/*"], priority: low}]"#;
    let limits = |bound: &str| {
        home.apply(&service(
            "user",
            "user",
            "http",
            &format!("limits: {{{bound}, {priorities}}}"),
        ))
    };
    limits("concurrency: 5");
    eventually("slow calls are refused", || {
        let shed = acted("shed-low");
        check(shed >= 5.0, shed)
    });
    for _ in 0..10 {
        let seen = home.demo(
            &web,
            &["get", &format!("{url}/users/7"), "--via", "127.0.0.1:9983"],
        );
        assert!(seen.as_ref().is_ok_and(|seen| seen.contains("\"7\"")), "{seen:?}");
    }
    assert!(acted("shed-critical") == 0.0, "a place is kept for what matters");

    limits("adaptive: {min: 2, max: 8}");
    eventually("the limit that is learnt is shown", || {
        let limit = home.metric((&web, &user), "motanmesh_concurrency_limit", "service=");
        check((2.0..=8.0).contains(&limit), limit)
    });
}
