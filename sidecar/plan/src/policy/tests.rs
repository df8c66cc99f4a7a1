use super::*;

fn read(json: &str) -> Result<Policy, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

#[test]
fn a_policy_that_says_only_its_timeout_has_every_default_and_is_written_as_short() {
    let policy = read(r#"{"timeoutMs": 500}"#).unwrap();
    assert_eq!(policy, Policy::within(Millis::new(500).unwrap()));
    assert_eq!(serde_json::to_string(&policy).unwrap(), r#"{"timeoutMs":500}"#);
}

#[test]
fn everything_is_read_as_it_is_written() {
    let json = r#"{"timeoutMs": 500, "idempotent": true, "retries": {"attempts": 3, "on": ["timeout", "status5xx"], "attemptTimeoutMs": 100},
        "backup": {"after": {"percentile": 95}, "maxPercent": 15},
        "breaker": {"failurePercent": 50, "minCalls": 20, "windowMs": 10000, "openMs": 5000, "probes": 3},
        "degrade": {"message": "closed", "reply": {"status": 200, "json": "[]"}},
        "faults": [{"percent": 10, "delayMs": 200}, {"percent": 5, "abort": {"status": 503, "message": "x"}, "callers": ["web*"]}],
        "methods": [{"match": "get*", "timeoutMs": 50, "backup": {"after": {"delayMs": 20}, "maxPercent": 5}}], "mingzSize": 1024, "budget": {"percent": 0, "minPerSecond": 1},
        "balance": {"mode": "consistentHash", "hash": {"cookie": "uid"}, "slowStartMs": 30000}, "health": "off",
        "mirror": {"to": {"service": "shop/shadow", "subset": "v2"}, "percent": 5}}"#;
    let policy = read(json).unwrap();
    assert_eq!(policy.methods[0].call.timeout_ms.get(), 50);
    assert_eq!(policy.health, Outliers::Off);
    let again = serde_json::to_string(&policy).unwrap();
    assert_eq!(read(&again).unwrap(), policy);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&again).unwrap(),
        serde_json::from_str::<serde_json::Value>(json).unwrap()
    );
    let judged = read(r#"{"timeoutMs": 5, "health": {"consecutiveFailures": 3}}"#).unwrap();
    let Outliers::On(health) = judged.health else {
        panic!("health is on")
    };
    assert_eq!(health.consecutive_failures.get(), 3);
    assert_eq!(health.min_calls, Health::default().min_calls);
}

#[test]
fn what_cannot_be_is_named() {
    let rows = [
        (r#"{}"#, "missing field `timeoutMs`"),
        (
            r#"{"timeoutMs": 5, "backup": {"after": {"percentile": 100}, "maxPercent": 5}}"#,
            "100: must be from 1 to 99",
        ),
        (
            r#"{"timeoutMs": 5, "mirror": {"to": {}, "percent": 0}}"#,
            "0: must be from 1 to 100",
        ),
        (r#"{"timeoutMs": 0}"#, "0: must be from 1 to 3600000"),
        (r#"{"timeoutMs": 5, "retires": {}}"#, "unknown field `retires`"),
        (
            r#"{"timeoutMs": 5, "retries": {"attempts": 11}}"#,
            "11: must be from 0 to 10",
        ),
        (
            r#"{"timeoutMs": 5, "retries": {"atempts": 1}}"#,
            "unknown field `atempts`",
        ),
        (
            r#"{"timeoutMs": 5, "methods": [{"match": "a b", "timeoutMs": 5}]}"#,
            "pattern \"a b\"",
        ),
        (
            r#"{"timeoutMs": 5, "methods": [{"match": "a", "timeoutMs": 5, "x": 1}]}"#,
            "unknown field `x`",
        ),
        (
            r#"{"timeoutMs": 5, "degrade": {"message": "m", "reply": {"status": 200, "json": "{"}}}"#,
            "it is no JSON",
        ),
        (
            r#"{"timeoutMs": 5, "faults": [{"percent": 101}]}"#,
            "101: must be from 1 to 100",
        ),
    ];
    for (json, words) in rows {
        let error = read(json).unwrap_err();
        assert!(error.contains(words), "{json}: {error}");
    }
}

#[test]
fn limits_that_contradict_themselves_are_named() {
    let many = vec![r#"{"priority": "low"}"#; 17].join(",");
    let rows = [
        (
            r#"{"adaptive": {"min": 1, "max": 2}, "concurrency": {"atOnce": 1}}"#.to_owned(),
            "instead of concurrency",
        ),
        (
            r#"{"adaptive": {"min": 3, "max": 2}}"#.to_owned(),
            "min 3 is above max 2",
        ),
        (
            format!(r#"{{"priorities": [{many}]}}"#),
            "17 priorities; at most 16",
        ),
        (
            r#"{"priorities": [{"priority": "high"}]}"#.to_owned(),
            "unknown variant `high`",
        ),
    ];
    for (json, words) in rows {
        let error = serde_json::from_str::<Limits>(&json).unwrap_err();
        assert!(error.to_string().contains(words), "{json}: {error}");
    }
}

#[test]
fn a_priority_is_of_the_methods_and_the_callers_that_it_names() {
    let rule: PriorityRule =
        serde_json::from_str(r#"{"methods": ["export*"], "callers": ["batch*", "cron"], "priority": "low"}"#)
            .unwrap();
    let rows: [(&[u8], &[u8], bool); 5] = [
        (b"exportAll", b"batch-1", true),
        (b"exportAll", b"cron", true),
        (b"exportAll", b"web", false),
        (b"get", b"cron", false),
        (b"exportAll", b"", false),
    ];
    for (method, caller, expected) in rows {
        assert_eq!(rule.matches(method, caller), expected);
    }
}

#[test]
fn whoever_gets_copies_is_in_the_plan() {
    let plan = |to: &str| {
        let text = format!(
            r#"{{"revision": 1, "workload": {{"namespace": "shop", "pod": "web-1", "application": "web"}}, "services": [
            {{"name": "shop/user", "path": "user", "group": "g", "protocol": "motan2",
              "policy": {{"timeoutMs": 5, "mirror": {{"to": {to}, "percent": 5}}}}}}]}}"#
        );
        crate::Plan::parse(text.as_bytes()).map_err(|error| error.to_string())
    };
    assert!(plan(r#"{"subset": "v2"}"#).is_ok());
    assert!(plan(r#"{"service": "shop/user", "subset": "v2"}"#).is_ok());
    let said = plan(r#"{"service": "shop/shadow"}"#).unwrap_err();
    assert!(
        said.contains("shop/user") && said.contains("shop/shadow, which is not listed"),
        "{said}"
    );
}

#[test]
fn first_shares_stay_below_the_rate_together_and_are_one_at_least() {
    for (per_second, among, first) in [(100, 1, 100), (100, 4, 25), (100, 128, 1), (7, 2, 3)] {
        let text =
            format!(r#"{{"clusterRate": {{"perSecond": {per_second}, "burst": 1, "among": {among}}}}}"#);
        let limits: Limits = serde_json::from_str(&text).unwrap();
        assert_eq!(limits.cluster_rate.map(ClusterRate::first), Some(first));
        assert_eq!(
            serde_json::to_string(&limits).unwrap(),
            text.replace(": ", ":").replace(", ", ",")
        );
    }
    let nobody = r#"{"clusterRate": {"perSecond": 5, "burst": 1, "among": 0}}"#;
    assert!(serde_json::from_str::<Limits>(nobody).is_err());
}
