//! Policies, changed by `kubectl apply` alone while programs call.

use e2e::{
    cluster::{Namespace, check, eventually},
    manifests::{dependency, load, provider, service},
};

/// A provider of `user` over HTTP and `user-rpc` over Motan, and a caller that depends on both and calls one of them all
/// the time.
struct Shop {
    home: Namespace,
    web: String,
}

impl Shop {
    fn open(test: &str) -> Self {
        let home = Namespace::meshed(test);
        home.apply(&provider("user", 2));
        let rpc = "motan: {path: com.example.UserService}";
        home.apply(&service("user", "user", "http", ""));
        home.apply(&service("user-rpc", "user", "motan2", rpc));
        home.apply(&dependency("web", "web", "[{name: user}, {name: user-rpc}]"));
        home.rolled_out("deployment/user");
        home.is("msvc/user", "Ready");
        let url = format!("http://user.{}.mesh/users/1", home.name);
        home.apply(&load("web", &format!(r#"--http, "{url}", --rate, "20""#)));
        home.rolled_out("deployment/web");
        home.is("meshdependency/web", "Ready");
        let web = home.pods("app=web").remove(0);
        Self { home, web }
    }

    /// What the service team says of `user`.
    fn user(&self, more: &str) {
        self.home.apply(&service("user", "user", "http", more));
    }

    /// What the calling team says of `user`.
    fn wants(&self, policy: &str) {
        let services = format!("[{{name: user, policy: {policy}}}, {{name: user-rpc}}]");
        self.home.apply(&dependency("web", "web", &services));
    }

    /// What a call gives: its answer, or how it failed.
    fn get(&self, path: &str) -> String {
        let url = format!("http://user.{}.mesh{path}", self.home.name);
        let args = ["get", &url, "--via", "127.0.0.1:9983"];
        self.home.demo(&self.web, &args).unwrap_or_else(|error| error)
    }

    /// Waits until a call of this path gives something that has all these words.
    fn sees(&self, path: &str, words: &[&str]) {
        eventually(&format!("{path} gives {words:?}"), || {
            let seen = self.get(path);
            check(words.iter().all(|word| seen.contains(word)), seen)
        });
    }

    /// The sum of the lines of this metric with this label in the caller's sidecar, or in that of `pod`.
    fn metric(&self, pod: &str, name: &str, label: &str) -> f64 {
        self.home.metric((&self.web, pod), name, label)
    }
}

#[test]
fn a_switch_and_its_reply_are_on_and_off_within_a_moment() {
    let shop = Shop::open("degraded");
    shop.user(r#"policy: {degrade: {message: closed tonight}}"#);
    shop.sees("/users/1", &["503", "x-mesh-error: degraded", "closed tonight"]);
    shop.user(r#"policy: {degrade: {message: m, reply: {json: '{"users": []}', status: 203}}}"#);
    shop.sees("/users/1", &[r#"{"users": []}"#]);
    assert!(shop.metric(&shop.web, "motanmesh_policy_actions_total", "action=\"given\"") >= 1.0);
    shop.user("");
    shop.sees("/users/7", &["\"id\":\"7\""]);
    // The load went on all the time: what was refused was refused by policy, and nothing else was lost.
    let failures = ["timeout", "unavailable", "no-endpoint", "cancelled"];
    for outcome in failures {
        let lost = shop.metric(
            &shop.web,
            "motanmesh_calls_total",
            &format!("outcome=\"{outcome}\""),
        );
        assert!(lost == 0.0, "{outcome}: {lost}");
    }
}

#[test]
fn the_calling_team_overrides_by_method_and_injects_faults_for_itself() {
    let shop = Shop::open("overrides");
    shop.user("policy: {timeout: 3s}");
    shop.sees("/slow/1500", &["1500"]);
    shop.wants(r#"{methods: [{match: "/slow/*", timeout: 200ms}]}"#);
    shop.sees("/slow/1500", &["504", "x-mesh-error: timeout"]);
    shop.wants(r#"{faults: [{percent: 100, abort: {status: 418, message: teapot}, callers: ["w*"]}]}"#);
    shop.sees("/users/1", &["418", "x-mesh-error: injected", "teapot"]);
    assert!(shop.metric(&shop.web, "motanmesh_calls_total", "outcome=\"injected\"") >= 1.0);
    shop.wants(r#"{faults: [{percent: 100, abort: {status: 418, message: teapot}, callers: [cron]}]}"#);
    shop.sees("/users/1", &["\"id\":\"1\""]);
}

#[test]
fn limits_of_the_service_refuse_what_is_too_much() {
    let shop = Shop::open("limited");
    // The load asks for users; the limit is of another method.
    shop.user(r#"limits: {methods: [{match: "/echo*", requestsPerSecond: 1, burst: 1}]}"#);
    shop.wants("{retries: {attempts: 0}}");
    shop.sees("/echo", &["429", "x-mesh-error: rate-limited", "1 a second"]);
    let refused: f64 = shop
        .home
        .pods("app=user")
        .iter()
        .map(|pod| shop.metric(pod, "motanmesh_calls_total", "outcome=\"rate-limited\""))
        .sum();
    assert!(refused >= 1.0, "{refused}");
    shop.sees("/users/1", &["\"id\":\"1\""]);
}

#[test]
fn a_circuit_opens_for_a_failing_method_and_closes_again() {
    let shop = Shop::open("circuit");
    shop.user(
        r#"policy: {methods: [{match: "/status/*", breaker: {failurePercent: 50, minCalls: 5, openFor: 2s, probes: 1}}]}"#,
    );
    shop.sees("/status/500", &["503", "x-mesh-error: circuit-open"]);
    assert!(shop.metric(&shop.web, "motanmesh_policy_actions_total", "action=\"opened\"") >= 1.0);
    shop.sees("/users/1", &["\"id\":\"1\""]);
    // Once it tries again a good answer closes it.
    eventually("the circuit has closed", || {
        let seen = shop.get("/status/200");
        let closed = shop.metric(&shop.web, "motanmesh_policy_actions_total", "action=\"closed\"");
        check(closed >= 1.0, format!("{closed} {seen}"))
    });
}

#[test]
fn what_contradicts_itself_is_refused_or_warned_of_with_the_field_and_the_mend() {
    let home = Namespace::meshed("contradictions");
    let cases = [
        (
            "policy: {retries: {attempts: 11}}",
            "spec.policy.retries.attempts",
        ),
        ("policy: {faults: [{percent: 10}]}", "add delay"),
        ("policy: {breaker: {window: 1ms}}", "from 1s to 10m"),
        ("limits: {burst: 5}", "it is of requestsPerSecond"),
        ("limits: {queue: {length: 1, timeout: 1s}}", "add concurrency"),
    ];
    for (more, words) in cases {
        let error = home
            .try_apply(&service("user", "user", "http", more))
            .unwrap_err();
        assert!(error.contains(words), "{more}: {error}");
    }
}
