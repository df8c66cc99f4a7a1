//! What a sidecar answers about itself: people, programs and other tools at the admin page, the kubelet and
//! Prometheus at the metrics page. Every answer is made from the state of others; there is none here.

use std::sync::{Arc, OnceLock};

use hyper::StatusCode;
use process::admin::{Answer, Request, Router};
use process::logging::{Level, causes};
use process::metrics::{CONTENT_TYPE, Exposition};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::capture::Listeners;
use crate::discovery::Current;
use crate::follow::Program;
use crate::life::Life;
use crate::worker::Workers;
use crate::{meta, registry};

/// Where the answers come from.
#[derive(Debug, Clone)]
pub struct Sources {
    /// Readiness and the drain.
    pub life: Life,
    /// What is known.
    pub current: watch::Receiver<Option<Current>>,
    /// The data threads, once they run.
    pub workers: Arc<OnceLock<Workers>>,
    /// What the program says by itself.
    pub program: Program,
    /// The listeners of loopback capture.
    pub captured: Listeners,
    /// The client port, once it is open.
    pub motan_port: Arc<OnceLock<u16>>,
    /// The log level.
    pub level: Level,
    /// All metrics.
    pub metrics: Exposition,
}

/// The admin page, for the pod's own loopback only. `/`, `/200`, `/503`, `/version`, `/registry/*` and `/meta/*` are
/// those that Motan clients and scripts around the older agent ask (motan-agent 7).
#[must_use]
pub fn page(sources: &Sources) -> Router {
    meta_paths(registry_paths(Router::default(), sources), sources)
        .get("/", answer(sources, async |sources, _| state(&sources.life)))
        .get(
            "/200",
            answer(sources, async |sources, _| switch(&sources.life, true)),
        )
        .get(
            "/503",
            answer(sources, async |sources, _| switch(&sources.life, false)),
        )
        .get(
            "/version",
            answer(sources, async |_, _| Answer::text(env!("CARGO_PKG_VERSION"))),
        )
        .get("/plan", answer(sources, async |sources, _| plan(&sources)))
        .get(
            "/links",
            answer(sources, async |sources, _| links(&sources).await),
        )
        .get(
            "/listeners",
            answer(sources, async |sources, _| json(&**sources.captured.borrow())),
        )
        .post("/drain", answer(sources, async |sources, _| drain(&sources.life)))
        .post(
            "/log-level",
            answer(sources, async |sources, request| {
                log_level(&sources.level, &request)
            }),
        )
}

fn registry_paths(router: Router, sources: &Sources) -> Router {
    router
        .post(
            "/registry/subscribe",
            answer(sources, async |sources, request| {
                sources
                    .program
                    .registry
                    .subscribe(&request.body, sources.plan().as_deref())
            }),
        )
        .post(
            "/registry/register",
            answer(sources, async |sources, request| {
                sources
                    .program
                    .registry
                    .register(&request.body, sources.plan().as_deref())
            }),
        )
        .post(
            "/registry/unregister",
            answer(sources, async |sources, request| {
                sources
                    .program
                    .registry
                    .unregister(&request.body, sources.plan().as_deref())
            }),
        )
        .get(
            "/registry/list",
            answer(sources, async |sources, _| {
                sources.program.registry.list(sources.plan().as_deref())
            }),
        )
        .get(
            "/registry/info",
            answer(sources, async |sources, _| {
                registry::pages::info(sources.motan_port.get().copied())
            }),
        )
}

fn meta_paths(router: Router, sources: &Sources) -> Router {
    router
        .get(
            "/meta/update",
            answer(sources, async |sources, request| {
                meta::update(&sources.program.meta, &request.query)
            }),
        )
        .get(
            "/meta/delete",
            answer(sources, async |sources, request| {
                meta::delete(&sources.program.meta, &request.query)
            }),
        )
        .get(
            "/meta/get",
            answer(sources, async |sources, request| {
                meta::get(&sources.program.meta, &request.query)
            }),
        )
        .get(
            "/meta/getAll",
            answer(sources, async |sources, _| meta::get_all(&sources.program.meta)),
        )
}

/// The metrics page, open to the cluster: it changes nothing and shows no configuration.
#[must_use]
pub fn metrics(sources: &Sources) -> Router {
    Router::default()
        .get(
            "/metrics",
            answer(sources, async |sources, _| exposition(&sources.metrics)),
        )
        .get("/ready", answer(sources, async |sources, _| ready(&sources.life)))
        .get("/live", answer(sources, async |sources, _| live(&sources).await))
}

impl Sources {
    fn plan(&self) -> Option<Arc<plan::Plan>> {
        self.current
            .borrow()
            .as_ref()
            .map(|current| Arc::clone(&current.known.plan))
    }
}

/// A handler with its own copy of the sources, which are all handles.
fn answer<F>(
    sources: &Sources,
    make: impl Fn(Sources, Request) -> F + Send + Sync + 'static,
) -> impl Fn(Request) -> F + Send + Sync + 'static
where
    F: Future<Output = Answer> + Send + 'static,
{
    let sources = sources.clone();
    move |request| make(sources.clone(), request)
}

/// As the older agent says it: the number, in status and text.
fn state(life: &Life) -> Answer {
    if life.readiness.is_ready() {
        Answer::text("200")
    } else {
        Answer::status(StatusCode::SERVICE_UNAVAILABLE, "503")
    }
}

fn switch(life: &Life, on: bool) -> Answer {
    life.switch(on);
    Answer::text("ok.")
}

fn drain(life: &Life) -> Answer {
    life.go(Instant::now());
    Answer::text("draining\n")
}

fn log_level(level: &Level, request: &Request) -> Answer {
    let word = String::from_utf8_lossy(&request.body);
    match level.set(&word) {
        Ok(()) => Answer::text(format!("{}\n", word.trim())),
        Err(error) => Answer::status(StatusCode::BAD_REQUEST, format!("{}\n", causes(&error))),
    }
}

fn plan(sources: &Sources) -> Answer {
    #[derive(Serialize)]
    struct Shown<'a> {
        source: &'static str,
        plan: &'a plan::Plan,
        endpoints: &'a std::collections::BTreeMap<plan::ServiceName, Arc<[plan::Endpoint]>>,
    }
    let current = sources.current.borrow().clone();
    match current {
        Some(Current { known, source }) => json(&Shown {
            source: source.as_str(),
            plan: &known.plan,
            endpoints: &known.endpoints,
        }),
        None => Answer::status(StatusCode::SERVICE_UNAVAILABLE, "there is no plan yet\n"),
    }
}

async fn links(sources: &Sources) -> Answer {
    match sources.workers.get() {
        Some(workers) => json(&workers.links().await),
        None => json::<[(); 0]>(&[]),
    }
}

fn json<T: Serialize + ?Sized>(value: &T) -> Answer {
    match serde_json::to_string_pretty(value) {
        Ok(text) => Answer::json(text + "\n"),
        Err(error) => Answer::status(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn exposition(metrics: &Exposition) -> Answer {
    match metrics.text() {
        Ok(text) => Answer::of(StatusCode::OK, CONTENT_TYPE, text),
        Err(error) => Answer::status(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn ready(life: &Life) -> Answer {
    let pending = life.readiness.waits_for();
    if pending.is_empty() {
        Answer::text("ready\n")
    } else {
        Answer::status(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("waits for: {}\n", pending.join(", ")),
        )
    }
}

/// Alive is a process whose every data thread answers: one that is stuck would otherwise go unseen.
async fn live(sources: &Sources) -> Answer {
    match sources.workers.get() {
        Some(workers) if !workers.answer().await => {
            Answer::status(StatusCode::SERVICE_UNAVAILABLE, "a data thread does not answer\n")
        }
        _ => Answer::text("alive\n"),
    }
}
