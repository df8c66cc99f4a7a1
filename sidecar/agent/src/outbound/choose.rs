//! Which way a call takes, where its service is routed: asked once, before the request is written.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use govern::outlier::Standing;
use hyper::HeaderMap;
use plan::EndpointState;

use crate::http::path;
use crate::link::pool::State;
use crate::link::streams::Standing as Conduct;
use crate::live::{Facts, Place, Service};
use crate::worker::Worker;

/// The service that a call goes to: the one that was asked for, or where its routing leads.
pub(crate) fn way<'s>(
    worker: &Rc<Worker>,
    service: &'s Arc<Service>,
    asked: Facts<'_>,
    now: Instant,
) -> &'s Arc<Service> {
    match &service.routes {
        None => service,
        Some(routes) => routes.choose(asked, worker.random(), |way| is_usable(worker, way, now)),
    }
}

/// The same for an HTTP request.
pub(crate) fn way_of_http<'s>(
    worker: &Rc<Worker>,
    service: &'s Arc<Service>,
    (uri_path, headers): (&str, &HeaderMap),
    now: Instant,
) -> &'s Arc<Service> {
    if service.routes.is_none() {
        return service;
    }
    let method = path::normal(uri_path.as_bytes());
    way(worker, service, Facts::Http(&method, headers), now)
}

/// Whether somebody can answer there now, as far as is known: ready, not ejected, and not just found unreachable.
fn is_usable(worker: &Worker, service: &Service, now: Instant) -> bool {
    let answers = |place: &Place| {
        place.state == EndpointState::Ready
            && place.member.standing(now) != Standing::Out
            && worker.pool.borrow().state(&place.endpoint, now) != State::Waiting
            && worker.streams.borrow().standing(&place.endpoint, now) != Conduct::Away
    };
    service.places.iter().any(answers)
}
