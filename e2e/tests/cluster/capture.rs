//! Loopback capture: programs that know nothing of the mesh reach services by the names and ports that they have always
//! used, the Kubernetes Service's among them, and go through both sidecars.

use e2e::{
    cluster::{Namespace, check, eventually},
    manifests::{dependency, pod_template, provider, service, workload},
};
use serde_json::Value;

/// A caller that serves itself, at the port that its services have in their pods.
fn caller(name: &str) -> String {
    let args = r#"[serve, --http, "0.0.0.0:8080"]"#;
    workload("Deployment", name, 1, &pod_template(name, args, ""))
}

/// `user` with two pods, its names at port 80, and the Kubernetes Service `users` that callers know; `web` depends on it.
fn shop(test: &str) -> Namespace {
    let shop = Namespace::meshed(test);
    shop.apply(&provider("user", 2));
    shop.apply(
        "apiVersion: v1\nkind: Service\nmetadata: {name: users}\nspec:\n  selector: {app: user}\n  ports: [{port: 80, targetPort: 8080}]\n",
    );
    shop.apply(&service(
        "user",
        "user",
        "http",
        "hosts: [user.example.com]\nports: [{port: 80}]\ncapture: {service: users}\npolicy: {timeout: 3s}",
    ));
    shop.apply(&dependency("web", "web", "[{name: user}]"));
    shop.rolled_out("deployment/user");
    declared(&shop, "user");
    shop.apply(&caller("web"));
    shop.rolled_out("deployment/web");
    shop.is("meshdependency/web", "Ready");
    shop
}

/// Waits until a pod of the web that is made now would have the names of a service.
pub(super) fn declared(shop: &Namespace, service: &str) {
    let pod = format!(
        "apiVersion: v1\nkind: Pod\n{}",
        pod_template("web", "[]", "")
            .trim()
            .replace("labels: {", "name: trial, labels: {")
    );
    eventually("the names are known to admission", || {
        let args = [
            "-n",
            &shop.name,
            "create",
            "--dry-run=server",
            "-o",
            "json",
            "-f",
            "-",
        ];
        let trial = e2e::cluster::try_kubectl(&args, &pod)?;
        let wanted = format!("\\\"{}/{service}\\\"", shop.name);
        check(
            trial.contains("motanmesh.io/captured") && trial.contains(&wanted),
            trial,
        )
    });
}

/// Calls of a service that ended well, as the sidecar of a pod in this role counts them.
fn counted(shop: &Namespace, asked_from: &str, pod: &str, role: &str) -> u64 {
    let text = eventually("the sidecar shows its metrics", || {
        let found = shop.try_get(&["pod", pod])?;
        let address = found["status"]["podIP"].as_str().ok_or("no address")?;
        shop.demo(asked_from, &["get", &format!("http://{address}:9990/metrics")])
    });
    let labels = [
        format!("role=\"{role}\""),
        format!("service=\"{}/user\"", shop.name),
        "outcome=\"ok\"".to_owned(),
    ];
    text.lines()
        .filter(|line| line.starts_with("motanmesh_calls_total{"))
        .filter(|line| labels.iter().all(|label| line.contains(label)))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

#[test]
fn programs_reach_services_by_the_names_they_know_through_both_sidecars() {
    let shop = shop("capture");
    let web = shop.pods("app=web").remove(0);
    let pod = shop.try_get(&["pod", &web]).unwrap();
    assert_eq!(
        pod["spec"]["securityContext"]["sysctls"][0]["name"], "net.ipv4.ip_unprivileged_port_start",
        "port 80 under Pod Security restricted: {}",
        pod["spec"]["securityContext"]
    );
    let names = [
        format!("user.{}.mesh", shop.name),
        "user.example.com".to_owned(),
        "users".to_owned(),
        format!("users.{}", shop.name),
        format!("users.{}.svc", shop.name),
        format!("users.{}.svc.cluster.local", shop.name),
    ];
    for (id, name) in (1..).zip(&names) {
        let answer = shop.demo(&web, &["get", &format!("http://{name}/users/{id}")]);
        let answer = answer.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(answer.contains(&format!("\"id\":\"{id}\"")), "{name}: {answer}");
    }
    let calls = u64::try_from(names.len()).unwrap();
    assert_eq!(counted(&shop, &web, &web, "client"), calls);
    let served: u64 = shop
        .pods("app=user")
        .iter()
        .map(|user| counted(&shop, &web, user, "server"))
        .sum();
    assert_eq!(served, calls);

    let listeners = shop
        .demo(&web, &["get", "http://127.0.0.1:8002/listeners"])
        .unwrap();
    assert!(
        listeners.contains("127.1.0.1:80") && !listeners.contains("error"),
        "{listeners}"
    );
}

#[test]
fn a_pod_that_was_made_before_a_name_is_told_and_has_it_from_its_next_start() {
    let shop = shop("late");
    shop.is("meshdependency/web", "NamesInPods");
    shop.apply(&provider("late", 1));
    shop.apply(&service("late", "late", "http", "ports: [{port: 80}]"));
    shop.apply(&dependency("web", "web", "[{name: user}, {name: late}]"));
    shop.rolled_out("deployment/late");
    let web = shop.pods("app=web").remove(0);
    eventually("the dependency names the pod", || {
        let (status, reason, message) = shop.condition("meshdependency/web", "NamesInPods")?;
        let told = status == "False" && reason == "RestartNeeded" && message.contains(&web);
        check(told, format!("{status} {reason} {message}"))
    });
    let host = format!("late.{}.mesh", shop.name);
    let url = format!("http://{host}/users/5");
    shop.demo(&web, &["get", &url])
        .expect_err("the pod does not have the name");
    let by_proxy = ["get", &url, "--via", "127.0.0.1:9983"];
    eventually("by the HTTP port it is reached at once", || {
        shop.demo(&web, &by_proxy)
    });

    shop.kubectl(&["rollout", "restart", "deployment/web"]);
    shop.rolled_out("deployment/web");
    shop.is("meshdependency/web", "NamesInPods");
    let web = shop.pods("app=web").remove(0);
    let answer = shop.demo(&web, &["get", &url]).unwrap();
    assert!(answer.contains("\"id\":\"5\""), "{answer}");
}

#[test]
fn a_program_that_listens_on_the_port_itself_keeps_the_names_and_its_owner_is_told() {
    let shop = shop("own");
    let template = pod_template("web", r#"[serve, --http, "0.0.0.0:8080"]"#, "")
        .replace("args:", "ports: [{containerPort: 80}]\n    args:")
        .replace("app: web,", "app: web, own: \"80\",");
    shop.apply(
        &workload("Deployment", "own", 1, &template)
            .replace("{matchLabels: {app: own}}", "{matchLabels: {own: \"80\"}}"),
    );
    shop.rolled_out("deployment/own");
    let own = shop.pods("own=80").remove(0);
    let pod = shop.try_get(&["pod", &own]).unwrap();
    assert_eq!(pod["spec"]["hostAliases"], Value::Null);
    let by_service = shop.demo(&own, &["get", "http://users/users/6"]).unwrap();
    assert!(
        by_service.contains("\"id\":\"6\""),
        "as without a mesh: {by_service}"
    );
    eventually("an Event says why", || {
        let events = shop.kubectl(&["get", "events", "-o", "json"]);
        check(events.contains("CapturePortTaken"), "no such Event")
    });
}
