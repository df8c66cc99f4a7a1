//! What touches the operator itself: its absence, its certificates, its upgrade, its end. Run alone and in order.

use e2e::{
    cluster::{
        MESH, Namespace, chart, check, eventually, helm, image_values, items, kubectl, operator, pause,
        try_get, try_kubectl,
    },
    manifests::{load, pod_template, provider, service},
};

use super::{
    outside::what_is_allowed_can_be_called,
    rollout::{counts, none_failed, under_load},
};

fn operator_rolled_out() {
    kubectl(&[
        "-n",
        MESH,
        "rollout",
        "status",
        "deployment/motanmesh-operator",
        "--timeout=180s",
    ]);
}

fn operator_pods() -> usize {
    try_get(&[
        "-n",
        MESH,
        "pods",
        "-l",
        "app.kubernetes.io/name=motanmesh-operator",
    ])
    .map_or(0, |list| items(&list).count())
}

#[test]
fn disturbing_1_check_finds_a_healthy_mesh() {
    operator_rolled_out();
    let said = operator(&["check"]).unwrap_or_else(|error| panic!("{error}"));
    println!("{said}");
    assert!(said.contains("ok"), "{said}");
}

#[test]
fn disturbing_2_a_minute_without_operator_loses_no_call() {
    let (home, loads) = under_load("outage", 3);
    let before = counts(&home, &loads);
    kubectl(&[
        "-n",
        MESH,
        "scale",
        "deployment/motanmesh-operator",
        "--replicas=0",
    ]);
    eventually("no operator is left", || check(operator_pods() == 0, "some are"));
    let gone = std::time::Instant::now();
    // Sidecars of providers are restarted, and a provider moves away, with nobody to tell the callers.
    for pod in home.pods("app=user").iter().take(2) {
        let restarts = || {
            let pod = home.try_get(&["pod", pod])?;
            let status = &pod["status"]["initContainerStatuses"][0];
            status["restartCount"]
                .as_u64()
                .filter(|_| status["ready"] == true)
                .ok_or_else(|| status.to_string())
        };
        let count = eventually("the sidecar is ready", restarts);
        home.end_sidecar(pod);
        eventually("the sidecar was started again", || {
            check(restarts()? > count, "not yet")
        });
    }
    let leaving = home.pods("app=user").remove(2);
    home.kubectl(&["delete", "pod", &leaving, "--wait=true"]);
    let left = std::time::Duration::from_secs(60).saturating_sub(gone.elapsed());
    pause(left);
    none_failed(&home, &loads, &before, "a minute without operator");
    kubectl(&[
        "-n",
        MESH,
        "scale",
        "deployment/motanmesh-operator",
        "--replicas=2",
    ]);
    operator_rolled_out();
    home.rolled_out("deployment/user");
    none_failed(&home, &loads, &before, "and its return");
}

#[test]
fn disturbing_3_pods_of_other_namespaces_start_without_operator() {
    let plain = Namespace::plain("bystander");
    kubectl(&[
        "-n",
        MESH,
        "scale",
        "deployment/motanmesh-operator",
        "--replicas=0",
    ]);
    eventually("no operator is left", || check(operator_pods() == 0, "some are"));
    plain.apply(&provider("user", 1));
    plain.rolled_out("deployment/user");
    let meshed = Namespace::plain("wants");
    meshed.kubectl(&[
        "label",
        "namespace",
        &meshed.name,
        "motanmesh.io/injection=enabled",
    ]);
    meshed.apply(&provider("user", 1));
    eventually("a meshed namespace fails closed, visibly", || {
        let events = meshed.try_get(&["events"])?;
        let seen = items(&events).any(|event| {
            event["message"]
                .as_str()
                .is_some_and(|m| m.contains("strict.inject.motanmesh.io"))
        });
        check(seen && meshed.pods("app=user").is_empty(), "no such event")
    });
    kubectl(&[
        "-n",
        MESH,
        "scale",
        "deployment/motanmesh-operator",
        "--replicas=2",
    ]);
    operator_rolled_out();
}

#[test]
fn disturbing_4_certificates_rotate_while_pods_are_made() {
    let home = Namespace::meshed("rotation");
    let bundle = || {
        let hook = try_get(&["mutatingwebhookconfiguration", "motanmesh"]).unwrap();
        hook["webhooks"][0]["clientConfig"]["caBundle"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let before = bundle();
    let rotate = [
        "annotate",
        "secret",
        "motanmesh-ca",
        "motanmesh.io/rotate-ca=now",
        "--overwrite",
    ];
    kubectl(&[&["-n", MESH][..], &rotate[..]].concat());
    let mut made = 0;
    // Every look is a pod through the webhook; now and then one that stays.
    let mut make = || {
        made += 1;
        let pod = load(
            &format!("load-{made}"),
            r#"--http, "http://user.x.mesh/", --rate, "1""#,
        );
        if made % 20 == 1 {
            home.apply(&pod);
        }
        let template = pod_template("probe", r#"[serve, --http, "0.0.0.0:8080"]"#, "");
        let pod = template.trim().replace("labels: {", "name: probe, labels: {");
        let pod = format!("apiVersion: v1\nkind: Pod\n{pod}\n");
        let dry = [
            "-n",
            &home.name,
            "apply",
            "--dry-run=server",
            "-o",
            "json",
            "-f",
            "-",
        ];
        let answer = try_kubectl(&dry, &pod).unwrap_or_else(|error| panic!("pod {made}: {error}"));
        assert!(
            answer.contains("motanmesh-sidecar"),
            "pod {made} has no sidecar: {answer}"
        );
        made
    };
    eventually("the webhooks trust a new authority beside the old one", || {
        make();
        check(bundle() != before, "the same CA bundle")
    });
    eventually("everything is signed by the new authority", || {
        make();
        let secret = try_get(&["-n", MESH, "secret", "motanmesh-ca"])?;
        let annotations = &secret["metadata"]["annotations"];
        check(annotations["motanmesh.io/retired-since"].is_string(), annotations)
    });
    let made = (0..30).map(|_| make()).max().unwrap_or_default();
    for number in (1..=made).step_by(20) {
        home.rolled_out(&format!("deployment/load-{number}"));
    }
    let events = home.try_get(&["events"]).unwrap();
    let failed: Vec<_> = items(&events)
        .filter(|event| event["reason"] == "FailedCreate")
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
    println!("certificate authority rotated while {made} pods went through admission, none refused");
}

#[test]
fn disturbing_5_upgrade_and_rollback_lose_no_call() {
    let (home, loads) = under_load("upgrade", 2);
    let before = counts(&home, &loads);
    let values = image_values("next");
    helm(&[
        "upgrade",
        "motanmesh",
        &chart(),
        "-n",
        MESH,
        "--reuse-values",
        "--set",
        &values,
        "--wait",
        "--timeout",
        "180s",
    ]);
    operator_rolled_out();
    // A replica of before may inject until it has ended.
    eventually("the old replicas are gone", || {
        check(operator_pods() == 2, "not yet")
    });
    home.kubectl(&["rollout", "restart", "deployment/user"]);
    home.rolled_out("deployment/user");
    let pods = home.try_get(&["pods", "-l", "app=user"]).unwrap();
    let images: Vec<_> = items(&pods)
        .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
        .map(|pod| pod["spec"]["initContainers"][0]["image"].to_string())
        .collect();
    assert!(images.iter().all(|image| image.contains(":next")), "{images:?}");
    none_failed(&home, &loads, &before, "upgraded");
    helm(&["rollback", "motanmesh", "-n", MESH, "--wait", "--timeout", "180s"]);
    operator_rolled_out();
    none_failed(&home, &loads, &before, "rolled back");
}

#[test]
fn disturbing_6_a_mesh_may_allow_what_nobody_declared() {
    let set = |word: &str| {
        let value = format!("defaults.undeclared={word}");
        let upgrade = ["upgrade", "motanmesh", &chart(), "-n", MESH, "--reuse-values"];
        helm(&[&upgrade[..], &["--set", &value, "--wait", "--timeout", "180s"]].concat());
        operator_rolled_out();
        // A replica of before would compile other plans until it has ended.
        eventually("the old replicas are gone", || {
            check(operator_pods() == 2, "not yet")
        });
    };
    set("allow");
    what_is_allowed_can_be_called();
    set("refuse");
}

#[test]
fn disturbing_9_uninstall_leaves_nothing() {
    let home = Namespace::meshed("end");
    home.apply(&provider("user", 1));
    home.apply(&service("user", "user", "http", ""));
    home.rolled_out("deployment/user");
    helm(&[
        "upgrade",
        "motanmesh",
        &chart(),
        "-n",
        MESH,
        "--reuse-values",
        "--set",
        "crds.keep=false",
        "--wait",
        "--timeout",
        "180s",
    ]);
    helm(&[
        "uninstall",
        "motanmesh",
        "-n",
        MESH,
        "--wait",
        "--timeout",
        "120s",
    ]);
    eventually("nothing of ours is left in the cluster", || {
        let kinds = "mutatingwebhookconfigurations,validatingwebhookconfigurations,clusterroles,clusterrolebindings,crds";
        let list = try_get(&[kinds])?;
        let ours: Vec<_> = items(&list)
            .filter_map(|object| object["metadata"]["name"].as_str())
            .filter(|name| name.contains("motanmesh"))
            .map(str::to_owned)
            .collect();
        check(ours.is_empty(), ours.join(", "))
    });
    eventually("nor in the operator's namespace", || {
        let list = try_get(&[
            "-n",
            MESH,
            "deployments,services,secrets,leases,pods,serviceaccounts",
        ])?;
        let ours: Vec<_> = items(&list)
            .filter_map(|object| object["metadata"]["name"].as_str())
            .filter(|name| name.contains("motanmesh"))
            .map(str::to_owned)
            .collect();
        check(ours.is_empty(), ours.join(", "))
    });
    home.kubectl(&["rollout", "restart", "deployment/user"]);
    home.rolled_out("deployment/user");
    let pods = home.pods("app=user");
    let pod = home.try_get(&["pod", &pods[0]]).unwrap();
    assert!(
        pod["spec"]["initContainers"].is_null(),
        "new pods start, without a sidecar: {pod}"
    );
}
