//! HTTP from the local program, by Host, as a forward proxy, or for the one service of a listener: HTTP/1.1 and HTTP/2
//! that begins with its preface. Which way a request goes is decided in [`way`]; replies and failures become responses
//! in [`response`].

mod h2c;
mod heads;
mod interim;
mod proxy_to_rpc;
mod request;
mod response;
mod stream;
mod upgrade;
mod way;

use std::convert::Infallible;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderMap, HeaderValue, VIA};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use plan::ServiceName;

use super::sniff::{self, Begins};
use crate::failure::Failure;
use crate::http::body::Body;
use crate::http::{self, Hands, grpc};
use crate::link::batched::Batched;
use crate::link::io::Io;
use crate::live::{Live, Service};
use crate::outbound;
use crate::worker::{Phase, Worker, now};
use heads::{Heads, Heard};
use interim::{Interim, Spoken};
use request::Form;
use response::Manner;
pub(crate) use response::read as response_of;
use way::Way;

/// How long the first request of a connection may take to come once everything stops.
const FIRST_REQUEST: Duration = Duration::from_millis(100);

/// Serves one connection until it ends: each request goes to `bound`, where the listener is for one service only, or to
/// the service that it names.
pub(crate) async fn serve_for(worker: Rc<Worker>, io: Io, peer: Box<str>, bound: Option<Arc<ServiceName>>) {
    let door = Rc::new(Door {
        worker,
        peer,
        bound,
        heads: Heads::default(),
    });
    let worker = &door.worker;
    worker.places.http.connections.inc();
    let ended = match sniff::sniff_unless_stopping(worker, io).await {
        Some(Ok((Begins::Http2, io))) => Box::pin(http2(&door, io)).await,
        Some(Ok((Begins::Tls, io))) => {
            tracing::debug!(listener = "http", peer = %door.peer, "a caller began with TLS");
            sniff::refuse_tls(io).await;
            Ok(())
        }
        Some(Ok((Begins::Other, io))) => Box::pin(http1(&door, io)).await,
        Some(Err(error)) => {
            tracing::debug!(listener = "http", peer = %door.peer, %error, "connection lost before it began");
            Ok(())
        }
        None => Ok(()),
    };
    if let Err(error) = ended {
        tracing::debug!(listener = "http", peer = %door.peer, %error, "connection ended");
        if error.is_parse() {
            worker.places.http.broken.inc();
        }
    }
    worker.places.http.connections.dec();
}

/// What all requests of a connection share.
struct Door {
    worker: Rc<Worker>,
    peer: Box<str>,
    bound: Option<Arc<ServiceName>>,
    heads: Heads,
}

async fn http1(door: &Rc<Door>, io: Io) -> hyper::Result<()> {
    let worker = &door.worker;
    let service = service_fn(|request| handle(Rc::clone(door), None, request));
    let heard = Heard {
        io,
        heads: door.heads.clone(),
    };
    // No limit on how long a connection stays idle: the program is the one who closes, so that none of its requests
    // meets a connection that is just being closed.
    let connection = http1::Builder::new()
        .max_header_size(http::MAX_HEAD)
        .max_headers(http::MAX_HEADERS)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(heard), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => ended,
        () = door.heads.overdue() => {
            worker.places.http.broken.inc();
            tracing::debug!(listener = "http", peer = %door.peer, "the head of a request did not come to its end");
            Ok(())
        }
        () = worker.stopping() => {
            if !door.heads.has_asked() {
                // Whoever has just connected has a request on its way; its answer says that the connection ends.
                let _ = tokio::time::timeout(FIRST_REQUEST, connection.as_mut()).await;
            }
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}

async fn http2(door: &Rc<Door>, io: Io) -> hyper::Result<()> {
    let worker = &door.worker;
    let interim = Interim::default();
    let service = service_fn(|request| handle(Rc::clone(door), Some(interim.clone()), request));
    let io = Spoken::new(io, interim.clone());
    let connection = http2::Builder::new(Hands(Rc::clone(worker)))
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .max_concurrent_streams(http::MAX_STREAMS)
        .initial_stream_window_size(http::STREAM_WINDOW)
        .initial_connection_window_size(http::CONNECTION_WINDOW)
        .max_header_list_size(http::MAX_HEAD as u32)
        .serve_connection(TokioIo::new(Batched::new(io)), service);
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => ended,
        () = worker.turns(Phase::Leaving) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}

/// `interim` is how a caller that expects it is told to go on, where hyper does not do so by itself.
async fn handle(
    door: Rc<Door>,
    interim: Option<Interim>,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let under_way = door.heads.ended();
    let is_http1 = request.version() < Version::HTTP_2;
    if !is_http1 {
        request::join_cookies(request.headers_mut());
    }
    let received = request.version();
    via(request.headers_mut(), received);
    let mut response = answer(&door, interim.as_ref(), request).await;
    via(response.headers_mut(), Version::HTTP_11);
    let is_switching = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if is_http1 && !is_switching && door.worker.phase.get() >= Phase::Leaving {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if is_http1 {
        response = response.map(|body| under_way.until(body));
    }
    Ok(response)
}

/// Says that the message has passed here (RFC 9110 7.6.3).
fn via(headers: &mut HeaderMap, received: Version) {
    let value = match received {
        Version::HTTP_10 => "1.0 motanmesh",
        Version::HTTP_2 => "2.0 motanmesh",
        _ => "1.1 motanmesh",
    };
    headers.append(VIA, HeaderValue::from_static(value));
}

async fn answer(
    door: &Rc<Door>,
    interim: Option<&Interim>,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let form = Form::of(&request);
    let manner = Manner::of(&request);
    let is_grpc = grpc::is_grpc(request.headers());
    if let Err(failure) = request::read_one_way(&request) {
        let mut response = response::refuse(&failure, &manner);
        if request.version() < Version::HTTP_2 {
            // Whoever sent it may take what follows for something else too.
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        return response;
    }
    let result = match form {
        Form::Tunnel => {
            let live = door.worker.live();
            let service = door.service(&live, &request).map(Arc::clone);
            service.map(|service| upgrade::tunnel(door, &service, &mut request))
        }
        Form::Origin | Form::Absolute => match upgrade::wanted(&request) {
            Some(wanted) if upgrade::is_h2c(&wanted, &request) => return upgrade::h2c(door, request),
            _ => call(door, interim, request).await,
        },
    };
    result.unwrap_or_else(|failure: Failure| {
        if is_grpc {
            response::refuse_grpc(&failure)
        } else {
            response::refuse(&failure, &manner)
        }
    })
}

async fn call(
    door: &Rc<Door>,
    interim: Option<&Interim>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Failure> {
    let Door { worker, peer, .. } = &**door;
    let live = worker.live();
    if door.bound.is_none() && proxy_to_rpc::is_meant(&live, &request) {
        return proxy_to_rpc::call(worker, &live, peer, request).await;
    }
    let service = door.service(&live, &request)?;
    let asked = (request.uri().path(), request.headers());
    let service = outbound::choose::way_of_http(worker, service, asked, now());
    if let Some(interim) = interim {
        interim.go_on(&request);
    }
    match Way::of(service, &request) {
        Way::Whole => {
            let mut reply = request::call(worker, &live, service, peer, request).await?;
            let mut response = response::read(&mut reply)?;
            if let Some((by, token)) = response::handed_over(&reply) {
                *response.body_mut() = outbound::stream::fetch(worker, by, token).await?;
            }
            Ok(response)
        }
        Way::Stream => stream::call(worker, &live, service, request).await,
        Way::Upgrade(to) => stream::upgrade(door, &live, service, request, to).await,
        Way::None(failure) => Err(request::refuse(worker, &live, &service.http, failure)),
    }
}

impl Door {
    fn service<'a>(&self, live: &'a Live, request: &Request<Incoming>) -> Result<&'a Arc<Service>, Failure> {
        let found = match &self.bound {
            Some(name) => live.named(name).ok_or_else(|| request::undeclared_service(name)),
            None => live.at(&request::host_of(request), request.uri().path().as_bytes()),
        };
        found.map_err(|failure| request::refuse(&self.worker, live, &live.unknown.http, failure))
    }
}
