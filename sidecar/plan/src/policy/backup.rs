//! When a call is sent a second time before it is answered.

use serde::{Deserialize, Serialize};

use super::{Bounded, Millis, Percent};

/// When a call that may be repeated is sent a second time, elsewhere, before it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Backup {
    /// After how long.
    pub after: BackupAfter,
    /// The share of such calls at most.
    pub max_percent: Percent,
}

/// How long an answer is waited for before its call is sent a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BackupAfter {
    /// Always so long.
    #[serde(rename = "delayMs")]
    Delay(Millis),
    /// As long as this share of answers took of late.
    #[serde(rename = "percentile")]
    Percentile(Bounded<1, 99>),
}
