//! One request to a program, by HTTP/1.1 or HTTP/2, and its response, whose body is still coming.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::client::conn::TrySendError;
use hyper::header::{HOST, HeaderValue};
use hyper::http::uri::{Authority, Scheme};
use hyper::{Request, Response, Uri, Version};
use plan::Protocol;

use super::clients::{self, Sender};
use crate::failure::{Failure, Kind};
use crate::http::body::{Body, BodyError};
use crate::http::is_repeatable;
use crate::link::streams;
use crate::live::{Endpoint, Export};
use crate::worker::Worker;

/// Which HTTP a program is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 without TLS, both sides knowing it (RFC 9113 3.3).
    Http2,
}

/// Which HTTP the program behind an export is spoken to in: gRPC is always HTTP/2.
pub(crate) fn speaks(export: &Export, is_grpc: bool) -> Speaks {
    if is_grpc || export.protocol == Protocol::Grpc {
        Speaks::Http2
    } else {
        Speaks::Http1
    }
}

/// Sends a request to a program. The caller bounds the time it may take.
///
/// # Errors
/// It could not be connected to, or was lost before it answered.
pub(crate) async fn exchange(
    worker: &Rc<Worker>,
    backend: &Arc<Endpoint>,
    speaks: Speaks,
    request: Request<Body>,
) -> Result<Response<Body>, Failure> {
    match speaks {
        Speaks::Http1 => {
            let (response, sender) = http1(worker, backend, request).await?;
            Ok(keeping(worker, backend, response, sender))
        }
        Speaks::Http2 => http2(worker, backend, request).await,
    }
}

/// A response whose connection is used again when its body has ended.
pub(super) fn keeping(
    worker: &Rc<Worker>,
    backend: &Arc<Endpoint>,
    response: Response<Incoming>,
    sender: Sender,
) -> Response<Body> {
    let mut kept = Kept {
        sender: Some(sender),
        worker: Rc::clone(worker),
        backend: Arc::clone(backend),
    };
    let (parts, body) = response.into_parts();
    let body = if body.is_end_stream() {
        kept.end();
        Body::empty()
    } else {
        Body::coming(Coming { body, kept })
    };
    Response::from_parts(parts, body)
}

/// A kept connection that the program has closed meanwhile is no failure: the request goes over another one where it
/// was not sent, or may be repeated.
pub(super) async fn http1(
    worker: &Rc<Worker>,
    backend: &Endpoint,
    request: Request<Body>,
) -> Result<(Response<Incoming>, Sender), Failure> {
    let address = &backend.address;
    let mut request = for_http1(request);
    loop {
        let (mut sender, is_kept) = match clients::kept(worker, address) {
            Some(sender) => (sender, true),
            None => (clients::dial(worker, address).await?, false),
        };
        let again = (is_kept && is_repeatable(request.method())).then(|| again(&request));
        let mut error = match sender.try_send_request(request).await {
            Ok(response) => return Ok((response, sender)),
            Err(error) => error,
        };
        let unsent = error.take_message();
        let is_unsent = unsent.is_some();
        match unsent.filter(|_| is_kept).or(again.flatten()) {
            Some(same) => request = same,
            None => return Err(lost(backend, is_unsent, error)),
        }
    }
}

async fn http2(
    worker: &Rc<Worker>,
    backend: &Arc<Endpoint>,
    request: Request<Body>,
) -> Result<Response<Body>, Failure> {
    let mut lease = streams::lease(worker, backend).await?;
    let mut sent = lease.sender.try_send_request(for_http2(request, backend)).await;
    if let Err(error) = &mut sent
        && let Some(same) = error.take_message()
    {
        // The connection has just been closed.
        lease = streams::lease(worker, backend).await?;
        sent = lease.sender.try_send_request(same).await;
    }
    let response = sent.map_err(|mut error| lost(backend, streams::is_unsent(&mut error), error))?;
    Ok(response.map(|body| Body::coming(Leased { body, _lease: lease })))
}

fn again(request: &Request<Body>) -> Option<Request<Body>> {
    let mut same = Request::new(request.body().again()?);
    *same.method_mut() = request.method().clone();
    *same.uri_mut() = request.uri().clone();
    *same.headers_mut() = request.headers().clone();
    Some(same)
}

fn lost(backend: &Endpoint, is_unsent: bool, error: TrySendError<Request<Body>>) -> Failure {
    let address = &backend.address;
    if is_unsent {
        let words = format!("the program at {address} closed the connection before the request was sent");
        return Failure::unsent(Kind::Unavailable, words);
    }
    let words = format!("the program at {address} did not answer: {}", error.into_error());
    Failure::perhaps(Kind::Unavailable, words)
}

/// The origin form, with the authority as Host (RFC 9112 3.2.1).
fn for_http1(mut request: Request<Body>) -> Request<Body> {
    *request.version_mut() = Version::HTTP_11;
    let uri = std::mem::take(request.uri_mut()).into_parts();
    if let Some(authority) = uri.authority
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().insert(HOST, host);
    }
    *request.uri_mut() = match uri.path_and_query {
        Some(path) => Uri::from(path),
        None => Uri::from_static("/"),
    };
    request
}

/// Scheme and authority in the URI; the program's own address where the request names no host.
fn for_http2(mut request: Request<Body>, backend: &Endpoint) -> Request<Body> {
    *request.version_mut() = Version::HTTP_2;
    let mut uri = std::mem::take(request.uri_mut()).into_parts();
    let host = request.headers_mut().remove(HOST);
    let host = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = uri
        .authority
        .or(host)
        .or_else(|| Authority::try_from(backend.address.as_str()).ok());
    if let Ok(uri) = Uri::from_parts(uri) {
        *request.uri_mut() = uri;
    }
    request
}

/// A body from a connection that serves the next request after its end.
struct Coming {
    body: Incoming,
    kept: Kept,
}

struct Kept {
    sender: Option<Sender>,
    worker: Rc<Worker>,
    backend: Arc<Endpoint>,
}

impl Kept {
    fn end(&mut self) {
        if let Some(sender) = self.sender.take() {
            let (worker, backend) = (Rc::clone(&self.worker), Arc::clone(&self.backend));
            self.worker.spawn(async move {
                clients::keep(&worker, &backend.address, sender).await;
            });
        }
    }
}

impl HttpBody for Coming {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            None => self.kept.end(),
            Some(Err(_)) => drop(self.kept.sender.take()),
            Some(Ok(_)) if self.body.is_end_stream() => self.kept.end(),
            Some(Ok(_)) => {}
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body from a stream of a shared connection.
struct Leased {
    body: Incoming,
    _lease: streams::Lease,
}

impl HttpBody for Leased {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        frame.map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
