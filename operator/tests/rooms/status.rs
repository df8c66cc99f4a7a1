//! What is said to be true of services and dependencies.

use std::collections::BTreeMap;

use crds::{MeshDependencyStatus, MeshServiceStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use operator::{
    compile::Defaults,
    control::status::{Answer, dependency_status, service_status, undeclared_by},
    world::{ObjectKey, World},
};
use plan::{GroupName, PathName, Undeclared, stream::Subscription};

use super::cluster::{apply, dependency, key, pod, service, together, world};

const NOON: i64 = 1_767_268_800; // a second of 2026

fn at(second: i64) -> Timestamp {
    Timestamp::from_millisecond((NOON + second) * 1_000 + 250).unwrap()
}

fn of_service(world: &World, name: &str) -> MeshServiceStatus {
    service_status(world, world.service(&key(name)).unwrap(), &[], at(0))
}

fn of_dependency(world: &World, name: &str, answers: &BTreeMap<ObjectKey, Answer>) -> MeshDependencyStatus {
    let dependency = world.dependency(&key(name)).unwrap();
    dependency_status(world, dependency, answers, &Defaults::default(), &[], at(0))
}

/// `Type=Status/Reason` of each condition.
fn brief(conditions: &[Condition]) -> String {
    let one =
        |condition: &Condition| format!("{}={}/{}", condition.type_, condition.status, condition.reason);
    conditions.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn message<'a>(conditions: &'a [Condition], type_: &str) -> &'a str {
    &conditions
        .iter()
        .find(|condition| condition.type_ == type_)
        .unwrap()
        .message
}

fn runs(pods: &[&str]) -> BTreeMap<ObjectKey, Answer> {
    pods.iter().map(|pod| (key(pod), Answer::Runs)).collect()
}

#[test]
fn a_service_is_ready_when_one_pod_takes_calls() {
    let world = world(&together(&[
        service("shop/user", 1, ""),
        dependency("shop/web", 1, "[{name: user}]"),
        pod("shop/user-1", "user", Some("10.0.0.1")),
        pod("shop/user-2", "user", None),
    ]));
    let status = of_service(&world, "shop/user");
    assert_eq!(
        brief(&status.conditions),
        "Accepted=True/Accepted Ready=True/Ready"
    );
    assert_eq!(message(&status.conditions, "Ready"), "1 of 2 pods take calls");
    assert_eq!((status.endpoints.text.as_str(), status.dependents), ("1/2", 1));
    assert_eq!(status.observed_generation, Some(3));
    assert!(
        status
            .conditions
            .iter()
            .all(|condition| condition.observed_generation == Some(3))
    );
}

#[test]
fn a_service_that_is_not_ready_says_what_is_missing() {
    for (pods, reason, words) in [
        (vec![], "NoPods", "check the pods' labels"),
        (
            vec![pod("shop/user-1", "user", None)],
            "NoReadyPods",
            "none of 1 pods is ready",
        ),
    ] {
        let world = world(&together(&[vec![service("shop/user", 1, "")], pods].concat()));
        let status = of_service(&world, "shop/user");
        assert_eq!(
            brief(&status.conditions),
            format!("Accepted=True/Accepted Ready=False/{reason}")
        );
        assert!(message(&status.conditions, "Ready").contains(words));
    }
}

#[test]
fn a_pod_without_a_sidecar_takes_calls_directly_and_is_counted() {
    let bare =
        |name: &str, ip: &str| pod(name, "user", Some(ip)).replace("injected: \"true\"", "injected: \"no\"");
    let world = world(&together(&[
        service("shop/user", 1, ""),
        bare("shop/user-1", "10.0.0.1"),
        bare("shop/user-2", "10.0.0.2").replace("status: \"True\"", "status: \"False\""),
        pod("shop/user-3", "user", Some("10.0.0.3")),
    ]));
    let status = of_service(&world, "shop/user");
    assert_eq!(
        (status.endpoints.text.as_str(), status.endpoints.direct),
        ("2/3", 2)
    );
    assert_eq!(
        message(&status.conditions, "Ready"),
        "2 of 3 pods take calls; 2 have no sidecar and are called directly"
    );
}

/// A service of two addresses outside of the mesh.
fn outside(name: &str) -> String {
    let both = "  selector: {matchLabels: {app: legacy}}\n  backend: {protocol: http, port: 8080}\n";
    service(name, 1, "").replace(
        both,
        "  external: {addresses: [\"10.9.0.7:9982\", \"rpc.example.com:8002\"]}\n",
    )
}

#[test]
fn a_service_outside_of_the_mesh_is_ready_once_it_is_declared() {
    let world = world(&together(&[
        outside("shop/legacy"),
        dependency("shop/web", 1, "[{name: legacy}]"),
        pod("shop/web-1", "web", Some("10.0.0.1")),
        pod("shop/legacy-1", "legacy", Some("10.0.0.2")),
    ]));
    let status = of_service(&world, "shop/legacy");
    assert_eq!(
        brief(&status.conditions),
        "Accepted=True/Accepted Ready=True/AddressesDeclared"
    );
    assert_eq!(
        (
            status.protocol.as_deref(),
            status.endpoints.text.as_str(),
            status.dependents
        ),
        (Some("motan2"), "2/2", 1)
    );
    let callers = of_dependency(&world, "shop/web", &runs(&["shop/web-1"]));
    assert_eq!(message(&callers.conditions, "Ready"), "calls can be made");
}

#[test]
fn of_two_services_with_one_motan_name_the_newer_is_not_accepted() {
    let names = "  motan: {path: p, group: g}\n";
    let mut world = world(&together(&[
        service("shop/user", 2, names),
        service("blog/user", 1, names),
        pod("shop/user-1", "user", Some("10.0.0.1")),
    ]));
    let newer = of_service(&world, "shop/user");
    assert_eq!(
        brief(&newer.conditions),
        "Accepted=False/Conflict Ready=False/Conflict"
    );
    assert!(message(&newer.conditions, "Accepted").contains("MeshService blog/user has group g and path p"));
    assert!(brief(&of_service(&world, "blog/user").conditions).starts_with("Accepted=True"));

    let touched = world.remove_service(&key("blog/user"));
    assert!(touched.services.contains(&key("shop/user")));
    assert!(brief(&of_service(&world, "shop/user").conditions).starts_with("Accepted=True"));
}

#[test]
fn a_host_that_belongs_to_another_is_said_and_hinders_nothing_else() {
    let world = world(&together(&[
        service("shop/order", 1, "  hosts: [api.example.com, user.shop.mesh]\n"),
        service("shop/user", 2, "  hosts: [api.example.com]\n"),
        pod("shop/user-1", "user", Some("10.0.0.1")),
    ]));
    let user = of_service(&world, "shop/user");
    assert_eq!(
        brief(&user.conditions),
        "Accepted=False/Conflict Ready=True/Ready"
    );
    assert!(
        message(&user.conditions, "Accepted")
            .contains("host api.example.com belongs to MeshService shop/order")
    );
    let order = of_service(&world, "shop/order");
    assert!(
        message(&order.conditions, "Accepted")
            .contains("host user.shop.mesh belongs to MeshService shop/user")
    );
}

#[test]
fn a_service_that_can_not_be_is_invalid() {
    let world = world(&service("shop/user", 1, "").replace("{app: user}", "{}"));
    let status = of_service(&world, "shop/user");
    assert_eq!(
        brief(&status.conditions),
        "Accepted=False/Invalid Ready=False/Invalid"
    );
    assert!(message(&status.conditions, "Ready").starts_with("spec.selector: name at least one label"));
}

fn shop() -> World {
    world(&together(&[
        service("shop/user", 1, ""),
        service("shop/order", 1, ""),
        dependency(
            "shop/web",
            1,
            "[{name: user, policy: {timeout: 1s}}, {name: order}]",
        ),
        pod("shop/user-1", "user", Some("10.0.0.1")),
        pod("shop/order-1", "order", Some("10.0.0.2")),
        pod("shop/web-1", "web", Some("10.0.0.3")),
        pod("shop/web-2", "web", None),
    ]))
}

#[test]
fn a_dependency_is_ready_when_all_its_pods_run_it() {
    let status = of_dependency(&shop(), "shop/web", &runs(&["shop/web-1", "shop/web-2"]));
    assert_eq!(
        brief(&status.conditions),
        "Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs Programmed=True/Programmed Ready=True/Ready"
    );
    assert_eq!(
        (status.services.text.as_str(), status.pods.text.as_str()),
        ("2/2", "2/2")
    );
    assert_eq!(status.observed_generation, Some(5));
}

#[test]
fn a_dependency_waits_for_every_pod_that_stays() {
    let mut shop = shop();
    let answers = runs(&["shop/web-1"]);
    let status = of_dependency(&shop, "shop/web", &answers);
    assert!(brief(&status.conditions).ends_with("Programmed=False/Pending Ready=False/Pending"));
    assert_eq!(message(&status.conditions, "Programmed"), "1 of 2 pods run it");

    let leaving = pod("shop/web-2", "web", None)
        .replace("labels:", "deletionTimestamp: \"2026-01-01T00:00:00Z\", labels:");
    apply(&mut shop, &leaving);
    assert_eq!(of_dependency(&shop, "shop/web", &answers).pods.text, "1/1");
}

#[test]
fn a_sidecar_that_refuses_its_plan_is_named() {
    let mut answers = runs(&["shop/web-1"]);
    answers.insert(
        key("shop/web-2"),
        Answer::Refused("unknown field mtls".to_owned()),
    );
    let status = of_dependency(&shop(), "shop/web", &answers);
    assert!(brief(&status.conditions).ends_with("Programmed=False/Refused Ready=False/Refused"));
    assert!(
        message(&status.conditions, "Ready")
            .contains("pod shop/web-2 keeps its last good plan: unknown field mtls")
    );
}

#[test]
fn a_dependency_whose_service_is_missing_names_it() {
    let mut shop = shop();
    shop.remove_service(&key("shop/order"));
    let status = of_dependency(&shop, "shop/web", &runs(&["shop/web-1", "shop/web-2"]));
    assert_eq!(
        brief(&status.conditions),
        "Accepted=True/Accepted ResolvedRefs=False/ServiceNotFound Programmed=True/Programmed Ready=False/ServiceNotFound"
    );
    assert!(
        message(&status.conditions, "ResolvedRefs")
            .contains("MeshService shop/order does not exist: create it")
    );
    assert_eq!(status.services.text, "1/2");
}

#[test]
fn a_dependency_without_pods_or_without_providers_is_not_ready() {
    let mut shop = shop();
    let answers = runs(&["shop/web-1", "shop/web-2"]);
    shop.remove_pod(&key("shop/order-1"));
    let status = of_dependency(&shop, "shop/web", &answers);
    assert!(brief(&status.conditions).ends_with("Programmed=True/Programmed Ready=False/NoReadyPods"));
    assert_eq!(
        message(&status.conditions, "Ready"),
        "MeshService shop/order has no pod that is ready"
    );

    shop.remove_pod(&key("shop/web-1"));
    shop.remove_pod(&key("shop/web-2"));
    let status = of_dependency(&shop, "shop/web", &answers);
    assert!(brief(&status.conditions).ends_with("Programmed=False/NoPods Ready=False/NoPods"));
}

#[test]
fn the_newer_of_two_that_disagree_says_so_and_the_older_does_not() {
    let mut shop = shop();
    apply(
        &mut shop,
        &dependency("shop/newer", 2, "[{name: user, policy: {timeout: 5s}}]"),
    );
    let answers = runs(&["shop/web-1", "shop/web-2"]);
    let newer = of_dependency(&shop, "shop/newer", &answers);
    assert!(brief(&newer.conditions).starts_with("Accepted=False/Conflict"));
    assert!(brief(&newer.conditions).ends_with("Ready=True/Conflict"));
    assert!(
        message(&newer.conditions, "Accepted").contains("policy.timeout 5000ms for shop/user is overruled")
    );
    assert!(
        message(&newer.conditions, "Accepted")
            .contains("the older MeshDependency shop/web, which says 1000ms")
    );
    let older = of_dependency(&shop, "shop/web", &answers);
    assert!(brief(&older.conditions).starts_with("Accepted=True"));
}

#[test]
fn a_dependency_that_would_mean_every_pod_is_invalid() {
    let world = world(&dependency("shop/web", 1, "[{name: user}]").replace("{app: web}", "{}"));
    let status = of_dependency(&world, "shop/web", &BTreeMap::new());
    assert!(brief(&status.conditions).starts_with("Accepted=False/Invalid"));
    assert!(brief(&status.conditions).ends_with("Ready=False/Invalid"));
}

#[test]
fn a_condition_keeps_its_time_while_its_status_stays() {
    let mut shop = shop();
    let user = |world: &World, previous: &MeshServiceStatus, second| {
        service_status(
            world,
            world.service(&key("shop/user")).unwrap(),
            &previous.conditions,
            at(second),
        )
    };
    let first = user(&shop, &MeshServiceStatus::default(), 0);
    assert_eq!(
        user(&shop, &first, 60),
        first,
        "nothing changed, so nothing is written"
    );

    apply(&mut shop, &pod("shop/user-2", "user", None));
    let second = user(&shop, &first, 120);
    let times = |status: &MeshServiceStatus| {
        status
            .conditions
            .iter()
            .map(|one| one.last_transition_time.0.as_second() - NOON)
            .collect::<Vec<_>>()
    };
    assert_ne!(second, first);
    assert_eq!(times(&second), [0, 0], "another message is no transition");

    shop.remove_pod(&key("shop/user-1"));
    let third = user(&shop, &second, 180);
    assert_eq!(times(&third), [0, 180]);
}

#[test]
fn a_status_survives_the_api_server() {
    let status = of_service(&shop(), "shop/user");
    let text = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<MeshServiceStatus>(&text).unwrap(), status);
    assert!(text.contains("2026-01-01T12:00:00Z"), "whole seconds: {text}");
}

#[test]
fn a_subscription_that_nobody_declared_is_told_with_the_line_that_is_missing() {
    let subscription = |path: &str| Subscription {
        path: PathName::new(path).unwrap(),
        group: GroupName::new("rpc").unwrap(),
    };
    let mut world = world(&together(&[
        service("shop/user", 1, ""),
        service("blog/cart", 1, "  motan: {path: demo.Cart, group: rpc}\n"),
        dependency("shop/web", 1, "[{name: user}]"),
        pod("shop/lone", "lone", None),
    ]));
    for n in 1..=5 {
        let name = format!("shop/web-{n}");
        apply(&mut world, &pod(&name, "web", Some(&format!("10.0.0.{n}"))));
        world.ask(
            &key(&name),
            "",
            vec![subscription("demo.Cart")],
            Undeclared::Refuse,
        );
    }
    world.ask(
        &key("shop/web-1"),
        "",
        vec![subscription("demo.Cart"), subscription("demo.None")],
        Undeclared::Refuse,
    );
    let status = of_dependency(&world, "shop/web", &BTreeMap::new());
    assert!(brief(&status.conditions).ends_with("UndeclaredSubscriptions=True/Refused"));
    let message = message(&status.conditions, "UndeclaredSubscriptions");
    assert_eq!(
        message,
        "pods shop/web-1, shop/web-2, shop/web-3 and 2 more: subscription to demo.Cart of group rpc: add to spec.services: \
         - {name: cart, namespace: blog}; pod shop/web-1: subscription to demo.None of group rpc, which no MeshService \
         offers: create one, and declare it"
    );

    // Declared, it is nothing to tell any more; a pod that no dependency selects is told itself.
    apply(
        &mut world,
        &dependency("shop/more", 2, "[{name: cart, namespace: blog}]"),
    );
    world.ask(
        &key("shop/web-1"),
        "",
        vec![subscription("demo.Cart")],
        Undeclared::Refuse,
    );
    let status = of_dependency(&world, "shop/web", &BTreeMap::new());
    assert!(!brief(&status.conditions).contains("UndeclaredSubscriptions"));
    world.ask(
        &key("shop/lone"),
        "",
        vec![subscription("demo.Cart")],
        Undeclared::Refuse,
    );
    let told = |name: &str| undeclared_by(&world, world.pod(&key(name)).unwrap(), Undeclared::Allow);
    let (reason, note) = told("shop/lone").unwrap();
    assert!(
        reason == "Allowed" && note.contains("- {name: cart, namespace: blog}"),
        "{note}"
    );
    assert_eq!(told("shop/web-1"), None);
}

/// A pod of the web with the names of services as admission gives them: `127.1.0.n` for the n-th.
fn named(name: &str, services: &[(&str, &[&str])]) -> String {
    let numbered = || (1..).zip(services);
    let captured: Vec<_> = numbered()
        .map(|(n, (service, _))| format!("\"{service}\":\"127.1.0.{n}\""))
        .collect();
    let aliases: Vec<_> = numbered()
        .map(|(n, (_, names))| format!("{{ip: 127.1.0.{n}, hostnames: [{}]}}", names.join(", ")))
        .collect();
    pod(name, "web", Some("10.0.0.9"))
        .replace(
            "metadata: {",
            &format!(
                "metadata: {{annotations: {{motanmesh.io/captured: '{{{}}}'}}, ",
                captured.join(",")
            ),
        )
        .replace(
            "spec: {",
            &format!("spec: {{hostAliases: [{}], ", aliases.join(", ")),
        )
}

#[test]
fn a_dependency_names_the_pods_that_were_made_before_a_name_was() {
    let ports = "  ports: [{port: 80}]\n";
    let user = |more: &str| service("shop/user", 1, &format!("{ports}{more}"));
    let mut world = world(&together(&[
        user(""),
        service("shop/plain", 2, ""),
        dependency("shop/web", 1, "[{name: user}, {name: plain}]"),
        named("shop/web-1", &[("shop/user", &["user.shop.mesh"])]),
    ]));
    let condition = |world: &World| {
        let status = of_dependency(world, "shop/web", &BTreeMap::new());
        let mut found = status.conditions.into_iter();
        found.find(|condition| condition.type_ == "NamesInPods")
    };
    let fine = condition(&world).unwrap();
    assert_eq!((fine.status.as_str(), fine.reason.as_str()), ("True", "Captured"));

    apply(&mut world, &pod("shop/web-2", "web", Some("10.0.0.8")));
    let old = condition(&world).unwrap();
    assert_eq!(
        (old.status.as_str(), old.reason.as_str()),
        ("False", "RestartNeeded")
    );
    assert!(
        old.message
            .starts_with("pod shop/web-2 was made before MeshService shop/user"),
        "{}",
        old.message
    );

    apply(&mut world, &user("  hosts: [user.example.com]\n"));
    let renamed = condition(&world).unwrap();
    assert!(
        renamed
            .message
            .starts_with("pods shop/web-1, shop/web-2 were made"),
        "{}",
        renamed.message
    );

    // Nothing can be done for a pod that listens there itself, or wants its names as they are.
    let serves = pod("shop/web-1", "web", Some("10.0.0.9"))
        .replace("image: app", "image: app, ports: [{containerPort: 80}]");
    let declines = pod("shop/web-2", "web", Some("10.0.0.8")).replace(
        "metadata: {",
        "metadata: {annotations: {motanmesh.io/capture: disabled}, ",
    );
    apply(&mut world, &together(&[serves, declines]));
    assert_eq!(condition(&world), None);
    apply(&mut world, &service("shop/user", 1, ""));
    assert_eq!(condition(&world), None);
}

#[test]
fn the_names_of_a_kubernetes_service_belong_to_the_older_mesh_service() {
    let capture = "  ports: [{port: 80}]\n  capture: {service: user}\n";
    let world = world(&together(&[
        service("shop/user", 1, capture),
        service("shop/other", 2, capture),
    ]));
    let status = of_service(&world, "shop/other");
    assert!(brief(&status.conditions).starts_with("Accepted=False/Conflict"));
    assert!(
        message(&status.conditions, "Accepted")
            .contains("Service user belong to the older MeshService shop/user")
    );
    assert!(brief(&of_service(&world, "shop/user").conditions).starts_with("Accepted=True"));
}
