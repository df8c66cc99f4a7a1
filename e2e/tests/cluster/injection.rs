//! Who gets a sidecar, and who does not, and who is told.

use e2e::{
    cluster::{Namespace, check, eventually, items, try_kubectl},
    manifests::{pod_template, provider, workload},
};
use serde_json::Value;

const SERVE: &str = r#"[serve, --http, "0.0.0.0:8080"]"#;
const ONCE: &str = "[get, \"http://127.0.0.1:9983/\", --timeout-ms, \"1000\"]";

fn sidecar(pod: &Value) -> Result<(), String> {
    let first = &pod["spec"]["initContainers"][0];
    check(
        first["name"] == "motanmesh-sidecar" && first["restartPolicy"] == "Always",
        &pod["spec"],
    )
}

fn bare_pod(name: &str, more: &str) -> String {
    let template = pod_template(name, SERVE, "");
    format!(
        "apiVersion: v1\nkind: Pod\n{}\n---\n",
        template
            .trim()
            .replace("labels: {", &format!("name: {name}, {more}labels: {{"))
    )
}

#[test]
fn each_workload_kind_gets_its_sidecar_under_restricted() {
    let home = Namespace::meshed("kinds");
    for kind in ["Deployment", "StatefulSet", "DaemonSet"] {
        let name = kind.to_lowercase();
        home.apply(&workload(kind, &name, 1, &pod_template(&name, SERVE, "")));
    }
    home.apply(&bare_pod("bare", ""));
    for workload in [
        "deployment/deployment",
        "statefulset/statefulset",
        "daemonset/daemonset",
    ] {
        home.rolled_out(workload);
    }
    for app in ["deployment", "statefulset", "daemonset", "bare"] {
        eventually(&format!("{app} is ready with its sidecar"), || {
            let pods = home.try_get(&["pods", "-l", &format!("app={app}")])?;
            let pod = items(&pods).next().ok_or("no pod")?;
            sidecar(pod)?;
            let ready = pod["status"]["initContainerStatuses"][0]["ready"] == true
                && pod["status"]["containerStatuses"][0]["ready"] == true;
            check(ready, &pod["status"])
        });
    }
}

#[test]
fn a_job_with_a_sidecar_completes() {
    let home = Namespace::meshed("jobs");
    // The program's own status does not matter here; that the sidecar answers it and then leaves does.
    let template = pod_template("once", ONCE, "").replace("spec:\n", "spec:\n  restartPolicy: Never\n");
    let indented: String = template
        .trim()
        .lines()
        .map(|line| format!("    {line}\n"))
        .collect();
    let indented = indented
        .replace(ONCE, "[call-undeclared]")
        .replace("[call-undeclared]", "[\"--version\"]");
    home.apply(&format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: once}}\nspec:\n  backoffLimit: 0\n  template:\n{indented}---\n"
    ));
    let cron: String = indented.lines().map(|line| format!("    {line}\n")).collect();
    home.apply(&format!(
        "apiVersion: batch/v1\nkind: CronJob\nmetadata: {{name: often}}\nspec:\n  schedule: \"* * * * *\"\n  jobTemplate:\n    spec:\n      backoffLimit: 0\n      template:\n{cron}---\n"
    ));
    home.kubectl(&["create", "job", "--from=cronjob/often", "by-hand"]);
    for job in ["once", "by-hand"] {
        eventually(&format!("job {job} completes"), || {
            let job = home.try_get(&["job", job])?;
            check(job["status"]["succeeded"] == 1, &job["status"])
        });
    }
    let pods = home.try_get(&["pods", "-l", "app=once"]).unwrap();
    assert!(items(&pods).count() >= 2);
    for pod in items(&pods) {
        sidecar(pod).unwrap();
    }
}

#[test]
fn the_plan_is_a_config_map_that_the_pod_owns() {
    let home = Namespace::meshed("plans");
    home.apply(&bare_pod("owner", ""));
    let pod = eventually("the pod is ready", || {
        let pod = home.try_get(&["pod", "owner"])?;
        let ready = pod["status"]["containerStatuses"][0]["ready"] == true;
        check(ready, &pod["status"]).map(|()| pod)
    });
    let plan = pod["metadata"]["annotations"]["motanmesh.io/plan"]
        .as_str()
        .unwrap()
        .to_owned();
    let map = home.try_get(&["configmap", &plan]).unwrap();
    assert_eq!(
        map["metadata"]["ownerReferences"][0]["uid"],
        pod["metadata"]["uid"]
    );
    let document: Value = serde_json::from_str(map["data"]["plan.json"].as_str().unwrap()).unwrap();
    assert_eq!(document["workload"]["pod"], "owner");
    home.kubectl(&["delete", "pod", "owner", "--grace-period=1"]);
    eventually("the plan goes with its pod", || {
        match home.try_get(&["configmap", &plan]) {
            Ok(map) => Err(map["metadata"].to_string()),
            Err(_) => Ok(()),
        }
    });
}

#[test]
fn a_pod_may_opt_in_and_out() {
    let meshed = Namespace::meshed("opt-out");
    meshed.apply(&bare_pod(
        "without",
        "annotations: {motanmesh.io/inject: disabled}, ",
    ));
    let pod = meshed.try_get(&["pod", "without"]).unwrap();
    assert!(pod["spec"]["initContainers"].is_null(), "{pod}");

    let plain = Namespace::plain("opt-in");
    plain.apply(&bare_pod("with", "annotations: {motanmesh.io/inject: enabled}, "));
    plain.apply(&bare_pod("none", ""));
    sidecar(&plain.try_get(&["pod", "with"]).unwrap()).unwrap();
    assert!(plain.try_get(&["pod", "none"]).unwrap()["spec"]["initContainers"].is_null());
    eventually("the pod that opted in is ready", || {
        let pod = plain.try_get(&["pod", "with"])?;
        check(
            pod["status"]["containerStatuses"][0]["ready"] == true,
            &pod["status"],
        )
    });
}

#[test]
fn a_refusal_is_an_event_with_its_reason() {
    let home = Namespace::meshed("refusals");
    home.kubectl(&[
        "label",
        "namespace",
        &home.name,
        "pod-security.kubernetes.io/enforce=privileged",
        "--overwrite",
    ]);
    let host = provider("host", 1).replace(
        "spec:\n      terminationGracePeriodSeconds",
        "spec:\n      hostNetwork: true\n      terminationGracePeriodSeconds",
    );
    home.apply(&host.replace("8080", "18080").replace("7000", "17000"));
    eventually("an Event says why there is no sidecar", || {
        let events = home.try_get(&["events"])?;
        let said = items(&events).any(|event| {
            event["message"]
                .as_str()
                .is_some_and(|message| message.contains("hostNetwork"))
                && event["involvedObject"]["kind"] == "ReplicaSet"
        });
        check(said, "no such event")
    });
}

#[test]
fn overrides_are_checked_and_applied() {
    let home = Namespace::meshed("overrides");
    let wrong = home
        .try_apply(&bare_pod(
            "wrong",
            "annotations: {motanmesh.io/memory-limit: lots}, ",
        ))
        .unwrap_err();
    assert!(
        wrong.contains("motanmesh.io/memory-limit") && wrong.contains("lots"),
        "{wrong}"
    );
    home.apply(&bare_pod(
        "right",
        r#"annotations: {motanmesh.io/memory-limit: 96Mi, motanmesh.io/log-level: debug, motanmesh.io/http-port: "19983"}, "#,
    ));
    let pod = home.try_get(&["pod", "right"]).unwrap();
    assert_eq!(
        pod["spec"]["initContainers"][0]["resources"]["limits"]["memory"],
        "96Mi"
    );
    let answer = eventually("the sidecar listens where it was told", || {
        match home.demo("right", &["get", "http://127.0.0.1:19983/"]) {
            Err(error) if error.contains("404") || error.contains("403") => Ok(error),
            other => Err(format!("{other:?}")),
        }
    });
    assert!(answer.contains("status"), "{answer}");
}

#[test]
fn a_dry_run_creates_nothing() {
    let home = Namespace::meshed("dry-run");
    let before = home.try_get(&["configmaps"]).unwrap();
    let answer = try_kubectl(
        &[
            "-n",
            &home.name,
            "apply",
            "--dry-run=server",
            "-o",
            "json",
            "-f",
            "-",
        ],
        &bare_pod("ghost", ""),
    )
    .unwrap();
    assert!(answer.contains("motanmesh-sidecar"), "{answer}");
    assert!(home.try_get(&["pod", "ghost"]).is_err());
    assert_eq!(
        items(&before).count(),
        items(&home.try_get(&["configmaps"]).unwrap()).count()
    );
}

#[test]
fn the_template_that_is_injected_twice_is_injected_once() {
    let home = Namespace::meshed("twice");
    home.apply(&bare_pod("first", ""));
    let mut pod = home.try_get(&["pod", "first"]).unwrap();
    let fresh = serde_json::json!({"name": "second", "labels": pod["metadata"]["labels"], "annotations": pod["metadata"]["annotations"]});
    pod["metadata"] = fresh;
    pod["status"] = Value::Null;
    pod["spec"]["nodeName"] = Value::Null;
    home.apply(&pod.to_string());
    let second = home.try_get(&["pod", "second"]).unwrap();
    let sidecars = second["spec"]["initContainers"].as_array().unwrap();
    assert_eq!(sidecars.len(), 1, "{second}");
}
