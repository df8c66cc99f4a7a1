//! A Motan 2 client of one method: a text there, a text back.

use std::time::Duration;

use client::{Address, CallError, Client, Settings};

/// Calls under way at once: more than any load has.
const MAX_CALLS: usize = 16_384;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) value: String,
    pub(crate) served_by: String,
}

/// A client of one method of one service.
pub(crate) struct Motan {
    client: Client,
    path: String,
    method: String,
    group: Option<String>,
}

impl Motan {
    /// Calls are waited for at most `patience`; one that can't be sent at once is sent as soon as somebody listens.
    pub(crate) fn new(
        via: Address,
        path: String,
        method: String,
        group: Option<String>,
        patience: Duration,
    ) -> Self {
        let settings = Settings {
            patience,
            max_calls: MAX_CALLS,
            ..Settings::default()
        };
        Self {
            client: Client::new(via, settings),
            path,
            method,
            group,
        }
    }

    /// Calls with one string.
    pub(crate) async fn call(&self, argument: &str) -> Result<Answer, CallError> {
        let mut request = self.client.request(&self.path, &self.method, (argument,));
        if let Some(group) = &self.group {
            request = request.group(group);
        }
        let answer = request.answer().await?;
        let bytes: Option<Vec<u8>> = answer.value()?;
        Ok(Answer {
            value: String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned(),
            served_by: answer.meta("servedBy").unwrap_or("unknown").to_owned(),
        })
    }
}
