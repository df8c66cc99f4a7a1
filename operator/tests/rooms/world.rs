//! What a change touches: as little as it can, and never less.

use std::collections::{BTreeMap, BTreeSet};

use crds::{MeshDependencyStatus, MeshServiceStatus};
use jiff::Timestamp;
use operator::{
    compile::{self, Defaults, endpoints},
    control::status::{dependency_status, service_status},
    world::{ObjectKey, Touched, World},
};
use plan::{
    Endpoint, GroupName, PathName, PlanHash, Undeclared,
    stream::{MAX_UNDECLARED, Subscription},
};
use proptest::prelude::*;

use super::cluster::{apply, dependency, key, pod, service, together, world};

fn keys(names: &[&str]) -> BTreeSet<ObjectKey> {
    names.iter().map(|name| key(name)).collect()
}

fn shop() -> World {
    world(&together(&[
        service("shop/user", 1, ""),
        dependency("shop/web", 1, "[{name: user}]"),
        pod("shop/web-1", "web", Some("10.0.0.1")),
        pod("shop/user-1", "user", Some("10.0.0.2")),
        pod("shop/other-1", "other", Some("10.0.0.3")),
    ]))
}

#[test]
fn the_same_object_again_touches_nothing() {
    let mut shop = shop();
    for object in [
        service("shop/user", 1, ""),
        dependency("shop/web", 1, "[{name: user}]"),
        pod("shop/web-1", "web", Some("10.0.0.1")),
    ] {
        assert!(apply(&mut shop, &object).is_empty(), "{object}");
    }
}

#[test]
fn a_pod_that_becomes_ready_is_an_endpoint_and_rewrites_no_caller() {
    let touched = apply(&mut shop(), &pod("shop/user-2", "user", Some("10.0.0.4")));
    assert_eq!(touched.plans, keys(&["shop/user-2"]));
    assert_eq!(touched.endpoints, keys(&["shop/user"]));
    assert_eq!(touched.services, keys(&["shop/user"]));
    assert_eq!(touched.dependencies, keys(&["shop/web"]));
}

#[test]
fn a_pod_more_rewrites_those_it_shares_a_rate_with_only_when_their_number_doubles() {
    let shared = |n: u8| pod(&format!("shop/user-{n}"), "user", Some(&format!("10.0.0.{n}")));
    let mut shop = shop();
    apply(
        &mut shop,
        &service(
            "shop/user",
            1,
            "  limits: {clusterRate: {requestsPerSecond: 100}}",
        ),
    );
    let plans = |touched: Touched| touched.plans;
    assert_eq!(
        plans(apply(&mut shop, &shared(2))),
        keys(&["shop/user-1", "shop/user-2"])
    );
    let three = ["shop/user-1", "shop/user-2", "shop/user-3"];
    assert_eq!(plans(apply(&mut shop, &shared(3))), keys(&three));
    assert_eq!(plans(apply(&mut shop, &shared(4))), keys(&["shop/user-4"]));
    // One that ends has no sidecar any more, though it is still there.
    let ended = shared(4).replace("phase: Running", "phase: Succeeded");
    assert_eq!(plans(apply(&mut shop, &ended)), keys(&["shop/user-4"]));
    let ended = shared(3).replace("phase: Running", "phase: Succeeded");
    assert_eq!(plans(apply(&mut shop, &ended)), keys(&three));
    assert_eq!(
        plans(shop.remove_pod(&key("shop/user-2"))),
        keys(&["shop/user-1", "shop/user-2"])
    );
    let bare = shared(5).replace(", motanmesh.io/injected: \"true\"", "");
    assert_eq!(
        plans(apply(&mut shop, &bare)),
        keys(&["shop/user-5"]),
        "it shares nothing"
    );
    let [shared] = <[_; 1]>::try_from(shop.shared()).unwrap();
    assert_eq!(
        (shared.service.as_str(), shared.rate.first(), shared.pods.len()),
        ("shop/user", 100, 1)
    );
}

#[test]
fn a_node_that_comes_into_a_zone_moves_the_pods_on_it_and_no_others() {
    let mut shop = shop();
    let on = |node: &str, pod: &str| pod.replace("spec: {", &format!("spec: {{nodeName: {node}, "));
    let user = on("n1", &pod("shop/user-1", "user", Some("10.0.0.2")));
    assert!(user.contains("n1"), "{user}");
    apply(&mut shop, &user);
    let node = |zone: &str| {
        format!("kind: Node\nmetadata: {{name: n1, labels: {{topology.kubernetes.io/zone: {zone}}}}}\n")
    };
    let touched = apply(&mut shop, &node("a"));
    assert_eq!(touched.plans, keys(&["shop/user-1"]));
    assert_eq!(touched.endpoints, keys(&["shop/user"]));
    let zone = |shop: &World| {
        let endpoint = endpoints(shop, &key("shop/user")).remove(0);
        endpoint.zone.map(String::from)
    };
    assert_eq!(zone(&shop).as_deref(), Some("a"));
    assert!(apply(&mut shop, &node("a")).is_empty(), "nothing new");
    assert_eq!(shop.keep_nodes(&BTreeSet::new()).endpoints, keys(&["shop/user"]));
    assert_eq!(zone(&shop), None);
}

#[test]
fn a_pod_whose_weight_changes_is_another_endpoint_to_its_callers() {
    let mut shop = shop();
    let weighing = |weight: &str| {
        let annotated = format!("annotations: {{motanmesh.io/weight: \"{weight}\"}}, labels:");
        pod("shop/user-1", "user", Some("10.0.0.2")).replace("labels:", &annotated)
    };
    for (weight, expected) in [("50", Some(50)), ("500", Some(500)), ("0", None)] {
        let touched = apply(&mut shop, &weighing(weight));
        assert_eq!(touched.endpoints, keys(&["shop/user"]), "{weight}");
        let found = endpoints(&shop, &key("shop/user"));
        assert_eq!(found[0].weight.map(plan::Weight::get), expected, "{weight}");
    }
}

#[test]
fn what_a_routing_leads_to_reaches_the_callers_of_the_service_that_is_asked_for() {
    let leads = "  motan: {path: demo.User, group: g1}\n  policy: {routing: {rules: [{to: [{group: g2}]}], backup: [{service: spare}]}}\n";
    let mut shop = shop();
    let web = keys(&["shop/web-1"]);
    assert!(
        apply(&mut shop, &service("shop/user", 1, leads))
            .plans
            .is_superset(&web)
    );
    // They come after it, and go before it.
    let group = "  motan: {path: demo.User, group: g2}\n";
    for (name, more) in [("far/user", group), ("shop/spare", "")] {
        let touched = apply(&mut shop, &service(name, 2, more));
        assert!(touched.plans.is_superset(&web), "{name}: {touched:?}");
        assert_eq!(shop.dependents(&key(name)).count(), 1, "{name}");
        let touched = shop.remove_service(&key(name));
        assert!(touched.plans.is_superset(&web), "{name}: {touched:?}");
    }
    apply(&mut shop, &service("shop/user", 1, ""));
    assert!(
        !apply(&mut shop, &service("far/user", 3, group))
            .plans
            .contains(&key("shop/web-1"))
    );
}

#[test]
fn a_pod_that_enters_a_subset_is_another_endpoint() {
    let mut shop = shop();
    let parts = "  subsets: [{name: v2, labels: {version: v2}}]\n";
    assert_eq!(
        apply(&mut shop, &service("shop/user", 1, parts)).endpoints,
        keys(&["shop/user"])
    );
    let pod = pod("shop/user-1", "user", Some("10.0.0.2")).replace("labels: {", "labels: {version: v2, ");
    let touched = apply(&mut shop, &pod);
    assert_eq!(touched.endpoints, keys(&["shop/user"]), "{pod}");
    let subsets = &endpoints(&shop, &key("shop/user"))[0].subsets;
    assert_eq!(
        subsets.iter().map(|name| name.as_str()).collect::<Vec<_>>(),
        ["v2"]
    );
}

#[test]
fn a_pod_that_nothing_selects_touches_its_own_plan_only() {
    let touched = apply(&mut shop(), &pod("shop/other-2", "other", Some("10.0.0.9")));
    let expected = Touched {
        plans: keys(&["shop/other-2"]),
        ..Touched::default()
    };
    assert_eq!(touched, expected);
}

#[test]
fn a_pod_that_changes_its_labels_leaves_one_service_for_another() {
    let mut shop = shop();
    apply(&mut shop, &service("shop/other", 2, ""));
    let touched = apply(&mut shop, &pod("shop/user-1", "other", Some("10.0.0.2")));
    assert_eq!(touched.endpoints, keys(&["shop/other", "shop/user"]));
    assert!(endpoints(&shop, &key("shop/user")).is_empty());
    assert_eq!(endpoints(&shop, &key("shop/other")).len(), 2);
}

#[test]
fn a_service_touches_its_providers_and_its_callers_and_those_who_want_its_names() {
    let mut shop = shop();
    apply(
        &mut shop,
        &service("shop/order", 2, "  hosts: [api.example.com]\n"),
    );
    let touched = apply(
        &mut shop,
        &service("shop/user", 1, "  hosts: [api.example.com]\n"),
    );
    assert_eq!(touched.plans, keys(&["shop/user-1", "shop/web-1"]));
    assert_eq!(touched.endpoints, keys(&[]));
    assert_eq!(touched.services, keys(&["shop/order", "shop/user"]));
    assert_eq!(touched.dependencies, keys(&["shop/web"]));
}

#[test]
fn a_service_touches_the_other_dependencies_of_its_callers_too() {
    let mut shop = shop();
    apply(&mut shop, &dependency("shop/extra", 2, "[{name: order}]"));
    let rival = service("shop/order", 1, "  motan: {group: shop, path: user.shop}\n");
    let touched = apply(&mut shop, &rival);
    assert_eq!(
        touched.dependencies,
        keys(&["shop/extra", "shop/web"]),
        "web loses user to it"
    );
}

#[test]
fn a_service_that_comes_after_its_dependents_reaches_them() {
    let mut world = world(&together(&[
        dependency("shop/web", 1, "[{name: late}]"),
        pod("shop/web-1", "web", None),
    ]));
    let touched = apply(&mut world, &service("shop/late", 9, ""));
    assert_eq!(touched.plans, keys(&["shop/web-1"]));
    assert_eq!(touched.dependencies, keys(&["shop/web"]));
}

#[test]
fn a_status_that_comes_back_touches_no_plan() {
    let written = service("shop/user", 1, "") + "status: {dependents: 1}\n";
    let touched = apply(&mut shop(), &written);
    let expected = Touched {
        services: keys(&["shop/user"]),
        ..Touched::default()
    };
    assert_eq!(touched, expected);
}

#[test]
fn a_dependency_touches_its_pods_its_services_and_its_neighbours() {
    let mut shop = shop();
    let touched = apply(&mut shop, &dependency("shop/extra", 2, "[{name: order}]"));
    assert_eq!(touched.plans, keys(&["shop/web-1"]));
    assert_eq!(touched.services, keys(&["shop/order"]));
    assert_eq!(touched.dependencies, keys(&["shop/extra", "shop/web"]));
    let gone = shop.remove_dependency(&key("shop/extra"));
    assert_eq!(gone.plans, touched.plans);
}

#[test]
fn what_a_list_does_not_hold_is_gone() {
    let mut shop = shop();
    let touched = shop.keep_pods(&keys(&["shop/web-1", "shop/other-1"]));
    assert_eq!(touched.endpoints, keys(&["shop/user"]));
    assert!(shop.pod(&key("shop/user-1")).is_none());
    assert!(shop.keep_services(&keys(&["shop/user"])).is_empty());
    shop.keep_services(&BTreeSet::new());
    shop.keep_dependencies(&BTreeSet::new());
    assert_eq!((shop.services().count(), shop.dependencies().count()), (0, 0));
}

#[test]
fn a_namespace_says_which_label_it_should_have() {
    let mut world = World::default();
    let yaml = "kind: Namespace\nmetadata: {name: shop, resourceVersion: \"7\", annotations: {motanmesh.io/inject: enabled}}";
    assert_eq!(
        apply(&mut world, yaml).namespaces,
        BTreeSet::from(["shop".into()])
    );
    assert!(apply(&mut world, yaml).is_empty());
    let shop = world.namespace("shop").unwrap();
    assert_eq!(
        (shop.wanted_label(), shop.label.as_deref()),
        (Some("enabled"), None)
    );
    assert!(!world.remove_namespace("shop").is_empty());
}

#[test]
fn the_mark_is_the_highest_version_seen_and_never_falls() {
    let mut world = World::default();
    for (seen, mark) in [
        (Some("10"), 10),
        (Some("9"), 10),
        (None, 10),
        (Some("x"), 10),
        (Some("11"), 11),
    ] {
        world.see(seen);
        assert_eq!(world.mark(), mark);
    }
}

/// One step of a cluster's life; below `kinds` 4 without what programs ask for.
fn step(kinds: u8) -> impl Strategy<Value = (u8, u8, u8, bool)> {
    (0..kinds, 0..4_u8, 0..3_u8, any::<bool>())
}

/// `path@group` as a program subscribes.
fn subscriptions(names: &[&str]) -> Vec<Subscription> {
    let read = |name: &&str| {
        let (path, group) = name.split_once('@').unwrap();
        Subscription {
            path: PathName::new(path).unwrap(),
            group: GroupName::new(group).unwrap(),
        }
    };
    names.iter().map(read).collect()
}

/// A mesh that grants what programs ask for.
fn open() -> Defaults {
    Defaults {
        undeclared: Undeclared::Allow,
        ..Defaults::default()
    }
}

fn take(world: &mut World, (kind, which, variant, remove): (u8, u8, u8, bool)) -> Touched {
    let apps = ["web", "user", "both"];
    let app = apps[usize::from(variant)];
    match (kind, remove) {
        (0, false) => {
            let pod = pod(&format!("shop/p{which}"), app, Some(&format!("10.0.0.{which}")));
            let has_sidecar = if which == 3 { "\"no\"" } else { "\"true\"" };
            let pod = pod
                .replace("injected: \"true\"", &format!("injected: {has_sidecar}"))
                .replace(
                    "metadata: {",
                    "metadata: {annotations: {motanmesh.io/captured: '{\"shop/user\":\"127.1.0.1\"}'}, ",
                );
            apply(world, &pod)
        }
        (0, true) => world.remove_pod(&key(&format!("shop/p{which}"))),
        (1, false) => {
            let name = format!("shop/{}", apps[usize::from(which % 3)]);
            let names = format!("  hosts: [h{variant}.example.com]\n  motan: {{path: p{variant}}}\n");
            let ports = [
                "",
                "  ports: [{port: 80}]\n  capture: {service: user}\n",
                "  ports: [{port: 8080}]\n",
            ];
            let hosts = names + ports[usize::from(variant)];
            let service = service(&name, which, &hosts);
            apply(
                world,
                &service.replace(
                    "protocol: http, port: 8080",
                    &format!("protocol: http, port: 808{variant}"),
                ),
            )
        }
        (1, true) => world.remove_service(&key(&format!("shop/{}", apps[usize::from(which % 3)]))),
        (4, asks_less) => {
            let paths = [format!("p{variant}@shop"), "p0@blog".to_owned()];
            let wanted: Vec<_> = paths
                .iter()
                .map(String::as_str)
                .skip(usize::from(asks_less))
                .collect();
            let rule = if asks_less {
                Undeclared::Refuse
            } else {
                Undeclared::Allow
            };
            world.ask(&key(&format!("shop/p{which}")), "", subscriptions(&wanted), rule)
        }
        (_, false) => {
            let services = format!(
                "[{{name: {app}, policy: {{timeout: {}ms}}}}, {{name: user, namespace: shop}}]",
                which + 1
            );
            apply(world, &dependency(&format!("shop/d{which}"), which, &services))
        }
        (_, true) => world.remove_dependency(&key(&format!("shop/d{which}"))),
    }
}

/// Everything that others learn of a world, by whom it concerns.
#[derive(PartialEq)]
struct Picture {
    plans: BTreeMap<ObjectKey, Option<PlanHash>>,
    endpoints: BTreeMap<ObjectKey, Vec<Endpoint>>,
    services: BTreeMap<ObjectKey, Option<MeshServiceStatus>>,
    dependencies: BTreeMap<ObjectKey, Option<MeshDependencyStatus>>,
}

impl Picture {
    fn of(world: &World) -> Self {
        let now = Timestamp::UNIX_EPOCH;
        let numbered = |letter: char| (0..4).map(move |n| key(&format!("shop/{letter}{n}")));
        let services = || {
            ["web", "user", "both"]
                .map(|name| key(&format!("shop/{name}")))
                .into_iter()
        };
        let plan = |pod: &ObjectKey| compile::compile(world, pod, &open()).map(|compiled| compiled.plan.hash);
        let of_service = |name: &ObjectKey| {
            world
                .service(name)
                .map(|service| service_status(world, service, &[], now))
        };
        let of_dependency = |name: &ObjectKey| {
            let (answers, defaults) = (BTreeMap::new(), open());
            world
                .dependency(name)
                .map(|dependency| dependency_status(world, dependency, &answers, &defaults, &[], now))
        };
        Self {
            plans: numbered('p').map(|pod| (pod.clone(), plan(&pod))).collect(),
            endpoints: services()
                .map(|name| (name.clone(), endpoints(world, &name)))
                .collect(),
            services: services().map(|name| (name.clone(), of_service(&name))).collect(),
            dependencies: numbered('d')
                .map(|name| (name.clone(), of_dependency(&name)))
                .collect(),
        }
    }
}

fn changed<T: PartialEq>(
    before: &BTreeMap<ObjectKey, T>,
    after: &BTreeMap<ObjectKey, T>,
) -> BTreeSet<ObjectKey> {
    let differs = |key: &&ObjectKey| before.get(key) != after.get(key);
    before.keys().filter(differs).cloned().collect()
}

proptest! {
    /// Else a sidecar would run, or a status would say, something old for ever.
    #[test]
    fn whatever_changes_was_touched(steps in proptest::collection::vec(step(5), 1..40)) {
        let mut world = World::default();
        let mut before = Picture::of(&world);
        for step in steps {
            let touched = take(&mut world, step);
            let after = Picture::of(&world);
            for (what, changed, touched) in [
                ("plans", changed(&before.plans, &after.plans), &touched.plans),
                ("endpoints", changed(&before.endpoints, &after.endpoints), &touched.endpoints),
                ("services", changed(&before.services, &after.services), &touched.services),
                ("dependencies", changed(&before.dependencies, &after.dependencies), &touched.dependencies),
            ] {
                prop_assert!(changed.is_subset(touched), "{what} after {step:?}: {changed:?} but {touched:?}");
            }
            before = after;
        }
    }

    /// However a world came to be, it is the same as one made of what is left.
    #[test]
    fn the_index_does_not_depend_on_the_order_of_events(steps in proptest::collection::vec(step(4), 1..40)) {
        let mut lived = World::default();
        for step in &steps {
            take(&mut lived, *step);
        }
        let mut fresh = World::default();
        let mut last = BTreeMap::new();
        for step in steps {
            let which = if step.0 == 1 { step.1 % 3 } else { step.1 };
            last.insert((step.0.min(2), which), step);
        }
        for step in last.into_values().rev().filter(|step| !step.3) {
            take(&mut fresh, step);
        }
        for pod in fresh.pods() {
            let compiled = |world| compile::compile(world, &pod.key, &Defaults::default());
            prop_assert_eq!(compiled(&lived), compiled(&fresh));
        }
        prop_assert_eq!(lived.pods().count(), fresh.pods().count());
    }
}

#[test]
fn addresses_outside_of_the_mesh_are_endpoints_and_a_change_of_them_is_one_of_endpoints() {
    let external = |addresses: &str| {
        format!(
            "apiVersion: motanmesh.io/v1alpha1\nkind: MeshService\nmetadata: {{name: legacy, namespace: shop}}\n\
             spec:\n  external: {{addresses: [{addresses}]}}\n"
        )
    };
    let mut world = world(&together(&[
        pod("shop/web-1", "web", Some("10.0.0.1")),
        dependency("shop/web", 1, "[{name: legacy}]"),
        external("\"b.example.com:1\", \"a.example.com:1\""),
    ]));
    let addresses = |world: &World| -> Vec<String> {
        let all = endpoints(world, &key("shop/legacy"));
        all.iter().map(|endpoint| endpoint.address.to_string()).collect()
    };
    assert_eq!(addresses(&world), ["a.example.com:1", "b.example.com:1"]);
    let touched = apply(&mut world, &external("\"c.example.com:1\""));
    assert!(touched.endpoints.contains(&key("shop/legacy")) && touched.plans.contains(&key("shop/web-1")));
    assert_eq!(addresses(&world), ["c.example.com:1"]);
    let same = apply(
        &mut world,
        &external("\"c.example.com:1\"").replace("spec:", "spec:\n  policy: {timeout: 1s}"),
    );
    assert!(same.endpoints.is_empty(), "{same:?}");
}

/// The names of the services in a pod's plan.
fn planned(world: &World, pod: &str, defaults: &Defaults) -> Vec<String> {
    let plan = compile::compile(world, &key(pod), defaults).unwrap().plan;
    plan.services
        .iter()
        .map(|service| service.name.to_string())
        .collect()
}

#[test]
fn what_a_program_asks_for_is_in_its_plan_only_where_the_mesh_allows_it() {
    let mut shop = shop();
    apply(
        &mut shop,
        &service("shop/cart", 3, "  motan: {path: demo.Cart}\n"),
    );
    let touched = shop.ask(
        &key("shop/web-1"),
        "",
        subscriptions(&["demo.Cart@any", "demo.None@any"]),
        Undeclared::Allow,
    );
    assert_eq!(touched.plans, keys(&["shop/web-1"]));
    assert_eq!(
        (touched.asked, touched.dependencies),
        (keys(&["shop/web-1"]), keys(&["shop/web"]))
    );
    assert_eq!(planned(&shop, "shop/web-1", &open()), ["shop/cart", "shop/user"]);
    assert_eq!(planned(&shop, "shop/web-1", &Defaults::default()), ["shop/user"]);
    // Its endpoints are then news for that pod as well.
    apply(&mut shop, &pod("shop/cart-1", "cart", Some("10.0.0.9")));
    let asking: Vec<_> = shop.asking(&key("shop/cart")).collect();
    assert_eq!(asking, [&key("shop/web-1")]);
}

#[test]
fn of_several_services_with_one_path_the_group_decides() {
    let mut shop = shop();
    for (name, group) in [("shop/cart", "g1"), ("shop/cart-two", "g2")] {
        apply(
            &mut shop,
            &service(
                name,
                3,
                &format!("  motan: {{path: demo.Cart, group: {group}}}\n"),
            ),
        );
    }
    for (asked, granted) in [("demo.Cart@g2", Some("shop/cart-two")), ("demo.Cart@g3", None)] {
        let one = &subscriptions(&[asked])[0];
        assert_eq!(
            shop.offering(one).map(|service| service.key.clone()),
            granted.map(key)
        );
    }
    shop.remove_service(&key("shop/cart"));
    let any = &subscriptions(&["demo.Cart@g3"])[0];
    assert_eq!(
        shop.offering(any).map(|service| service.key.clone()),
        Some(key("shop/cart-two"))
    );
}

#[test]
fn what_was_granted_is_not_taken_back_because_it_is_not_asked_for_again() {
    let pod = key("shop/web-1");
    for (rule, left) in [(Undeclared::Allow, 2), (Undeclared::Refuse, 0)] {
        let mut shop = shop();
        shop.ask(&pod, "", subscriptions(&["a@g", "b@g"]), rule);
        shop.ask(&pod, "", Vec::new(), rule);
        assert_eq!(shop.asked(&pod).count(), left, "{rule:?}");
    }
    let mut shop = shop();
    shop.recall(&pod, "", subscriptions(&["a@g"]));
    shop.recall(&pod, "", subscriptions(&["b@g"]));
    assert_eq!(
        shop.asked(&pod).collect::<Vec<_>>(),
        subscriptions(&["a@g"]).iter().collect::<Vec<_>>()
    );
}

#[test]
fn what_a_pod_asks_for_is_bounded_and_goes_with_the_pod() {
    let mut shop = shop();
    let web = key("shop/web-1");
    for round in ["x", "y"] {
        let many: Vec<_> = (0..MAX_UNDECLARED + 10)
            .map(|n| format!("{round}{n}@g"))
            .collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        shop.ask(&web, "", subscriptions(&many), Undeclared::Allow);
        assert_eq!(shop.asked(&web).count(), MAX_UNDECLARED);
    }
    shop.ask(&key("shop/late"), "", subscriptions(&["a@g"]), Undeclared::Allow);
    assert!(!shop.has_asked(&key("shop/late")));
    let late = pod("shop/late", "web", None).replace("{name: late,", "{name: late, uid: other,");
    apply(&mut shop, &late);
    assert!(
        !shop.has_asked(&key("shop/late")),
        "another pod of the name asked"
    );
    shop.remove_pod(&web);
    apply(&mut shop, &pod("shop/web-1", "web", None));
    assert_eq!(shop.asked(&web).count(), 0);
}
