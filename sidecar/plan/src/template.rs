//! Path templates, in the syntax of `google.api.http`: `/users/{id}`, `/files/{name=**}`, `/v1/{book=shelves/*/books/*}`,
//! `/jobs/{id}:cancel`. Parsed once; matched by the sidecar.

use serde::{Deserialize, Serialize};

/// The longest template, in bytes: longer than any that people write, short enough to be compared at every call.
pub const MAX_TEMPLATE: usize = 512;
/// The most segments of a template.
const MAX_SEGMENTS: usize = 32;

/// A path template.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template {
    text: Box<str>,
    segments: Vec<Segment>,
    verb: Option<Box<str>>,
    variables: Vec<Variable>,
}

/// One segment of a template. Ordered as segments take precedence: the more exact one first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// This text, decoded.
    Literal(Box<str>),
    /// Any one segment that is not empty: `*`.
    One,
    /// All segments that are left, also none: `**`. The last of a template.
    Rest,
}

/// What a template captures.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Variable {
    /// Its name: identifiers, divided by dots.
    pub name: Box<str>,
    /// The first segment that it covers.
    pub from: usize,
    /// The segment after the last one that it covers.
    pub to: usize,
}

/// A template that can't be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("path {template:?}: {rule}")]
pub struct InvalidTemplate {
    template: String,
    rule: String,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What does not follow the syntax; the message names the mend.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidTemplate> {
        let text = text.into();
        let mut parser = Parser::default();
        match parser.template(&text) {
            Ok(verb) => {
                let verb = verb.map(Box::from);
                Ok(Self {
                    segments: parser.segments,
                    variables: parser.variables,
                    verb,
                    text: text.into_boxed_str(),
                })
            }
            Err(rule) => Err(InvalidTemplate { template: text, rule }),
        }
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its segments, in their order.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// What follows the last segment behind a colon.
    #[must_use]
    pub fn verb(&self) -> Option<&str> {
        self.verb.as_deref()
    }

    /// What it captures, in the order written.
    #[must_use]
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// What decides which paths it matches: two templates of one shape match the same paths.
    #[must_use]
    pub fn shape(&self) -> (&[Segment], Option<&str>) {
        (&self.segments, self.verb())
    }
}

impl std::fmt::Display for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Template {
    type Error = InvalidTemplate;
    fn try_from(text: String) -> Result<Self, InvalidTemplate> {
        Self::new(text)
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.text.into()
    }
}

#[derive(Default)]
struct Parser {
    segments: Vec<Segment>,
    variables: Vec<Variable>,
}

impl Parser {
    /// Reads all of it; gives the verb.
    fn template<'t>(&mut self, text: &'t str) -> Result<Option<&'t str>, String> {
        if text.len() > MAX_TEMPLATE {
            return Err(format!(
                "it has {} bytes; at most {MAX_TEMPLATE} are taken",
                text.len()
            ));
        }
        let Some(mut rest) = text.strip_prefix('/') else {
            return Err("it must begin with /".to_owned());
        };
        if rest.is_empty() {
            return Ok(None); // the root
        }
        let verb;
        loop {
            let after = match rest.strip_prefix('{') {
                Some(inside) => self.variable(inside)?,
                None => {
                    let (segment, after) = rest.split_at(rest.find(['/', ':']).unwrap_or(rest.len()));
                    self.segment(segment)?;
                    after
                }
            };
            if let Some(after) = after.strip_prefix('/') {
                rest = after;
                continue;
            }
            verb = match after.strip_prefix(':') {
                Some(verb) => {
                    literal(verb)?;
                    Some(verb)
                }
                None if after.is_empty() => None,
                None => {
                    return Err(format!(
                        "{after:?} can't follow a variable: write / or : behind }}"
                    ));
                }
            };
            break;
        }
        let inner = self.segments.len().saturating_sub(1);
        if self.segments[..inner].contains(&Segment::Rest) {
            return Err("** must be the last segment".to_owned());
        }
        Ok(verb)
    }

    /// Reads `name}` or `name=segments}`; gives what follows.
    fn variable<'t>(&mut self, inside: &'t str) -> Result<&'t str, String> {
        let Some((variable, after)) = inside.split_once('}') else {
            return Err("{ has no }".to_owned());
        };
        let (name, pattern) = variable.split_once('=').unwrap_or((variable, "*"));
        if !name.split('.').all(is_identifier) {
            return Err(format!(
                "variable {name:?}: write letters, digits and _, not a digit first; a dot between fields"
            ));
        }
        if self.variables.iter().any(|variable| &*variable.name == name) {
            return Err(format!("variable {name} is there twice"));
        }
        let from = self.segments.len();
        for segment in pattern.split('/') {
            self.segment(segment)?;
        }
        self.variables.push(Variable {
            name: name.into(),
            from,
            to: self.segments.len(),
        });
        Ok(after)
    }

    fn segment(&mut self, text: &str) -> Result<(), String> {
        let segment = match text {
            "*" => Segment::One,
            "**" => Segment::Rest,
            text => {
                literal(text)?;
                Segment::Literal(text.into())
            }
        };
        self.segments.push(segment);
        if self.segments.len() > MAX_SEGMENTS {
            return Err(format!("it has more than {MAX_SEGMENTS} segments"));
        }
        Ok(())
    }
}

fn is_identifier(text: &str) -> bool {
    let is_start = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    text.bytes().next().as_ref().is_some_and(is_start)
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Text of a segment stands for itself, decoded: no escape and nothing that has a meaning in templates or URLs.
fn literal(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("a segment or verb is empty: // and a final / match nothing".to_owned());
    }
    if text == "." || text == ".." {
        return Err(format!("segment {text:?}: callers never send it as it is"));
    }
    match text.chars().find(|character| {
        character.is_control()
            || character.is_whitespace()
            || matches!(character, '{' | '}' | '*' | '?' | '#' | '%' | ':' | '=')
    }) {
        None => Ok(()),
        Some(character) => Err(format!(
            "{character:?} in segment {text:?}: a segment is text, *, ** or one {{variable}}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_template_is_segments_variables_and_a_verb() {
        let template = Template::new("/v1/{book.name=shelves/*/books/*}/{page}:read").unwrap();
        let literal = |text: &str| Segment::Literal(text.into());
        assert_eq!(
            template.segments(),
            [
                literal("v1"),
                literal("shelves"),
                Segment::One,
                literal("books"),
                Segment::One,
                Segment::One
            ]
        );
        assert_eq!(template.verb(), Some("read"));
        let variables: Vec<_> = template
            .variables()
            .iter()
            .map(|variable| (&*variable.name, variable.from, variable.to))
            .collect();
        assert_eq!(variables, [("book.name", 1, 5), ("page", 5, 6)]);
        assert!(Template::new("/").unwrap().segments().is_empty());
        assert_eq!(
            Template::new("/a/{rest=**}").unwrap().segments()[1],
            Segment::Rest
        );
    }

    #[test]
    fn what_is_no_template_is_refused_with_its_mend() {
        let rows = [
            ("", "must begin with /"),
            ("users", "must begin with /"),
            ("/a//b", "is empty"),
            ("/a/", "is empty"),
            ("/{id", "has no }"),
            ("/{1d}", "variable \"1d\""),
            ("/{a.}", "variable \"a.\""),
            ("/{a}/{a}", "twice"),
            ("/{a}b", "can't follow a variable"),
            ("/a{b}", "in segment"),
            ("/**/a", "last segment"),
            ("/{x=**}/a", "last segment"),
            ("/a?b", "in segment"),
            ("/a%20", "in segment"),
            ("/a/../b", "never send"),
            ("/a:", "is empty"),
        ];
        for (text, words) in rows {
            let error = Template::new(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
        assert!(Template::new(format!("/{}", "a".repeat(MAX_TEMPLATE))).is_err());
        assert!(Template::new("/a".repeat(MAX_SEGMENTS + 1)).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_reads_the_same_again(text in "[/a-c{}=*:.%]{0,24}|.{0,24}") {
            if let Ok(template) = Template::new(text.clone()) {
                prop_assert_eq!(template.as_str(), &text);
                prop_assert_eq!(Template::new(template.as_str()).unwrap(), template);
            }
        }
    }
}
