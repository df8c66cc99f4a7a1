//! A configuration of motan-go in, objects out: one folder a case, with its flags in the first line of `in.yaml`.

use std::{fs, path::Path};

use clap::Parser;
use crds::{MeshDependency, MeshService};
use operator::{
    admission::validate,
    cli::{Import, Printed},
    compile,
    settings::Mesh,
    world::{ObjectKey, World},
};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    import: Import,
}

#[derive(Parser)]
struct Defaults {
    #[command(flatten)]
    mesh: Mesh,
}

fn import(arguments: &[&str]) -> Result<String, String> {
    let command = Command::parse_from([&["import"], arguments].concat());
    match command.import.run() {
        Ok(Printed { document, .. }) => Ok(document),
        Err(error) => Err(format!("{:#}", anyhow::Error::from(error))),
    }
}

fn imported(case: &Path) -> String {
    let file = case.join("in.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let flags = text.lines().next().unwrap().strip_prefix("# args: ").unwrap();
    let mut arguments = vec!["--motan-yaml", file.to_str().unwrap()];
    arguments.extend(flags.split_whitespace());
    import(&arguments).unwrap()
}

/// Writes a configuration and imports it.
fn of(text: &str) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("motan.yaml");
    fs::write(&file, text).unwrap();
    import(&["--namespace", "shop", "--motan-yaml", file.to_str().unwrap()])
        .map_err(|error| error.replace(folder.path().to_str().unwrap(), ""))
}

/// What is wrong with printed objects: fields nobody knows, refusals of admission, problems of the plans.
fn wrong(printed: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut world = World::default();
    let mut pods = Vec::new();
    for document in serde_yaml::Deserializer::from_str(printed) {
        let value = Value::deserialize(document).unwrap();
        match value["kind"].as_str() {
            Some("MeshService") => {
                let service: MeshService = serde_json::from_value(value.clone()).unwrap();
                assert_eq!(serde_json::to_value(&service).unwrap(), value);
                wrong.extend(validate::service(&world, &service, None).refusals);
                world.apply_service(&service);
            }
            Some("MeshDependency") => {
                let dependency: MeshDependency = serde_json::from_value(value.clone()).unwrap();
                assert_eq!(serde_json::to_value(&dependency).unwrap(), value);
                wrong.extend(validate::dependency(&world, &dependency, None).refusals);
                let labels = value["spec"]["selector"]["matchLabels"].clone();
                pods.push(serde_json::json!({
                    "metadata": {"name": "one", "namespace": "shop", "labels": labels},
                    "spec": {"containers": []},
                }));
                world.apply_dependency(&dependency);
            }
            _ => wrong.push(format!("no object: {value}")),
        }
    }
    for pod in pods {
        world.apply_pod(&serde_json::from_value(pod).unwrap());
        let Defaults { mesh } = Defaults::parse_from(["mesh"]);
        let key = ObjectKey::parse("shop/one").unwrap();
        let compiled = compile::compile(&world, &key, &mesh.defaults(None)).unwrap();
        let problems = compiled.problems.iter().map(ToString::to_string);
        // Services of other teams are theirs to import.
        wrong.extend(problems.filter(|problem| !problem.contains("does not exist")));
    }
    wrong
}

#[test]
fn every_configuration_becomes_the_objects_that_are_committed() {
    let cases = super::golden::cases("import");
    assert!(cases.len() >= 5, "cases are missing");
    let drift: Vec<_> = cases
        .iter()
        .filter_map(|case| super::golden::differs(&case.join("out.yaml"), &imported(case)))
        .collect();
    assert!(drift.is_empty(), "{}", drift.join("\n"));
}

#[test]
fn what_is_printed_is_accepted_and_compiles() {
    for case in super::golden::cases("import") {
        assert_eq!(
            wrong(&imported(&case)),
            Vec::<String>::new(),
            "{}",
            case.display()
        );
    }
}

#[test]
fn what_can_not_be_imported_is_told_by_file_key_and_mend() {
    let refer = |entry: &str| format!("motan-agent: {{application: web}}\nmotan-refer: {{user: {entry}}}");
    let service =
        |entry: &str| format!("motan-agent: {{application: web}}\nmotan-service: {{user: {entry}}}");
    for (text, words) in [
        ("a: [".to_owned(), "/motan.yaml is not YAML: "),
        ("- a".to_owned(), "/motan.yaml: the file: it must hold sections"),
        (
            "motan-agent: {application: web}".to_owned(),
            "/motan.yaml: motan-service, motan-refer, http-client: none of them is there",
        ),
        (
            "motan-refer: {user: {path: a}}".to_owned(),
            "/motan.yaml: motan-agent.application: it is missing: write the application's name, or pass --application",
        ),
        (refer("[]"), "/motan.yaml: motan-refer.user: write keys below it"),
        (
            refer("{group: g}"),
            "/motan.yaml: motan-refer.user.path: it is missing: write for example path: ",
        ),
        (
            refer("{path: a, requestTimeout: soon}"),
            "/motan.yaml: motan-refer.user.requestTimeout: \"soon\" is not a whole number: write one",
        ),
        (
            refer("{path: a, registry: zk}"),
            "/motan.yaml: motan-refer.user.registry: \"zk\" is not in motan-registry: add it there",
        ),
        (
            refer("{path: a, basicRefer: usual}"),
            "/motan.yaml: motan-refer.user.basicRefer: there is no \"usual\"",
        ),
        (
            refer("{path: a, filter: [x]}"),
            "/motan.yaml: motan-refer.user.filter: write one value",
        ),
        (
            refer("{path: a, group: \"${here}\"}"),
            "/motan.yaml: motan-refer.user.group: ${here} is not in dynamic-param: add it there",
        ),
        (
            refer("{path: a, group: \"g-${idc}\"}"),
            "/motan.yaml: motan-refer.user.group: ${idc} stands for a place: pass --idc",
        ),
        (
            service("{path: a}"),
            "/motan.yaml: motan-service.user.proxy: nothing says where the program listens: write for example",
        ),
        (
            service("{path: a, proxy: \"motan2:0\"}"),
            "/motan.yaml: motan-service.user.proxy: \"motan2:0\" has no port from 1 to 65535: correct it",
        ),
        (
            service("{path: \"a b\", proxy: \"motan2:1\"}"),
            "/motan.yaml: motan-service.user: \"a b\" must be from 1 to 253",
        ),
        (
            service("{path: a, proxy: \"motan2:1\"}")
                + "\nhttp-locations: {a.example.com: [{match: \"(\", type: regexp, upstream: a}]}",
            "/motan.yaml: http-locations.a.example.com[0].match: ",
        ),
    ] {
        let told = of(&text).unwrap_err();
        assert!(told.starts_with(words), "{told}\n{text}");
    }
}

#[test]
fn files_lie_over_each_other_and_a_directory_is_read_as_motan_go_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put("basic.yaml", "motan-registry: {zk: {protocol: zookeeper}}");
    put(
        "applications/feed.yaml",
        "import-refer: [user]\ndynamic-param: {time: 100}\nmotan-agent: {application: feed}",
    );
    put(
        "services/user.yaml",
        "motan-refer: {user: {path: com.example.User, group: g, registry: zk, requestTimeout: \"${time}\"}}",
    );
    put("pools/feed-yf.yaml", "dynamic-param: {time: 250}");
    let root = folder.path().to_str().unwrap();
    let printed = import(&["--motan-yaml", root, "--pool", "feed-yf"]).unwrap();
    assert!(
        printed.contains("timeout: 250ms") && printed.contains("name: user"),
        "{printed}"
    );
    let told = import(&["--motan-yaml", root]).unwrap_err();
    assert!(told.contains("add --application or --pool"), "{told}");

    put(
        "one.yaml",
        "motan-agent: {application: a}\nmotan-refer: {u: {path: p, requestTimeout: 1}}",
    );
    put("two.yaml", "motan-refer: {u: {path: null, requestTimeout: 2}}");
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let printed = import(&["--motan-yaml", &file("one.yaml"), &file("two.yaml")]).unwrap();
    assert!(printed.contains("timeout: 2ms"), "{printed}");
}

#[test]
fn a_mixed_group_that_can_not_be_written_is_left_to_whoever_imports() {
    let refer = "motan-refer: {u: {path: p, group: g, mixGroups: \"a:5,b\", requestTimeout: 1}}";
    let printed = of(&format!("motan-agent: {{application: a}}\n{refer}")).unwrap();
    assert!(printed.contains("mixGroups (a:5,b)"), "{printed}");
    assert!(printed.contains("rename the group"), "{printed}");
    assert_eq!(wrong(&printed), Vec::<String>::new());
}

proptest! {
    /// Whatever values the keys have, what is printed is accepted, or the file is refused with a key.
    #[test]
    fn whatever_the_keys_say_the_objects_are_ones_that_are_accepted(
        keys in proptest::collection::vec(
            (
                prop_oneof![
                    Just("requestTimeout"), Just("retries"), Just("haStrategy"), Just("loadbalance"),
                    Just("mingzSize"), Just("filter"), Just("errorCountThreshold"), Just("rateLimit"),
                    Just("rateLimit.get"), Just("capacity"), Just("circuitBreaker.sleepWindow"),
                    Just("circuitBreaker.errorPercent"), Just("circuitBreaker.maxConcurrent"), Just("group"),
                    Just("version"), Just("get(int).requestTimeout"), Just("get(int).retries"), Just("mixGroups"),
                    Just("unheard\u{2028}of"),
                ],
                prop_oneof![
                    any::<u32>().prop_map(|number| number.to_string()),
                    (0..100_u32).prop_map(|number| number.to_string()),
                    Just("failover".to_owned()), Just("wrr".to_owned()), Just("a\n- b: c".to_owned()),
                    Just("rateLimit,circuitBreaker,failfast,clusterCircuitBreaker".to_owned()), Just("1.0".to_owned()),
                ],
            ),
            0..12,
        ),
        provides in any::<bool>(),
    ) {
        let mut entry: serde_json::Map<String, Value> = keys
            .into_iter()
            .map(|(key, value)| (key.to_owned(), Value::String(value)))
            .collect();
        entry.insert("path".to_owned(), "com.example.User".into());
        entry.insert("proxy".to_owned(), "motan2:8100".into());
        let section = if provides { "motan-service" } else { "motan-refer" };
        let text = serde_json::json!({"motan-agent": {"application": "web"}, section: {"user": entry}});
        match of(&serde_yaml::to_string(&text).unwrap()) {
            Ok(printed) => prop_assert_eq!(wrong(&printed), Vec::<String>::new()),
            Err(told) => prop_assert!(told.starts_with("/motan.yaml: motan-"), "{}", told),
        }
    }
}
