//! What a program gets instead of the path that was asked for (motan-wire 7.6).

use plan::{MatchKind, PathMatch};
use regex::bytes::{Captures, Regex};

use crate::http::path;

/// The rewrites of one export, in their order.
#[derive(Debug, Default)]
pub struct Rewrites(Box<[Rewrite]>);

#[derive(Debug)]
struct Rewrite {
    condition: Condition,
    not: bool,
    pattern: Regex,
    replacement: Box<[u8]>,
    /// `{name}` in the new path is a parameter of the query.
    has_variables: bool,
}

#[derive(Debug)]
enum Condition {
    Exact(Box<[u8]>),
    Start(Box<[u8]>),
    Found(Regex),
}

impl Rewrites {
    pub(super) fn new(declared: &[plan::Rewrite]) -> Self {
        Self(declared.iter().filter_map(Rewrite::new).collect())
    }

    /// The request target that the program gets instead of this one, of path and query as they came; `None` where it stays.
    /// The query stays as it is.
    #[must_use]
    pub fn target(&self, path_came: &str, query: Option<&str>) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let asked = path::normal(path_came.as_bytes());
        let new = self.0.iter().find_map(|rewrite| rewrite.apply(&asked, query))?;
        let mut target = path::encode(&path::resolve(&new));
        if let Some(query) = query {
            target.push('?');
            target.push_str(query);
        }
        Some(target)
    }
}

impl Rewrite {
    /// `None` for what a plan can't hold.
    fn new(declared: &plan::Rewrite) -> Option<Self> {
        Some(Self {
            condition: Condition::new(declared.condition())?,
            not: declared.not(),
            pattern: declared.pattern().expression()?,
            replacement: Box::from(declared.replacement().as_bytes()),
            has_variables: declared.condition().kind() == MatchKind::RegexpVar,
        })
    }

    fn apply(&self, path: &[u8], query: Option<&str>) -> Option<Vec<u8>> {
        if self.condition.holds(path) == self.not {
            return None;
        }
        let found: Captures<'_> = self.pattern.captures(path)?;
        let mut new = Vec::new();
        found.expand(&self.replacement, &mut new);
        Some(if self.has_variables {
            fill(&new, query.unwrap_or_default())
        } else {
            new
        })
    }
}

impl Condition {
    fn new(declared: &PathMatch) -> Option<Self> {
        let text = || Box::from(declared.text().as_bytes());
        Some(match declared.kind() {
            MatchKind::Exact => Self::Exact(text()),
            MatchKind::Start => Self::Start(text()),
            MatchKind::Regexp | MatchKind::Iregexp | MatchKind::RegexpVar => {
                Self::Found(declared.expression()?)
            }
        })
    }

    fn holds(&self, path: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => **exact == *path,
            Self::Start(start) => path.starts_with(start),
            Self::Found(expression) => expression.is_match(path),
        }
    }
}

/// Puts query parameters in the place of `{name}`; one that is not there leaves nothing.
fn fill(text: &[u8], query: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.iter().position(|byte| *byte == b'{') {
        let Some(length) = rest[open..].iter().position(|byte| *byte == b'}') else {
            break;
        };
        out.extend_from_slice(&rest[..open]);
        let name = &rest[open + 1..open + length];
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        if let Some((_, value)) = pairs.find(|(key, _)| key.as_bytes() == name) {
            out.extend_from_slice(value.as_bytes());
        }
        rest = &rest[open + length + 1..];
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewrites(json: &str) -> Rewrites {
        let declared: Vec<plan::Rewrite> = serde_json::from_str(json).unwrap();
        Rewrites::new(&declared)
    }

    #[test]
    fn the_first_that_applies_gives_the_path_and_the_query_stays() {
        let rewrites = rewrites(
            r#"[{"match": "/test/rw", "pattern": "^/test/(.*)", "replacement": "/new/$1"},
            {"match": "/exact", "type": "exact", "pattern": "x", "replacement": "/y"},
            {"match": "/EXACT", "type": "iregexp", "pattern": "^/(\\w+)/(\\w+)$", "replacement": "/$2/${1}s"},
            {"match": "^/v/", "type": "regexpVar", "pattern": "^/v/(.*)", "replacement": "/u/{id}/$1{none}"},
            {"match": "/kept", "not": true, "pattern": "^/only(.*)", "replacement": "$1"}]"#,
        );
        let rows = [
            ("/test/rw/b", Some("x=1&y=%20"), Some("/new/rw/b?x=1&y=%20")),
            ("/test/other", None, None),
            ("/exact", None, Some("/y")),
            ("/exact/b", None, Some("/b/exacts")),
            ("/exact/b/c", None, None),
            ("/v/a%20b", Some("id=7%2F8"), Some("/u/7/8/a%20b?id=7%2F8")),
            ("/v/a", Some("id=../../etc"), Some("/etc/a?id=../../etc")),
            ("/v/a", None, Some("/u/a")),
            ("/only/this", None, Some("/this")),
            ("/only", None, Some("/")),
            ("/kept/only", None, None),
        ];
        for (path, query, expected) in rows {
            assert_eq!(
                rewrites.target(path, query).as_deref(),
                expected,
                "{path} {query:?}"
            );
        }
    }
}
