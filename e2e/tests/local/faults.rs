//! What breaks under 1 000 calls a second, and how many of them are lost. Each test prints its figure.
//!
//! A call that may have reached a program that died is not repeated, since the method is not declared as repeatable: it
//! is lost, and nothing else is.

mod repeatable;

use std::time::Duration;

use e2e::stats::Report;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::sleep;
use wire::{keys, motan2, value};

use super::world::{Kind, Load, Pod, World, eventually, services};

/// Faults at once: each is a load, two agents and a program, on a machine that may have two cores.
static ROOM: Semaphore = Semaphore::const_new(2);
/// Calls a second, and the connections they take turns on.
const RATE: u32 = 1_000;
const CONNECTIONS: u32 = 16;
/// Calls that are answered before something breaks, and after it is whole again.
const SOME: u64 = 300;
/// What a program that dies may take with it: calls that were written to it and not yet answered. 1 000 calls a second
/// that take a millisecond are one or two; a busy machine has them wait.
const UNDER_WAY: u64 = 50;

/// A load on a caller's pod.
struct Fault<'a> {
    what: &'static str,
    web: &'a Pod,
    load: Load,
    _room: SemaphorePermit<'static>,
}

impl<'a> Fault<'a> {
    /// Begins a load, and waits until it is well under way.
    async fn begins(what: &'static str, web: &'a Pod) -> Self {
        let room = ROOM.acquire().await.unwrap();
        let load = web.endless(RATE, CONNECTIONS);
        let fault = Self {
            what,
            web,
            load,
            _room: room,
        };
        fault.some_more().await;
        fault
    }

    async fn some_more(&self) {
        some_more(self.web).await;
    }

    async fn ends(self) -> Report {
        let report = self.load.end().await;
        eprintln!(
            "{}: {} calls, {} lost {:?}",
            self.what, report.sent, report.failed, report.failures
        );
        report
    }
}

async fn good(web: &Pod) -> u64 {
    let labels = ["role=\"client\"", "outcome=\"ok\""];
    web.metric("motanmesh_calls_total", &labels).await
}

/// Waits until the caller's agent has brought some more calls to a good end.
async fn some_more(web: &Pod) {
    let before = good(web).await;
    eventually("more calls are answered", async || {
        good(web).await >= before + SOME
    })
    .await;
}

/// Asserts that a report has no failures but those of which all have `words`, and at most `most` of them.
fn lost_at_most(report: &Report, most: u64, words: &[&str]) {
    assert!(report.sent > SOME && report.failed <= most, "{report:?}");
    let known = |kind: &String| words.iter().any(|words| kind.contains(words));
    assert!(report.failures.keys().all(known), "{report:?}");
}

const DIED: &[&str] = &[
    "the program closed the connection before it answered",
    "was lost before the answer came",
];

#[tokio::test]
async fn a_program_that_dies_and_is_back_at_once_loses_what_was_under_way_in_it() {
    let world = World::new();
    let mut user = world.provider("user").await;
    let web = world.caller("web", &[&user]).await;
    let fault = Fault::begins("program killed, restarted at once", &web).await;
    user.kill_program().await;
    user.start_program();
    fault.some_more().await;
    lost_at_most(&fault.ends().await, UNDER_WAY, DIED);
}

#[tokio::test]
async fn calls_to_a_program_that_is_away_for_three_seconds_wait_for_it() {
    let world = World::new();
    let mut user = world.provider("user").await;
    let web = world.caller("web", &[&user]).await;
    let fault = Fault::begins("program killed, away for 3 s", &web).await;
    user.kill_program().await;
    sleep(Duration::from_secs(3)).await; // this is the fault
    user.start_program();
    fault.some_more().await;
    lost_at_most(&fault.ends().await, UNDER_WAY, DIED);
}

#[tokio::test]
async fn a_server_agent_that_is_restarted_loses_nothing() {
    let world = World::new();
    let mut user = world.provider("user").await;
    let web = world.caller("web", &[&user]).await;
    let fault = Fault::begins("server agent SIGTERM, restarted at once", &web).await;
    assert!(user.end_sidecar().await);
    user.start_sidecar();
    fault.some_more().await;
    lost_at_most(&fault.ends().await, 0, &[]);
}

#[tokio::test]
async fn one_of_two_nodes_that_is_ended_loses_nothing() {
    let world = World::new();
    let (mut one, two) = (world.provider("one").await, world.provider("two").await);
    let web = world.caller("web", &[&one, &two]).await;
    let fault = Fault::begins("two nodes, one SIGTERM", &web).await;
    assert!(one.end_sidecar().await);
    one.kill_program().await;
    fault.some_more().await;
    lost_at_most(&fault.ends().await, 0, &[]);
}

#[tokio::test]
async fn one_of_two_nodes_that_is_switched_off_and_ended_loses_nothing() {
    let world = World::new();
    let (mut one, two) = (world.provider("one").await, world.provider("two").await);
    let web = world.caller("web", &[&one, &two]).await;
    let fault = Fault::begins("two nodes, one /503, then SIGTERM", &web).await;
    assert_eq!(one.page("GET", 8002, "/503").await.0, 200);
    fault.some_more().await;
    assert!(one.end_sidecar().await);
    one.kill_program().await;
    fault.some_more().await;
    lost_at_most(&fault.ends().await, 0, &[]);
}

#[tokio::test]
async fn one_of_two_nodes_that_is_killed_loses_what_was_under_way_on_it() {
    let world = World::new();
    let (mut one, two) = (world.provider("one").await, world.provider("two").await);
    let web = world.caller("web", &[&one, &two]).await;
    let fault = Fault::begins("two nodes, one killed", &web).await;
    one.kill_sidecar().await;
    one.kill_program().await;
    fault.some_more().await;
    lost_at_most(&fault.ends().await, UNDER_WAY, DIED);
}

#[tokio::test]
async fn calls_that_may_be_repeated_are_not_lost_when_a_node_or_a_program_is_killed() {
    let world = World::new();
    let (mut one, mut two) = (world.provider("one").await, world.provider("two").await);
    let web = world.caller("web", &[&one, &two]).await;
    let _room = ROOM.acquire().await.unwrap();
    // HTTP GET may be repeated without a word in a plan (RFC 9110, 9.2.2).
    let load = web.load(Kind::Http, 4);
    some_more(&web).await;
    one.kill_sidecar().await;
    one.kill_program().await;
    some_more(&web).await;
    two.kill_program().await;
    two.start_program();
    let report = load.report().await;
    eprintln!(
        "GET, two nodes, one killed, then the program of the other: {} calls, {} lost {:?}",
        report.sent, report.failed, report.failures
    );
    lost_at_most(&report, 0, &[]);
}

#[tokio::test]
async fn one_of_two_agents_that_is_stopped_gets_no_new_calls_and_comes_back() {
    let world = World::new();
    let (one, two) = (world.provider("one").await, world.provider("two").await);
    let mut web = world.caller("web", &[&one, &two]).await;
    let revision = web.plan(&within(1_000, &[&one, &two]), &json!([]));
    web.runs(revision).await;
    let fault = Fault::begins("two nodes, one SIGSTOP for 3 s", &web).await;
    one.signal_sidecar(Signal::STOP);
    // The calls that went there before it was noticed end by their deadlines, and then no more are lost.
    sleep(Duration::from_secs(2)).await; // this is the fault
    let lost = failed(&web).await;
    sleep(Duration::from_secs(1)).await; // this is the fault
    assert_eq!(failed(&web).await, lost, "calls still go there");
    one.signal_sidecar(Signal::CONT);
    let before = one.metric("motanmesh_calls_total", &["outcome=\"ok\""]).await;
    eventually("it is called again", async || {
        one.metric("motanmesh_calls_total", &["outcome=\"ok\""]).await >= before + SOME
    })
    .await;
    let report = fault.ends().await;
    assert_eq!(report.failed, lost, "{report:?}");
    // Half of the calls of the time in which it is noticed, and that is half a second.
    lost_at_most(&report, 500, &["receive request timeout"]);
}

#[tokio::test]
async fn a_program_that_is_slower_than_the_timeout_is_called_again_when_it_is_fast() {
    let world = World::new();
    let user = world.provider("user").await;
    let mut web = world.caller("web", &[&user]).await;
    let revision = web.plan(&within(300, &[&user]), &json!([]));
    web.runs(revision).await;
    let fault = Fault::begins("program slower than the timeout for 1 s", &web).await;
    user.signal_program(Signal::STOP);
    sleep(Duration::from_secs(1)).await; // this is the fault
    user.signal_program(Signal::CONT);
    eventually("what was late has ended", async || {
        user.page("GET", 9990, "/metrics")
            .await
            .1
            .contains("calls_in_flight")
    })
    .await;
    fault.some_more().await;
    let lost = failed(&web).await;
    fault.some_more().await;
    assert_eq!(failed(&web).await, lost, "it is fast, and calls fail");
    // Those of one second, and those whose time had begun before.
    lost_at_most(&fault.ends().await, 1_500, &["receive request timeout"]);
}

#[tokio::test]
async fn a_server_agent_that_starts_after_the_client_agent_loses_nothing() {
    let world = World::new();
    let mut user = world.pod("user");
    user.start_program();
    user.plan(&[], &super::world::exports(user.ip));
    let web = world.caller("web", &[&user]).await;
    let _room = ROOM.acquire().await.unwrap();
    let load = web.endless(RATE, CONNECTIONS);
    sleep(Duration::from_secs(2)).await; // this is the fault
    user.start_sidecar();
    some_more(&web).await;
    let report = load.end().await;
    eprintln!(
        "server agent starts 2 s late: {} calls, {} lost {:?}",
        report.sent, report.failed, report.failures
    );
    lost_at_most(&report, 0, &[]);
}

#[tokio::test]
async fn a_client_agent_that_is_restarted_loses_nothing_of_a_client_that_hears_it_say_so() {
    let world = World::new();
    let user = world.provider("user").await;
    let mut web = world.caller("web", &[&user]).await;
    let _room = ROOM.acquire().await.unwrap();
    let load = web.endless(RATE, CONNECTIONS);
    some_more(&web).await;
    assert!(web.end_sidecar().await);
    web.start_sidecar();
    web.ready().await;
    some_more(&web).await;
    let report = load.end().await;
    eprintln!(
        "client agent SIGTERM, restarted: {} calls, {} lost {:?}",
        report.sent, report.failed, report.failures
    );
    lost_at_most(&report, 0, &[]);
}

#[tokio::test]
async fn a_client_agent_that_ends_answers_what_it_was_asked_and_then_says_that_nothing_follows() {
    let world = World::new();
    let user = world.provider("user").await;
    let mut web = world.caller("web", &[&user]).await;
    let (mut idle, mut busy) = (
        TcpStream::connect(web.at(9981)).await.unwrap(),
        TcpStream::connect(web.at(9981)).await.unwrap(),
    );
    let mut asked = Vec::new();
    motan2::encode(
        &mut asked,
        motan2::Header::request(5),
        |meta| {
            meta.pair(keys::PATH, b"com.example.Greet");
            meta.pair(keys::METHOD, b"slow");
        },
        |body| value::write(body, &value::Value::String(b"1000")),
    );
    busy.write_all(&asked).await.unwrap();
    let under_way = "motanmesh_calls_in_flight{role=\"server\",service=\"shop/greet\"} 1\n";
    eventually(under_way, async || {
        user.page("GET", 9990, "/metrics").await.1.contains(under_way)
    })
    .await;
    assert!(web.end_sidecar().await);
    let (mut nothing, mut answer) = (Vec::new(), Vec::new());
    // An error here would be a reset: bytes that had arrived were thrown away.
    idle.read_to_end(&mut nothing).await.unwrap();
    busy.read_to_end(&mut answer).await.unwrap();
    assert!(nothing.is_empty());
    let (frame, length) = motan2::decode(&answer, motan2::DEFAULT_LIMIT).unwrap().unwrap();
    assert_eq!(
        (frame.header.id, frame.header.status, length),
        (5, 0, answer.len())
    );
}

/// Calls of the caller's agent that did not end well.
async fn failed(web: &Pod) -> u64 {
    let (_, text) = web.page("GET", 9990, "/metrics").await;
    let is_failure = |line: &&str| {
        line.starts_with("motanmesh_calls_total{role=\"client\"") && !line.contains("outcome=\"ok\"")
    };
    let failures = text.lines().filter(is_failure);
    failures
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

/// The services with another timeout, milliseconds.
fn within(timeout: u64, providers: &[&Pod]) -> Vec<Value> {
    let mut services = services(providers);
    for service in &mut services {
        service["policy"]["timeoutMs"] = timeout.into();
    }
    services
}
