use std::fs;
use std::path::Path;

use plan::ServiceName;
use process::drain::Trigger;
use tokio::task::JoinHandle;

use super::*;

/// A plan of one service, `shop/user`.
fn document(revision: u64, seed: &str) -> String {
    format!(
        r#"{{"revision": {revision}, "workload": {{"namespace": "shop", "pod": "web-1", "application": "web"}},
        "services": [{{"name": "shop/user", "path": "user", "group": "shop", "protocol": "http",
            "policy": {{"timeoutMs": 100}}, "seeds": [{{"address": "{seed}"}}]}}]}}"#
    )
}

struct Running {
    current: watch::Receiver<Option<Current>>,
    metrics: Metrics,
    drain: Trigger,
    task: JoinHandle<()>,
}

impl Running {
    fn start(dir: &Path) -> Self {
        let settings = Settings {
            plan: dir.join("plan.json"),
            state_dir: Some(dir.to_owned()),
            dial: Dial::default(),
            inbound: false,
        };
        let metrics = Metrics::default();
        let discovery = Discovery::open(settings, metrics.clone());
        let current = discovery.current();
        let (drain, watch) = drain::channel();
        let task = tokio::spawn(discovery.run(stream::told().1, watch));
        Self {
            current,
            metrics,
            drain,
            task,
        }
    }

    fn revision(&self) -> Option<u64> {
        self.current
            .borrow()
            .as_ref()
            .map(|current| current.known.plan.revision.0)
    }

    async fn runs(&mut self, revision: u64) {
        let runs = |current: &Option<Current>| {
            current
                .as_ref()
                .is_some_and(|current| current.known.plan.revision.0 == revision)
        };
        let found = self.current.wait_for(runs);
        tokio::time::timeout(Duration::from_secs(60), found)
            .await
            .unwrap()
            .unwrap();
    }

    async fn end(self) {
        self.drain.drained(Duration::from_secs(1)).await.unwrap();
        self.task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_on_disk_is_known_before_anything_is_awaited() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("plan.json"), document(7, "10.0.0.1:1")).unwrap();
    let running = Running::start(dir.path());
    assert_eq!(running.revision(), Some(7));
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_comes_late_or_changes_is_followed_and_a_bad_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plan.json");
    let mut running = Running::start(dir.path());
    assert_eq!(running.revision(), None);
    fs::write(&path, document(1, "10.0.0.1:1")).unwrap();
    running.runs(1).await;
    fs::write(&path, "{").unwrap();
    tokio::time::sleep(file::EVERY * 3).await;
    assert_eq!(
        running.metrics.refusals(Source::File),
        1,
        "the same bad text is refused once"
    );
    assert_eq!(running.revision(), Some(1));
    fs::write(&path, document(2, "10.0.0.2:1")).unwrap();
    running.runs(2).await;
    let known = running.current.borrow().clone().unwrap().known;
    let user = ServiceName::of("shop", "user").unwrap();
    let addresses: Vec<_> = known
        .endpoints(&user)
        .iter()
        .map(|one| one.address.as_str())
        .collect();
    assert_eq!(addresses, ["10.0.0.2:1"]);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_last_good_plan_serves_when_the_file_is_bad_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("plan.json"), document(7, "10.0.0.1:1")).unwrap();
    Running::start(dir.path()).end().await;
    fs::write(dir.path().join("plan.json"), "{").unwrap();
    let running = Running::start(dir.path());
    assert_eq!(running.revision(), Some(7));
    let source = running.current.borrow().as_ref().map(|current| current.source);
    assert_eq!(source, Some(Source::Saved));
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_stream_said_outlives_a_restart_in_an_outage() {
    let dir = tempfile::tempdir().unwrap();
    let text = document(7, "10.0.0.1:1");
    fs::write(dir.path().join("plan.json"), &text).unwrap();
    let settings = || Settings {
        plan: dir.path().join("plan.json"),
        state_dir: Some(dir.path().to_owned()),
        dial: Dial::default(),
        inbound: false,
    };
    let user = ServiceName::of("shop", "user").unwrap();
    let addresses = |discovery: &Discovery| {
        let known = discovery.current().borrow().clone().unwrap().known;
        known
            .endpoints(&user)
            .iter()
            .map(|one| one.address.to_string())
            .collect::<Vec<_>>()
    };
    let mut before = Discovery::open(settings(), Metrics::default());
    let set = ["10.0.0.2:1", "10.0.0.3:1"].map(|address| {
        plan::Endpoint::agent(plan::Address::new(address).unwrap(), plan::EndpointState::Ready)
    });
    let change = Change {
        service: user.clone(),
        reset: true,
        set: set.to_vec(),
        removed: vec![],
    };
    before.take(Event::Plan(Box::new(
        Plan::parse(document(9, "10.0.0.9:1").as_bytes()).unwrap(),
    )));
    before.take(Event::Endpoints(change));
    before.publish();
    assert_eq!(addresses(&before), ["10.0.0.2:1", "10.0.0.3:1"]);
    before.write();

    let after = Discovery::open(settings(), Metrics::default());
    assert_eq!(
        after.current().borrow().as_ref().unwrap().known.plan.revision,
        Revision(9)
    );
    assert_eq!(addresses(&after), ["10.0.0.2:1", "10.0.0.3:1"]);
}

#[tokio::test(start_paused = true)]
async fn writes_of_the_last_good_state_are_a_second_apart() {
    let now = Instant::now();
    let mut save = Save::default();
    save.ask(now);
    assert_eq!(save.due, Some(now), "the first at once");
    let mut save = Save {
        last: Some(now),
        ..Save::default()
    };
    save.ask(now + SAVE_EVERY / 10);
    save.ask(now + SAVE_EVERY / 2);
    assert_eq!(save.due, Some(now + SAVE_EVERY));
    let mut save = Save {
        last: Some(now),
        ..Save::default()
    };
    save.ask(now + SAVE_EVERY * 5);
    assert_eq!(save.due, Some(now + SAVE_EVERY * 5));
}

#[tokio::test(start_paused = true)]
async fn exports_that_nobody_can_reach_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let exports = r#""exports": [{"name": "shop/web", "path": "web", "group": "shop", "protocol": "http",
        "backend": "127.0.0.1:1", "policy": {"timeoutMs": 100}}], "services""#;
    let with_exports = document(1, "10.0.0.1:1").replace("\"services\"", exports);
    fs::write(dir.path().join("plan.json"), &with_exports).unwrap();
    let mut running = Running::start(dir.path());
    assert_eq!(running.revision(), None);
    let with_inbound = with_exports.replace("\"services\"", "\"inbound\": \"127.0.0.1:2\", \"services\"");
    fs::write(dir.path().join("plan.json"), with_inbound).unwrap();
    running.runs(1).await;
    running.end().await;
}
