//! Providers come, go, and die; callers under a steady load don't notice.

use e2e::{
    cluster::{Namespace, check, eventually},
    manifests::{dependency, load, provider, service},
    stats::Report,
};

/// Providers of both protocols and a load on each, 200 calls a second, warm.
pub(crate) fn under_load(test: &str, providers: u32) -> (Namespace, [String; 2]) {
    let home = Namespace::meshed(test);
    home.apply(&provider("user", providers));
    home.apply(&service("user", "user", "http", "policy: {timeout: 4s}"));
    home.apply(&service(
        "user-rpc",
        "user",
        "motan2",
        "motan: {path: com.example.UserService}\npolicy: {timeout: 4s}",
    ));
    home.apply(&dependency("web", "web", "[{name: user}]"));
    home.apply(&dependency("rpc", "rpc", "[{name: user-rpc}]"));
    home.rolled_out("deployment/user");
    home.apply(&load(
        "web",
        &format!(
            r#"--http, "http://user.{}.mesh/users/1", --rate, "200""#,
            home.name
        ),
    ));
    home.apply(&load(
        "rpc",
        r#"--motan, "com.example.UserService", --rate, "200""#,
    ));
    home.rolled_out("deployment/web");
    home.rolled_out("deployment/rpc");
    home.is("mdep/web", "Ready");
    home.is("mdep/rpc", "Ready");
    let loads = [home.pods("app=web").remove(0), home.pods("app=rpc").remove(0)];
    for load in &loads {
        home.answered_more(load, 400);
    }
    (home, loads)
}

/// Counts of both loads.
pub(crate) fn counts(home: &Namespace, loads: &[String; 2]) -> [Report; 2] {
    [home.stats(&loads[0]), home.stats(&loads[1])]
}

/// No call failed since `before`, and calls went on.
pub(crate) fn none_failed(home: &Namespace, loads: &[String; 2], before: &[Report; 2], what: &str) {
    for (load, before) in loads.iter().zip(before) {
        let after = home.answered_more(load, 400);
        println!(
            "{what}: {load}: {} calls, {} failed, p99 {:.1} ms",
            after.ok - before.ok,
            after.failed - before.failed,
            after.p99_ms
        );
        assert_eq!(after.failed, before.failed, "{what}: {load}: {after:?}");
    }
}

#[test]
fn scaling_and_rolling_providers_loses_no_call() {
    let (home, loads) = under_load("rolling", 2);
    let before = counts(&home, &loads);
    home.kubectl(&["scale", "deployment/user", "--replicas=4"]);
    home.rolled_out("deployment/user");
    home.kubectl(&["scale", "deployment/user", "--replicas=1"]);
    eventually("one provider is left", || {
        check(home.pods("app=user").len() == 1, "more than one")
    });
    home.kubectl(&["scale", "deployment/user", "--replicas=2"]);
    home.rolled_out("deployment/user");
    none_failed(&home, &loads, &before, "scaled 2-4-1-2");
    let before = counts(&home, &loads);
    home.kubectl(&["rollout", "restart", "deployment/user"]);
    home.rolled_out("deployment/user");
    none_failed(&home, &loads, &before, "rolled");
}

#[test]
fn a_killed_provider_loses_no_call_that_may_be_repeated() {
    let (home, loads) = under_load("killed", 3);
    let web = &loads[0];
    let before = home.stats(web);
    for _ in 0..3 {
        let victim = home.pods("app=user").remove(0);
        let restarts = |home: &Namespace| {
            let pod = home.try_get(&["pod", &victim])?;
            let status = &pod["status"]["containerStatuses"][0];
            let ready = status["ready"] == true;
            status["restartCount"]
                .as_u64()
                .filter(|_| ready)
                .ok_or_else(|| status.to_string())
        };
        let count = eventually("the victim is ready", || restarts(&home));
        // The page never comes: the program is gone.
        let _ = home.demo(
            &victim,
            &["get", "http://127.0.0.1:8080/crash", "--timeout-ms", "2000"],
        );
        eventually("the program was started again", || {
            check(restarts(&home)? > count, "not yet")
        });
    }
    let after = home.answered_more(web, 400);
    println!(
        "program killed three times: {} calls, {} failed",
        after.ok - before.ok,
        after.failed - before.failed
    );
    assert_eq!(after.failed, before.failed, "{after:?}");
}

#[test]
fn deleted_provider_pods_lose_no_call() {
    let (home, loads) = under_load("deleted", 3);
    let before = counts(&home, &loads);
    for _ in 0..2 {
        let victim = home.pods("app=user").remove(0);
        home.kubectl(&["delete", "pod", &victim]);
        home.rolled_out("deployment/user");
    }
    none_failed(&home, &loads, &before, "provider pods deleted");
}
