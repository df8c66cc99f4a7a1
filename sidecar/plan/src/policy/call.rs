//! How one call is governed.

use serde::{Deserialize, Serialize};

use super::{Backup, Bounded, DEFAULT_TIMEOUT, Millis, Pattern, Percent};

/// The most faults of a policy.
pub const MAX_FAULTS: usize = 8;
/// The longest fixed reply, in bytes: it travels in every caller's plan.
pub const MAX_REPLY: usize = 16 * 1024;

/// How a call is governed: everything that may differ from method to method.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallPolicy {
    /// How long a caller waits for its answer, retries included. A caller's own `M_tmo` is honoured between half
    /// and twice of it (motan-wire.md 10.4).
    pub timeout_ms: Millis,
    /// A call may be repeated even where the program has seen it. HTTP methods that are idempotent by definition are so
    /// anyway (RFC 9110 9.2.2).
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub idempotent: bool,
    /// What is tried again, and how often.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub retries: Retries,
    /// When a call that may be repeated is sent a second time before it is answered; never without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
    /// When calls are not let through because too many fail; never without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Breaker>,
    /// No call is sent; absent where the switch is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degrade: Option<Degrade>,
    /// Shares of calls that are made to wait or to fail; at most [`MAX_FAULTS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

impl Default for CallPolicy {
    fn default() -> Self {
        Self {
            timeout_ms: DEFAULT_TIMEOUT,
            idempotent: false,
            retries: Retries::default(),
            backup: None,
            breaker: None,
            degrade: None,
            faults: Vec::new(),
        }
    }
}

/// What is tried again, and how often. A call that was certainly not sent is tried again until its deadline whatever stands
/// here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Retries {
    /// Attempts after the first.
    pub attempts: Bounded<0, 10>,
    /// After which failures.
    pub on: Vec<RetryOn>,
    /// How long one attempt may take; as long as the call without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt_timeout_ms: Option<Millis>,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts: Bounded::literal::<2>(),
            on: vec![RetryOn::Unavailable],
            attempt_timeout_ms: None,
        }
    }
}

/// A failure after which a call may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RetryOn {
    /// The connection was lost, or the other agent could not bring the call to its end.
    Unavailable,
    /// An attempt took too long.
    Timeout,
    /// A limit of the service refused it. That is safe for every call.
    Overloaded,
    /// The program answered 502, 503 or 504, or gRPC's UNAVAILABLE.
    Status5xx,
}

/// When calls are not let through because too many fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Breaker {
    /// The share of calls that fail from which on it opens.
    pub failure_percent: Percent,
    /// It never opens below so many calls in its window.
    pub min_calls: Bounded<1, 100_000>,
    /// What it looks back on.
    pub window_ms: Bounded<1_000, 600_000>,
    /// How long it lets nothing through before it tries again.
    pub open_ms: Bounded<100, 600_000>,
    /// How many calls try then; all of them must be answered well.
    pub probes: Bounded<1, 100>,
}

/// The switch that keeps calls from a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Degrade {
    /// What callers are told.
    pub message: String,
    /// What they get instead of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<FixedReply>,
}

/// An answer that is made here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FixedReply {
    /// The status for callers by HTTP.
    pub status: Status,
    /// The body for callers by HTTP; others get the value it means.
    pub json: ReplyBody,
}

/// An HTTP status of a response, from 200 to 599.
pub type Status = Bounded<200, 599>;

/// JSON of at most [`MAX_REPLY`] bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReplyBody(String);

impl ReplyBody {
    /// Checks and keeps a body.
    ///
    /// # Errors
    /// It is no JSON, or too long.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidReply> {
        let text = text.into();
        if text.len() > MAX_REPLY {
            return Err(InvalidReply::Long(text.len()));
        }
        match serde_json::from_str::<serde::de::IgnoredAny>(&text) {
            Ok(_) => Ok(Self(text)),
            Err(error) => Err(InvalidReply::Json(error.to_string())),
        }
    }

    /// The body as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A fixed reply that can't be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReply {
    /// Over [`MAX_REPLY`].
    #[error("it has {0} bytes; at most {MAX_REPLY}")]
    Long(usize),
    /// Not JSON.
    #[error("it is no JSON: {0}")]
    Json(String),
}

impl TryFrom<String> for ReplyBody {
    type Error = InvalidReply;

    fn try_from(text: String) -> Result<Self, InvalidReply> {
        Self::new(text)
    }
}

impl From<ReplyBody> for String {
    fn from(body: ReplyBody) -> Self {
        body.0
    }
}

/// A share of calls that is made to wait or to fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// The share; every fault draws for itself.
    pub percent: Percent,
    /// How long the call waits before it is sent, or fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<Millis>,
    /// It fails like this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort: Option<Abort>,
    /// Only calls by these applications; all without it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub callers: Vec<Pattern>,
}

/// How a call is made to fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Abort {
    /// The HTTP status, and the code of a Motan exception; gRPC callers get what it means to them.
    pub status: Bounded<400, 599>,
    /// What callers are told.
    pub message: String,
}
