//! Who is calling: the projected token of a pod, reviewed by the API server.
//!
//! Reviews are few: answers are kept for a short while by the token's hash, and only so many are asked at once, so
//! that a crowd that reconnects can't turn into a crowd at the API server.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::{Api, Client, api::PostParams};
use sha2::{Digest, Sha256};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

use crate::{connect::plain, world::ObjectKey};

/// How long a good answer is believed: shorter than anyone waits for a deleted pod to be refused.
const KEEP_GOOD: Duration = Duration::from_secs(60);
/// How long a bad answer is believed: long enough to blunt a loop.
const KEEP_BAD: Duration = Duration::from_secs(5);
/// How many answers are kept.
const KEPT: usize = 8192;
/// How many reviews run at once.
const AT_ONCE: usize = 16;
/// How long a caller waits for its turn, and then for the answer.
const WAIT: Duration = Duration::from_secs(3);
/// The longest token that is looked at, in bytes; real ones have about 1.3 KiB.
const MAX_TOKEN: usize = 16 * 1024;

const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// Whose token it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The user, `system:serviceaccount:<namespace>:<name>`.
    pub user: String,
    /// The pod that the token was made for.
    pub pod: ObjectKey,
    /// That pod's UID.
    pub uid: String,
}

/// Why a token isn't believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The API server does not believe it.
    #[error("the token is not valid: {0}")]
    Invalid(String),
    /// It was made for someone else.
    #[error("the token is not for audience {}", plan::stream::AUDIENCE)]
    Audience,
    /// It is bound to no pod.
    #[error("the token is not a pod's projected token")]
    NoPod,
    /// Too many reviews, or none in time: worth trying again.
    #[error("the token could not be reviewed in time")]
    Busy,
}

/// Reviews tokens.
#[derive(Debug)]
pub struct Tokens {
    api: Api<TokenReview>,
    turns: Semaphore,
    answers: Mutex<HashMap<[u8; 32], Kept>>,
}

/// An answer, and until when it is believed.
type Kept = (Result<Caller, Refused>, Instant);

impl std::fmt::Display for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.pod.fmt(f)
    }
}

impl Tokens {
    /// Asks this API server.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            api: Api::all(client),
            turns: Semaphore::new(AT_ONCE),
            answers: Mutex::default(),
        }
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// It is nobody's, or it can't be told now.
    pub async fn review(&self, token: &str) -> Result<Caller, Refused> {
        if token.len() > MAX_TOKEN {
            return Err(Refused::Invalid(format!("longer than {MAX_TOKEN} bytes")));
        }
        let key: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(answer) = self.kept(&key, Instant::now()) {
            return answer;
        }
        let Ok(Ok(_turn)) = timeout(WAIT, self.turns.acquire()).await else {
            return Err(Refused::Busy);
        };
        let answer = self.ask(token).await;
        if answer != Err(Refused::Busy) {
            self.keep(key, answer.clone(), Instant::now());
        }
        answer
    }

    async fn ask(&self, token: &str) -> Result<Caller, Refused> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                audiences: Some(vec![plan::stream::AUDIENCE.to_owned()]),
                token: Some(token.to_owned()),
            },
            ..TokenReview::default()
        };
        match timeout(WAIT, self.api.create(&PostParams::default(), &review)).await {
            Ok(Ok(review)) => caller(&review.status.unwrap_or_default()),
            Ok(Err(error)) => {
                tracing::warn!(error = %plain(&error), "a token could not be reviewed");
                Err(Refused::Busy)
            }
            Err(_) => Err(Refused::Busy),
        }
    }

    fn kept(&self, key: &[u8; 32], now: Instant) -> Option<Result<Caller, Refused>> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let (answer, until) = answers.get(key)?;
        (now < *until).then(|| answer.clone())
    }

    fn keep(&self, key: [u8; 32], answer: Result<Caller, Refused>, now: Instant) {
        let until = now + if answer.is_ok() { KEEP_GOOD } else { KEEP_BAD };
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= KEPT {
            answers.retain(|_, (_, until)| now < *until);
        }
        if answers.len() < KEPT {
            answers.insert(key, (answer, until));
        }
    }
}

/// What a review says about who is calling.
///
/// # Errors
/// Not authenticated, for another audience, or not bound to a pod.
pub fn caller(status: &TokenReviewStatus) -> Result<Caller, Refused> {
    if status.authenticated != Some(true) {
        let why = status
            .error
            .clone()
            .unwrap_or_else(|| "not authenticated".to_owned());
        return Err(Refused::Invalid(why));
    }
    let audiences = status.audiences.iter().flatten();
    if !audiences
        .into_iter()
        .any(|audience| audience == plan::stream::AUDIENCE)
    {
        return Err(Refused::Audience);
    }
    let user = status.user.clone().unwrap_or_default();
    let name = user.username.unwrap_or_default();
    let extra = user.extra.unwrap_or_default();
    let bound = |key: &str| extra.get(key).and_then(|values| values.first()).cloned();
    let namespace = name
        .strip_prefix(SERVICE_ACCOUNT)
        .and_then(|rest| rest.split(':').next());
    match (namespace, bound(POD_NAME), bound(POD_UID)) {
        (Some(namespace), Some(pod), Some(uid)) => Ok(Caller {
            pod: ObjectKey::new(namespace, &pod),
            user: name,
            uid,
        }),
        _ => Err(Refused::NoPod),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(change: impl FnOnce(&mut serde_json::Value)) -> TokenReviewStatus {
        let mut value = serde_json::json!({
            "authenticated": true,
            "audiences": [plan::stream::AUDIENCE],
            "user": {
                "username": "system:serviceaccount:shop:web",
                "extra": {POD_NAME: ["web-0"], POD_UID: ["u-1"]},
            },
        });
        change(&mut value);
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_pods_token_names_the_pod_in_the_namespace_of_its_service_account() {
        assert_eq!(
            caller(&status(|_| ())),
            Ok(Caller {
                user: "system:serviceaccount:shop:web".to_owned(),
                pod: ObjectKey::new("shop", "web-0"),
                uid: "u-1".to_owned(),
            })
        );
    }

    #[test]
    fn a_token_that_is_not_authenticated_is_refused_with_the_servers_words() {
        let expired =
            status(|value| *value = serde_json::json!({"authenticated": false, "error": "expired"}));
        assert_eq!(caller(&expired), Err(Refused::Invalid("expired".to_owned())));
        assert!(matches!(
            caller(&TokenReviewStatus::default()),
            Err(Refused::Invalid(_))
        ));
    }

    #[test]
    fn a_token_for_another_audience_is_refused() {
        let other =
            status(|value| value["audiences"] = serde_json::json!(["https://kubernetes.default.svc"]));
        assert_eq!(caller(&other), Err(Refused::Audience));
    }

    #[test]
    fn a_token_that_is_bound_to_no_pod_or_is_a_persons_is_refused() {
        let unbound = status(|value| value["user"]["extra"] = serde_json::json!({}));
        assert_eq!(caller(&unbound), Err(Refused::NoPod));
        let person = status(|value| value["user"]["username"] = "alice".into());
        assert_eq!(caller(&person), Err(Refused::NoPod));
    }
}
