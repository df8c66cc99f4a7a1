//! Label selectors, read once into requirements that can't be wrong; matching is exactly Kubernetes' own.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

/// The labels of an object.
pub type Labels = BTreeMap<Box<str>, Box<str>>;

/// Which objects are meant, by label. All requirements must hold, and there is at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector(Box<[Requirement]>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: Box<str>,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    In(Box<[Box<str>]>),
    NotIn(Box<[Box<str>]>),
    Exists,
    DoesNotExist,
}

/// A selector that can't be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSelector {
    /// It would mean every pod.
    #[error("selector: name at least one label of the pods, for example matchLabels: {{app: user}}")]
    Empty,
    /// A word Kubernetes doesn't have.
    #[error(
        "selector.matchExpressions: operator {0:?} of key {1:?} must be In, NotIn, Exists or DoesNotExist"
    )]
    Operator(String, String),
    /// `In` and `NotIn` need values.
    #[error("selector.matchExpressions: {0} of key {1:?} needs at least one value")]
    NoValues(String, String),
    /// `Exists` and `DoesNotExist` take none.
    #[error("selector.matchExpressions: {0} of key {1:?} takes no values; remove them, or write In")]
    NeedlessValues(String, String),
    /// Not a label's key.
    #[error(
        "selector: {0:?} can't be the key of a label: write [prefix/]name, letters, digits, '-', '_', '.'"
    )]
    Key(String),
    /// Not a label's value.
    #[error("selector: {0:?} can't be the value of a label: at most 63 letters, digits, '-', '_', '.'")]
    Value(String),
}

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    /// What is wrong with it, with the field and the mend.
    pub fn read(selector: &LabelSelector) -> Result<Self, InvalidSelector> {
        let mut requirements = Vec::new();
        for (key, value) in selector.match_labels.iter().flatten() {
            let test = Test::In([checked_value(value)?].into());
            requirements.push(Requirement {
                key: checked_key(key)?,
                test,
            });
        }
        for expression in selector.match_expressions.iter().flatten() {
            requirements.push(Requirement::read(expression)?);
        }
        if requirements.is_empty() {
            return Err(InvalidSelector::Empty);
        }
        Ok(Self(requirements.into()))
    }

    /// Whether an object with these labels is meant.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| {
            let value = labels.get(&requirement.key);
            match &requirement.test {
                Test::In(values) => value.is_some_and(|value| values.contains(value)),
                Test::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
                Test::Exists => value.is_some(),
                Test::DoesNotExist => value.is_none(),
            }
        })
    }
}

impl Requirement {
    fn read(expression: &LabelSelectorRequirement) -> Result<Self, InvalidSelector> {
        let LabelSelectorRequirement {
            key,
            operator,
            values,
        } = expression;
        let values = values.as_deref().unwrap_or_default();
        let listed = || -> Result<Box<[Box<str>]>, InvalidSelector> {
            if values.is_empty() {
                return Err(InvalidSelector::NoValues(operator.clone(), key.clone()));
            }
            values.iter().map(|value| checked_value(value)).collect()
        };
        let test = match operator.as_str() {
            "In" => Test::In(listed()?),
            "NotIn" => Test::NotIn(listed()?),
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                return Err(InvalidSelector::NeedlessValues(operator.clone(), key.clone()));
            }
            "Exists" => Test::Exists,
            "DoesNotExist" => Test::DoesNotExist,
            _ => return Err(InvalidSelector::Operator(operator.clone(), key.clone())),
        };
        Ok(Self {
            key: checked_key(key)?,
            test,
        })
    }
}

const MAX_PART: usize = 63; // Kubernetes: a label's name and its value
const MAX_PREFIX: usize = 253; // Kubernetes: a DNS subdomain

fn checked_key(key: &str) -> Result<Box<str>, InvalidSelector> {
    let fine = match key.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_part(name),
        None => is_part(key),
    };
    if fine {
        Ok(key.into())
    } else {
        Err(InvalidSelector::Key(key.to_owned()))
    }
}

fn checked_value(value: &str) -> Result<Box<str>, InvalidSelector> {
    if value.is_empty() || is_part(value) {
        Ok(value.into())
    } else {
        Err(InvalidSelector::Value(value.to_owned()))
    }
}

fn is_part(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= MAX_PART
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn is_subdomain(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    };
    text.len() <= MAX_PREFIX && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(selector: Value) -> Result<Selector, InvalidSelector> {
        Selector::read(&serde_json::from_value(selector).unwrap())
    }

    fn matches(selector: Value, labels: &[(&str, &str)]) -> bool {
        let labels = labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        read(selector).unwrap().matches(&labels)
    }

    #[test]
    fn every_operator_means_what_kubernetes_means() {
        let one = |operator: &str, values: Value| json!({"matchExpressions": [{"key": "tier", "operator": operator, "values": values}]});
        for (selector, here, other, absent) in [
            (json!({"matchLabels": {"tier": "web"}}), true, false, false),
            (one("In", json!(["web", "edge"])), true, false, false),
            (one("NotIn", json!(["web", "edge"])), false, true, true),
            (one("Exists", json!([])), true, true, false),
            (one("DoesNotExist", json!(null)), false, false, true),
        ] {
            assert_eq!(matches(selector.clone(), &[("tier", "web")]), here, "{selector}");
            assert_eq!(
                matches(selector.clone(), &[("tier", "db"), ("app", "x")]),
                other,
                "{selector}"
            );
            assert_eq!(matches(selector.clone(), &[("app", "x")]), absent, "{selector}");
        }
    }

    #[test]
    fn all_requirements_must_hold() {
        let both = json!({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "canary", "operator": "DoesNotExist"}]});
        assert!(matches(both.clone(), &[("app", "web")]));
        assert!(!matches(both, &[("app", "web"), ("canary", "")]));
    }

    #[test]
    fn what_kubernetes_refuses_is_refused() {
        for (selector, words) in [
            (json!({}), "at least one label"),
            (json!({"matchLabels": {"a b": "c"}}), "key of a label"),
            (json!({"matchLabels": {"UPPER.example/a": "c"}}), "key of a label"),
            (json!({"matchLabels": {"a": "-c"}}), "value of a label"),
            (
                json!({"matchExpressions": [{"key": "a", "operator": "in", "values": ["b"]}]}),
                "must be In",
            ),
            (
                json!({"matchExpressions": [{"key": "a", "operator": "In"}]}),
                "at least one value",
            ),
            (
                json!({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}),
                "takes no values",
            ),
        ] {
            let error = read(selector.clone()).unwrap_err().to_string();
            assert!(error.contains(words), "{selector}: {error}");
        }
        assert!(read(json!({"matchLabels": {"app.kubernetes.io/name": ""}})).is_ok());
    }
}
