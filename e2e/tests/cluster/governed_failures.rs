//! What is stopped while programs call: the calls that may be repeated are answered by others.

use e2e::{
    cluster::{Namespace, check, eventually},
    manifests::{dependency, load, service, stoppable},
};

/// Stops the program of one of three providers under a load of calls that may be repeated, waits until the callers leave it
/// alone, and sets it going again. The namespace is `meshed`, or its pods have no sidecar.
fn stopped(test: &str, is_meshed: bool) {
    let program = "motanmesh-demo";
    let home = Namespace::meshed(test);
    let users = stoppable("user", 3);
    let bare = "metadata: {annotations: {motanmesh.io/inject: disabled}, labels: {app: user,";
    home.apply(&if is_meshed {
        users
    } else {
        users.replace("metadata: {labels: {app: user,", bare)
    });
    let policy = "policy:\n  timeout: 4s\n  retries: {attempts: 2, retryOn: [unavailable, timeout], perAttemptTimeout: 300ms, budget: {percent: 100, minPerSecond: 100}}\n  health: {consecutiveFailures: 3, baseEjection: 1s}";
    home.apply(&service("user", "user", "http", policy));
    home.apply(&dependency("web", "web", "[{name: user}]"));
    home.rolled_out("deployment/user");
    home.is("msvc/user", "Ready");
    let url = format!("http://user.{}.mesh/users/1", home.name);
    home.apply(&load("web", &format!(r#"--http, "{url}", --rate, "100""#)));
    home.rolled_out("deployment/web");
    home.is("mdep/web", "Ready");
    let web = home.pods("app=web").remove(0);
    home.answered_more(&web, 200);
    let acted = |action: &str| {
        let label = format!("action=\"{action}\"");
        home.metric((&web, &web), "motanmesh_policy_actions_total", &label)
    };
    let (before, ejected) = (home.stats(&web), acted("ejected"));

    let victim = home.pods("app=user").remove(0);
    home.signal_shared(&victim, "STOP", program);
    eventually("it is left alone", || {
        let now = acted("ejected");
        check(now > ejected, now)
    });
    let after = home.answered_more(&web, 400);
    println!(
        "{test}: {} calls, {} failed, longest {:.0} ms",
        after.ok - before.ok,
        after.failed - before.failed,
        after.max_ms
    );
    assert_eq!(after.failed, before.failed, "{after:?}");
    assert!(after.max_ms <= 2_000.0, "{after:?}");

    home.signal_shared(&victim, "CONT", program);
    // By a probe of its callers, or as a new endpoint where the kubelet has called it unready meanwhile.
    let answered = || home.stats(&web).answered_by.get(&victim).copied();
    let last = answered();
    eventually("it gets calls again", || {
        let now = answered();
        check(now > last, format!("{last:?}, {now:?}"))
    });
    let after = home.answered_more(&web, 200);
    assert_eq!(after.failed, before.failed, "{after:?}");
}

#[test]
fn a_program_that_is_stopped_loses_no_call_that_may_be_repeated() {
    stopped("stopped", true);
}

#[test]
fn a_program_without_a_sidecar_that_is_stopped_loses_no_call_that_may_be_repeated() {
    stopped("stopped-bare", false);
}
