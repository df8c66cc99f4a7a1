//! A rate of all pods of a service: real sidecars, and the rooms of the operator that share it out, joined by the test's
//! stream instead of a cluster's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::operator::rates::{Seats, book::Shared};
use plan::stream::{FromOperator, FromSidecar};
use plan::{Bounded, ClusterRate, ServiceName};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use super::operator::{NAME, Operator, Session};
use super::world::{Pod, World, eventually, exports};

const RATE: u32 = 100;
const BURST: u32 = 10;
/// How often shares move: sidecars speak once a second by themselves.
const STEP: Duration = Duration::from_millis(200);

/// What the sidecars said last that they let in, by pod.
type Held = Arc<Mutex<BTreeMap<String, u32>>>;

/// Lets a sidecar and its seat speak with each other.
async fn join(mut session: Session, seats: Arc<Seats>, held: Held) {
    let pod = session.token.trim_start_matches("Bearer ").to_owned();
    let seat = seats.take(&pod);
    loop {
        tokio::select! {
            message = session.heard() => {
                let Some(message) = message else { return };
                if let FromSidecar::Rates { rates } = message {
                    let share = rates.iter().map(|rate| rate.share).sum();
                    held.lock().unwrap().insert(pod.clone(), share);
                    seat.say(rates);
                }
            }
            () = seat.given() => session.tell(&FromOperator::Shares { shares: seat.shares() }).await,
        }
    }
}

/// An operator that has led for a while and shares `shop/greet` out among these pods.
fn lead(pods: &[&str], seats: &Arc<Seats>) -> impl Future<Output = ()> + use<> {
    let shared = [Shared {
        service: ServiceName::of("shop", "greet").unwrap(),
        rate: ClusterRate {
            per_second: Bounded::literal::<RATE>(),
            burst: Bounded::literal::<BURST>(),
            among: Bounded::literal::<2>(),
        },
        pods: pods.iter().map(|pod| Box::from(*pod)).collect(),
    }];
    let seats = Arc::clone(seats);
    let led_since = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
    async move {
        seats.lead(0, led_since);
        let mut tick = interval(STEP);
        loop {
            tick.tick().await;
            seats.step(&shared, Instant::now());
        }
    }
}

async fn share(pod: &Pod) -> u64 {
    pod.metric("motanmesh_rate_share", &["service=\"shop/greet\""])
        .await
}

#[tokio::test]
async fn a_rate_of_two_pods_follows_the_calls_and_is_never_let_in_twice() {
    let world = World::new();
    let mut operator = Operator::start().await;
    let (seats, held) = (Arc::new(Seats::default()), Held::default());
    let control = json!({"address": operator.address, "serverName": NAME, "roots": operator.roots});
    let mut pods = Vec::new();
    for name in ["one", "two"] {
        let mut pod = world.pod(name);
        pod.start_program();
        let mut exports = exports(pod.ip);
        exports[0]["limits"] = json!({"clusterRate": {"perSecond": RATE, "burst": BURST, "among": 2}});
        let workload = json!({"namespace": "shop", "pod": name, "application": name});
        let plan = json!({"revision": 1, "hash": "one", "workload": workload, "control": control,
            "services": [], "exports": exports});
        pod.write_plan(&plan.to_string());
        pod.write_token(name);
        pod.start_sidecar();
        pods.push(pod);
    }
    let mut tasks = JoinSet::new();
    for _ in &pods {
        tasks.spawn(join(
            operator.session().await,
            Arc::clone(&seats),
            Arc::clone(&held),
        ));
    }
    for pod in &pods {
        pod.ready().await;
        assert_eq!(
            share(pod).await,
            u64::from(RATE / 2),
            "{}: the first share",
            pod.name
        );
    }
    tasks.spawn(lead(&["one", "two"], &seats));
    let callers = [
        world.caller("web-one", &[&pods[0]]).await,
        world.caller("web-two", &[&pods[1]]).await,
    ];
    let begun = std::time::Instant::now();
    for busy in [0, 1, 0] {
        let load = callers[busy].endless(RATE * 3, 4);
        eventually(&format!("the share of {} grows", pods[busy].name), async || {
            let all: u32 = held.lock().unwrap().values().sum();
            assert!(all <= RATE, "{all} a second are let in");
            share(&pods[busy]).await >= u64::from(RATE) * 9 / 10
        })
        .await;
        assert!(load.end().await.failed > 0, "more comes than may");
    }
    let mut passed = 0;
    for pod in &pods {
        let labels = ["role=\"server\"", "service=\"shop/greet\"", "outcome=\"ok\""];
        passed += pod.metric("motanmesh_calls_total", &labels).await;
    }
    // The burst and the rate, and a call and one a second for each pod.
    let seconds = begun.elapsed().as_secs() + 1;
    let most = u64::from(BURST) + 2 + seconds * (u64::from(RATE) + 2);
    assert!(passed > 0 && passed <= most, "{passed} in {seconds} s");
}
