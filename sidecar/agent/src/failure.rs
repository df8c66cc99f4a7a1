//! Why a call failed inside the mesh: what, whose side, and whether it may be tried elsewhere. Knows no protocol's
//! statuses: each listener maps a failure to its own in one function.

use std::borrow::Cow;

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The caller has not declared that it depends on this.
    Undeclared,
    /// The request can't be understood.
    BadRequest,
    /// The request or its reply is over a limit.
    TooLarge,
    /// The request is fine and this version can't do it.
    Unsupported,
    /// No place provides the service.
    NoEndpoint,
    /// The deadline passed.
    Timeout,
    /// The other side could not be reached or was lost.
    Unavailable,
    /// This sidecar holds as much as it may.
    Overloaded,
    /// The server agent does not provide this.
    NotProvided,
    /// This sidecar takes no new calls: it is going away.
    Draining,
    /// The caller is not one whom this service is open to.
    Forbidden,
    /// What came back is not an answer.
    BadAnswer,
    /// Calls come faster than the service's limits allow.
    RateLimited,
    /// The policy has switched the service or the method off.
    Degraded,
    /// Too many calls have failed of late: none is let through for a while.
    CircuitOpen,
    /// The policy lets a share of calls fail.
    Injected,
}

/// Whose side a failure is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The program that calls, or what it was told to call.
    Caller,
    /// One of the two agents.
    Mesh,
    /// The program that is called, or the way to it.
    Callee,
}

/// Whether the program that is called can have seen the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It certainly has not: trying elsewhere is safe.
    Unsent,
    /// It may have.
    Perhaps,
}

/// A call that failed inside the mesh.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct Failure {
    /// What went wrong.
    pub kind: Kind,
    /// Whether it can have reached the program.
    pub reach: Reach,
    /// For the caller's log: what happened, and the mend where there is one.
    pub words: Cow<'static, str>,
    /// The HTTP status that the caller gets, where it is another than its kind's.
    pub status: Option<u16>,
}

impl Failure {
    /// A failure that certainly happened before the call reached the program.
    pub fn unsent(kind: Kind, words: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            reach: Reach::Unsent,
            words: words.into(),
            status: None,
        }
    }

    /// A failure after which the program may have seen the call.
    pub fn perhaps(kind: Kind, words: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            reach: Reach::Perhaps,
            words: words.into(),
            status: None,
        }
    }
}

impl Kind {
    /// The word in metrics, logs and `x-mesh-error`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Undeclared => "undeclared",
            Self::BadRequest => "bad-request",
            Self::TooLarge => "too-large",
            Self::Unsupported => "unsupported",
            Self::NoEndpoint => "no-endpoint",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Overloaded => "overloaded",
            Self::NotProvided => "not-provided",
            Self::Draining => "draining",
            Self::Forbidden => "forbidden",
            Self::BadAnswer => "bad-answer",
            Self::RateLimited => "rate-limited",
            Self::Degraded => "degraded",
            Self::CircuitOpen => "circuit-open",
            Self::Injected => "injected",
        }
    }

    /// The kind of this word.
    #[must_use]
    pub fn of(word: &[u8]) -> Option<Self> {
        const ALL: [Kind; 16] = [
            Kind::Undeclared,
            Kind::BadRequest,
            Kind::TooLarge,
            Kind::Unsupported,
            Kind::NoEndpoint,
            Kind::Timeout,
            Kind::Unavailable,
            Kind::Overloaded,
            Kind::NotProvided,
            Kind::Draining,
            Kind::Forbidden,
            Kind::BadAnswer,
            Kind::RateLimited,
            Kind::Degraded,
            Kind::CircuitOpen,
            Kind::Injected,
        ];
        ALL.into_iter().find(|kind| kind.as_str().as_bytes() == word)
    }

    /// Whether every endpoint would refuse the call in the same way.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::BadRequest | Self::TooLarge | Self::Forbidden)
    }

    /// Whose side it is on.
    #[must_use]
    pub const fn side(self) -> Side {
        match self {
            Self::Undeclared | Self::BadRequest | Self::TooLarge | Self::Forbidden | Self::RateLimited => {
                Side::Caller
            }
            Self::Unsupported | Self::Overloaded | Self::Draining | Self::Degraded | Self::Injected => {
                Side::Mesh
            }
            Self::NoEndpoint
            | Self::Timeout
            | Self::Unavailable
            | Self::NotProvided
            | Self::BadAnswer
            | Self::CircuitOpen => Side::Callee,
        }
    }
}
