//! How many calls a program takes.

use serde::{Deserialize, Serialize};

use super::{Bounded, MAX_METHODS, Millis, Pattern};

/// How many calls a program takes; the server agent refuses the others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default, try_from = "Raw")]
pub struct Limits {
    /// By all callers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// By each caller, told apart by application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_caller: Option<Rate>,
    /// At once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// Of some methods, beside those above; the first that matches counts. At most [`MAX_METHODS`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<MethodLimits>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Raw {
    rate: Option<Rate>,
    per_caller: Option<Rate>,
    concurrency: Option<Concurrency>,
    #[serde(default)]
    methods: Vec<MethodLimits>,
}

impl TryFrom<Raw> for Limits {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        if raw.methods.len() > MAX_METHODS {
            return Err(format!(
                "limits: {} methods; at most {MAX_METHODS}",
                raw.methods.len()
            ));
        }
        Ok(Self {
            rate: raw.rate,
            per_caller: raw.per_caller,
            concurrency: raw.concurrency,
            methods: raw.methods,
        })
    }
}

/// Limits of some methods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MethodLimits {
    /// Of which.
    #[serde(rename = "match")]
    pub matches: Pattern,
    /// By all callers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// At once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
}

/// So many calls a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rate {
    /// In the long run.
    pub per_second: Bounded<1, 10_000_000>,
    /// How many may come at once after a pause.
    pub burst: Bounded<1, 10_000_000>,
}

/// So many calls at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Concurrency {
    /// Calls that the program works on.
    pub at_once: Bounded<1, 1_000_000>,
    /// Where others wait; they are refused without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Queue>,
}

/// Where calls wait for others to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Queue {
    /// How many of each agent.
    pub length: Bounded<1, 100_000>,
    /// How long.
    pub timeout_ms: Millis,
}
