//! The command line as people use it: what is printed where, and how it ends.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

use super::cluster::{dependency, pod, service, together};

fn run(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_motanmesh-operator"))
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that refuses its arguments ends without reading.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn crds_prints_what_is_installed() {
    let output = run(&["crds"], "");
    assert!(output.status.success());
    assert_eq!(
        text(&output.stdout),
        include_str!("../../../crds/motanmesh.io.yaml")
    );
}

#[test]
fn a_policy_of_the_whole_mesh_holds_where_nobody_says_otherwise() {
    let cluster = together(&[
        service("shop/user", 1, "  policy: {retries: {attempts: 4}}\n"),
        dependency("shop/web", 1, "[{name: user, policy: {idempotent: false}}]"),
        pod("shop/web-1", "web", None),
    ]);
    let policy = "{idempotent: true, retries: {attempts: 1, retryOn: [timeout]}, timeout: 2s, balance: {mode: random}}";
    let arguments = [
        "compile",
        "--file",
        "-",
        "--pod",
        "shop/web-1",
        "--default-policy",
    ];
    let output = run(&[&arguments[..], &[policy]].concat(), &cluster);
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = json!({
        "timeoutMs": 2000, "retries": {"attempts": 4, "on": ["timeout"]}, "balance": {"mode": "random"},
    });
    assert_eq!(plan["services"][0]["policy"], expected);

    let refused = run(
        &[&arguments[..], &["{routing: {backup: [{group: g}]}}"]].concat(),
        &cluster,
    );
    assert!(
        text(&refused.stderr).contains("policy.routing: it is of one service"),
        "{refused:?}"
    );
}

#[test]
fn compile_prints_the_plan_and_beside_it_what_is_wrong() {
    let cluster = together(&[
        service("shop/user", 1, "  hostz: [a.example.com]\n"),
        dependency(
            "shop/web",
            1,
            "[{name: user, polcy: {timeout: 1s}}, {name: gone}]",
        ),
        pod("shop/web-1", "web", None).replace("\"true\"", "\"\""),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n".to_owned(),
    ]);
    let arguments = [
        "compile",
        "--file",
        "-",
        "--pod",
        "shop/web-1",
        "--default-timeout",
        "3s",
    ];
    let output = run(&arguments, &cluster);
    assert!(output.status.success());
    assert!(text(&output.stdout).contains("\"timeoutMs\": 3000"));
    let told: Vec<_> = text(&output.stderr).lines().collect();
    assert_eq!(
        told,
        [
            "problem: MeshService user: there is no field spec.hostz",
            "problem: MeshDependency web: there is no field spec.services[0].polcy",
            "note: ConfigMap x has no part in a plan",
            "note: the pod has no sidecar; this is the plan it would get",
            "problem: MeshDependency shop/web: MeshService shop/gone does not exist: create it, or correct spec.services",
        ]
    );
}

#[test]
fn compile_reads_the_lists_that_kubectl_prints() {
    let indented = pod("shop/web-1", "web", None).replace('\n', "\n  ");
    let list = format!("apiVersion: v1\nkind: List\nitems:\n- {indented}\n");
    let output = run(&["compile", "--file", "-", "--pod", "shop/web-1"], &list);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn what_can_not_be_done_is_said_in_one_line_and_fails() {
    let shop = pod("shop/web-1", "web", None);
    for (arguments, input, words) in [
        (
            &["compile", "--file", "-", "--pod", "web-1"] as &[&str],
            shop.as_str(),
            "--pod \"web-1\": write NAMESPACE/NAME",
        ),
        (
            &["compile", "--file", "-", "--pod", "shop/web-2"],
            &shop,
            "pod shop/web-2 is not in -; pods there: shop/web-1",
        ),
        (
            &["compile", "--file", "/nowhere.yaml", "--pod", "a/b"],
            "",
            "reading /nowhere.yaml: No such file",
        ),
        (
            &["compile", "--file", "-", "--pod", "a/b"],
            "a: [",
            "-: document 1 is not YAML: ",
        ),
        (
            &["compile", "--file", "-", "--pod", "a/b"],
            "kind: MeshService\nmetadata: {name: user}\nspec: {selector: {}, backend: {protocol: thrift, port: 1}}",
            "MeshService user can't be read: unknown variant `thrift`, expected one of `http`, `grpc`, `motan2`, `motan`",
        ),
        (
            &["inject", "--file", "-"],
            "kind: Pod\nmetadata: {name: web, annotations: {motanmesh.io/inject: \"on\"}}\nspec: {containers: []}",
            "Pod default/web would be denied: annotation motanmesh.io/inject: \"on\" must be enabled or disabled",
        ),
    ] {
        let output = run(arguments, input);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(
            told.starts_with("motanmesh-operator: ") && told.contains(words),
            "{told}"
        );
        assert_eq!((told.lines().count(), output.stdout.len()), (1, 0), "{told}");
    }
}

#[test]
fn inject_takes_namespaces_from_a_further_file() {
    let folder = std::env::temp_dir().join(format!("motanmesh-inject-{}", std::process::id()));
    let namespaces = folder.with_extension("yaml");
    let yaml = "kind: Namespace\nmetadata: {name: shop, annotations: {motanmesh.io/inject: enabled}}";
    std::fs::write(&namespaces, yaml).unwrap();
    let pod = "kind: Pod\nmetadata: {name: web, namespace: shop}\nspec: {containers: [{name: web}]}";
    let arguments = [
        "inject",
        "--file",
        "-",
        "--namespace-file",
        namespaces.to_str().unwrap(),
    ];
    let output = run(&arguments, pod);
    std::fs::remove_file(&namespaces).unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("motanmesh-sidecar"));
    assert!(!text(&output.stdout).contains("kind: Namespace"));
}
