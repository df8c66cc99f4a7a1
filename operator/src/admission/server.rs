//! The webhook server: an AdmissionReview in, the pure functions of this room asked, an AdmissionReview out.
//!
//! A replica that does not know the cluster yet answers 503: the API server then does what the webhook's failure
//! policy says. Nothing is written here; a refusal is counted and told to whoever owns the pod.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use crds::{MeshDependency, MeshService};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header};
use k8s_openapi::api::core::v1::Namespace as NamespaceObject;
use kube::{Api, Client, core::PartialObjectMeta};
use process::ready::Readiness;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::{
    Declared, Metrics, Note, Outcome, Refusal, inject,
    metrics::What,
    plan_name,
    review::{self, Answer, Operation, Question, ReviewError},
    validate::{self, Requester, Verdict},
};
use crate::{
    control::events::{Events, Told},
    settings::Injection,
    world::{Cluster, Namespace},
};

/// The largest review, in bytes: two objects at etcd's limit of 1.5 MiB.
const MAX_BODY: usize = 4 << 20;
/// How long a review may take to come: less than the lenient webhook's three seconds.
const BODY_WAIT: Duration = Duration::from_secs(2);
/// How long an unknown namespace may take to be asked for.
const NAMESPACE_WAIT: Duration = Duration::from_secs(1);

/// What the server answers from.
pub struct Admission {
    /// The world.
    pub cluster: Arc<Cluster>,
    /// For a namespace that was made a moment ago.
    pub client: Client,
    /// What a sidecar looks like.
    pub injection: Injection,
    /// Whether the world is known.
    pub readiness: Readiness,
    /// Who is told of refusals.
    pub events: Events,
    /// Counters.
    pub metrics: Metrics,
}

/// A request that gets no review.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("there is POST /mutate/pods, /validate/meshservices and /validate/meshdependencies")]
    Path,
    #[error("this replica does not know the cluster yet")]
    NotReady,
    #[error("the body is longer than {MAX_BODY} bytes or did not come in time")]
    Body,
    #[error("{0}")]
    Review(#[from] ReviewError),
    #[error("namespace {0} is not known yet")]
    Namespace(String),
    #[error("the answer can't be written")]
    Write(#[from] serde_json::Error),
}

impl Unanswered {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Path => StatusCode::NOT_FOUND,
            Self::NotReady | Self::Namespace(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Body => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Review(_) => StatusCode::BAD_REQUEST,
            Self::Write(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// What a path is for.
#[derive(Debug, Clone, Copy)]
enum Desk {
    Pods,
    Services,
    Dependencies,
}

/// Answers one request of the API server.
pub async fn answer(admission: Arc<Admission>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (status, kind, body) = match admission.review(request).await {
        Ok(body) => (StatusCode::OK, "application/json", Bytes::from(body)),
        Err(unanswered) => {
            debug!(%unanswered, "review not answered");
            let text = Bytes::from(format!("{unanswered}\n"));
            (unanswered.status(), "text/plain; charset=utf-8", text)
        }
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

impl Admission {
    async fn review(&self, request: Request<Incoming>) -> Result<Vec<u8>, Unanswered> {
        let desk = match (request.method(), request.uri().path()) {
            (&Method::POST, "/mutate/pods") => Desk::Pods,
            (&Method::POST, "/validate/meshservices") => Desk::Services,
            (&Method::POST, "/validate/meshdependencies") => Desk::Dependencies,
            _ => return Err(Unanswered::Path),
        };
        if !self.readiness.is_ready() {
            return Err(Unanswered::NotReady);
        }
        let body = timeout(BODY_WAIT, Limited::new(request.into_body(), MAX_BODY).collect()).await;
        let body = body.ok().and_then(Result::ok).ok_or(Unanswered::Body)?.to_bytes();
        let question = review::read(&body)?;
        let answer = match desk {
            Desk::Pods => self.pod(&question).await?,
            Desk::Services => self.judge(What::Service, self.service(&question)),
            Desk::Dependencies => self.judge(What::Dependency, self.dependency(&question)),
        };
        Ok(review::write(&question.uid, &answer)?)
    }

    async fn pod(&self, question: &Question) -> Result<Answer, Unanswered> {
        let namespace = self.namespace(&question.namespace).await?;
        let name = plan_name(&question.uid);
        let defaults = self.cluster.defaults();
        let declared = self
            .cluster
            .read(|world| Declared::of(world, &namespace.name, &question.object, &defaults));
        let outcome = inject(&question.object, &namespace, &declared, &self.injection, &name);
        Ok(match outcome {
            Outcome::Injected(injected) | Outcome::Renewed(injected) => {
                self.metrics.injected();
                self.tell_notes(question, &injected.notes);
                debug!(namespace = question.namespace, plan = name, "sidecar injected");
                Answer {
                    patch: Some(injected.patch),
                    warnings: injected.notes.into_iter().map(|note| note.message).collect(),
                    refusal: None,
                }
            }
            Outcome::Left(refusal) => {
                self.tell(question, &refusal);
                Answer::default()
            }
            Outcome::Denied(refusal) => {
                self.tell(question, &refusal);
                Answer {
                    refusal: Some(refusal.message),
                    ..Answer::default()
                }
            }
        })
    }

    /// The namespace as last seen; one that was made a moment ago is asked for.
    async fn namespace(&self, name: &str) -> Result<Namespace, Unanswered> {
        if let Some(namespace) = self.cluster.read(|world| world.namespace(name).cloned()) {
            return Ok(namespace);
        }
        let api: Api<PartialObjectMeta<NamespaceObject>> = Api::all(self.client.clone());
        match timeout(NAMESPACE_WAIT, api.get(name)).await {
            Ok(Ok(found)) => Ok(Namespace::read(&found.metadata)),
            _ => Err(Unanswered::Namespace(name.to_owned())),
        }
    }

    /// Counts a refusal and tells the pod's owner, unless nothing would be stored anyway.
    fn tell(&self, question: &Question, refusal: &Refusal) {
        let reason = refusal.reason;
        self.metrics.refused(reason);
        if !reason.is_told() || question.dry_run == Some(true) {
            return;
        }
        let (namespace, name) = (&question.namespace, &question.name);
        info!(namespace, name, %reason, message = refusal.message, "no sidecar injected");
        self.events
            .tell(Told::about_pod(question, reason.as_str(), &refusal.message));
    }

    /// Tells the pod's owner what its pod goes without.
    fn tell_notes(&self, question: &Question, notes: &[Note]) {
        if question.dry_run == Some(true) {
            return;
        }
        for Note { reason, message } in notes {
            let (namespace, name) = (&question.namespace, &question.name);
            info!(
                namespace,
                name, reason, message, "injected with less than was declared"
            );
            self.events.tell(Told::about_pod(question, reason, message));
        }
    }

    fn service(&self, question: &Question) -> Verdict {
        match question.operation {
            Operation::Delete => match object::<MeshService>(&question.old_object) {
                Ok(old) => self.cluster.read(|world| {
                    let user = question.user_info.username.as_str();
                    validate::service_deletion(world, &old, Requester { user })
                }),
                Err(_) => Verdict::default(), // what can't be read can at least be deleted
            },
            Operation::Create | Operation::Update => match object::<MeshService>(&question.object) {
                Ok(new) => {
                    let old = object(&question.old_object).ok();
                    self.cluster
                        .read(|world| validate::service(world, &new, old.as_ref()))
                }
                Err(verdict) => verdict,
            },
            Operation::Connect => Verdict::default(),
        }
    }

    fn dependency(&self, question: &Question) -> Verdict {
        if !matches!(question.operation, Operation::Create | Operation::Update) {
            return Verdict::default();
        }
        match object::<MeshDependency>(&question.object) {
            Ok(new) => {
                let old = object(&question.old_object).ok();
                self.cluster
                    .read(|world| validate::dependency(world, &new, old.as_ref()))
            }
            Err(verdict) => verdict,
        }
    }

    fn judge(&self, what: What, verdict: Verdict) -> Answer {
        self.metrics.judged(what, verdict.is_allowed());
        Answer {
            refusal: (!verdict.is_allowed()).then(|| verdict.message()),
            warnings: verdict.warnings,
            patch: None,
        }
    }
}

fn object<T: DeserializeOwned>(value: &Value) -> Result<T, Verdict> {
    T::deserialize(value).map_err(|error| {
        if !value.is_null() {
            warn!(%error, "an object passed its schema and can't be read");
        }
        Verdict {
            refusals: vec![format!("the object can't be read: {error}")],
            warnings: Vec::new(),
        }
    })
}
