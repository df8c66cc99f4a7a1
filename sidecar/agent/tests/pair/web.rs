//! HTTP programs: one that calls, one that is called.

use std::convert::Infallible;
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
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

    pub(crate) async fn send(&mut self, request: Request<BoxBody<Bytes, Infallible>>) -> Response<Bytes> {
        self.0.ready().await.unwrap();
        let (parts, body) = self.0.send_request(request).await.unwrap().into_parts();
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
