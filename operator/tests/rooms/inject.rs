//! A pod or workload in, the same with its sidecar out: one folder each for kinds, overrides and refusals.

use std::{fs, path::Path};

use clap::Parser;
use operator::{
    admission::{self, Declared, Outcome},
    cli::{Error, Inject, Printed},
    world::Namespace,
};
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    inject: Inject,
}

fn command(file: &Path) -> Inject {
    Command::parse_from([
        "inject",
        "--file",
        file.to_str().unwrap(),
        "--sidecar-image",
        "motanmesh/sidecar:test",
    ])
    .inject
}

/// What the command prints: notes and a denial as comments, then the objects.
fn inject(file: &Path) -> String {
    match command(file).run() {
        Ok(Printed { document, notes }) => {
            let notes: String = notes.lines().map(|note| format!("# {note}\n")).collect();
            let version = concat!("motanmesh.io/injected-by: ", env!("CARGO_PKG_VERSION"));
            notes + &document.replace(version, "motanmesh.io/injected-by: <version>")
        }
        Err(error @ Error::Denied { .. }) => format!("# {error}\n"),
        Err(error) => panic!("{}: {error}", file.display()),
    }
}

#[test]
fn every_pod_comes_out_as_committed() {
    let drift: Vec<_> = super::golden::cases("inject")
        .iter()
        .filter_map(|case| super::golden::differs(&case.join("out.yaml"), &inject(&case.join("in.yaml"))))
        .collect();
    assert!(drift.is_empty(), "{}", drift.join("\n"));
}

#[test]
fn what_was_injected_is_not_injected_again() {
    for case in super::golden::cases("inject") {
        let out = fs::read_to_string(case.join("out.yaml")).unwrap();
        if !out.contains("# Pod ") && !out.contains("# note") {
            let again = inject(&case.join("out.yaml"));
            assert_eq!(again, out, "{}", case.display());
        }
    }
}

fn enabled() -> Namespace {
    Namespace {
        name: "shop".into(),
        inject: Some("enabled".into()),
        ..Namespace::default()
    }
}

fn pod() -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "web-"},
        "spec": {"containers": [{"name": "web", "image": "web"}]}})
}

#[test]
fn a_copied_pod_gets_a_plan_of_its_own() {
    let settings = command(Path::new("-")).injection;
    let first = admission::plan_name("first");
    let Outcome::Injected(injected) =
        admission::inject(&pod(), &enabled(), &Declared::default(), &settings, &first)
    else {
        panic!("a plain pod is injected")
    };
    let second = admission::plan_name("second");
    let Outcome::Renewed(copy) = admission::inject(
        &injected.pod,
        &Namespace::default(),
        &Declared::default(),
        &settings,
        &second,
    ) else {
        panic!("a copy is renewed, whatever its namespace says")
    };
    let expected = injected.pod.to_string().replace(&first, &second);
    assert_eq!(copy.pod, serde_json::from_str::<Value>(&expected).unwrap());
}

#[test]
fn the_patch_makes_the_pod() {
    let settings = command(Path::new("-")).injection;
    let Outcome::Injected(injected) = admission::inject(
        &pod(),
        &enabled(),
        &Declared::default(),
        &settings,
        "motanmesh-plan-0",
    ) else {
        panic!("a plain pod is injected")
    };
    let mut patched = pod();
    json_patch::patch(&mut patched, &injected.patch).unwrap();
    assert_eq!(patched, injected.pod);
}

#[test]
fn what_is_no_pod_is_left_alone() {
    let settings = command(Path::new("-")).injection;
    let broken = json!({"kind": "Pod", "spec": {"containers": "none"}});
    let Outcome::Left(refusal) = admission::inject(&broken, &enabled(), &Declared::default(), &settings, "p")
    else {
        panic!("it can't be injected")
    };
    assert_eq!(refusal.reason.as_str(), "Malformed");
}

/// Any pod that people could write, as far as injection looks at it.
fn pods() -> impl Strategy<Value = Value> {
    let lifecycle = prop_oneof![
        Just(Value::Null),
        Just(json!({})),
        Just(json!({"postStart": {"exec": {"command": ["a"]}}})),
        Just(json!({"preStop": {"exec": {"command": ["b"]}}})),
    ];
    let container = ("[a-z]{1,8}", lifecycle, any::<bool>()).prop_map(|(name, lifecycle, unknown)| {
        let mut container = json!({"name": name, "image": "x", "ports": [{"containerPort": 80}]});
        if !lifecycle.is_null() {
            container["lifecycle"] = lifecycle;
        }
        if unknown {
            container["fieldOfTomorrow"] = json!({"deep": [1, null]});
        }
        container
    });
    let list = |element: BoxedStrategy<Value>| {
        prop_oneof![
            Just(None),
            Just(Some(Value::Null)),
            vec(element, 0..3).prop_map(|list| Some(Value::from(list))),
        ]
    };
    let volume = "[a-z]{1,8}".prop_map(|name| json!({"name": name, "emptyDir": {}}));
    let map = prop_oneof![
        Just(None),
        Just(Some(Value::Null)),
        Just(Some(json!({"x/y~z": "1"})))
    ];
    let policy = prop_oneof![
        Just(None),
        Just(Some(json!("Always"))),
        Just(Some(json!("Never")))
    ];
    let grace = prop_oneof![Just(None), (0..90_u64).prop_map(|grace| Some(json!(grace)))];
    (
        vec(container.clone(), 1..4),
        list(container.boxed()),
        list(volume.boxed()),
        (map.clone(), map),
        policy,
        grace,
    )
        .prop_map(
            |(containers, inits, volumes, (labels, annotations), policy, grace)| {
                let mut pod =
                    json!({"metadata": {}, "spec": {"containers": containers}, "status": {"odd": true}});
                for (map, key, value) in [
                    ("metadata", "labels", labels),
                    ("metadata", "annotations", annotations),
                    ("spec", "initContainers", inits),
                    ("spec", "volumes", volumes),
                    ("spec", "restartPolicy", policy),
                    ("spec", "terminationGracePeriodSeconds", grace),
                ] {
                    if let Some(value) = value {
                        pod[map][key] = value;
                    }
                }
                pod
            },
        )
}

/// The pod without what injection may add, to compare with the pod that came.
fn stripped(mut pod: Value) -> Value {
    let ours = |value: &Value| {
        value["name"]
            .as_str()
            .is_some_and(|name| name.starts_with("motanmesh-"))
    };
    for list in ["initContainers", "volumes"] {
        if let Some(list) = pod["spec"][list].as_array_mut() {
            list.retain(|element| !ours(element));
        }
    }
    for map in ["labels", "annotations"] {
        if let Some(map) = pod["metadata"][map].as_object_mut() {
            map.retain(|key, _| !key.starts_with("motanmesh.io/"));
        }
    }
    for list in ["initContainers", "containers"] {
        for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
            for (key, ours) in [("env", "MOTAN_MESH_PROXY"), ("volumeMounts", "motanmesh-run")] {
                if let Some(entries) = container[key].as_array_mut() {
                    entries.retain(|entry| entry["name"] != ours);
                }
            }
        }
    }
    for container in pod["spec"]["containers"].as_array_mut().unwrap() {
        if container["lifecycle"]["preStop"]["sleep"].is_object() {
            container["lifecycle"].as_object_mut().unwrap().remove("preStop");
        }
    }
    tidied(pod)
}

/// The pod with what is absent, null or empty all the same.
fn tidied(pod: Value) -> Value {
    let empty =
        |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value == &json!({});
    match pod {
        Value::Object(map) => {
            let tidied = map.into_iter().map(|(key, value)| (key, tidied(value)));
            tidied.filter(|(_, value)| !empty(value)).collect()
        }
        Value::Array(list) => list.into_iter().map(tidied).collect(),
        other => other,
    }
}

proptest! {
    #[test]
    fn injecting_twice_is_injecting_once_and_what_was_there_stays(mut pod in pods(), reaches in any::<bool>()) {
        let settings = command(Path::new("-")).injection;
        if reaches {
            pod["metadata"]["annotations"]["motanmesh.io/mesh-proxy"] = "client".into();
            pod["metadata"]["annotations"]["motanmesh.io/run-dir"] = "/run/mesh".into();
        }
        let Outcome::Injected(once) = admission::inject(&pod, &enabled(), &Declared::default(), &settings, "motanmesh-plan-0") else {
            panic!("nothing in it is in the way")
        };
        let Outcome::Renewed(twice) = admission::inject(&once.pod, &enabled(), &Declared::default(), &settings, "motanmesh-plan-0") else {
            panic!("it has a sidecar")
        };
        prop_assert!(twice.patch.0.is_empty());
        prop_assert_eq!(&twice.pod, &once.pod);
        prop_assert_eq!(&once.pod["spec"]["initContainers"][0]["name"], "motanmesh-sidecar");
        prop_assert_eq!(stripped(once.pod), stripped(pod));
    }

    #[test]
    fn arbitrary_annotations_never_panic(key in "[a-z-]{1,14}", value in ".{0,12}") {
        let settings = command(Path::new("-")).injection;
        let mut pod = pod();
        pod["metadata"]["annotations"] = json!({format!("motanmesh.io/{key}"): value});
        let _ = admission::inject(&pod, &enabled(), &Declared::default(), &settings, "motanmesh-plan-0");
    }
}
