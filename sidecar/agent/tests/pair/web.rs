//! HTTP programs: one that calls, one that is called.

use std::convert::Infallible;
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Frame;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::client::conn::http2;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::task::spawn_local;

use crate::net::Net;

/// A response of any shape.
pub(crate) type Answer = Response<BoxBody<Bytes, Infallible>>;

/// A response that is whole at once.
pub(crate) fn whole(body: impl Into<Bytes>) -> Answer {
    Response::new(Full::new(body.into()).boxed())
}

/// A program at an address that answers every request by `answer`, which sees the request with its whole body.
pub(crate) fn program<F, R>(net: &Net, address: &str, answer: F)
where
    F: Fn(Request<Bytes>) -> R + 'static,
    R: Future<Output = Answer> + 'static,
{
    let mut accepted = net.listen(address);
    let answer = Rc::new(answer);
    spawn_local(async move {
        while let Some(io) = accepted.recv().await {
            let answer = Rc::clone(&answer);
            spawn_local(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = Rc::clone(&answer);
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = body.collect().await?.to_bytes();
                        Ok::<_, hyper::Error>(answer(Request::from_parts(parts, body)).await)
                    }
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .auto_date_header(false)
                    .serve_connection(TokioIo::new(io), service)
                    .await;
            });
        }
    });
}

/// Runs hyper's tasks on this thread.
#[derive(Clone)]
pub(crate) struct Here;

impl<F: Future + 'static> hyper::rt::Executor<F> for Here {
    fn execute(&self, task: F) {
        spawn_local(async {
            task.await;
        });
    }
}

/// Which HTTP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Speaks {
    Http1,
    Http2,
}

/// A body that is written piece by piece; it ends when its sender is dropped.
pub(crate) fn pieces() -> (mpsc::UnboundedSender<Frame<Bytes>>, BoxBody<Bytes, Infallible>) {
    let (sender, mut pieces) = mpsc::unbounded_channel();
    let pieces = futures::stream::poll_fn(move |context| pieces.poll_recv(context));
    let pieces = futures::StreamExt::map(pieces, Ok);
    (sender, http_body_util::StreamBody::new(pieces).boxed())
}

/// A program at an address that is given every request as it comes.
pub(crate) fn streaming<F, R>(net: &Net, address: &str, speaks: Speaks, answer: F)
where
    F: Fn(Request<Incoming>) -> R + 'static,
    R: Future<Output = Answer> + 'static,
{
    let mut accepted = net.listen(address);
    let answer = Rc::new(answer);
    spawn_local(async move {
        while let Some(io) = accepted.recv().await {
            let answer = Rc::clone(&answer);
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = Rc::clone(&answer);
                async move { Ok::<_, Infallible>(answer(request).await) }
            });
            spawn_local(async move {
                let io = TokioIo::new(io);
                match speaks {
                    Speaks::Http1 => drop(
                        hyper::server::conn::http1::Builder::new()
                            .auto_date_header(false)
                            .serve_connection(io, service)
                            .await,
                    ),
                    Speaks::Http2 => drop(
                        hyper::server::conn::http2::Builder::new(Here)
                            .serve_connection(io, service)
                            .await,
                    ),
                }
            });
        }
    });
}

/// A program that calls by HTTP/2, with prior knowledge.
#[derive(Clone)]
pub(crate) struct Client2(pub(crate) http2::SendRequest<BoxBody<Bytes, Infallible>>);

impl Client2 {
    pub(crate) async fn new(io: DuplexStream) -> Self {
        let (sender, connection) = http2::handshake(Here, TokioIo::new(io)).await.unwrap();
        spawn_local(async {
            let _ = connection.await;
        });
        Self(sender)
    }

    /// The head of the response, and its body as it comes.
    pub(crate) async fn open(
        &mut self,
        request: Request<BoxBody<Bytes, Infallible>>,
    ) -> hyper::Result<Response<Incoming>> {
        self.0.ready().await?;
        self.0.send_request(request).await
    }
}

/// The rest of a body, and its trailers.
pub(crate) async fn rest(body: Incoming) -> (Bytes, Option<HeaderMap>) {
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().cloned();
    (collected.to_bytes(), trailers)
}

/// The next data of a body.
pub(crate) async fn next(body: &mut Incoming) -> Bytes {
    body.frame().await.unwrap().unwrap().into_data().unwrap()
}

/// A program that calls.
pub(crate) struct Client(SendRequest<BoxBody<Bytes, Infallible>>);

impl Client {
    pub(crate) async fn new(io: DuplexStream) -> Self {
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io))
            .await
            .unwrap();
        spawn_local(async {
            let _ = connection.await;
        });
        Self(sender)
    }

    pub(crate) async fn call(&mut self, request: Request<impl Into<Bytes>>) -> Response<Bytes> {
        self.send(request.map(|body| Full::new(body.into()).boxed()))
            .await
    }

    /// The head of the response, and its body as it comes.
    pub(crate) async fn open(
        &mut self,
        request: Request<BoxBody<Bytes, Infallible>>,
    ) -> hyper::Result<Response<Incoming>> {
        self.0.ready().await?;
        self.0.send_request(request).await
    }

    pub(crate) async fn send(&mut self, request: Request<BoxBody<Bytes, Infallible>>) -> Response<Bytes> {
        let (parts, body) = self.open(request).await.unwrap().into_parts();
        Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
    }
}

/// A request to a path of a host.
pub(crate) fn get(host: &str, path: &str) -> Request<Bytes> {
    let request = Request::builder().uri(path).header("host", host);
    request.body(Bytes::new()).unwrap()
}

/// The words of `x-mesh-error`.
pub(crate) fn mesh_error(response: &Response<Bytes>) -> Option<&str> {
    let value = response.headers().get("x-mesh-error")?;
    Some(value.to_str().unwrap())
}
