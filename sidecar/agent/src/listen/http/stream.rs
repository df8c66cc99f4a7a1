//! A request that goes on as a stream: what the next hop sees of its head.

use std::rc::Rc;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, EXPECT, HOST, HeaderValue};
use hyper::{Request, Response};

use super::{Door, upgrade};
use crate::failure::Failure;
use crate::http;
use crate::http::body::Body;
use crate::http::tunnel::Switched;
use crate::live::{Live, Service};
use crate::outbound;
use crate::worker::Worker;

/// Calls a service.
pub(super) async fn call(
    worker: &Rc<Worker>,
    live: &Live,
    service: &Arc<Service>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Failure> {
    let (parts, body) = request.into_parts();
    let request = Request::from_parts(parts, Body::coming(body));
    send(worker, live, service, request, None).await
}

/// Calls a service with a request whose connection wants to become something else.
pub(super) async fn upgrade(
    door: &Rc<Door>,
    live: &Live,
    service: &Arc<Service>,
    mut request: Request<Incoming>,
    to: HeaderValue,
) -> Result<Response<Body>, Failure> {
    let caller = hyper::upgrade::on(&mut request);
    let (put, rest) = upgrade::rest();
    let request = request.map(|_| rest);
    let mut response = send(&door.worker, live, service, request, Some(to)).await?;
    Ok(match response.extensions_mut().remove::<Switched>() {
        Some(switched) => upgrade::switch(door, response, switched, (caller, put)),
        None => response,
    })
}

async fn send(
    worker: &Rc<Worker>,
    live: &Live,
    service: &Arc<Service>,
    request: Request<Body>,
    upgrade: Option<HeaderValue>,
) -> Result<Response<Body>, Failure> {
    let version = request.version();
    let (mut parts, body) = request.into_parts();
    let headers = &mut parts.headers;
    http::strip_hop_by_hop_of_stream(headers);
    if upgrade.is_some() {
        headers.remove(CONTENT_LENGTH); // of the request, which is empty, not of what follows it
    }
    headers.remove(EXPECT); // answered by this listener as soon as somebody takes the body
    let named = headers.remove(HOST);
    let named = named
        .as_ref()
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let host = parts
        .uri
        .authority()
        .map_or(named, |authority| authority.as_str());
    let uri = outbound::stream::uri(host, parts.uri.clone());
    parts.uri = uri;
    let request = Request::from_parts(parts, body);
    let mut response = outbound::stream::call(worker, live, service, request, upgrade).await?;
    *response.version_mut() = version;
    http::strip_hop_by_hop_of_stream(response.headers_mut());
    Ok(response)
}
