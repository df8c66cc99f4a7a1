//! Mirroring, changed by `kubectl apply` alone.

use e2e::{
    cluster::{Namespace, check, eventually},
    manifests::{dependency, load, provider, service},
};

#[test]
fn a_share_of_calls_is_copied_to_another_service_and_the_callers_never_notice() {
    let home = Namespace::meshed("mirror");
    home.apply(&provider("user", 1));
    home.apply(&provider("shadow", 1));
    home.apply(&service("user", "user", "http", ""));
    home.apply(&service("shadow", "shadow", "http", ""));
    home.apply(&dependency("web", "web", "[{name: user}]"));
    home.rolled_out("deployment/user");
    home.rolled_out("deployment/shadow");
    home.is("msvc/user", "Ready");
    home.is("msvc/shadow", "Ready");
    let url = format!("http://user.{}.mesh/users/1", home.name);
    home.apply(&load("web", &format!(r#"--http, "{url}", --rate, "20""#)));
    home.rolled_out("deployment/web");
    home.is("meshdependency/web", "Ready");
    let web = home.pods("app=web").remove(0);
    let shadow = home.pods("app=shadow").remove(0);
    let acted = |action: &str| {
        let label = format!("action=\"{action}\"");
        home.metric((&web, &web), "motanmesh_policy_actions_total", &label)
    };
    assert!(acted("mirrored") == 0.0, "nobody has asked for it");

    let mirror = "policy: {mirror: {to: {service: shadow}, percent: 100}}";
    home.apply(&service("user", "user", "http", mirror));
    eventually("the other service gets copies", || {
        let served = home.metric((&web, &shadow), "motanmesh_calls_total", "outcome=\"ok\"");
        let mirrored = acted("mirrored");
        check(
            served >= 10.0 && mirrored >= 10.0,
            format!("{served} of {mirrored}"),
        )
    });
    // They are no calls of the program that calls.
    assert!(home.metric((&web, &web), "motanmesh_calls_total", "/shadow\"") == 0.0);

    // Where nobody is there who takes them, they are dropped.
    home.kubectl(&["scale", "deployment/shadow", "--replicas=0"]);
    eventually("copies are dropped", || {
        let dropped = acted("mirror-dropped");
        check(dropped >= 10.0, dropped)
    });
    for outcome in ["timeout", "unavailable", "no-endpoint", "cancelled"] {
        let label = format!("outcome=\"{outcome}\"");
        let lost = home.metric((&web, &web), "motanmesh_calls_total", &label);
        assert!(lost == 0.0, "{outcome}: {lost}");
    }

    // The calling team does without.
    let none = "[{name: user, policy: {mirror: {percent: 0}}}]";
    home.apply(&dependency("web", "web", none));
    let all = || {
        let calls = home.metric((&web, &web), "motanmesh_calls_total", "role=\"client\"");
        (acted("mirrored") + acted("mirror-dropped"), calls)
    };
    eventually("no call is copied", || {
        let (before, calls) = all();
        eventually("calls go on", || {
            let (_, now) = all();
            check(now >= calls + 10.0, now)
        });
        let (after, _) = all();
        check(after == before, format!("{before}, {after}"))
    });
}
