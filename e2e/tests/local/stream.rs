//! The live stream, and a life without it.

use plan::stream::{FromOperator, FromSidecar};
use plan::{Address, Endpoint, EndpointState, Plan, Revision, ServiceName};
use serde_json::json;

use super::operator::{NAME, Operator};
use super::world::{Pod, World, eventually, services};

fn endpoints(providers: &[&Pod]) -> FromOperator {
    let endpoint = |pod: &&Pod| Endpoint::agent(Address::of(pod.at(9982)), EndpointState::Ready);
    FromOperator::Endpoints {
        service: ServiceName::of("shop", "user").unwrap(),
        reset: true,
        set: providers.iter().map(endpoint).collect(),
        removed: Vec::new(),
    }
}

async fn served_by(web: &Pod, name: &str) {
    let answer = format!("\"servedBy\":\"{name}\"");
    eventually(&answer, async || {
        web.get("user.shop.mesh", "/users/1").await.1.contains(&answer)
    })
    .await;
}

#[tokio::test]
async fn a_sidecar_follows_its_operator_and_lives_without_it() {
    let world = World::new();
    let (one, two) = (world.provider("one").await, world.provider("two").await);
    let mut operator = Operator::start().await;
    let mut web = world.pod("web");
    let control = json!({"address": operator.address, "serverName": NAME, "roots": operator.roots});
    let workload = json!({"namespace": "shop", "pod": "web", "application": "web"});
    let mut document = json!({"revision": 5, "hash": "five", "workload": workload, "control": control,
        "services": services(&[])});
    web.write_plan(&document.to_string());
    web.write_token("for the operator");
    web.start_sidecar();

    let mut session = operator.session().await;
    assert_eq!(session.token, "Bearer for the operator");
    assert!(matches!(
        session.said().await,
        FromSidecar::Hello {
            revision: Revision(5),
            ..
        }
    ));
    session.tell(&endpoints(&[&one])).await;
    served_by(&web, "one").await;
    session.tell(&endpoints(&[&two])).await;
    served_by(&web, "two").await;

    document["revision"] = json!(6);
    let plan = Plan::parse(document.to_string().as_bytes()).unwrap();
    session.tell(&FromOperator::Plan { plan: Box::new(plan) }).await;
    let ack = session.said().await;
    assert!(
        matches!(
            &ack,
            FromSidecar::Ack {
                revision: Revision(6),
                ..
            }
        ),
        "{ack:?}"
    );

    // The operator is gone for good; the sidecar serves on, and so does the one after it, which starts alone. The
    // plan in its file names no endpoint: what it knows it has from the stream of before.
    drop((session, operator));
    served_by(&web, "two").await;
    assert!(web.end_sidecar().await);
    web.start_sidecar();
    web.ready().await;
    served_by(&web, "two").await;
    web.runs(6).await;
}
