//! What a program tells of itself for others to balance by (motan-wire 8): fixed by `META_*` in the environment, and
//! changed at run time by the pages under `/meta/`. The server agent answers it to callers that ask.
//!
//! A data thread reads it without waiting: the writer replaces the whole map.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use hyper::StatusCode;
use process::admin::Answer;
use serde::Serialize;

/// What fixed keys begin with, and those that callers look at (`META_WEIGHT`).
pub const PREFIX: &str = "META_";

/// The key of the weight among other providers, 1 to 500.
pub const WEIGHT: &str = "META_WEIGHT";

/// How many pairs there may be; programs have a weight and a few tags.
const MAX_PAIRS: usize = 64;

/// The longest key or value, in bytes: the answer of all pairs stays small.
const MAX_TEXT: usize = 256;

/// Keys and values.
pub type Pairs = BTreeMap<Box<str>, Box<str>>;

/// All pairs; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Meta {
    fixed: Arc<Pairs>,
    /// Fixed pairs and those said at run time, which win. Held for the copy of an `Arc`, or to put another there.
    all: Arc<RwLock<Arc<Pairs>>>,
}

/// A pair that can't be kept.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPair {
    /// Nothing to do.
    #[error("{0}: missing; give it as a query, such as {1}")]
    Missing(&'static str, &'static str),
    /// Over the bound.
    #[error("{0:?}: keys and values must be 1 to 256 bytes without control characters")]
    Text(String),
    /// Over the bound.
    #[error("at most 64 pairs are kept; delete one that is not used")]
    TooMany,
}

impl Meta {
    /// From an environment: the variables that begin with [`PREFIX`], as far as they can be kept.
    #[must_use]
    pub fn of(environment: impl Iterator<Item = (String, String)>) -> Self {
        let fixed: Pairs = environment
            .filter(|(key, _)| key.starts_with(PREFIX))
            .filter(|(key, value)| is_text(key) && is_text(value))
            .take(MAX_PAIRS)
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        Self {
            all: Arc::new(RwLock::new(Arc::new(fixed.clone()))),
            fixed: Arc::new(fixed),
        }
    }

    /// All pairs as they are now.
    #[must_use]
    pub fn all(&self) -> Arc<Pairs> {
        Arc::clone(&self.all.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sets pairs, all of them or none.
    ///
    /// # Errors
    /// One can't be kept, or there would be too many.
    pub fn update(&self, pairs: impl IntoIterator<Item = (String, String)>) -> Result<(), BadPair> {
        let mut all = Pairs::clone(&self.all());
        let before = all.len();
        let mut is_empty = true;
        for (key, value) in pairs {
            is_empty = false;
            if let Some(bad) = [&key, &value].into_iter().find(|text| !is_text(text)) {
                return Err(BadPair::Text(bad.chars().take(MAX_TEXT).collect()));
            }
            all.insert(key.into(), value.into());
        }
        if is_empty {
            return Err(BadPair::Missing("a pair", "/meta/update?META_WEIGHT=20"));
        }
        if all.len() > MAX_PAIRS.max(before) {
            return Err(BadPair::TooMany);
        }
        self.put(all);
        Ok(())
    }

    /// Forgets a pair; a fixed one is what it was again.
    pub fn delete(&self, key: &str) {
        let mut all = Pairs::clone(&self.all());
        match self.fixed.get(key) {
            Some(value) => drop(all.insert(key.into(), value.clone())),
            None => drop(all.remove(key)),
        }
        self.put(all);
    }

    fn put(&self, all: Pairs) {
        *self.all.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(all);
    }
}

fn is_text(text: &str) -> bool {
    (1..=MAX_TEXT).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// `/meta/update?key=value&...`
#[must_use]
pub fn update(meta: &Meta, query: &str) -> Answer {
    answer(meta.update(pairs(query)).map(|()| "ok"))
}

/// `/meta/delete?key=...`
#[must_use]
pub fn delete(meta: &Meta, query: &str) -> Answer {
    answer(key(query, "/meta/delete?key=META_WEIGHT").map(|key| {
        meta.delete(&key);
        "ok"
    }))
}

/// `/meta/get?key=...`; a key that is not there is empty, as with the existing agent.
#[must_use]
pub fn get(meta: &Meta, query: &str) -> Answer {
    answer(key(query, "/meta/get?key=META_WEIGHT").map(|key| {
        let value = meta.all().get(key.as_str()).cloned().unwrap_or_default();
        BTreeMap::from([(key, value)])
    }))
}

/// `/meta/getAll`
#[must_use]
pub fn get_all(meta: &Meta) -> Answer {
    answer(Ok(BTreeMap::from([("meta", &*meta.all())])))
}

fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    form_urlencoded::parse(query.as_bytes()).map(|(key, value)| (key.into_owned(), value.into_owned()))
}

fn key(query: &str, example: &'static str) -> Result<String, BadPair> {
    let key = pairs(query).find(|(name, value)| name == "key" && !value.is_empty());
    key.map(|(_, key)| key).ok_or(BadPair::Missing("key", example))
}

/// `{"result": "ok", "data": ...}` or `{"result": "fail", "error": ...}`, as the existing agent says it.
fn answer<T: Serialize>(done: Result<T, BadPair>) -> Answer {
    #[derive(Serialize)]
    #[serde(rename_all = "lowercase", tag = "result")]
    enum Said<T> {
        Ok { data: T },
        Fail { error: String },
    }
    let (status, said) = match done {
        Ok(data) => (StatusCode::OK, Said::Ok { data }),
        Err(error) => {
            let error = error.to_string();
            (StatusCode::BAD_REQUEST, Said::Fail { error })
        }
    };
    match serde_json::to_string(&said) {
        Ok(text) => Answer::of(status, "application/json;charset=utf-8", text),
        Err(error) => Answer::status(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> Meta {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        Meta::of(
            [
                pair("META_WEIGHT", "10"),
                pair("PATH", "/bin"),
                pair("META_", "x"),
            ]
            .into_iter(),
        )
    }

    fn body(answer: &Answer) -> String {
        String::from_utf8(answer.body.to_vec()).unwrap()
    }

    #[test]
    fn pairs_are_fixed_by_the_environment_and_changed_at_run_time() {
        let meta = meta();
        let reader = meta.clone();
        assert_eq!(
            reader.all().get("META_WEIGHT").map(|weight| &**weight),
            Some("10")
        );
        assert_eq!(reader.all().get("PATH"), None);
        assert_eq!(
            body(&update(&meta, "META_WEIGHT=20&a=b%20c")),
            r#"{"result":"ok","data":"ok"}"#
        );
        assert_eq!(
            body(&get(&meta, "key=a")),
            r#"{"result":"ok","data":{"a":"b c"}}"#
        );
        assert_eq!(
            body(&get_all(&reader)),
            r#"{"result":"ok","data":{"meta":{"META_":"x","META_WEIGHT":"20","a":"b c"}}}"#
        );
        assert_eq!(
            body(&delete(&meta, "key=META_WEIGHT")),
            r#"{"result":"ok","data":"ok"}"#
        );
        assert_eq!(delete(&meta, "key=a").status, StatusCode::OK);
        assert_eq!(
            body(&get(&meta, "key=META_WEIGHT")),
            r#"{"result":"ok","data":{"META_WEIGHT":"10"}}"#
        );
        assert_eq!(body(&get(&meta, "key=a")), r#"{"result":"ok","data":{"a":""}}"#);
    }

    #[test]
    fn what_can_not_be_kept_changes_nothing() {
        let meta = meta();
        let many: String = (0..65).map(|key| format!("k{key}=v&")).collect();
        let long = format!("a=1&b={}", "x".repeat(257));
        for query in ["", "a=", "=b", "a=%0a", &many, &long] {
            let answer = update(&meta, query);
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
            assert!(body(&answer).starts_with(r#"{"result":"fail","error":""#));
        }
        for answer in [delete(&meta, ""), get(&meta, "key=")] {
            assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        }
        assert_eq!(meta.all().len(), 2);
    }
}
