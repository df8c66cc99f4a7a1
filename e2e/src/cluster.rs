//! What tests on a real cluster share: a namespace of their own, kubectl, and waiting for the state of the world.
//!
//! Everything goes through the real `kubectl` and `helm`, as a user's hands would. Panics are failed tests.
#![expect(
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test harness fails by panicking"
)]

use std::{
    env,
    io::Write,
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::stats::Report;

/// How long the world may take to get into a state: generous, because a shared machine is slow at times.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at the world.
const POLL: Duration = Duration::from_millis(200);
/// The namespace of the operator.
pub const MESH: &str = "motanmesh";

/// A namespace of one test, removed with it.
pub struct Namespace {
    /// Its name.
    pub name: String,
}

fn setting(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `make test-cluster`"))
}

/// The image of the demo programs.
#[must_use]
pub fn demo_image() -> String {
    image("demo")
}

/// The image with Java and the peer on motan-java.
#[must_use]
pub fn java_image() -> String {
    image("java")
}

/// The image of this name, as pods name it.
#[must_use]
pub fn image(name: &str) -> String {
    format!(
        "{}/motanmesh/{name}:{}",
        setting("MOTANMESH_IMAGE_PREFIX"),
        setting("MOTANMESH_IMAGE_TAG")
    )
}

fn run(program: &str, args: &[&str], input: &str) -> Output {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let mut stdin = child
        .stdin
        .take()
        .unwrap_or_else(|| panic!("{program} has no standard input"));
    // A program that fails early closes its input; what it says then is what matters.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child
        .wait_with_output()
        .unwrap_or_else(|error| panic!("{program}: {error}"))
}

fn said(output: &Output) -> Result<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        // Warnings of admission are on stderr.
        Ok([text(&output.stdout), text(&output.stderr)]
            .join("\n")
            .trim()
            .to_owned())
    } else {
        Err([text(&output.stderr), text(&output.stdout)]
            .join("\n")
            .trim()
            .to_owned())
    }
}

/// Runs kubectl; both what it printed and what it complained of.
///
/// # Errors
/// What it said, when it failed.
pub fn try_kubectl(args: &[&str], input: &str) -> Result<String, String> {
    said(&run("kubectl", args, input))
}

/// Runs kubectl, which must succeed; what it printed.
pub fn kubectl(args: &[&str]) -> String {
    let output = run("kubectl", args, "");
    match said(&output) {
        Ok(_) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Err(error) => panic!("kubectl {}: {error}", args.join(" ")),
    }
}

/// Runs helm, which must succeed.
pub fn helm(args: &[&str]) -> String {
    said(&run(&setting("HELM"), args, "")).unwrap_or_else(|error| panic!("helm {}: {error}", args.join(" ")))
}

/// Runs the operator's binary with the tester's own rights.
///
/// # Errors
/// What it said, when it failed.
pub fn operator(args: &[&str]) -> Result<String, String> {
    said(&run(&setting("OPERATOR"), args, ""))
}

/// The chart's folder.
#[must_use]
pub fn chart() -> String {
    setting("MOTANMESH_CHART")
}

/// What `--set` must say for the images under this tag.
#[must_use]
pub fn image_values(tag: &str) -> String {
    format!(
        "images.registry={},images.tag={tag}",
        setting("MOTANMESH_IMAGE_PREFIX")
    )
}

/// Waits until `look` finds something; `what` is told when it does not in time.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) if Instant::now() > end => panic!("not in {PATIENCE:?}: {what}; last seen: {seen}"),
            Err(_) => pause(POLL),
        }
    }
}

/// Lets time pass between two looks, or while a load runs.
#[expect(
    clippy::disallowed_methods,
    reason = "the thread of a test has nothing else to do"
)]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// `Ok` when `holds`, else what was seen.
///
/// # Errors
/// When it does not hold.
pub fn check(holds: bool, seen: impl std::fmt::Display) -> Result<(), String> {
    if holds { Ok(()) } else { Err(seen.to_string()) }
}

/// An object as JSON.
///
/// # Errors
/// What kubectl said.
pub fn try_get(args: &[&str]) -> Result<Value, String> {
    let args = [&["get", "-o", "json"], args].concat();
    let output = run("kubectl", &args, "");
    said(&output)?;
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

impl Namespace {
    /// A new one, with injection on and Pod Security `restricted` enforced.
    #[must_use]
    pub fn meshed(test: &str) -> Self {
        let namespace = Self::plain(test);
        namespace.kubectl(&[
            "label",
            "namespace",
            &namespace.name,
            "pod-security.kubernetes.io/enforce=restricted",
        ]);
        namespace.kubectl(&[
            "annotate",
            "namespace",
            &namespace.name,
            "motanmesh.io/inject=enabled",
        ]);
        eventually("the operator mirrors the annotation into its label", || {
            let object = try_get(&["namespace", &namespace.name])?;
            check(
                object["metadata"]["labels"]["motanmesh.io/injection"] == "enabled",
                &object["metadata"],
            )
        });
        namespace
    }

    /// A new one that knows nothing of the mesh.
    #[must_use]
    pub fn plain(test: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "{test}-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        kubectl(&["create", "namespace", &name]);
        eventually("the namespace has its ServiceAccount", || {
            try_get(&["serviceaccount", "default", "-n", &name])
        });
        Self { name }
    }

    /// kubectl in this namespace; it must succeed.
    pub fn kubectl(&self, args: &[&str]) -> String {
        kubectl(&[&["-n", &self.name], args].concat())
    }

    /// Applies YAML; it must be accepted.
    pub fn apply(&self, yaml: &str) -> String {
        self.try_apply(yaml)
            .unwrap_or_else(|error| panic!("apply: {error}\n{yaml}"))
    }

    /// Applies YAML.
    ///
    /// # Errors
    /// What the API server said.
    pub fn try_apply(&self, yaml: &str) -> Result<String, String> {
        try_kubectl(&["-n", &self.name, "apply", "-f", "-"], yaml)
    }

    /// An object as JSON.
    ///
    /// # Errors
    /// What kubectl said.
    pub fn try_get(&self, args: &[&str]) -> Result<Value, String> {
        try_get(&[&["-n", &self.name], args].concat())
    }

    /// Waits until a workload is rolled out.
    pub fn rolled_out(&self, workload: &str) {
        self.kubectl(&["rollout", "status", workload, "--timeout=180s"]);
    }

    /// Names of the pods that a selector finds and that are not going away.
    #[must_use]
    pub fn pods(&self, selector: &str) -> Vec<String> {
        let list = self
            .try_get(&["pods", "-l", selector])
            .unwrap_or_else(|error| panic!("{error}"));
        items(&list)
            .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
            .filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned))
            .collect()
    }

    /// Runs the demo program in a pod.
    ///
    /// # Errors
    /// What it said, when it failed.
    pub fn demo(&self, pod: &str, args: &[&str]) -> Result<String, String> {
        let exec = [
            "-n",
            &self.name,
            "exec",
            pod,
            "-c",
            "program",
            "--",
            "/motanmesh-demo",
        ];
        try_kubectl(&[&exec, args].concat(), "")
    }

    /// The sum of the lines of this metric with this label in the sidecar of `pod`, as the pod `from` sees it.
    #[must_use]
    pub fn metric(&self, (from, pod): (&str, &str), name: &str, label: &str) -> f64 {
        let page = eventually(&format!("the sidecar of {pod} shows its metrics"), || {
            let object = self.try_get(&["pod", pod])?;
            let address = object["status"]["podIP"].as_str().unwrap_or_default();
            self.demo(from, &["get", &format!("http://{address}:9990/metrics")])
        });
        let lines = page
            .lines()
            .filter(|line| line.starts_with(name) && line.contains(label));
        lines
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }

    /// Sends SIGTERM to a pod's sidecar, from a container that is put beside it, so that the kubelet starts it again.
    pub fn end_sidecar(&self, pod: &str) {
        self.signal(
            pod,
            &["--target=motanmesh-sidecar"],
            ["TERM", "motanmesh-sidecar"],
        );
    }

    /// Sends a signal to what runs `program` in a pod whose containers share their processes: there none is the first
    /// process, which no signal from inside stops.
    pub fn signal_shared(&self, pod: &str, signal: &str, program: &str) {
        self.signal(pod, &[], [signal, program]);
    }

    fn signal(&self, pod: &str, target: &[&str], what: [&str; 2]) {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (image, name) = (
            demo_image(),
            format!("signal-{}", COUNT.fetch_add(1, Ordering::Relaxed)),
        );
        let beside = ["--profile=restricted", "--image-pull-policy=IfNotPresent", "-q"];
        let command = ["--", "/motanmesh-demo", "signal"];
        let debug = ["debug", pod, "--image", &image, "-c", &name];
        self.kubectl(&[&debug[..], target, &beside, &command, &what].concat());
    }

    /// What a running load has seen so far.
    #[must_use]
    pub fn stats(&self, pod: &str) -> Report {
        eventually("the load tells its counts", || {
            let text = self.demo(pod, &["stats"])?;
            serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))
        })
    }

    /// Waits until a load has been answered this many more times.
    pub fn answered_more(&self, pod: &str, more: u64) -> Report {
        let start = self.stats(pod).ok;
        eventually("the load goes on", || {
            let stats = self.stats(pod);
            check(stats.ok >= start + more, format!("{stats:?}")).map(|()| stats)
        })
    }

    /// Status and reason of a condition.
    ///
    /// # Errors
    /// When there is none.
    pub fn condition(&self, object: &str, kind: &str) -> Result<(String, String, String), String> {
        let object = self.try_get(&[object])?;
        let field = |condition: &Value, name: &str| condition[name].as_str().unwrap_or_default().to_owned();
        object["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|condition| condition["type"] == kind)
            .filter(|condition| condition["observedGeneration"] == object["metadata"]["generation"])
            .map(|condition| {
                (
                    field(condition, "status"),
                    field(condition, "reason"),
                    field(condition, "message"),
                )
            })
            .ok_or_else(|| object["status"].to_string())
    }

    /// Waits until a condition is `True`.
    pub fn is(&self, object: &str, kind: &str) {
        eventually(&format!("{object} is {kind}"), || {
            let (status, reason, message) = self.condition(object, kind)?;
            check(status == "True", format!("{reason}: {message}"))
        });
    }
}

/// The items of a list.
pub fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list["items"].as_array().into_iter().flatten()
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for args in [
                vec!["get", "pods,msvc,mdep,configmaps", "-o", "wide"],
                vec!["get", "events", "--sort-by=.lastTimestamp"],
                vec![
                    "logs",
                    "-l",
                    "mesh-test=yes",
                    "--all-containers",
                    "--tail",
                    "30",
                    "--prefix",
                ],
            ] {
                let text = try_kubectl(&[&["-n", self.name.as_str()], args.as_slice()].concat(), "");
                let text = text.unwrap_or_else(|error| error);
                let _ = writeln!(std::io::stderr(), "--- {} {}\n{text}", self.name, args.join(" "));
            }
        }
        let _ = try_kubectl(&["delete", "namespace", &self.name, "--wait=false"], "");
    }
}
