//! A connection to a program that becomes something else.

use std::rc::Rc;
use std::sync::Arc;

use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};

use super::exchange;
use crate::failure::{Failure, Kind};
use crate::http::body::Body;
use crate::http::tunnel::{self, Switched};
use crate::live::Endpoint;
use crate::worker::Worker;

/// Asks a program to change its connection to `to`. Where it does, `rest` is written there, and the response's body is
/// what comes from it; the response then says so by [`Switched`]. Where it does not, its response is as any other.
///
/// # Errors
/// It could not be connected to, or was lost before it answered.
pub(crate) async fn upgrade(
    worker: &Rc<Worker>,
    backend: &Arc<Endpoint>,
    (mut parts, to): (Parts, HeaderValue),
    rest: Body,
) -> Result<Response<Body>, Failure> {
    parts
        .headers
        .insert(CONNECTION, HeaderValue::from_static("upgrade"));
    parts.headers.insert(UPGRADE, to);
    let request = Request::from_parts(parts, Body::empty());
    let (mut response, sender) = exchange::http1(worker, backend, request).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(exchange::keeping(worker, backend, response, sender));
    }
    let upgraded = hyper::upgrade::on(&mut response).await.map_err(|error| {
        let words = format!("the connection to the program was lost: {error}");
        Failure::perhaps(Kind::Unavailable, words)
    })?;
    let (coming, write) = tunnel::halves(upgraded);
    worker.spawn(async move {
        if let Err(error) = tunnel::write(rest, write).await {
            tracing::debug!(%error, "an upgraded connection broke off");
        }
    });
    let (mut parts, _) = response.into_parts();
    parts.status = StatusCode::OK;
    if let Some(to) = parts.headers.remove(UPGRADE) {
        parts.extensions.insert(Switched(to));
    }
    Ok(Response::from_parts(parts, coming))
}
