//! Calls that their policy declares repeatable: whatever becomes of one of two nodes, none is lost.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::super::world::{Pod, World, eventually, services};
use super::{Fault, RATE, SOME, failed, good, lost_at_most};

/// Attempts after the first: one that goes elsewhere, and one for a busy machine that makes that one late too. The last
/// one is not cut short, it has the time of its call.
const ATTEMPTS: u32 = 2;
/// After how long a call is moved elsewhere, milliseconds: calls here take one or two.
const ATTEMPT_TIMEOUT: u32 = 100;

/// The services with calls that may be repeated after a lost connection and after a late answer.
///
/// The budget is what the load can ask for at most: each call of a second, as often as it may be repeated. Only its floor
/// counts: when a node breaks nothing has been repeated before, and a share of the calls since then is a share of none.
/// The default of 10 a second is less than what is under way on a node that stops.
fn repeatable(providers: &[&Pod]) -> Vec<Value> {
    let mut services = services(providers);
    for service in &mut services {
        service["policy"] = json!({
            "timeoutMs": 5_000,
            "idempotent": true,
            "retries": {
                "attempts": ATTEMPTS,
                "on": ["unavailable", "timeout"],
                "attemptTimeoutMs": ATTEMPT_TIMEOUT,
            },
            "budget": {"percent": 100, "minPerSecond": RATE * ATTEMPTS},
        });
    }
    services
}

/// A caller of two nodes whose calls may be repeated.
async fn caller(world: &World, providers: &[&Pod]) -> Pod {
    let mut web = world.caller("web", providers).await;
    let revision = web.plan(&repeatable(providers), &json!([]));
    web.runs(revision).await;
    web
}

/// Asserts that all calls were answered, to the caller and by the agent's own count, and that the budget was enough.
async fn none_lost(fault: Fault<'_>) {
    let web = fault.web;
    let retries = web.metric("motanmesh_retries_total", &["role=\"client\""]).await;
    let late = acted(web, "attempt-timeout").await;
    eprintln!("{}: {retries} retries, {late} late attempts", fault.what);
    assert_eq!(acted(web, "retry-denied").await, 0);
    assert_eq!(failed(web).await, 0);
    let report = fault.ends().await;
    eprintln!("longest call: {:.0} ms", report.max_ms);
    lost_at_most(&report, 0, &[]);
    assert_eq!(report.ok, report.sent);
}

async fn acted(web: &Pod, action: &str) -> u64 {
    let action = format!("action=\"{action}\"");
    web.metric("motanmesh_policy_actions_total", &["role=\"client\"", &action])
        .await
}

/// Waits until the caller's agent has brought three seconds' calls to a good end: an endpoint that was put aside for its
/// first second is tried again in that time.
async fn three_seconds_of_calls(web: &Pod) {
    let enough = good(web).await + 3 * u64::from(RATE);
    eventually("three seconds' calls are answered", async || {
        good(web).await >= enough
    })
    .await;
}

/// Waits until a node answers calls, after now.
async fn is_called(node: &Pod) {
    let answered = async || {
        node.metric("motanmesh_calls_total", &["role=\"server\"", "outcome=\"ok\""])
            .await
    };
    let before = answered().await;
    eventually("it is called again", async || answered().await >= before + SOME).await;
}

#[tokio::test]
async fn none_is_lost_when_a_node_is_killed() {
    let world = World::new();
    let (mut one, two) = (world.provider("one").await, world.provider("two").await);
    let web = caller(&world, &[&one, &two]).await;
    let fault = Fault::begins("repeatable, two nodes, one killed", &web).await;
    // The program first: its agent tells of calls that it has lost, and is then lost itself, with those that it keeps.
    one.kill_program().await;
    one.kill_sidecar().await;
    fault.some_more().await;
    none_lost(fault).await;
}

#[tokio::test]
async fn none_is_lost_when_a_node_is_stopped_and_goes_on() {
    let world = World::new();
    let (one, two) = (world.provider("one").await, world.provider("two").await);
    let web = caller(&world, &[&one, &two]).await;
    let fault = Fault::begins("repeatable, two nodes, one SIGSTOP", &web).await;
    one.signal_program(Signal::STOP);
    one.signal_sidecar(Signal::STOP);
    three_seconds_of_calls(&web).await;
    assert!(acted(&web, "attempt-timeout").await > 0, "no call was moved");
    one.signal_sidecar(Signal::CONT);
    one.signal_program(Signal::CONT);
    is_called(&one).await;
    none_lost(fault).await;
}

#[tokio::test]
async fn none_is_lost_when_a_program_is_stopped_and_its_agent_is_not() {
    let world = World::new();
    let (one, two) = (world.provider("one").await, world.provider("two").await);
    let web = caller(&world, &[&one, &two]).await;
    let fault = Fault::begins("repeatable, two nodes, the program of one SIGSTOP", &web).await;
    one.signal_program(Signal::STOP);
    three_seconds_of_calls(&web).await;
    assert!(acted(&web, "attempt-timeout").await > 0, "no call was moved");
    one.signal_program(Signal::CONT);
    is_called(&one).await;
    none_lost(fault).await;
}
