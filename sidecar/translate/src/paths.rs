//! Which route a path has: the more exact one first, segment by segment.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use plan::template::{Segment, Template, Variable};

/// Routes by method and path, in the order in which they take precedence.
#[derive(Debug)]
pub(crate) struct Table<T> {
    entries: Vec<Entry<T>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

#[derive(Debug)]
struct Entry<T> {
    /// In capitals.
    method: Box<str>,
    path: Template,
    route: T,
}

/// What a table has for a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'t, T> {
    /// This route, and what its template captures, in the order of its variables.
    Route(&'t T, Vec<String>),
    /// Routes for these other methods only.
    Other(String),
    /// None.
    Nothing,
}

/// Two routes for the same requests.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{method} {first} and {method} {second} are for the same requests: remove one")]
pub struct Conflict {
    method: String,
    first: String,
    second: String,
}

impl<T> Table<T> {
    /// Sorts routes.
    pub(crate) fn new(routes: impl IntoIterator<Item = (String, Template, T)>) -> Result<Self, Conflict> {
        let entries = routes.into_iter().map(|(method, path, route)| Entry {
            method: method.into(),
            path,
            route,
        });
        let mut entries: Vec<Entry<T>> = entries.collect();
        // What has a verb is more exact than what has none; `Segment` is ordered by exactness.
        let key = |entry: &Entry<T>| (entry.path.verb().is_none(), entry.path.segments().to_vec());
        entries.sort_by_cached_key(|entry| (key(entry), entry.method.clone()));
        for pair in entries.windows(2) {
            if let [one, two] = pair
                && one.method == two.method
                && one.path.shape() == two.path.shape()
            {
                return Err(Conflict {
                    method: one.method.to_string(),
                    first: one.path.to_string(),
                    second: two.path.to_string(),
                });
            }
        }
        Ok(Self { entries })
    }

    /// The route of a request. HEAD has those of GET.
    pub(crate) fn find(&self, method: &str, path: &str) -> Found<'_, T> {
        let Some(asked) = Path::read(path) else {
            return Found::Nothing;
        };
        let method = if method == "HEAD" { "GET" } else { method };
        let mut others: Vec<&str> = Vec::new();
        for Entry {
            method: offered,
            path,
            route,
        } in &self.entries
        {
            if !asked.matches(path) {
                continue;
            }
            if **offered == *method {
                return Found::Route(route, asked.captures(path));
            }
            if !others.contains(&&**offered) {
                others.push(offered);
            }
        }
        if others.is_empty() {
            return Found::Nothing;
        }
        others.sort_unstable();
        let allow: Vec<&str> = others
            .iter()
            .flat_map(|method| match *method {
                "GET" => vec!["GET", "HEAD"],
                other => vec![other],
            })
            .collect();
        Found::Other(allow.join(", "))
    }

    /// All routes, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Template, &T)> {
        self.entries
            .iter()
            .map(|entry| (&*entry.method, &entry.path, &entry.route))
    }
}

/// A path, by its segments.
struct Path<'p> {
    raw: Vec<&'p str>,
    decoded: Vec<Cow<'p, str>>,
}

impl<'p> Path<'p> {
    /// `None` for what is no path, or is not text once it is decoded.
    fn read(path: &'p str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        let raw: Vec<&str> = if path.is_empty() {
            Vec::new()
        } else {
            path.split('/').collect()
        };
        let decoded = raw
            .iter()
            .map(|segment| percent_decode_str(segment).decode_utf8().ok());
        Some(Self {
            decoded: decoded.collect::<Option<_>>()?,
            raw,
        })
    }

    fn matches(&self, template: &Template) -> bool {
        let segments = template.segments();
        let is_open = segments.last() == Some(&Segment::Rest);
        let fixed = segments.len() - usize::from(is_open);
        if self.raw.len() < fixed || (self.raw.len() > fixed && !is_open) {
            return false;
        }
        if let Some(verb) = template.verb()
            && self
                .decoded
                .last()
                .and_then(|last| last.rsplit_once(':'))
                .map(|(_, said)| said)
                != Some(verb)
        {
            return false;
        }
        segments[..fixed].iter().enumerate().all(|(index, segment)| {
            let text = self.text(template, index);
            match segment {
                Segment::Literal(literal) => text == &**literal,
                Segment::One => !text.is_empty(),
                Segment::Rest => true,
            }
        })
    }

    /// A segment without the verb that the last one ends with.
    fn text(&self, template: &Template, index: usize) -> &str {
        let text = &*self.decoded[index];
        match template.verb() {
            Some(verb) if index + 1 == self.decoded.len() => &text[..text.len() - verb.len() - 1],
            _ => text,
        }
    }

    fn captures(&self, template: &Template) -> Vec<String> {
        let capture = |variable: &Variable| self.capture(template, variable);
        template.variables().iter().map(capture).collect()
    }

    fn capture(&self, template: &Template, variable: &Variable) -> String {
        let Variable { from, to, .. } = variable;
        let covered = &template.segments()[*from..*to];
        let to = match covered.last() {
            Some(Segment::Rest) => self.decoded.len(),
            _ => *to,
        };
        if matches!(covered, [Segment::One | Segment::Literal(_)]) {
            return self.text(template, *from).to_owned();
        }
        // In what spans several segments an encoded slash must not become one that divides them.
        let piece = |index: usize| {
            let text = self.text(template, index);
            match self.raw[index].to_ascii_lowercase().contains("%2f") {
                true => text.replace('/', "%2F"),
                false => text.to_owned(),
            }
        };
        (*from..to).map(piece).collect::<Vec<_>>().join("/")
    }
}

#[cfg(test)]
mod tests;
