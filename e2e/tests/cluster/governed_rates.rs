//! A rate of all pods of a service, by `kubectl apply` alone: it follows the calls from one pod to another.

use e2e::{
    cluster::{Namespace, check, eventually},
    manifests::{dependency, load, provider, service},
};

const RATE: f64 = 40.0;

#[test]
fn a_rate_of_all_pods_is_kept_and_goes_where_the_calls_go() {
    let home = Namespace::meshed("rates");
    home.apply(&provider("user", 3));
    let limited = format!("limits: {{clusterRate: {{requestsPerSecond: {RATE}, burst: 4}}}}");
    home.apply(&service("user", "user", "http", &limited));
    home.apply(&dependency(
        "web",
        "web",
        "[{name: user, policy: {retries: {attempts: 0}}}]",
    ));
    home.rolled_out("deployment/user");
    home.is("msvc/user", "Ready");
    let url = format!("http://user.{}.mesh/users/1", home.name);
    home.apply(&load("web", &format!(r#"--http, "{url}", --rate, "120""#)));
    home.rolled_out("deployment/web");
    let web = home.pods("app=web").remove(0);
    let shares = || -> Vec<f64> {
        let share = |pod: &String| home.metric((&web, pod), "motanmesh_rate_share", "service=");
        home.pods("app=user").iter().map(share).collect()
    };
    // Three pods begin with a quarter each; the rest is theirs as soon as the operator has spoken.
    eventually("the whole rate is shared", || {
        let shares = shares();
        let sum: f64 = shares.iter().sum();
        let is_shared = (RATE * 0.95..=RATE).contains(&sum);
        check(shares.len() == 3 && is_shared, format!("{shares:?}"))
    });
    let refused =
        |pod: &String| home.metric((&web, pod), "motanmesh_calls_total", "outcome=\"rate-limited\"");
    let refused: f64 = home.pods("app=user").iter().map(refused).sum();
    assert!(refused > 0.0, "three times as many come as may");

    // All calls go to one pod: in a moment it has nearly all of the rate.
    let chosen = home.pods("app=user").remove(0);
    home.kubectl(&["label", "pod", &chosen, "part=one"]);
    let routed = format!(
        "{limited}\nsubsets: [{{name: one, labels: {{part: one}}}}]\npolicy: {{routing: {{rules: [{{to: [{{subset: one}}]}}]}}}}"
    );
    home.apply(&service("user", "user", "http", &routed));
    eventually("the share of the pod that is called has grown", || {
        let share = home.metric((&web, &chosen), "motanmesh_rate_share", "service=");
        let all: f64 = shares().iter().sum();
        check(share >= RATE * 0.8 && all <= RATE, format!("{share} of {all}"))
    });
}
