//! Which calls are copied to somebody else.

use serde::{Deserialize, Serialize};

use super::{Percent, Target};

/// Which share of calls is copied, and where the copies go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mirror {
    /// Where to. What it names is in the plan.
    pub to: Target,
    /// The share.
    pub percent: Percent,
}
