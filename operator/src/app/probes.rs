//! What the admin server answers: probes, metrics, the log level.

use std::time::SystemTime;

use hyper::StatusCode;
use process::{
    admin::{Answer, Router},
    logging,
    metrics::{CONTENT_TYPE, Exposition, ProcessCollector},
    ready::Readiness,
};
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::{
    admission,
    control::{self, events::Events},
    discovery,
    gauges::Gauges,
};

/// The families of every room.
#[derive(Debug, Default)]
pub(super) struct Families {
    pub(super) admission: admission::Metrics,
    pub(super) discovery: discovery::Metrics,
    pub(super) control: control::Metrics,
}

impl Families {
    pub(super) fn expose(&self, gauges: &Gauges, events: &Events) -> Exposition {
        let mut registry = Registry::default();
        ProcessCollector::register(&mut registry, SystemTime::now());
        gauges.register(&mut registry);
        self.admission.register(&mut registry);
        self.discovery.register(&mut registry);
        self.control.register(&mut registry);
        events.register(&mut registry);
        Exposition::of(registry)
    }
}

/// The admin server's paths.
pub(super) fn router(
    exposition: Exposition,
    synced: Readiness,
    stopping: watch::Receiver<bool>,
    level: logging::Level,
) -> Router {
    Router::default()
        .get("/live", |_| async { Answer::text("alive\n") })
        .get("/ready", move |_| {
            let waits = synced.waits_for();
            let stops = *stopping.borrow();
            async move {
                if stops {
                    Answer::status(StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
                } else if waits.is_empty() {
                    Answer::text("ready\n")
                } else {
                    Answer::status(
                        StatusCode::SERVICE_UNAVAILABLE,
                        format!("waiting for {}\n", waits.join(", ")),
                    )
                }
            }
        })
        .get("/metrics", move |_| {
            let text = exposition.text();
            async move {
                match text {
                    Ok(text) => Answer::of(StatusCode::OK, CONTENT_TYPE, text),
                    Err(error) => Answer::status(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
                }
            }
        })
        .post("/log-level", move |request| {
            let changed = level.set(String::from_utf8_lossy(&request.body).trim());
            async move {
                match changed {
                    Ok(()) => Answer::text("changed\n"),
                    Err(error) => Answer::status(StatusCode::BAD_REQUEST, format!("{error}\n")),
                }
            }
        })
}
