//! The connections of an admin server.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Answer, MAX_BODY, Request, Router};
use crate::drain::Watch;
use crate::listen;

/// Connections at one time; a probe, a scrape and a few people need five. More wait in the kernel's backlog.
const MAX_CONNECTIONS: usize = 64;

/// The longest head that is read, in bytes.
const MAX_HEAD: usize = 8 * 1024;

/// How long a request's head may take: it comes in one piece from all that ask here.
const HEAD_TIME: Duration = Duration::from_secs(3);

/// How long one connection lives, from accept to the last byte of the answer: the longest scrape timeout in use.
const LIFE_TIME: Duration = Duration::from_secs(10);

/// Serves `router` until the drain starts; requests that are being answered then are finished.
pub async fn serve(listener: TcpListener, router: Router, mut drain: Watch) {
    let router = Arc::new(router);
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        // Never closed, so there is always a permit in the end.
        let Some(Ok(permit)) = drain.or(Arc::clone(&permits).acquire_owned()).await else {
            break;
        };
        let Some((stream, _)) = drain.or(listen::accept(&listener)).await else {
            break;
        };
        let router = Arc::clone(&router);
        connections.spawn(async move {
            if tokio::time::timeout(LIFE_TIME, connection(stream, router))
                .await
                .is_err()
            {
                tracing::debug!("admin connection took too long");
            }
            drop(permit);
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(stream: TcpStream, router: Arc<Router>) {
    let service = service_fn(move |request| {
        let router = Arc::clone(&router);
        async move { Ok::<_, Infallible>(response(answer(&router, request).await)) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "admin connection failed");
    }
}

async fn answer(router: &Router, request: hyper::Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            return Answer::status(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body can't be read, at most 64 KiB: {error}\n"),
            );
        }
    };
    let query = head.uri.query().unwrap_or_default().to_owned();
    match router.answer(&head.method, head.uri.path(), Request { query, body }) {
        Ok(answering) => answering.await,
        Err(refusal) => refusal,
    }
}

fn response(answer: Answer) -> Response<Full<Bytes>> {
    let Answer { status, kind, body } = answer;
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
