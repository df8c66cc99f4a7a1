//! What the sidecar says: who it is first, then what it runs and what its program asks for whenever that changes, and
//! what it refused.
//!
//! There is no queue: each line is made from the latest value when the connection has room for it.

use std::convert::Infallible;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use hyper::body::Frame;
use plan::stream::{FromSidecar, RateHeld, Subscription};
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

/// What the other tasks of the process tell the operator through the stream.
#[derive(Debug)]
pub struct Tell {
    /// What the workers run.
    pub applied: watch::Sender<Applied>,
    /// What the program has subscribed to and nobody declared.
    pub undeclared: watch::Sender<Vec<Subscription>>,
    /// How fast calls come whose rate is shared.
    pub rates: watch::Sender<Vec<RateHeld>>,
}

/// The other end of [`Tell`].
#[derive(Debug, Clone)]
pub struct Told {
    pub(super) applied: watch::Receiver<Applied>,
    pub(super) undeclared: watch::Receiver<Vec<Subscription>>,
    pub(super) rates: watch::Receiver<Vec<RateHeld>>,
}

/// Both ends, with nothing to tell yet.
#[must_use]
pub fn told() -> (Tell, Told) {
    let (applied, applied_out) = watch::channel(Applied::default());
    let (undeclared, undeclared_out) = watch::channel(Vec::new());
    let (rates, rates_out) = watch::channel(Vec::new());
    let tell = Tell {
        applied,
        undeclared,
        rates,
    };
    let told = Told {
        applied: applied_out,
        undeclared: undeclared_out,
        rates: rates_out,
    };
    (tell, told)
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
    pub(super) told: Told,
    pub(super) refused: watch::Receiver<Refused>,
}

impl Voice {
    /// All lines of one stream; it ends with the process. A stream on which nothing is asked for needs no line that
    /// says so.
    pub(super) fn lines(mut self) -> BoxStream<'static, Result<Frame<Bytes>, Infallible>> {
        self.refused.mark_unchanged();
        let Applied { revision, hash } = self.told.applied.borrow_and_update().clone();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let hello = line(&FromSidecar::Hello {
            revision,
            hash,
            version,
        });
        let subscriptions = self.told.undeclared.borrow_and_update().clone();
        let asked = (!subscriptions.is_empty()).then(|| line(&FromSidecar::Undeclared { subscriptions }));
        let rates = self.told.rates.borrow_and_update().clone();
        let shared = (!rates.is_empty()).then(|| line(&FromSidecar::Rates { rates }));
        let later = stream::unfold(self, async |mut voice| Some((line(&voice.next().await?), voice)));
        stream::iter([hello])
            .chain(stream::iter(asked))
            .chain(stream::iter(shared))
            .chain(later)
            .boxed()
    }

    async fn next(&mut self) -> Option<FromSidecar> {
        let Told {
            applied,
            undeclared,
            rates,
        } = &mut self.told;
        tokio::select! {
            changed = applied.changed() => {
                changed.ok()?;
                let Applied { revision, hash } = applied.borrow_and_update().clone();
                Some(FromSidecar::Ack { revision, hash })
            }
            changed = undeclared.changed() => {
                changed.ok()?;
                let subscriptions = undeclared.borrow_and_update().clone();
                Some(FromSidecar::Undeclared { subscriptions })
            }
            changed = rates.changed() => {
                changed.ok()?;
                let rates = rates.borrow_and_update().clone();
                Some(FromSidecar::Rates { rates })
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
