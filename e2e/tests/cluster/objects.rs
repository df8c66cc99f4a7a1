//! What people write: refused with words when it can't work, and its status at a glance.

use std::time::{Duration, Instant};

use e2e::{
    cluster::{Namespace, check, eventually},
    manifests::{dependency, load, provider, service},
};

/// A MeshService outside of the mesh.
fn outside(addresses: &str, more: &str) -> String {
    format!(
        "apiVersion: motanmesh.io/v1alpha1\nkind: MeshService\nmetadata: {{name: legacy}}\nspec:\n  external: {{addresses: \
         {addresses}}}\n  {more}\n---\n"
    )
}

#[test]
fn what_can_not_work_is_refused_with_the_field_and_the_mend() {
    let home = Namespace::meshed("refused");
    let user = service("user", "user", "http", "");
    let cases = [
        (
            user.replace("protocol: http", "protocol: smtp"),
            "spec.backend.protocol",
        ),
        (user.replace("port: 8080", "port: 0"), "spec.backend.port"),
        (user.replace("port: 8080", "port: 9981"), "9981"),
        (
            user.replace("{matchLabels: {app: user}}", "{}"),
            "name at least one label",
        ),
        (user.replace("backend:", "bakend:"), "bakend"),
        (
            service("user", "user", "http", "hosts: [User.example.com]"),
            "spec.hosts",
        ),
        (
            service("user", "user", "http", "policy: {timeout: soon}"),
            "spec.policy.timeout",
        ),
        (
            service("user", "user", "http", "policy: {timeout: 120m}"),
            "at most 1h",
        ),
        (
            user.replace("port: 8080", "port: 8080, motan1Port: 8081"),
            "motan1Port: it says where a motan2 program takes Motan 1 too",
        ),
        (
            service("user", "user", "motan2", "policy: {mingzSize: 100}"),
            "0 (never compress) or from 128 to 1048576",
        ),
        (
            service(
                "user",
                "user",
                "motan2",
                "external: {addresses: [\"10.0.0.1:9982\"]}",
            ),
            "remove selector and backend",
        ),
        (outside("[\"10.0.0.1\"]", ""), "spec.external.addresses"),
        (outside("[\"a.b:1\", \"a.b:1\"]", ""), "spec.external.addresses"),
        (outside("[\"a.b:70000\"]", ""), "port from 1 to 65535"),
        (outside("[\"a.b:1\"]", "export: {plain: true}"), "remove export"),
        (
            outside("[\"a.b:1\"]", "").replace("external: {addresses: [\"a.b:1\"]}", "motan: {group: g}"),
            "write selector and backend",
        ),
        (dependency("web", "web", "[]"), "spec.services"),
        (
            dependency("web", "web", "[{name: user}, {name: user}]"),
            "listed already",
        ),
        (
            dependency("web", "web", "[{name: user, policy: {timeout: 0ms}}]"),
            "timeout",
        ),
    ];
    for (yaml, words) in cases {
        let error = home.try_apply(&yaml).expect_err(&yaml);
        assert!(error.contains(words), "wanted {words:?} in: {error}\n{yaml}");
    }
}

#[test]
fn clashes_are_refused_and_missing_services_are_warned_of() {
    let home = Namespace::meshed("clashes");
    home.apply(&service("user", "user", "http", "motan: {path: one.Path}"));
    // A replica may not have seen the first one yet.
    eventually("the clash is seen", || {
        let error = home.try_apply(&service("other", "other", "http", "motan: {path: one.Path}"));
        let _ = home.kubectl(&["delete", "msvc", "other", "--ignore-not-found"]);
        let error = error.err().ok_or("accepted")?;
        check(error.contains("one.Path") && error.contains("user"), error)
    });
    let warned = home.apply(&dependency("web", "web", "[{name: absent}]"));
    assert!(
        warned.contains("Warning") && warned.contains("absent"),
        "{warned}"
    );
    eventually("the status names the missing service", || {
        let (status, _, message) = home.condition("mdep/web", "ResolvedRefs")?;
        check(status == "False" && message.contains("absent"), message)
    });
}

#[test]
fn deleting_a_service_warns_of_its_dependents_and_protection_refuses() {
    let home = Namespace::meshed("delete");
    home.apply(&service("user", "user", "http", ""));
    home.apply(&dependency("web", "web", "[{name: user}]"));
    home.is("mdep/web", "ResolvedRefs");
    home.kubectl(&["annotate", "msvc", "user", "motanmesh.io/protected=true"]);
    let delete = || {
        e2e::cluster::try_kubectl(
            &["-n", &home.name, "delete", "msvc", "user", "--dry-run=server"],
            "",
        )
    };
    eventually("protection refuses", || {
        let said = delete().err().ok_or("not refused")?;
        check(said.contains("web") && said.contains("protected"), said)
    });
    home.kubectl(&["annotate", "msvc", "user", "motanmesh.io/protected-"]);
    eventually("without it there is a warning", || {
        let said = delete()?;
        check(said.contains("Warning") && said.contains("web"), said)
    });
}

#[test]
fn the_status_tells_at_a_glance() {
    let home = Namespace::meshed("status");
    home.apply(&service("user", "user", "http", ""));
    home.apply(&dependency("web", "web", "[{name: user}]"));
    eventually("a service without pods says so", || {
        let (status, reason, _) = home.condition("msvc/user", "Ready")?;
        check(status == "False" && !reason.is_empty(), reason)
    });
    home.apply(&provider("user", 2));
    home.apply(&load(
        "web",
        &format!(r#"--http, "http://user.{}.mesh/users/1", --rate, "5""#, home.name),
    ));
    home.rolled_out("deployment/user");
    home.rolled_out("deployment/web");
    home.is("msvc/user", "Ready");
    home.is("mdep/web", "Programmed");
    home.is("mdep/web", "Ready");
    eventually("the columns add up", || {
        let table = home.kubectl(&["get", "msvc,mdep"]);
        check(table.contains("2/2") && table.matches("1/1").count() >= 2, &table)
    });
}

#[test]
fn a_changed_dependency_is_applied_while_calls_go_on() {
    let home = Namespace::meshed("change");
    home.apply(&provider("user", 1));
    home.apply(&service("user", "user", "http", ""));
    home.apply(&dependency("web", "web", "[{name: user}]"));
    home.apply(&load(
        "web",
        &format!(
            r#"--http, "http://user.{}.mesh/users/1", --rate, "200""#,
            home.name
        ),
    ));
    home.rolled_out("deployment/web");
    home.is("mdep/web", "Ready");
    let web = home.pods("app=web").remove(0);
    home.answered_more(&web, 200);
    let before = home.stats(&web);
    let mut waits: Vec<Duration> = Vec::new();
    for round in 1..=20 {
        let timeout = format!("{}ms", 1_000 + round);
        home.apply(&dependency(
            "web",
            "web",
            &format!("[{{name: user, policy: {{timeout: {timeout}}}}}]"),
        ));
        let start = Instant::now();
        eventually("the sidecar runs the change", || {
            let plan = home.demo(&web, &["get", "http://127.0.0.1:8002/plan"])?;
            check(plan.contains(&format!("{}", 1_000 + round)), plan)
        });
        waits.push(start.elapsed());
    }
    waits.sort();
    println!(
        "change to applied, as kubectl exec sees it: p50 {:?}, worst of 20 {:?}",
        waits[10], waits[19]
    );
    home.is("mdep/web", "Programmed");
    let after = home.answered_more(&web, 200);
    assert_eq!(after.failed, before.failed, "{after:?}");
}
