//! HTTP: which paths of a domain are whose, and what programs get instead of them.

use crds::{Location, LocationKind, Rewrite, RewriteKind};
use plan::{HostName, MatchKind, PathMatch};

use super::{
    Error,
    read::{Map, Node, Text},
};

/// A location of a domain.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) domain: String,
    /// The path of the service that has it.
    pub(super) upstream: String,
    pub(super) location: Location,
    pub(super) rewrites: Vec<Rewrite>,
}

/// Every location of every domain, in the order written.
pub(super) fn shared(locations: &[(String, Vec<Map>)]) -> Result<Vec<Shared>, Error> {
    let mut all = Vec::new();
    for (domain, entries) in locations {
        for (number, entry) in entries.iter().enumerate() {
            let at = format!("http-locations.{domain}[{number}]");
            host(domain, entry, &at)?;
            all.push(one(domain, entry, &at)?);
        }
    }
    Ok(all)
}

/// Checks that a domain is one.
fn host(domain: &str, entry: &Map, at: &str) -> Result<(), Error> {
    HostName::new(domain).map(|_| ()).map_err(|error| Error::Key {
        file: entry.file.to_string(),
        key: at.to_owned(),
        what: format!("{error}: write the domain as it is in requests"),
    })
}

fn one(domain: &str, entry: &Map, at: &str) -> Result<Shared, Error> {
    let text = |key: &str, example: &str| match entry.get(key) {
        Some(Node::Text(text)) if !text.value.is_empty() => Ok(text.clone()),
        _ => Err(Error::Key {
            file: entry.file.to_string(),
            key: format!("{at}.{key}"),
            what: format!("it is missing: write for example {key}: {example}"),
        }),
    };
    let pattern = text("match", "/user")?;
    let upstream = text("upstream", "com.example.UserService")?.value;
    let kind = match entry.get("type") {
        Some(Node::Text(word)) => word.value.clone(),
        _ => "start".to_owned(),
    };
    let wrong = |key: &str, what: String| Error::Key {
        file: entry.file.to_string(),
        key: format!("{at}.{key}"),
        what,
    };
    let (kind, checked) = match kind.as_str() {
        "exact" => (LocationKind::Exact, MatchKind::Exact),
        "start" => (LocationKind::Start, MatchKind::Start),
        "regexp" => (LocationKind::Regexp, MatchKind::Regexp),
        "iregexp" => (LocationKind::Iregexp, MatchKind::Iregexp),
        other => {
            let what = format!("{other:?} is no way to compare: write exact, start, regexp or iregexp");
            return Err(wrong("type", what));
        }
    };
    PathMatch::new(checked, pattern.value.as_str())
        .map_err(|error| wrong("match", format!("{error}: correct it")))?;
    let rules = match entry.get("rewriteRules") {
        Some(Node::List(rules)) => &rules[..],
        None | Some(Node::Null) => &[],
        Some(Node::Text(_) | Node::Map(_)) => {
            return Err(wrong("rewriteRules", "write a list of rules".to_owned()));
        }
    };
    let rewrites = rules.iter().enumerate().map(|(number, rule)| match rule {
        Node::Text(rule) => rewrite(rule, &format!("{at}.rewriteRules[{number}]")),
        _ => Err(wrong("rewriteRules", "write each rule as one text".to_owned())),
    });
    Ok(Shared {
        domain: domain.to_owned(),
        upstream,
        location: Location {
            host: Some(domain.to_owned()),
            text: pattern.value,
            kind,
        },
        rewrites: rewrites.collect::<Result<_, _>>()?,
    })
}

/// `[!]<type> <condition> <pattern> <replacement>`.
fn rewrite(rule: &Text, at: &str) -> Result<Rewrite, Error> {
    let wrong = |what: String| Error::Key {
        file: rule.file.to_string(),
        key: at.to_owned(),
        what,
    };
    let fields: Vec<_> = rule.value.split_whitespace().collect();
    let [kind, text, pattern, replacement] = fields[..] else {
        return Err(wrong(format!(
            "{:?} must be four words: a way to compare, a path, a pattern and a replacement",
            rule.value
        )));
    };
    let (not, kind) = match kind.strip_prefix('!') {
        Some(kind) => (true, kind),
        None => (false, kind),
    };
    let (kind, checked) = match kind {
        "exact" => (RewriteKind::Exact, MatchKind::Exact),
        "start" => (RewriteKind::Start, MatchKind::Start),
        "regexp" => (RewriteKind::Regexp, MatchKind::Regexp),
        "iregexp" => (RewriteKind::Iregexp, MatchKind::Iregexp),
        "regexpVar" => (RewriteKind::RegexpVar, MatchKind::RegexpVar),
        other => {
            return Err(wrong(format!(
                "{other:?} is no way to compare: write exact, start, regexp, iregexp or regexpVar"
            )));
        }
    };
    let condition = PathMatch::new(checked, text);
    condition
        .and_then(|condition| plan::Rewrite::new(condition, not, pattern, replacement))
        .map_err(|error| wrong(format!("{error}: correct the rule, or remove it")))?;
    Ok(Rewrite {
        text: text.to_owned(),
        kind,
        not,
        pattern: pattern.to_owned(),
        replacement: replacement.to_owned(),
    })
}
