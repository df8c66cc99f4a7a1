//! The stream server: who is calling, and what for. Answers `POST /v1/stream` to sidecars and `POST /v1/acks` to the
//! other replicas; the life of a stream is in `stream.rs`.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::StreamExt;
use http_body_util::{BodyExt, Full, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Frame, Incoming},
    header,
};
use process::{drain, ready::Readiness};
use serde::de::DeserializeOwned;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tracing::{debug, info};

use super::{
    Metrics,
    acks::{Acks, Said},
    fanout::Fanout,
    forward,
    lines::Lines,
    metrics::Refusal,
    stream,
    tokens::{Caller, Refused, Tokens},
};
use crate::{
    rates::{Seats, book::Report, run as rates},
    world::{Cluster, ObjectKey},
};

/// How long a pod that this replica has not seen yet is waited for: a watch is at most this late.
const POD_WAIT: Duration = Duration::from_secs(5);
/// The largest body of acks, in bytes: some ten thousand pods.
const MAX_ACKS: usize = 4 << 20;
/// How long the acks' body may take.
const ACKS_WAIT: Duration = Duration::from_secs(10);

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What the server answers from.
#[derive(Debug)]
pub struct Discovery {
    /// The world.
    pub cluster: Arc<Cluster>,
    /// Who is calling.
    pub tokens: Tokens,
    /// What sidecars say.
    pub acks: Arc<Acks>,
    /// Who is connected.
    pub fanout: Arc<Fanout>,
    /// What sidecars say of rates that they share.
    pub seats: Arc<Seats>,
    /// Whether the world is known.
    pub readiness: Readiness,
    /// Counters.
    pub metrics: Metrics,
    /// The user that the other replicas are: this operator's own ServiceAccount; `None` where it isn't known, and no
    /// acks are taken.
    pub own_user: Option<String>,
}

/// A request that is not served.
#[derive(Debug, thiserror::Error)]
enum Denied {
    #[error("no such path")]
    Path,
    #[error("this replica does not know the cluster yet; try another one")]
    NotReady,
    #[error("no bearer token")]
    NoToken,
    #[error("{0}")]
    Token(Refused),
    #[error("pod {pod} with UID {uid} has no sidecar here")]
    Pod { pod: ObjectKey, uid: String },
    #[error("{user} is not one of the operator's replicas")]
    NotReplica { user: String },
    #[error("this replica does not lead")]
    NotLeader,
    #[error("the body can't be read")]
    Body,
}

impl Denied {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Path => StatusCode::NOT_FOUND,
            Self::NotReady | Self::NotLeader | Self::Token(Refused::Busy) => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoToken | Self::Token(_) => StatusCode::UNAUTHORIZED,
            Self::Pod { .. } | Self::NotReplica { .. } => StatusCode::FORBIDDEN,
            Self::Body => StatusCode::BAD_REQUEST,
        }
    }

    const fn counted(&self) -> Option<Refusal> {
        match self {
            Self::NotReady => Some(Refusal::NotReady),
            Self::Token(Refused::Busy) => Some(Refusal::Busy),
            Self::NoToken | Self::Token(_) => Some(Refusal::Token),
            Self::Pod { .. } => Some(Refusal::Pod),
            Self::Path | Self::NotReplica { .. } | Self::NotLeader | Self::Body => None,
        }
    }
}

/// Answers one request. A stream goes on in a task of its own that holds the drain.
pub async fn answer(
    discovery: Arc<Discovery>,
    drain: drain::Watch,
    request: Request<Incoming>,
) -> Response<Body> {
    let answered = match (request.method(), request.uri().path()) {
        (&Method::POST, plan::stream::PATH) => discovery.stream(drain, request).await,
        (&Method::POST, forward::PATH) => discovery.gather(request).await,
        (&Method::POST, rates::PATH) => discovery.share(request).await,
        _ => Err(Denied::Path),
    };
    answered.unwrap_or_else(|denied| {
        if let Some(why) = denied.counted() {
            discovery.metrics.refuse(why);
        }
        debug!(%denied, "request refused");
        let mut response = Response::new(Full::new(Bytes::from(format!("{denied}\n"))).boxed_unsync());
        *response.status_mut() = denied.status();
        response
    })
}

impl Discovery {
    async fn stream(
        self: &Arc<Self>,
        drain: drain::Watch,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Denied> {
        if !self.readiness.is_ready() {
            return Err(Denied::NotReady);
        }
        let caller = self.caller(&request).await?;
        self.known(&caller).await?;
        info!(pod = %caller, "sidecar connected");
        let (lines, sent) = mpsc::channel::<Bytes>(1); // the latest, never a queue
        let place = self.fanout.enter(&caller.pod);
        let discovery = Arc::clone(self);
        tokio::spawn(stream::run(
            discovery,
            caller,
            Lines::new(request.into_body()),
            lines,
            place,
            drain,
        ));
        let body = futures::stream::unfold(sent, |mut sent| async move { Some((sent.recv().await?, sent)) });
        let body = StreamBody::new(body.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes))));
        let mut response = Response::new(body.boxed_unsync());
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static("application/x-ndjson"),
        );
        Ok(response)
    }

    /// Another replica's acks.
    async fn gather(&self, request: Request<Incoming>) -> Result<Response<Body>, Denied> {
        let said: Vec<Said> = self.passed_on(request).await?;
        for one in &said {
            one.ask(&self.cluster);
        }
        self.acks.gather(said);
        let mut response = Response::new(Full::default().boxed_unsync());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }

    /// How fast calls come at another replica's sidecars; the answer is what they may let in.
    async fn share(&self, request: Request<Incoming>) -> Result<Response<Body>, Denied> {
        let reports: Vec<Report> = self.passed_on(request).await?;
        let given = self
            .seats
            .answer(&reports, Instant::now())
            .ok_or(Denied::NotLeader)?;
        let given = serde_json::to_vec(&given).map_err(|_| Denied::Body)?;
        Ok(Response::new(Full::new(Bytes::from(given)).boxed_unsync()))
    }

    /// What another replica passes on: believed because it runs as this operator's own ServiceAccount.
    async fn passed_on<T: DeserializeOwned>(&self, request: Request<Incoming>) -> Result<Vec<T>, Denied> {
        let caller = self.caller(&request).await?;
        if self.own_user.as_ref() != Some(&caller.user) {
            return Err(Denied::NotReplica { user: caller.user });
        }
        let body = timeout(ACKS_WAIT, Limited::new(request.into_body(), MAX_ACKS).collect()).await;
        let body = body.ok().and_then(Result::ok).ok_or(Denied::Body)?.to_bytes();
        serde_json::from_slice(&body).map_err(|_| Denied::Body)
    }

    async fn caller(&self, request: &Request<Incoming>) -> Result<Caller, Denied> {
        let token = request
            .headers()
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
            .ok_or(Denied::NoToken)?;
        self.tokens.review(token.trim()).await.map_err(Denied::Token)
    }

    /// The caller's pod is one of ours and the very one that the token was made for.
    async fn known(&self, caller: &Caller) -> Result<(), Denied> {
        let is_there = || {
            self.cluster.read(|world| {
                world
                    .pod(&caller.pod)
                    .is_some_and(|pod| pod.injected && *pod.uid == *caller.uid)
            })
        };
        if is_there() {
            return Ok(());
        }
        let mut changes = self.cluster.listen();
        let seen = async {
            while !is_there() {
                changes.next().await;
            }
        };
        timeout(POD_WAIT, seen).await.map_err(|_| Denied::Pod {
            pod: caller.pod.clone(),
            uid: caller.uid.clone(),
        })
    }
}
