//! Paths of HTTP services: which of them lead to a service whose host others share, and what a program gets instead of
//! them (motan-wire.md 7.6). Paths are compared decoded and normalised. Expressions are of the regex crate's syntax,
//! which is RE2's: no look-around, no back references, linear time.

use regex::bytes::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use crate::HostName;

/// The most locations of a service, and the most rewrites.
pub const MAX_LOCATIONS: usize = 32;
/// The longest text of a path, an expression or a replacement, in bytes.
const MAX_TEXT: usize = 512;
/// What a compiled expression may take, in bytes: a plan may have many.
const MAX_COMPILED: usize = 256 * 1024;

/// How a path is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MatchKind {
    /// It is this path.
    Exact,
    /// It begins with this.
    #[default]
    Start,
    /// This expression is found in it.
    Regexp,
    /// The same, whatever the case.
    Iregexp,
    /// As `Regexp`; of a rewrite, `{name}` in the replacement is the query parameter of that name.
    RegexpVar,
}

impl MatchKind {
    /// The word used in YAML and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Start => "start",
            Self::Regexp => "regexp",
            Self::Iregexp => "iregexp",
            Self::RegexpVar => "regexpVar",
        }
    }
}

/// What a path is compared with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathMatch {
    kind: MatchKind,
    text: Box<str>,
}

impl PathMatch {
    /// Checks and keeps it.
    ///
    /// # Errors
    /// A path that no request can have, or text that is no expression.
    pub fn new(kind: MatchKind, text: impl Into<String>) -> Result<Self, InvalidMatch> {
        let text = text.into();
        match kind {
            MatchKind::Exact | MatchKind::Start => check_path(&text)?,
            MatchKind::Regexp | MatchKind::Iregexp | MatchKind::RegexpVar => drop(compile(kind, &text)?),
        }
        Ok(Self {
            kind,
            text: text.into(),
        })
    }

    /// How it is compared.
    #[must_use]
    pub const fn kind(&self) -> MatchKind {
        self.kind
    }

    /// With what.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its expression; `None` where it is a path.
    #[must_use]
    pub fn expression(&self) -> Option<Regex> {
        match self.kind {
            MatchKind::Exact | MatchKind::Start => None,
            kind => compile(kind, &self.text).ok(),
        }
    }
}

impl std::fmt::Display for PathMatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.text)
    }
}

/// Text that is no path and no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMatch {
    /// A path that no request can have.
    #[error(
        "match {0:?}: must be a path from \"/\" on, of at most 512 bytes, without white space, empty segments, \".\" or \"..\""
    )]
    Path(String),
    /// Not an expression, or one that grows too large.
    #[error("{text:?} is not a regular expression (RE2 syntax, at most 512 bytes): {why}")]
    Expression {
        /// The text.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing, or too much, to put in.
    #[error("replacement {0:?}: must have from 1 to 512 bytes, without control characters")]
    Replacement(String),
    /// A kind that means something only with a replacement.
    #[error("type regexpVar is for rewrites: write regexp")]
    Variables,
}

fn check_path(text: &str) -> Result<(), InvalidMatch> {
    let refused = || InvalidMatch::Path(text.to_owned());
    let rest = text.strip_prefix('/').ok_or_else(refused)?;
    let mut segments: Vec<&str> = rest.split('/').collect();
    segments.pop_if(|last| last.is_empty()); // a final slash
    let is_fine = text.len() <= MAX_TEXT
        && !text.bytes().any(|byte| byte <= b' ' || byte == 0x7f)
        && segments
            .iter()
            .all(|segment| !matches!(*segment, "" | "." | ".."));
    is_fine.then_some(()).ok_or_else(refused)
}

fn compile(kind: MatchKind, text: &str) -> Result<Regex, InvalidMatch> {
    let refused = |why: String| InvalidMatch::Expression {
        text: text.to_owned(),
        why,
    };
    if text.is_empty() || text.len() > MAX_TEXT {
        return Err(refused(format!("it has {} bytes", text.len())));
    }
    RegexBuilder::new(text)
        .case_insensitive(kind == MatchKind::Iregexp)
        .size_limit(MAX_COMPILED)
        .dfa_size_limit(MAX_COMPILED)
        .build()
        .map_err(|error| {
            let why = error.to_string();
            refused(why.lines().last().unwrap_or_default().trim().to_owned())
        })
}

/// A part of a host: the paths of it that lead to one service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "RawLocation", into = "RawLocation")]
pub struct Location {
    /// The host.
    pub host: HostName,
    /// Which of its paths.
    pub paths: PathMatch,
}

impl Location {
    /// A part of a host.
    ///
    /// # Errors
    /// As [`PathMatch::new`].
    pub fn new(host: HostName, kind: MatchKind, text: impl Into<String>) -> Result<Self, InvalidMatch> {
        if kind == MatchKind::RegexpVar {
            return Err(InvalidMatch::Variables);
        }
        let paths = PathMatch::new(kind, text)?;
        Ok(Self { host, paths })
    }

    /// All of a host that nothing else takes: what a service has of a host that it does not share by path.
    #[must_use]
    pub fn whole(host: HostName) -> Self {
        let paths = PathMatch {
            kind: MatchKind::Start,
            text: Box::from("/"),
        };
        Self { host, paths }
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.host, self.paths)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawLocation {
    host: HostName,
    #[serde(rename = "match")]
    text: String,
    #[serde(default, rename = "type")]
    kind: MatchKind,
}

impl TryFrom<RawLocation> for Location {
    type Error = InvalidMatch;
    fn try_from(raw: RawLocation) -> Result<Self, InvalidMatch> {
        let RawLocation { host, text, kind } = raw;
        Self::new(host, kind, text)
    }
}

impl From<Location> for RawLocation {
    fn from(location: Location) -> Self {
        let Location { host, paths } = location;
        Self {
            host,
            text: paths.text.into(),
            kind: paths.kind,
        }
    }
}

/// What a program gets instead of the path that was asked for. Of several the first whose condition holds and whose
/// pattern is found counts; the new path is the replacement alone, with `$1` and the like filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawRewrite", into = "RawRewrite")]
pub struct Rewrite {
    condition: PathMatch,
    not: bool,
    pattern: PathMatch,
    replacement: Box<str>,
}

impl Rewrite {
    /// Checks and keeps it; with `not` the condition must not hold.
    ///
    /// # Errors
    /// A condition, pattern or replacement that can't be.
    pub fn new(
        condition: PathMatch,
        not: bool,
        pattern: impl Into<String>,
        replacement: impl Into<String>,
    ) -> Result<Self, InvalidMatch> {
        let replacement = replacement.into();
        if replacement.is_empty()
            || replacement.len() > MAX_TEXT
            || replacement.bytes().any(|byte| byte < b' ' || byte == 0x7f)
        {
            return Err(InvalidMatch::Replacement(replacement));
        }
        Ok(Self {
            condition,
            not,
            pattern: PathMatch::new(MatchKind::Regexp, pattern)?,
            replacement: replacement.into(),
        })
    }

    /// Where it applies.
    #[must_use]
    pub const fn condition(&self) -> &PathMatch {
        &self.condition
    }

    /// Whether it applies where the condition does not hold.
    #[must_use]
    pub const fn not(&self) -> bool {
        self.not
    }

    /// What must be found in the path.
    #[must_use]
    pub const fn pattern(&self) -> &PathMatch {
        &self.pattern
    }

    /// What the path becomes.
    #[must_use]
    pub fn replacement(&self) -> &str {
        &self.replacement
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawRewrite {
    #[serde(rename = "match")]
    text: String,
    #[serde(default, rename = "type")]
    kind: MatchKind,
    #[serde(default, skip_serializing_if = "crate::is_default")]
    not: bool,
    pattern: String,
    replacement: String,
}

impl TryFrom<RawRewrite> for Rewrite {
    type Error = InvalidMatch;
    fn try_from(raw: RawRewrite) -> Result<Self, InvalidMatch> {
        let RawRewrite {
            text,
            kind,
            not,
            pattern,
            replacement,
        } = raw;
        Self::new(PathMatch::new(kind, text)?, not, pattern, replacement)
    }
}

impl From<Rewrite> for RawRewrite {
    fn from(rewrite: Rewrite) -> Self {
        let Rewrite {
            condition,
            not,
            pattern,
            replacement,
        } = rewrite;
        Self {
            text: condition.text.into(),
            kind: condition.kind,
            not,
            pattern: pattern.text.into(),
            replacement: replacement.into(),
        }
    }
}
