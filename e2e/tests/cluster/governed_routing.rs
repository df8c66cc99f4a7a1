//! Where calls go, changed by `kubectl apply` alone while programs call.

use e2e::{
    cluster::{Namespace, check, eventually},
    manifests::{dependency, load, provider, service},
};

/// Two versions of a program, each in a pod of its own, and a caller that calls one of their services all the time.
struct Versions {
    home: Namespace,
    web: String,
}

impl Versions {
    fn open(test: &str, services: &[String], wanted: &str, calls: impl Fn(&str) -> String) -> Self {
        let home = Namespace::meshed(test);
        for version in ["old", "new"] {
            let labelled = format!("labels: {{app: {version}, part: user");
            home.apply(&provider(version, 1).replace(&format!("labels: {{app: {version}"), &labelled));
        }
        for service in services {
            home.apply(service);
        }
        home.apply(&dependency("web", "web", wanted));
        home.rolled_out("deployment/old");
        home.rolled_out("deployment/new");
        home.apply(&load("web", &calls(&home.name)));
        home.rolled_out("deployment/web");
        home.is("meshdependency/web", "Ready");
        let web = home.pods("app=web").remove(0);
        Self { home, web }
    }

    /// Waits until the next 40 answers come in this share from the new version, in percent.
    fn splits(&self, share: std::ops::RangeInclusive<u64>) {
        let by_new = |by: &std::collections::BTreeMap<String, u64>| {
            let new = by.iter().filter(|(pod, _)| pod.starts_with("new"));
            new.map(|(_, count)| count).sum::<u64>()
        };
        eventually(
            &format!("{share:?} % of the answers come from the new one"),
            || {
                let before = self.home.stats(&self.web);
                let after = self.home.answered_more(&self.web, 40);
                let all: u64 =
                    after.answered_by.values().sum::<u64>() - before.answered_by.values().sum::<u64>();
                let new = by_new(&after.answered_by) - by_new(&before.answered_by);
                let percent = new * 100 / all.max(1);
                check(share.contains(&percent), format!("{percent} % of {all}"))
            },
        );
    }

    /// Nothing of all that was lost.
    fn has_lost_nothing(&self) {
        let stats = self.home.stats(&self.web);
        assert_eq!(stats.failed, 0, "{stats:?}");
    }
}

/// The service of both versions, and what its team says of routing.
fn user(routing: &str) -> String {
    let subsets = "subsets: [{name: old, labels: {app: old}}, {name: new, labels: {app: new}}]";
    let more = format!("{subsets}\npolicy: {{routing: {routing}}}");
    service("user", "user", "http", &more).replace("matchLabels: {app: user}", "matchLabels: {part: user}")
}

#[test]
fn a_new_version_gets_its_share_and_then_all_calls() {
    let old = r#"{rules: [{to: [{subset: old}]}]}"#;
    let calls = |home: &str| format!(r#"--http, "http://user.{home}.mesh/users/1", --rate, "50""#);
    let shop = Versions::open("grey", &[user(old)], "[{name: user}]", calls);
    shop.splits(0..=0);
    shop.home.apply(&user(
        r#"{rules: [{to: [{subset: old, weight: 50}, {subset: new, weight: 50}]}]}"#,
    ));
    shop.splits(20..=80);
    // One method of one caller goes to the new one, whatever the others do.
    shop.home.apply(&user(
        r#"{rules: [{match: {methods: ["/users/1"], callers: ["web*"]}, to: [{subset: new}]}, {to: [{subset: old}]}]}"#,
    ));
    shop.splits(100..=100);
    let url = format!("http://user.{}.mesh/", shop.home.name);
    let seen = shop
        .home
        .demo(&shop.web, &["get", &url, "--via", "127.0.0.1:9983"]);
    let seen = seen.expect("the other method is answered");
    assert!(seen.contains("\"old-"), "{seen}");
    shop.home.apply(&user(old));
    shop.splits(0..=0);
    shop.has_lost_nothing();
}

#[test]
fn groups_are_merged_and_switched_as_traffic_commands_do() {
    let group = |name: &str| {
        let motan = format!("motan: {{path: com.example.UserService, group: {name}}}");
        service(&format!("user-{name}"), name, "motan2", &motan)
    };
    let wants = |policy: &str| format!("[{{name: user-old, policy: {policy}}}]");
    let calls = |_: &str| r#"--motan, com.example.UserService, --group, old, --rate, "50""#.to_owned();
    let services = [group("old"), group("new")];
    let shop = Versions::open("merged", &services, "[{name: user-old}]", calls);
    shop.splits(0..=0);
    let wish = |policy: &str| shop.home.apply(&dependency("web", "web", &wants(policy)));
    wish(r#"{routing: {commands: {mergeGroups: ["old:1", "new:1"]}}}"#);
    shop.splits(20..=80);
    wish(r#"{routing: {commands: {mergeGroups: ["new"]}}}"#);
    shop.splits(100..=100);
    // The new group has nobody left: its own one answers again.
    shop.home.kubectl(&["scale", "deployment/new", "--replicas=0"]);
    shop.splits(0..=0);
    shop.has_lost_nothing();

    wish(r#"{routing: {commands: {mergeGroups: ["gone"]}}}"#);
    eventually("the condition names the group that is not there", || {
        let found = ["Accepted", "ResolvedRefs"].map(|kind| shop.home.condition("meshdependency/web", kind));
        let said = format!("{found:?}");
        check(said.contains("mergeGroups") && said.contains("gone"), said)
    });
    shop.splits(0..=0);
}
