//! An ordinary HTTP/1.1 client with kept-alive connections, which can be told to send everything to one place.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{HeaderMap, Request, Uri};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::TcpStream;

const MAX_BODY: usize = 32 << 20;

/// A client.
#[derive(Clone)]
pub(crate) struct Http {
    client: Client<Connect, Full<Bytes>>,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Http {
    pub(crate) fn new(via: Option<SocketAddr>, proxy: bool) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .build(Connect { via, proxy });
        Self { client }
    }

    pub(crate) fn direct() -> Self {
        Self::new(None, false)
    }

    /// Sends one request and reads the whole answer, all within `timeout`.
    pub(crate) async fn send(
        &self,
        method: &str,
        url: &str,
        body: &str,
        timeout: Duration,
    ) -> anyhow::Result<Answer> {
        let request = Request::builder()
            .method(method)
            .uri(url)
            .body(Full::new(Bytes::from(body.to_owned())))?;
        let exchange = async {
            let (head, body) = self.client.request(request).await?.into_parts();
            let body = Limited::new(body, MAX_BODY)
                .collect()
                .await
                .map_err(anyhow::Error::from_boxed)?
                .to_bytes();
            let body = String::from_utf8_lossy(&body).into_owned();
            anyhow::Ok(Answer {
                status: head.status.as_u16(),
                headers: head.headers,
                body,
            })
        };
        tokio::time::timeout(timeout, exchange).await?
    }
}

/// Opens connections: where the URL says, or always to one place.
#[derive(Clone)]
struct Connect {
    via: Option<SocketAddr>,
    proxy: bool,
}

impl tower_service::Service<Uri> for Connect {
    type Response = Socket;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Socket>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self { via, proxy } = self.clone();
        Box::pin(async move {
            let stream = match via {
                Some(address) => TcpStream::connect(address).await?,
                None => {
                    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
                    TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await?
                }
            };
            stream.set_nodelay(true)?;
            Ok(Socket {
                io: TokioIo::new(stream),
                proxy,
            })
        })
    }
}

/// A connection that says whether it leads to a proxy, so that requests take the absolute form.
struct Socket {
    io: TokioIo<TcpStream>,
    proxy: bool,
}

impl Connection for Socket {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.proxy)
    }
}

impl hyper::rt::Read for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl hyper::rt::Write for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
