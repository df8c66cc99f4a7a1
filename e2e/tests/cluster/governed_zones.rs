//! Calls stay in the zone of the caller's node, by `kubectl apply` alone.

use std::collections::BTreeSet;

use e2e::{
    cluster::{Namespace, check, eventually, items, kubectl, try_get, try_kubectl},
    manifests::{dependency, load, on_node, part, service},
};

const ZONE: &str = "topology.kubernetes.io/zone";

/// Two nodes in different zones; what was written on them for that is taken away at the end.
struct Zones {
    nodes: [String; 2],
    written: Vec<String>,
}

impl Zones {
    fn take() -> Self {
        let list = try_get(&["nodes"]).expect("nodes are there");
        let taken = |node: &&serde_json::Value| {
            let taints = node["spec"]["taints"].as_array();
            taints.is_none_or(|taints| taints.iter().all(|taint| taint["effect"] == "PreferNoSchedule"))
        };
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let nodes: Vec<[String; 3]> = items(&list)
            .filter(taken)
            .map(|node| {
                let labels = &node["metadata"]["labels"];
                let name = text(&node["metadata"]["name"]);
                [name, text(&labels["kubernetes.io/hostname"]), text(&labels[ZONE])]
            })
            .collect();
        let [first, second] = [
            &nodes[0],
            nodes
                .iter()
                .find(|node| node[2] != nodes[0][2])
                .unwrap_or(&nodes[1]),
        ];
        let mut written = Vec::new();
        for (node, zone) in [(first, "near"), (second, "far")] {
            if node[2].is_empty() {
                kubectl(&["label", "node", &node[0], &format!("{ZONE}={zone}")]);
                written.push(node[0].clone());
            }
        }
        let zones: BTreeSet<_> = [first, second].map(|node| &node[2]).into();
        assert!(written.len() == 2 || zones.len() == 2, "{nodes:?}");
        Self {
            nodes: [first[1].clone(), second[1].clone()],
            written,
        }
    }
}

impl Drop for Zones {
    fn drop(&mut self) {
        for node in &self.written {
            let _ = try_kubectl(&["label", "node", node, &format!("{ZONE}-")], ""); // the cluster is gone, most likely
        }
    }
}

#[test]
fn calls_stay_in_the_zone_of_the_callers_node_and_leave_it_when_nobody_is_left_there() {
    let zones = Zones::take();
    let [here, there] = &zones.nodes;
    let home = Namespace::meshed("zones");
    let light = r#"motanmesh.io/weight: "10""#;
    home.apply(&on_node(&part("near", "user", light), here));
    home.apply(&on_node(&part("far", "user", light), there));
    home.apply(&service("user", "user", "http", "policy: {timeout: 4s}"));
    home.apply(&dependency("web", "web", "[{name: user}]"));
    home.rolled_out("deployment/near");
    home.rolled_out("deployment/far");
    home.is("msvc/user", "Ready");
    let url = format!("http://user.{}.mesh/users/1", home.name);
    home.apply(&on_node(
        &load("web", &format!(r#"--http, "{url}", --rate, "50""#)),
        here,
    ));
    home.rolled_out("deployment/web");
    home.is("mdep/web", "Ready");
    let web = home.pods("app=web").remove(0);
    let far = home.pods("part=far").remove(0);
    // How many of some more calls leave the zone.
    let leave = || {
        let seen = |report: &e2e::stats::Report| report.answered_by.get(&far).copied().unwrap_or_default();
        let before = home.stats(&web);
        let after = home.answered_more(&web, 100);
        seen(&after) - seen(&before)
    };
    assert!(leave() >= 10, "nobody has said that zones count");

    home.apply(&service(
        "user",
        "user",
        "http",
        "policy: {timeout: 4s, balance: {locality: {}}}",
    ));
    eventually("calls stay in the zone", || {
        let left = leave();
        check(left == 0, left)
    });
    let before = home.stats(&web);
    home.kubectl(&["scale", "deployment/near", "--replicas=0"]);
    eventually("calls leave the zone", || {
        let left = leave();
        check(left >= 90, left)
    });
    let after = home.stats(&web);
    assert_eq!(after.failed, before.failed, "{after:?}");
}
