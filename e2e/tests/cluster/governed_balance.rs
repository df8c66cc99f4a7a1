//! Which endpoint a call goes to, changed by `kubectl apply` alone.

use std::collections::BTreeMap;

use e2e::{
    cluster::{Namespace, check, eventually},
    manifests::{dependency, load, part, service},
};

#[test]
fn calls_follow_weights_and_stay_with_one_endpoint_where_they_should() {
    let home = Namespace::meshed("balance");
    home.apply(&part("light", "user", r#"motanmesh.io/weight: "1""#));
    home.apply(&part("heavy", "user", r#"motanmesh.io/weight: "9""#));
    home.apply(&service("user", "user", "http", ""));
    home.apply(&dependency("web", "web", "[{name: user}]"));
    home.rolled_out("deployment/light");
    home.rolled_out("deployment/heavy");
    home.is("msvc/user", "Ready");
    let url = format!("http://user.{}.mesh/users/1", home.name);
    home.apply(&load("web", &format!(r#"--http, "{url}", --rate, "100""#)));
    home.rolled_out("deployment/web");
    home.is("mdep/web", "Ready");
    let web = home.pods("app=web").remove(0);
    let light = home.pods("part=light").remove(0);
    // The share of the light one in the next calls, in percent.
    let share = || {
        let before = home.stats(&web);
        let after = home.answered_more(&web, 200);
        let more = |by: &BTreeMap<String, u64>| by.get(&light).copied().unwrap_or_default();
        100 * (more(&after.answered_by) - more(&before.answered_by)) / (after.ok - before.ok)
    };
    let wants = |policy: &str| home.apply(&service("user", "user", "http", policy));

    wants("policy: {balance: {mode: weighted}}");
    eventually("the light one gets a tenth", || {
        let share = share();
        check((3..=20).contains(&share), share)
    });
    wants("policy: {balance: {mode: roundRobin}}");
    eventually("each gets a half", || {
        let share = share();
        check((45..=55).contains(&share), share)
    });
    // All calls of the load ask for the same path.
    wants("policy: {balance: {mode: consistentHash, hash: {pathSegment: 2}}}");
    eventually("all calls go to one", || {
        let share = share();
        check(share == 0 || share == 100, share)
    });
}
