//! Names of objects: from what Motan calls a service, so that its providers' import and its callers' agree.

use std::collections::{BTreeMap, BTreeSet};

use super::Error;

const LONGEST: usize = 63; // a label of DNS

/// How Motan names a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MotanName {
    pub(super) group: Option<String>,
    pub(super) path: String,
}

/// The names that are given.
#[derive(Debug, Default)]
pub(super) struct Names {
    given: BTreeMap<MotanName, String>,
    taken: BTreeSet<String>,
}

impl Names {
    /// The name of a service: the last part of its path; where another one has that, its group is added.
    pub(super) fn of(&mut self, motan: &MotanName) -> String {
        if let Some(name) = self.given.get(motan) {
            return name.clone();
        }
        let last = motan.path.trim_matches(['.', '/']);
        let last = last.rsplit(['.', '/']).next().unwrap_or_default();
        let short = label(last);
        let long = label(&format!("{short}-{}", motan.group.as_deref().unwrap_or_default()));
        let numbered = (2_u32..).map(|number| {
            let room = LONGEST.saturating_sub(12); // a hyphen and any number
            format!("{}-{number}", long.get(..room).unwrap_or(&long))
        });
        let mut free = [short, long.clone()].into_iter().chain(numbered);
        let name = free
            .find(|name| !self.taken.contains(name))
            .unwrap_or_else(|| long.clone());
        self.taken.insert(name.clone());
        self.given.insert(motan.clone(), name.clone());
        name
    }
}

/// Words as a label of DNS: `UserService` is `user-service`.
pub(super) fn label(words: &str) -> String {
    let mut label = String::new();
    let mut after_small = false;
    for c in words.chars() {
        if !c.is_ascii_alphanumeric() {
            after_small = false;
            if !label.is_empty() && !label.ends_with('-') {
                label.push('-');
            }
            continue;
        }
        if c.is_ascii_uppercase() && after_small {
            label.push('-');
        }
        after_small = c.is_ascii_lowercase() || c.is_ascii_digit();
        label.push(c.to_ascii_lowercase());
    }
    label.truncate(LONGEST);
    let label = label.trim_end_matches('-');
    match label.chars().next() {
        None => "service".to_owned(),
        // The name of a Service of Kubernetes begins with a letter.
        Some('0'..='9') => label_of_number(label),
        Some(_) => label.to_owned(),
    }
}

fn label_of_number(label: &str) -> String {
    let mut longer = format!("s{label}");
    longer.truncate(LONGEST);
    longer
}

/// Labels of pods, as flags say them: `KEY=VALUE`.
pub(super) fn selected(flags: &[String]) -> Result<BTreeMap<String, String>, Error> {
    flags
        .iter()
        .map(|flag| {
            let (key, value) = flag.split_once('=').unwrap_or_default();
            if key.is_empty() || !is_label_value(value) {
                return Err(Error::Flag {
                    flag: "--selector",
                    what: format!("{flag:?} is no label: write KEY=VALUE, for example app=web"),
                });
            }
            Ok((key.to_owned(), value.to_owned()))
        })
        .collect()
}

/// Whether Kubernetes takes it as the value of a label.
pub(super) fn is_label_value(value: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    value.len() <= LONGEST
        && edge(value.chars().next())
        && edge(value.chars().last())
        && value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_last_part_of_the_path_and_the_group_where_that_is_taken() {
        let mut names = Names::default();
        for (path, group, name) in [
            ("com.example.UserService", "web", "user-service"),
            ("com.example.UserService", "web", "user-service"),
            ("org.other.UserService", "web", "user-service-web"),
            ("org.third.UserService", "web", "user-service-web-2"),
            ("/2/statuses", "web", "statuses"),
            ("2statuses", "web", "s2statuses"),
            ("用户", "web", "service"),
            ("com.example.HTTPProxy", "web", "httpproxy"),
        ] {
            let motan = MotanName {
                group: Some(group.to_owned()),
                path: path.to_owned(),
            };
            assert_eq!(names.of(&motan), name, "{path}");
        }
    }

    #[test]
    fn a_label_fits_wherever_kubernetes_wants_one() {
        let long = "A".repeat(200);
        for words in ["", "-", "a--b", "Ünder_score", "x.", "9", &long] {
            let label = label(words);
            assert!(is_label_value(&label) && !label.contains(['_', '.']), "{label}");
            assert!(label.starts_with(|c: char| c.is_ascii_lowercase()), "{label}");
        }
    }
}
