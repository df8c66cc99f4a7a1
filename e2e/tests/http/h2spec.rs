//! h2spec's cases, strict ones too, against each listener that speaks HTTP/2.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use tokio::time::timeout;

use super::stage::Stage;
use super::tools::Tools;

/// How long all cases together may take.
const ALL: Duration = Duration::from_secs(300);

/// How often all cases are run at most. Some send frames of which the last must come before the first is answered, or
/// take silence for an answer: on a busy machine one of them may be too late, but not each time the same.
const RUNS: usize = 3;

/// How many cases h2spec 2.2.1 has.
const CASES: usize = 146;

/// Cases that don't pass, with the reason why that is right.
const EXCEPTIONS: &[(&str, &str)] = &[(
    "http2/3.5 Sends invalid connection preface",
    "what does not begin as HTTP/2 is a request of HTTP/1.1 that can't be read, or Motan: answered in that, and closed",
)];

/// The same for the port of other agents.
const EXCEPTIONS_INBOUND: &[(&str, &str)] = &[
    EXCEPTIONS[0],
    (
        "http2/8.1 Sends a second HEADERS frame without the END_STREAM flag",
        "the stream is refused, and so has ended, by its first frame",
    ),
];

/// A page whose body is longer than the window that one of the cases gives.
const PAGE: &str = "/fill?bytes=1000";

/// Runs all cases: their number, and those that fail or are left out, by section and title.
async fn cases(at: SocketAddr) -> (usize, Vec<String>) {
    let report = tempfile::NamedTempFile::new().unwrap();
    let mut h2spec = Tools::Go.program("h2spec");
    h2spec.args(["--strict", "--timeout", "5", "--host", &at.ip().to_string()]);
    h2spec.args(["--port", &at.port().to_string(), "--path", PAGE]);
    h2spec.arg("--junit-report").arg(report.path());
    let status = timeout(ALL, h2spec.stdout(Stdio::null()).status()).await;
    status.expect("it ends in time").unwrap(); // not zero where a case fails
    let report = std::fs::read_to_string(report.path()).unwrap();
    let cases: Vec<_> = report.split("<testcase ").skip(1).collect();
    let odd = cases.iter().filter(|case| {
        let case = case.split("</testcase>").next().unwrap_or_default();
        ["<failure", "<skipped", "<error"]
            .iter()
            .any(|end| case.contains(end))
    });
    let odd = odd.map(|case| {
        let attribute = |name: &str| case.split(&format!("{name}=\"")).nth(1)?.split('"').next();
        [attribute("package"), attribute("classname")]
            .map(Option::unwrap)
            .join(" ")
    });
    (cases.len(), odd.collect())
}

async fn conforms(at: SocketAddr, exceptions: &[(&str, &str)]) {
    let mut always: Option<Vec<String>> = None;
    for _ in 0..RUNS {
        let (number, odd) = cases(at).await;
        assert_eq!(number, CASES, "at {at}");
        let mut left = always.unwrap_or_else(|| odd.clone());
        left.retain(|case| odd.contains(case) && !exceptions.iter().any(|(excepted, _)| excepted == case));
        if left.is_empty() {
            return;
        }
        always = Some(left);
    }
    panic!("at {at}: {always:#?}");
}

#[tokio::test]
async fn the_entry_of_programs_conforms() {
    let stage = Stage::with_web_server().await;
    conforms(stage.entry(), EXCEPTIONS).await;
}

#[tokio::test]
async fn a_listener_of_one_service_conforms() {
    let stage = Stage::with_web_server().await;
    conforms(stage.captured(), EXCEPTIONS).await;
}

/// Whoever is none of our agents is refused there, in HTTP/2.
#[tokio::test]
async fn the_entry_of_other_agents_conforms() {
    let stage = Stage::with_web_server().await;
    conforms(stage.inbound(), EXCEPTIONS_INBOUND).await;
}
