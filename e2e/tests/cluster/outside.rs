//! At the mesh's border: providers outside of it, callers outside of it, and programs that are told of their agent, or tell
//! it what they call, by Motan's own means.

use e2e::{
    cluster::{Namespace, check, eventually, items},
    manifests::{dependency, pod_template, provider, service, workload},
};
use serde_json::Value;

const PATH: &str = "com.example.UserService";

/// A pod of one program, annotated.
fn bare_pod(name: &str, annotations: &str) -> String {
    let template = pod_template(name, r#"[serve, --http, "0.0.0.0:8080"]"#, "");
    let metadata = format!("name: {name}, annotations: {{{annotations}}}, labels: {{");
    format!(
        "apiVersion: v1\nkind: Pod\n{}\n---\n",
        template.trim().replace("labels: {", &metadata)
    )
}

fn ready(home: &Namespace, pod: &str) -> Value {
    eventually(&format!("pod {pod} is ready"), || {
        let object = home.try_get(&["pod", pod])?;
        let statuses = &object["status"];
        let is_ready = |list: &Value| {
            list.as_array()
                .is_some_and(|all| all.iter().all(|one| one["ready"] == true))
        };
        let ready = is_ready(&statuses["containerStatuses"]);
        check(ready, statuses).map(|()| object)
    })
}

/// A caller that does nothing by itself, and its pod.
fn idle(home: &Namespace, name: &str) -> String {
    home.apply(&workload(
        "Deployment",
        name,
        1,
        &pod_template(name, r#"[serve, --http, "0.0.0.0:8080"]"#, ""),
    ));
    home.rolled_out(&format!("deployment/{name}"));
    home.pods(&format!("app={name}")).remove(0)
}

fn ip(home: &Namespace, pod: &str) -> String {
    eventually(&format!("pod {pod} has an address"), || {
        let object = home.try_get(&["pod", pod])?;
        let address = object["status"]["podIP"].as_str();
        address
            .map(str::to_owned)
            .ok_or_else(|| object["status"].to_string())
    })
}

/// A Motan program that knows nothing of the mesh, at its own address.
fn bystander() -> (Namespace, String) {
    let plain = Namespace::plain("bystander");
    plain.apply(&provider("user", 1));
    plain.rolled_out("deployment/user");
    let pod = plain.pods("app=user").remove(0);
    assert!(
        !ready(&plain, &pod)["spec"]
            .to_string()
            .contains("motanmesh-sidecar")
    );
    let address = format!("{}:7000", ip(&plain, &pod));
    (plain, address)
}

/// Group and path are one service's in the whole mesh; the group of a namespace is its name, so that tests do not meet.
fn external(address: &str) -> String {
    format!(
        "apiVersion: motanmesh.io/v1alpha1\nkind: MeshService\nmetadata: {{name: legacy}}\nspec:\n  external: {{addresses: \
         [\"{address}\"]}}\n  motan: {{path: {PATH}}}\n---\n"
    )
}

fn greeted(home: &Namespace, pod: &str, more: &[&str]) -> Result<(), String> {
    let call = [&["motan", PATH, "hello", "Ray"][..], more].concat();
    let answer = home.demo(pod, &call)?;
    check(answer.contains("hello Ray"), answer)
}

#[test]
fn a_program_outside_of_the_mesh_is_called_by_its_declared_address() {
    let (_plain, address) = bystander();
    let home = Namespace::meshed("external");
    home.apply(&external(&address));
    home.apply(&dependency("web", "web", "[{name: legacy}]"));
    let web = idle(&home, "web");
    home.is("mdep/web", "Ready");
    let (status, reason, _) = home.condition("msvc/legacy", "Ready").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("True", "AddressesDeclared"));
    eventually("the columns tell protocol and addresses", || {
        let table = home.kubectl(&["get", "msvc"]);
        check(table.contains("motan2") && table.contains("1/1"), &table)
    });
    eventually("the call is answered from outside", || greeted(&home, &web, &[]));
}

#[test]
fn a_name_outside_of_the_mesh_is_resolved_by_the_callers_sidecar() {
    let (plain, address) = bystander();
    plain.kubectl(&["expose", "deployment/user", "--port=7000", "--name=user"]);
    let home = Namespace::meshed("resolved");
    // Nobody listens there: what answers in the end is what the declaration was changed to.
    home.apply(&external(&address.replace(":7000", ":1")));
    home.apply(&dependency("web", "web", "[{name: legacy}]"));
    let web = idle(&home, "web");
    home.is("mdep/web", "Ready");
    assert!(greeted(&home, &web, &[]).is_err());
    home.apply(&external(&format!("user.{}.svc.cluster.local:7000", plain.name)));
    eventually("the call goes to the name that is declared now", || {
        greeted(&home, &web, &[])
    });
}

#[test]
fn a_caller_outside_of_the_mesh_is_served_where_the_service_is_open_to_it() {
    let home = Namespace::meshed("plain");
    home.apply(&provider("user", 1));
    let closed = service("user", "user", "motan2", &format!("motan: {{path: {PATH}}}"));
    home.apply(&closed);
    home.rolled_out("deployment/user");
    home.is("msvc/user", "Ready");
    let provider = home.pods("app=user").remove(0);
    let inbound = format!("{}:9982", ip(&home, &provider));

    let street = Namespace::plain("street");
    let caller = idle(&street, "caller");
    let call = ["--via", &inbound, "--group", &home.name];
    eventually("a closed service refuses it", || {
        match greeted(&street, &caller, &call) {
            Err(error) if error.contains("exception") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    home.apply(&closed.replace("motan:", "export: {plain: true}\n  motan:"));
    eventually("an open one answers", || greeted(&street, &caller, &call));
}

/// What a Motan client library posts to its agent.
fn subscribe(home: &Namespace, pod: &str, path: &str) -> Result<String, String> {
    let body = format!(
        r#"{{"protocol":"motan2","host":"127.0.0.1","port":0,"path":"{path}","group":"{}","parameters":{{"nodeType":"referer"}}}}"#,
        home.name
    );
    let url = "http://127.0.0.1:8002/registry/subscribe";
    home.demo(pod, &["get", url, "--method", "POST", "--body", &body])
}

#[test]
fn a_subscription_that_nobody_declared_is_refused_and_told_where_people_look() {
    let home = Namespace::meshed("asks");
    home.apply(&provider("user", 1));
    home.apply(&service(
        "user",
        "user",
        "motan2",
        &format!("motan: {{path: {PATH}}}"),
    ));
    home.apply(&service("other", "user", "http", ""));
    home.apply(&dependency("web", "web", "[{name: other}]"));
    home.rolled_out("deployment/user");
    let web = idle(&home, "web");
    home.is("mdep/web", "Ready");

    let refused = subscribe(&home, &web, PATH).unwrap_err();
    assert!(
        refused.contains(PATH) && refused.contains("MeshDependency"),
        "{refused}"
    );
    let line = format!("- {{name: user, namespace: {}}}", home.name);
    eventually("the dependency names the pod and the missing line", || {
        let (status, reason, message) = home.condition("mdep/web", "UndeclaredSubscriptions")?;
        let told =
            status == "True" && reason == "Refused" && message.contains(&line) && message.contains(&web);
        check(told, format!("{status} {reason}: {message}"))
    });
    assert!(greeted(&home, &web, &[]).is_err());
    home.apply(&dependency("web", "web", "[{name: other}, {name: user}]"));
    eventually("declared, it works and there is nothing to tell", || {
        greeted(&home, &web, &[])?;
        match home.condition("mdep/web", "UndeclaredSubscriptions") {
            Ok((status, ..)) => Err(format!("still {status}")),
            Err(_) => Ok(()),
        }
    });

    let lone = idle(&home, "lone");
    assert!(subscribe(&home, &lone, PATH).is_err());
    eventually("a pod that no dependency selects has an Event", || {
        let events = home.try_get(&["events"])?;
        let told = items(&events).any(|event| {
            event["involvedObject"]["name"] == *lone
                && event["message"]
                    .as_str()
                    .is_some_and(|message| message.contains(&line))
        });
        check(told, "no such event")
    });
}

/// For the test that lets the mesh allow it.
pub(crate) fn what_is_allowed_can_be_called() {
    let home = Namespace::meshed("allowed");
    home.apply(&provider("user", 1));
    home.apply(&service(
        "user",
        "user",
        "motan2",
        &format!("motan: {{path: {PATH}}}"),
    ));
    home.apply(&service("other", "user", "http", ""));
    home.apply(&dependency("web", "web", "[{name: other}]"));
    home.rolled_out("deployment/user");
    let web = idle(&home, "web");
    home.is("mdep/web", "Ready");
    eventually("the sidecar knows that it is allowed", || {
        subscribe(&home, &web, PATH)
    });
    eventually("what was asked for can be called", || greeted(&home, &web, &[]));
    let (status, reason, message) = eventually("it is told all the same", || {
        home.condition("mdep/web", "UndeclaredSubscriptions")
    });
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("True", "Allowed"),
        "{message}"
    );
    // A sidecar that starts again finds it in its plan; it stays granted, and nothing blinks.
    home.end_sidecar(&web);
    eventually("the sidecar is back and the service still there", || {
        let pod = home.try_get(&["pod", &web])?;
        let status = &pod["status"]["initContainerStatuses"][0];
        check(status["restartCount"] != 0 && status["ready"] == true, status)?;
        greeted(&home, &web, &[])
    });
}

#[test]
fn unchanged_programs_are_told_of_the_sidecar_or_share_a_directory_with_it() {
    let home = Namespace::meshed("reach");
    home.apply(&provider("user", 1));
    home.apply(&service(
        "user",
        "user",
        "motan2",
        &format!("motan: {{path: {PATH}}}"),
    ));
    home.apply(&dependency("web", "web", "[{name: user}]"));
    home.rolled_out("deployment/user");
    let wrong = home
        .try_apply(&bare_pod("wrong", "motanmesh.io/run-dir: run/here"))
        .unwrap_err();
    assert!(
        wrong.contains("motanmesh.io/run-dir") && wrong.contains("/run/motanmesh"),
        "{wrong}"
    );
    home.apply(&bare_pod(
        "web",
        "motanmesh.io/mesh-proxy: client, motanmesh.io/run-dir: /run/motanmesh",
    ));
    let pod = ready(&home, "web");
    let variables = pod["spec"]["containers"][0]["env"].as_array().unwrap();
    let proxy = variables
        .iter()
        .find(|one| one["name"] == "MOTAN_MESH_PROXY")
        .unwrap();
    assert_eq!(
        proxy["value"],
        "mode:client,ip:127.0.0.1,port:9981,mport:8002,protocol:motan2"
    );
    home.is("mdep/web", "Ready");
    eventually("the program calls by the socket in the directory", || {
        greeted(&home, "web", &["--via", "unix:/run/motanmesh/motan.sock"])
    });
}
