//! What the sidecar says: who it is first, then what it runs whenever that changes, and what it refused.
//!
//! There is no queue: each line is made from the latest value when the connection has room for it.

use std::convert::Infallible;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use hyper::body::Frame;
use plan::stream::FromSidecar;
use plan::{PlanHash, Revision};
use tokio::sync::watch;

/// The plan that the workers run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Its revision; 0 before the first.
    pub revision: Revision,
    /// Its hash.
    pub hash: PlanHash,
}

/// A plan that was refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refused {
    /// Its revision, 0 where it could not be read.
    pub revision: Revision,
    /// Why, for people.
    pub reason: String,
}

/// What there is to say.
#[derive(Debug, Clone)]
pub(super) struct Voice {
    pub(super) applied: watch::Receiver<Applied>,
    pub(super) refused: watch::Receiver<Refused>,
}

impl Voice {
    /// All lines of one stream; it ends with the process.
    pub(super) fn lines(mut self) -> BoxStream<'static, Result<Frame<Bytes>, Infallible>> {
        self.refused.mark_unchanged();
        let Applied { revision, hash } = self.applied.borrow_and_update().clone();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let hello = line(&FromSidecar::Hello {
            revision,
            hash,
            version,
        });
        let later = stream::unfold(self, async |mut voice| Some((line(&voice.next().await?), voice)));
        stream::iter([hello]).chain(later).boxed()
    }

    async fn next(&mut self) -> Option<FromSidecar> {
        tokio::select! {
            changed = self.applied.changed() => {
                changed.ok()?;
                let Applied { revision, hash } = self.applied.borrow_and_update().clone();
                Some(FromSidecar::Ack { revision, hash })
            }
            changed = self.refused.changed() => {
                changed.ok()?;
                let Refused { revision, reason } = self.refused.borrow_and_update().clone();
                Some(FromSidecar::Nack { revision, reason })
            }
        }
    }
}

fn line(message: &FromSidecar) -> Result<Frame<Bytes>, Infallible> {
    let mut line = serde_json::to_vec(message).expect("a message holds only strings and numbers");
    line.push(b'\n');
    Ok(Frame::data(line.into()))
}
