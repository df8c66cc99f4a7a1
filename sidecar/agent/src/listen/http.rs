//! HTTP/1.1 from the local program, by Host and as a forward proxy: requests to calls, replies and failures to
//! responses (motan-wire 7.2).

mod request;
mod response;

use std::cell::Cell;
use std::convert::Infallible;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

use crate::failure::Failure;
use crate::http;
use crate::link::io::Io;
use crate::worker::{Phase, Worker};
use request::Form;

/// How long the first request of a connection may take to come once everything stops.
const FIRST_REQUEST: Duration = Duration::from_millis(100);

/// Serves one connection until it ends.
pub(crate) async fn serve(worker: Rc<Worker>, io: Io, peer: Box<str>) {
    worker.places.http.connections.inc();
    let has_asked = Cell::new(false);
    let service = service_fn(|request| {
        has_asked.set(true);
        handle(&worker, &peer, request)
    });
    // No limit on how long a connection stays idle: the program is the one who closes, so that none of its requests
    // meets a connection that is just being closed.
    let connection = http1::Builder::new()
        .max_header_size(http::MAX_HEAD)
        .max_headers(http::MAX_HEADERS)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(io), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = worker.stopping() => {
            if !has_asked.get() {
                // Whoever has just connected has a request on its way; its answer says that the connection ends.
                let _ = tokio::time::timeout(FIRST_REQUEST, connection.as_mut()).await;
            }
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(listener = "http", %peer, %error, "connection ended");
        if error.is_parse() {
            worker.places.http.broken.inc();
        }
    }
    worker.places.http.connections.dec();
}

async fn handle(
    worker: &Rc<Worker>,
    peer: &str,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = answer(worker, peer, request).await;
    if worker.phase.get() >= Phase::Leaving {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

async fn answer(worker: &Rc<Worker>, peer: &str, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let form = Form::of(&request);
    let result = match form {
        Form::Tunnel => return response::no_tunnel(),
        Form::Origin | Form::Absolute => request::call(worker, peer, request).await,
    };
    let result = match result {
        Ok(reply) => response::read(&reply),
        Err(failure) => Err(failure),
    };
    result.unwrap_or_else(|failure: Failure| response::refuse(&failure, form))
}
