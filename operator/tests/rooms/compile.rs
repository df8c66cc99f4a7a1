//! The cluster in, the plan out: one folder a rule. The first line of `in.yaml` says whose plan: `# pod: ns/name`; a
//! second one may say what holds for the whole mesh: `# args: --undeclared allow`.

use std::{fs, path::Path};

use clap::Parser;
use operator::cli::{Compile, Printed};
use plan::Plan;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    compile: Compile,
}

fn compile(case: &Path) -> Printed {
    let file = case.join("in.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let pod = text
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("# pod: "))
        .unwrap();
    let file = file.to_str().unwrap();
    let args = text.lines().nth(1).and_then(|line| line.strip_prefix("# args: "));
    let mesh = args.unwrap_or_default().split_whitespace();
    let command = Command::parse_from(["compile", "--file", file, "--pod", pod].into_iter().chain(mesh));
    command.compile.run().unwrap()
}

#[test]
fn every_cluster_compiles_to_its_plan() {
    let cases = super::golden::cases("compile");
    assert!(cases.len() >= 12, "cases are missing");
    let drift: Vec<_> = cases
        .iter()
        .flat_map(|case| {
            let Printed { document, notes } = compile(case);
            [
                super::golden::differs(&case.join("plan.json"), &document),
                super::golden::differs(&case.join("notes.txt"), &notes),
            ]
        })
        .flatten()
        .collect();
    assert!(drift.is_empty(), "{}", drift.join("\n"));
}

#[test]
fn every_plan_is_one_that_a_sidecar_reads() {
    for case in super::golden::cases("compile") {
        let document = compile(&case).document;
        let plan =
            Plan::parse(document.as_bytes()).unwrap_or_else(|error| panic!("{}: {error}", case.display()));
        assert_eq!(plan.to_json() + "\n", document, "{}", case.display());
        assert_eq!(plan.hash, plan.content_hash(), "{}", case.display());
    }
}
