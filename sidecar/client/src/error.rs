//! How a call ends that does not end well.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use wire::error::{Exception, NotAnException};
use wire::motan2::Broken;
use wire::value::NotSimple;

/// How a call ends that does not end well.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// The far side, or an agent on the way, answered with an exception.
    #[error("exception {} of type {:?}: {}", .0.code, .0.kind, .0.words)]
    Exception(Exception),
    /// It was written, and no answer came. It may have had its effect.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// It was written, wholly or in part, when the connection broke. It may have had its effect.
    #[error("the connection broke before the answer came")]
    Lost(#[source] Arc<LinkError>),
    /// Nothing of it was written while it could be waited for. It had no effect.
    #[error("not sent within {waited:?}")]
    Unsent {
        /// How long.
        waited: Duration,
        /// Why there was no connection; absent where there was one, but it took nothing.
        #[source]
        why: Option<Arc<LinkError>>,
    },
    /// It was not sent, because a bound of [`crate::Settings`] would be passed. It had no effect.
    #[error("not sent: {0} would be passed")]
    Busy(&'static str),
    /// It was not sent, because its metadata or body is longer than the sidecar takes. It had no effect.
    #[error("not sent: its metadata or body is over {limit} bytes")]
    TooLong {
        /// The bound.
        limit: usize,
    },
    /// It was not sent, because this metadata can't be: a key or value is empty or has a line feed in it.
    #[error("not sent: the key or value of metadata {0:?} is empty or has a line feed in it")]
    Metadata(String),
    /// An answer came that does not hold what was expected.
    #[error("the answer can't be read")]
    Undecodable(#[from] Undecodable),
}

impl CallError {
    /// Whether the call certainly had no effect and may be repeated without a thought. `false` also where it is not
    /// known.
    #[must_use]
    pub const fn is_unsent(&self) -> bool {
        match self {
            Self::Unsent { .. } | Self::Busy(_) | Self::TooLong { .. } | Self::Metadata(_) => true,
            Self::Exception(_) | Self::Timeout(_) | Self::Lost(_) | Self::Undecodable(_) => false,
        }
    }
}

/// Why an answer can't be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Undecodable {
    /// Not a `simple` value.
    #[error(transparent)]
    NotSimple(#[from] NotSimple),
    /// Another type than was asked for.
    #[error("it is {found}, not {wanted}")]
    Type {
        /// What came.
        found: &'static str,
        /// What was asked for.
        wanted: &'static str,
    },
    /// More than one value.
    #[error("there is more than one value")]
    More,
    /// In another serialization than `simple`.
    #[error("its serialization is number {0}, not {simple}", simple = wire::motan2::SIMPLE)]
    Serialization(u8),
    /// Compressed, which a sidecar never does for a local program.
    #[error("its body is compressed")]
    Compressed,
    /// Over the bound.
    #[error("its body of {0} bytes is over the limit")]
    TooLong(u32),
    /// An exception that says nothing readable.
    #[error("its exception can't be read")]
    Exception(#[source] Arc<NotAnException>),
    /// The status of an exception, and no exception.
    #[error("its status is {0}, and there is no exception")]
    Status(u8),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Nobody takes it.
    #[error("the sidecar can't be reached")]
    Connect(#[source] io::Error),
    /// Nobody takes it, and nobody refuses.
    #[error("the sidecar can't be reached within {0:?}")]
    ConnectTimeout(Duration),
    /// The sidecar has closed it.
    #[error("the sidecar closed the connection")]
    Closed,
    /// It can't be read.
    #[error("reading from the sidecar")]
    Read(#[source] io::Error),
    /// It can't be written.
    #[error("writing to the sidecar")]
    Write(#[source] io::Error),
    /// What comes is not Motan 2.
    #[error("the sidecar sent what is not Motan 2")]
    Broken(#[source] Broken),
}
