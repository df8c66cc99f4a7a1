//! Connections that become something else: WebSocket and the like, tunnels of CONNECT, HTTP/2 asked for in HTTP/1.1.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Frame, Incoming};
use hyper::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;

use super::{Door, h2c};
use crate::http::body::Body;
use crate::http::tunnel::{self, Switched};
use crate::live::Service;

/// How long a caller may take to go on after it has been told that its connection is something else now.
const BEGIN_WITHIN: Duration = Duration::from_secs(10);
/// Pieces on their way from a caller to the other agent.
const BETWEEN: usize = 2;
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// What a request wants its connection to become: the value of its `Upgrade`. One with a body is not listened to
/// (RFC 9110 7.8 allows that), nor is one in a version that has no upgrades.
pub(super) fn wanted(request: &Request<Incoming>) -> Option<HeaderValue> {
    let is_able = request.version() == Version::HTTP_11
        && names(request.headers(), "upgrade")
        && hyper::body::Body::is_end_stream(request.body());
    request.headers().get(UPGRADE).filter(|_| is_able).cloned()
}

/// Whether HTTP/2 is what is wanted, by the rules of RFC 7540 3.2.
pub(super) fn is_h2c(wanted: &HeaderValue, request: &Request<Incoming>) -> bool {
    let named = wanted.to_str().unwrap_or_default().split(',');
    named
        .into_iter()
        .any(|name| name.trim().eq_ignore_ascii_case("h2c"))
        && request.headers().contains_key(HTTP2_SETTINGS)
        && names(request.headers(), "http2-settings")
}

/// Whether `Connection` names this header.
fn names(headers: &HeaderMap, name: &str) -> bool {
    let values = headers.get_all(CONNECTION).iter();
    let mut named = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    named.any(|one| one.trim().eq_ignore_ascii_case(name))
}

/// The bytes that a caller sends after the upgrade: where they are put, and the body that they are for the other agent.
pub(super) fn rest() -> (mpsc::Sender<Frame<Bytes>>, Body) {
    let (put, mut pieces) = mpsc::channel(BETWEEN);
    let pieces = futures::stream::poll_fn(move |context| pieces.poll_recv(context));
    let pieces = futures::StreamExt::map(pieces, Ok::<_, std::convert::Infallible>);
    (put, Body::coming(http_body_util::StreamBody::new(pieces)))
}

/// The program has agreed: so is the caller told, and from then on bytes are passed.
pub(super) fn switch(
    door: &Rc<Door>,
    response: Response<Body>,
    Switched(to): Switched,
    (caller, put): (OnUpgrade, mpsc::Sender<Frame<Bytes>>),
) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    door.worker.spawn(async move {
        let Ok(Ok(upgraded)) = tokio::time::timeout(BEGIN_WITHIN, caller).await else {
            return; // the caller is gone, and with this the stream
        };
        let (mut coming, write) = tunnel::halves(upgraded);
        let read = async move {
            use http_body_util::BodyExt;
            while let Some(Ok(frame)) = coming.frame().await {
                if put.send(frame).await.is_err() {
                    return;
                }
            }
        };
        tunnel::join(read, async {
            if let Err(error) = tunnel::write(body, write).await {
                tracing::debug!(%error, "an upgraded connection broke off");
            }
        })
        .await;
    });
    parts.status = StatusCode::SWITCHING_PROTOCOLS;
    let mut response = Response::from_parts(parts, Body::empty());
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, to);
    response
}

/// Opens a tunnel to a declared service. What comes through it is HTTP again, for that service only.
pub(super) fn tunnel(door: &Rc<Door>, service: &Service, request: &mut Request<Incoming>) -> Response<Body> {
    let name = Arc::new(service.name.clone());
    let caller = hyper::upgrade::on(request);
    let (worker, peer) = (Rc::clone(&door.worker), door.peer.clone());
    door.worker.spawn(async move {
        if let Ok(Ok(upgraded)) = tokio::time::timeout(BEGIN_WITHIN, caller).await {
            let io = Box::new(TokioIo::new(upgraded));
            let serving: futures::future::LocalBoxFuture<'_, ()> =
                Box::pin(super::serve_for(worker, io, peer, Some(name)));
            serving.await;
        }
    });
    Response::new(Body::empty())
}

/// Answers a request in HTTP/2 that came in HTTP/1.1, and all that follow.
pub(super) fn h2c(door: &Rc<Door>, mut request: Request<Incoming>) -> Response<Body> {
    let caller = hyper::upgrade::on(&mut request);
    let door = Rc::clone(door);
    let worker = Rc::clone(&door.worker);
    worker.spawn(async move {
        let begun = tokio::time::timeout(BEGIN_WITHIN, async {
            let upgraded = caller.await.ok()?;
            h2c::begin(Box::new(TokioIo::new(upgraded)), &request).await.ok()
        });
        if let Ok(Some(io)) = begun.await
            && let Err(error) = super::http2(&door, io).await
        {
            tracing::debug!(listener = "http", peer = %door.peer, %error, "connection ended");
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("h2c"));
    response
}
