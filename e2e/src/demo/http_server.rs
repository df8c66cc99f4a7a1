//! The HTTP service: users by id, an echo, and answers that are slow or wrong on request.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, header, server::conn::http1, service::service_fn,
};
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown};
use serde_json::json;
use tokio::{net::TcpListener, sync::watch};

/// The largest body that is echoed, in bytes.
const MAX_BODY: usize = 16 << 20;
/// How long answers under way are waited for after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);

pub(crate) async fn serve(
    address: SocketAddr,
    name: String,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let name: Arc<str> = name.into();
    let graceful = GracefulShutdown::new();
    loop {
        let socket = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        socket.set_nodelay(true)?;
        let name = Arc::clone(&name);
        let service = service_fn(move |request| answer(Arc::clone(&name), request));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // A caller that breaks off is its own affair.
            let _ = connection.await;
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
    Ok(())
}

async fn answer(name: Arc<str>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let mut parts = path.trim_matches('/').split('/');
    Ok(match (parts.next().unwrap_or_default(), parts.next()) {
        ("users", Some(id)) if request.method() == Method::GET => reply(
            &name,
            StatusCode::OK,
            &json!({"id": id, "name": format!("user {id}"), "servedBy": &*name}),
        ),
        ("echo", None) => echo(&name, request).await,
        ("slow", Some(millis)) => {
            tokio::time::sleep(Duration::from_millis(millis.parse().unwrap_or(0).min(60_000))).await;
            reply(
                &name,
                StatusCode::OK,
                &json!({"slept": millis, "servedBy": &*name}),
            )
        }
        ("status", Some(code)) => {
            let code = code.parse().ok().and_then(|code| StatusCode::from_u16(code).ok());
            reply(
                &name,
                code.unwrap_or(StatusCode::BAD_REQUEST),
                &json!({"servedBy": &*name}),
            )
        }
        ("cookies", None) => {
            let mut response = reply(&name, StatusCode::OK, &json!({"servedBy": &*name}));
            for cookie in ["a=1", "b=2"] {
                response
                    .headers_mut()
                    .append(header::SET_COOKIE, header::HeaderValue::from_static(cookie));
            }
            response
        }
        // As sudden as a program can end: nothing is flushed, nothing is closed.
        ("crash", None) => std::process::abort(),
        ("", None) => reply(&name, StatusCode::OK, &json!({"servedBy": &*name})),
        _ => reply(
            &name,
            StatusCode::NOT_FOUND,
            &json!({"error": "no such page", "servedBy": &*name}),
        ),
    })
}

/// Gives back what came: method, path with query, headers, and the length of the body (or the body as it is).
async fn echo(name: &str, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY)
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
    else {
        return reply(name, StatusCode::PAYLOAD_TOO_LARGE, &json!({"servedBy": name}));
    };
    if head.uri.query() == Some("raw") {
        return Response::new(Full::new(body));
    }
    let headers: Vec<_> = head
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())))
        .collect();
    reply(
        name,
        StatusCode::OK,
        &json!({"method": head.method.as_str(), "uri": head.uri.to_string(), "headers": headers,
            "bodyLength": body.len(), "servedBy": name}),
    )
}

fn reply(name: &str, status: StatusCode, value: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(format!("{value}\n"))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    if let Ok(name) = header::HeaderValue::from_str(name) {
        headers.insert("x-served-by", name);
    }
    response
}
