//! A request that goes on as a stream: what the next hop sees of its head.

use std::rc::Rc;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{EXPECT, HOST};
use hyper::{Request, Response};

use crate::failure::Failure;
use crate::http;
use crate::http::body::Body;
use crate::live::{Live, Service};
use crate::outbound;
use crate::worker::Worker;

/// Calls a service.
pub(super) async fn call(
    worker: &Rc<Worker>,
    live: &Live,
    service: &Arc<Service>,
    _peer: &str,
    request: Request<Incoming>,
) -> Result<Response<Body>, Failure> {
    let version = request.version();
    let (mut parts, body) = request.into_parts();
    let headers = &mut parts.headers;
    http::strip_hop_by_hop_of_stream(headers);
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
    let request = Request::from_parts(parts, Body::coming(body));
    let mut response = outbound::stream::call(worker, live, service, request).await?;
    *response.version_mut() = version;
    http::strip_hop_by_hop_of_stream(response.headers_mut());
    Ok(response)
}
