//! One entry of a section: its keys are taken one by one, and what nobody took is told.

use std::{ops::RangeInclusive, rc::Rc};

use super::{Error, read::Text, why};

/// An entry.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) section: &'static str,
    /// Its name in the section; empty where the section is one entry.
    pub(super) id: String,
    pub(super) file: Rc<str>,
    keys: Vec<(String, Text)>,
    notes: Vec<String>,
}

/// A value for one method: `method(types).key`.
#[derive(Debug, Clone)]
pub(super) struct OfMethod {
    pub(super) method: String,
    pub(super) key: String,
    pub(super) value: Text,
}

impl Entry {
    /// An entry without keys.
    pub(super) fn empty(section: &'static str, file: &Rc<str>) -> Self {
        Self {
            section,
            id: String::new(),
            file: Rc::clone(file),
            keys: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// With this name.
    pub(super) fn named(mut self, id: &str) -> Self {
        id.clone_into(&mut self.id);
        self
    }

    /// Says something, over what was said.
    pub(super) fn put(&mut self, key: &str, value: Text) {
        match self.keys.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => *old = value,
            None => self.keys.push((key.to_owned(), value)),
        }
    }

    /// Says all that another one says.
    pub(super) fn take_over(&mut self, basic: &Self) {
        for (key, value) in &basic.keys {
            self.put(key, value.clone());
        }
    }

    /// The path of a key.
    pub(super) fn path(&self, key: &str) -> String {
        let Self { section, id, .. } = self;
        if id.is_empty() {
            return format!("{section}.{key}");
        }
        format!("{section}.{id}.{key}")
    }

    /// Where the entry is.
    pub(super) fn place(&self) -> String {
        format!("{}.{}", self.section, self.id)
    }

    /// A value, where one is said; it counts as taken.
    pub(super) fn text(&mut self, key: &str) -> Option<Text> {
        let at = self.keys.iter().position(|(known, _)| known == key)?;
        let (_, text) = self.keys.remove(at);
        (!text.value.trim().is_empty()).then_some(text)
    }

    /// A value that stays where it is.
    pub(super) fn peek(&self, key: &str) -> Option<&Text> {
        self.keys
            .iter()
            .find_map(|(known, text)| (known == key && !text.value.trim().is_empty()).then_some(text))
    }

    /// A word, where one is said.
    pub(super) fn word(&mut self, key: &str) -> Option<String> {
        self.text(key).map(|text| text.value.trim().to_owned())
    }

    /// A value that must be there.
    pub(super) fn needed(&mut self, key: &str, example: &str) -> Result<Text, Error> {
        self.text(key).ok_or_else(|| Error::Key {
            file: self.file.to_string(),
            key: self.path(key),
            what: format!("it is missing: write for example {key}: {example}"),
        })
    }

    /// A whole number in motan-go's bounds, brought into ours with a note.
    pub(super) fn number(&mut self, key: &str, bounds: RangeInclusive<u32>) -> Result<Option<u32>, Error> {
        let Some(text) = self.text(key) else {
            return Ok(None);
        };
        let number = whole(&text, &self.path(key))?;
        Ok(Some(self.bounded(key, number, bounds)))
    }

    /// A number in bounds, with a note where it was not.
    pub(super) fn bounded(&mut self, key: &str, number: u64, bounds: RangeInclusive<u32>) -> u32 {
        let (least, most) = (*bounds.start(), *bounds.end());
        let inside = u32::try_from(number).unwrap_or(u32::MAX).clamp(least, most);
        if u64::from(inside) != number {
            self.note(
                key,
                &number.to_string(),
                &format!("{inside} is written, as it must be from {least} to {most}"),
            );
        }
        inside
    }

    /// A flag, in the words that YAML and Go have for it.
    pub(super) fn flag(&mut self, key: &str) -> Result<Option<bool>, Error> {
        let Some(text) = self.text(key) else {
            return Ok(None);
        };
        match text.value.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" | "t" | "y" => Ok(Some(true)),
            "false" | "no" | "off" | "0" | "f" | "n" => Ok(Some(false)),
            other => Err(Error::Key {
                file: text.file.to_string(),
                key: self.path(key),
                what: format!("{other:?} is not true or false: write one of them"),
            }),
        }
    }

    /// The names of a list with commas.
    pub(super) fn list(&mut self, key: &str) -> Vec<String> {
        let text = self.text(key).map(|text| text.value).unwrap_or_default();
        text.split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// Every value of this key for a single method, in the order written.
    pub(super) fn of_methods(&mut self, wanted: &[&str]) -> Vec<OfMethod> {
        let (taken, rest) = std::mem::take(&mut self.keys)
            .into_iter()
            .partition::<Vec<_>, _>(|(key, _)| method_key(key).is_some_and(|(_, key)| wanted.contains(&key)));
        self.keys = rest;
        taken
            .into_iter()
            .filter_map(|(key, value)| {
                let (method, key) = method_key(&key)?;
                Some(OfMethod {
                    method: method.to_owned(),
                    key: key.to_owned(),
                    value,
                })
            })
            .collect()
    }

    /// Every value whose key begins like this, with what follows it.
    pub(super) fn beginning(&mut self, start: &str) -> Vec<(String, Text)> {
        let (taken, rest) = std::mem::take(&mut self.keys)
            .into_iter()
            .partition::<Vec<_>, _>(|(key, _)| key.len() > start.len() && key.starts_with(start));
        self.keys = rest;
        taken
            .into_iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(start)?.to_owned(), value)))
            .collect()
    }

    /// Says something about a key.
    pub(super) fn note(&mut self, key: &str, value: &str, what: &str) {
        let path = self.path(key);
        self.notes.push(line(&path, value, what));
    }

    /// Says something about the whole entry.
    pub(super) fn remark(&mut self, what: &str) {
        let place = self.place();
        self.notes
            .push(format!("{}: {what}", printable(place.trim_end_matches('.'))));
    }

    /// What people should know: the notes, and a line for each key that nobody took.
    pub(super) fn told(self) -> Vec<String> {
        let Self {
            section,
            id,
            keys,
            mut notes,
            ..
        } = self;
        for (key, Text { value, .. }) in keys {
            let path = if id.is_empty() {
                format!("{section}.{key}")
            } else {
                format!("{section}.{id}.{key}")
            };
            notes.push(line(&path, &value, why::without(section, &key)));
        }
        notes
    }
}

/// The method and the key of `method(types).key`.
fn method_key(key: &str) -> Option<(&str, &str)> {
    let (method, rest) = key.split_once('(')?;
    let (_, key) = rest.split_once(").")?;
    Some((method, key))
}

/// A whole number, or the error that names it.
pub(super) fn whole(text: &Text, path: &str) -> Result<u64, Error> {
    text.value.trim().parse().map_err(|_| Error::Key {
        file: text.file.to_string(),
        key: path.to_owned(),
        what: format!(
            "{:?} is not a whole number: write one, for example 1000",
            text.value
        ),
    })
}

const SHOWN: usize = 80; // a comment is to be read, not to hold a value

/// A line about a key; what the configuration says can't end it.
pub(super) fn line(path: &str, value: &str, what: &str) -> String {
    let mut shown = printable(value);
    if shown.chars().count() > SHOWN {
        shown = shown.chars().take(SHOWN).collect::<String>() + "…";
    }
    format!("{} ({shown}): {what}", printable(path))
}

fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\u{2028}' | '\u{2029}' | '\u{feff}' => ' ', // YAML ends a line at some of them
            c if c.is_control() => ' ',
            c => c,
        })
        .collect()
}
