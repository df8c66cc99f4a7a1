//! One call: what is said of it, and what comes back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use wire::meta::{Meta, Writer};
use wire::value::Values;
use wire::{keys, motan2};

use crate::convert::{Arguments, Reply};
use crate::error::{CallError, Undecodable};
use crate::pending::{Outcome, Place, Wants};
use crate::{LinkError, Shared};

/// How much longer than the sidecar a call with a timeout is waited for: its error says more than ours, so it should
/// win the race.
const GRACE: Duration = Duration::from_millis(100);

/// A call that is not sent yet.
#[derive(Debug)]
#[must_use = "nothing is sent before `send`, `answer` or `one_way`"]
pub struct Request<'a> {
    shared: &'a Arc<Shared>,
    meta: Vec<u8>,
    body: Vec<u8>,
    timeout: Option<Duration>,
    wrong: Option<String>,
}

impl<'a> Request<'a> {
    pub(crate) fn new(shared: &'a Arc<Shared>, path: &str, method: &str, arguments: impl Arguments) -> Self {
        let mut body = Vec::new();
        arguments.write(&mut body);
        let request = Self {
            shared,
            meta: Vec::new(),
            body,
            timeout: None,
            wrong: None,
        };
        request.pair(keys::PATH, path).pair(keys::METHOD, method)
    }

    /// The group, where several of the program's dependencies have the same path.
    pub fn group(self, group: &str) -> Self {
        self.pair(keys::GROUP, group)
    }

    /// Metadata that travels with the call.
    pub fn meta(self, key: &str, value: &str) -> Self {
        self.pair(key.as_bytes(), value)
    }

    /// How long the call may take. It travels with the call, in full milliseconds and at least one; the policy of the
    /// service bounds it.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends it and reads the answer as a type.
    ///
    /// # Errors
    /// What the far side threw, or what became of the call: see [`CallError`].
    pub async fn send<T: Reply>(self) -> Result<T, CallError> {
        Ok(self.answer().await?.value()?)
    }

    /// Sends it and gives the answer as it came.
    ///
    /// # Errors
    /// What the far side threw, or what became of the call: see [`CallError`].
    pub async fn answer(self) -> Result<Answer, CallError> {
        self.outcome(Wants::Answer)
            .await
            .map(|answer| answer.unwrap_or_default())
    }

    /// Sends it, asks for no answer, and is done once it is on its way. What becomes of it is not known.
    ///
    /// # Errors
    /// It was not written, or not wholly.
    pub async fn one_way(self) -> Result<(), CallError> {
        self.outcome(Wants::Written).await.map(|_| ())
    }

    fn pair(mut self, key: &[u8], value: &str) -> Self {
        let before = self.meta.len();
        if before > 0 {
            self.meta.push(b'\n');
        }
        let start = self.meta.len();
        Writer::new(&mut self.meta).pair(key, value.as_bytes());
        if self.meta.len() == start {
            self.meta.truncate(before);
            let named = format!("{}: {value}", String::from_utf8_lossy(key));
            self.wrong.get_or_insert(named);
        }
        self
    }

    async fn outcome(mut self, wants: Wants) -> Outcome {
        if let Some(timeout) = self.timeout {
            let millis = timeout.as_millis().max(1).to_string();
            self = self.pair(keys::TIMEOUT, &millis);
        }
        if let Some(wrong) = self.wrong {
            return Err(CallError::Metadata(wrong));
        }
        let limit = self.shared.settings.max_message;
        if self.meta.len() > limit || self.body.len() > limit {
            return Err(CallError::TooLong { limit });
        }
        let mut header = motan2::Header::request(0);
        if wants == Wants::Written {
            header.kind |= motan2::bits::ONEWAY;
        }
        let mut frame = Vec::with_capacity(motan2::MIN_FRAME + self.meta.len() + self.body.len());
        let meta = Meta::new(&self.meta).unwrap_or_default();
        motan2::encode(
            &mut frame,
            header,
            |out| out.copy(meta, |_| true),
            |out| out.extend_from_slice(&self.body),
        );
        let waited = self.timeout.map_or(self.shared.settings.patience, |timeout| {
            timeout.saturating_add(GRACE)
        });
        wait(self.shared, wants, frame, waited).await
    }
}

/// Queues a frame and waits for what becomes of it.
async fn wait(shared: &Arc<Shared>, wants: Wants, frame: Vec<u8>, waited: Duration) -> Outcome {
    let begin = Instant::now();
    let (id, told) = shared.pending().enter(wants, frame)?;
    // From here on the place is left however this ends: also where the caller stops waiting and drops the future.
    let place = Held { shared, id };
    shared.queued.notify_one();
    let told = match begin.checked_add(waited) {
        Some(deadline) => tokio::time::timeout_at(deadline, told).await,
        None => Ok(told.await),
    };
    match told {
        Ok(Ok(outcome)) => outcome,
        // The task that tells has ended with its runtime.
        Ok(Err(_)) => Err(CallError::Lost(Arc::new(LinkError::Closed))),
        Err(_) => match place.leave() {
            Place::Unwritten(why) => Err(CallError::Unsent { waited, why }),
            Place::Written => Err(CallError::Timeout(waited)),
        },
    }
}

struct Held<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Held<'_> {
    fn leave(&self) -> Place {
        self.shared.pending().leave(self.id)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// What came back. Empty where the far side gave nothing.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub(crate) meta: Bytes,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The value of a metadata key, where there is one and it is UTF-8.
    #[must_use]
    pub fn meta(&self, key: &str) -> Option<&str> {
        let found = Meta::new(&self.meta).ok()?.find(key.as_bytes())?;
        std::str::from_utf8(found).ok()
    }

    /// The value, as a type. No value is read as null.
    ///
    /// # Errors
    /// Bytes that are no value, or one of another type.
    pub fn value<T: Reply>(&self) -> Result<T, Undecodable> {
        let mut values = Values::new(&self.body);
        let value = values.next()?.unwrap_or(wire::value::Value::Null);
        match values.next()? {
            None => T::from_value(value),
            Some(_) => Err(Undecodable::More),
        }
    }
}
