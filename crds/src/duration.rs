//! `500ms`, `2s`: how durations are written.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A timeout: a whole number and `ms`, `s`, `m` or `h`; from 1 ms to 1 h. Kept as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timeout {
    text: String,
    millis: u32,
}

/// A timeout that can't be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidTimeout(String);

impl fmt::Display for InvalidTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a duration from 1ms to 1h such as 500ms or 2s",
            self.0
        )
    }
}

impl std::error::Error for InvalidTimeout {}

const MAX_MILLIS: u64 = 3_600_000; // one hour: longer waits are streams, not calls
const PATTERN: &str = "^[1-9][0-9]{0,6}(ms|s|m|h)$";

impl Timeout {
    /// Milliseconds, from 1 to 3 600 000.
    #[must_use]
    pub const fn millis(&self) -> u32 {
        self.millis
    }

    /// As a duration.
    #[must_use]
    pub const fn duration(&self) -> Duration {
        Duration::from_millis(self.millis as u64)
    }
}

impl FromStr for Timeout {
    type Err = InvalidTimeout;

    fn from_str(text: &str) -> Result<Self, InvalidTimeout> {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let scale = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => 0,
        };
        number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(scale))
            .filter(|millis| (1..=MAX_MILLIS).contains(millis))
            .and_then(|millis| u32::try_from(millis).ok())
            .map(|millis| Self {
                text: text.to_owned(),
                millis,
            })
            .ok_or_else(|| InvalidTimeout(text.to_owned()))
    }
}

impl TryFrom<String> for Timeout {
    type Error = InvalidTimeout;
    fn try_from(text: String) -> Result<Self, InvalidTimeout> {
        text.parse()
    }
}

impl From<Timeout> for String {
    fn from(timeout: Timeout) -> Self {
        timeout.text
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl JsonSchema for Timeout {
    fn schema_name() -> Cow<'static, str> {
        "Timeout".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": PATTERN,
            "maxLength": 9,
            "x-kubernetes-validations": [{
                "rule": "duration(self) <= duration('1h')",
                "message": "a timeout is at most 1h; write for example 500ms or 2s",
            }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_kept_as_written() {
        for (text, millis) in [
            ("1ms", 1),
            ("500ms", 500),
            ("2s", 2_000),
            ("1m", 60_000),
            ("1h", 3_600_000),
        ] {
            let timeout: Timeout = text.parse().unwrap();
            assert_eq!((timeout.millis(), timeout.to_string().as_str()), (millis, text));
        }
        for text in [
            "",
            "0ms",
            "5",
            "1.5s",
            "-1s",
            "61m",
            "2h",
            "1d",
            "99999999999999999999ms",
            "ms",
        ] {
            assert!(text.parse::<Timeout>().is_err(), "{text}");
        }
    }
}
