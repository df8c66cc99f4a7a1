//! A rate of all pods of a service, as one of them keeps its share.

use std::time::Duration;

use agent::worker::ListenerKind;
use plan::ServiceName;
use plan::stream::{RateHeld, RateShare};
use tokio::time::Instant;

use crate::mesh::{Agent, caller, provider, run};
use crate::motan::{echo, request};
use crate::net::Net;
use crate::web::{Client, get, mesh_error, program, whole};

const A: &str = "10.0.0.1:9982";
const APP: &str = "127.0.0.1:8001";
const HOST: &str = "user.shop.mesh";

/// A provider's plan with a rate of all pods.
fn shared(protocol: &str, rate: &str) -> String {
    let plan = provider(protocol, APP);
    plan.replace(
        "\"policy\"",
        &format!("\"limits\": {{\"clusterRate\": {rate}}}, \"policy\""),
    )
}

/// The plan of a caller that does not try again.
fn once(protocol: &str) -> String {
    let plan = caller(protocol, &[A], 1000);
    plan.replace(
        "\"timeoutMs\": 1000",
        "\"timeoutMs\": 1000, \"retries\": {\"attempts\": 0}",
    )
}

fn user() -> ServiceName {
    ServiceName::of("shop", "user").unwrap()
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

fn tell(agent: &Agent, share: u32, number: u64) {
    let service = user();
    let share = RateShare {
        service,
        share,
        number,
    };
    agent.worker.tables().share(&[share], now());
}

fn held(agent: &Agent) -> Option<RateHeld> {
    let mut rates = agent.worker.tables().rates(now());
    assert!(rates.len() <= 1);
    rates.pop()
}

fn share(agent: &Agent) -> f64 {
    agent.metric(
        "motanmesh_rate_share",
        &["service=\"shop/user\"", "role=\"server\""],
    )
}

async fn passed(web: &mut Client, calls: u32) -> u32 {
    let mut passed = 0;
    for _ in 0..calls {
        let reply = web.call(get(HOST, "/")).await;
        let is_in = reply.status() == 200;
        assert!(is_in || (reply.status() == 429 && mesh_error(&reply) == Some("rate-limited")));
        passed += u32::from(is_in);
    }
    passed
}

#[tokio::test(start_paused = true)]
async fn a_pod_lets_in_its_share_and_the_next_as_soon_as_it_is_told() {
    run(async {
        let net = Net::default();
        let server = Agent::start(
            &net,
            Some(A),
            &shared("http", r#"{"perSecond": 100, "burst": 40, "among": 4}"#),
        );
        program(&net, APP, |_| async { whole("body") });
        let client = Agent::start(&net, None, &once("http"));
        let mut web = Client::new(client.connect(ListenerKind::Http)).await;
        assert_eq!(share(&server), 25.0, "nobody has told it anything");
        assert_eq!(passed(&mut web, 30).await, 10, "its part of the burst");
        tokio::time::advance(Duration::from_secs(1)).await;
        let said = held(&server).unwrap();
        assert_eq!(
            (said.service, said.demand, said.share, said.number),
            (user(), 30, 25, 0)
        );
        // What is saved is not lost, and no more is given at once.
        tell(&server, 50, 1);
        assert_eq!(held(&server).map(|said| (said.share, said.number)), Some((50, 1)));
        assert_eq!(passed(&mut web, 30).await, 10);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(passed(&mut web, 30).await, 20);
        // The same again changes nothing; a smaller one does at once.
        tokio::time::advance(Duration::from_secs(1)).await;
        tell(&server, 50, 1);
        tell(&server, 5, 2);
        assert_eq!((passed(&mut web, 30).await, share(&server)), (2, 5.0));
        let refused = held(&server).unwrap();
        assert_eq!((refused.share, refused.number), (5, 2));

        // More pods change nothing where a share was told; a lower rate takes its part of it.
        server.apply(&shared("http", r#"{"perSecond": 100, "burst": 40, "among": 8}"#));
        assert_eq!(share(&server), 5.0);
        server.apply(&shared("http", r#"{"perSecond": 20, "burst": 40, "among": 8}"#));
        assert_eq!(share(&server), 1.0);
        server.apply(&provider("http", APP));
        assert_eq!((held(&server), passed(&mut web, 30).await), (None, 30));
        assert!(!server.worker.tables().shares_rates());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_motan_caller_is_told_the_rate_and_the_share() {
    run(async {
        let net = Net::default();
        let _server = Agent::start(
            &net,
            Some(A),
            &shared("motan2", r#"{"perSecond": 20, "burst": 2, "among": 2}"#),
        );
        echo(&net, APP, "program", Duration::ZERO);
        let client = Agent::start(&net, None, &once("motan2"));
        let mut motan = client.motan();
        motan.call(&request(1, "demo.User", "hello", b"")).await;
        let refused = motan
            .call(&request(2, "demo.User", "hello", b""))
            .await
            .exception();
        assert_eq!(refused.code, 503);
        assert!(
            refused
                .words
                .contains("20 a second at all its pods together, 10 of them here"),
            "{}",
            refused.words
        );
    })
    .await;
}
