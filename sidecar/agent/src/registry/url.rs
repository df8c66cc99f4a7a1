//! A service as a Motan client library names it to its agent: one JSON object `{protocol, host, port, path, group,
//! parameters}` (motan-clients 1.10). What is read here is bounded and valid; what an entry needs not is dropped.

use std::collections::{BTreeMap, BTreeSet};

use plan::{GroupName, InvalidName, PathName, Protocol};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Groups in one `group`, which may be a list with commas; programs have one or two.
const MAX_GROUPS: usize = 16;

/// The longest host, as a DNS name has it, in bytes.
const MAX_HOST: usize = 253;

/// The longest parameter that is kept, in bytes; longer ones are dropped.
const MAX_PARAMETER: usize = 128;

/// The parameters that are kept: what tells people who asked. The others are a client's own business, and a registry's
/// address among them may carry a password.
const KEPT: [&str; 6] = [
    "application",
    "module",
    "nodeType",
    "requestTimeout",
    "serialization",
    VERSION,
];
const VERSION: &str = "version";
const GROUP: &str = "group";

/// One service in one group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Url {
    /// [`Protocol::Motan2`] or [`Protocol::Motan`].
    pub protocol: Protocol,
    /// Where the program thinks it is; only shown.
    #[serde(default)]
    pub host: String,
    /// Where it listens; 0 where it calls.
    #[serde(default)]
    pub port: u16,
    /// `M_p`.
    pub path: PathName,
    /// `M_g`.
    pub group: GroupName,
    /// What else is known of it, bounded.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
}

/// Why a document is no such object.
#[derive(Debug, thiserror::Error)]
pub enum BadUrl {
    /// No JSON, or no object with these fields.
    #[error("the body must be one JSON object {{protocol, host, port, path, group, parameters}}")]
    Json(#[from] serde_json::Error),
    /// A field is missing.
    #[error("{0}: missing; give the one that the service is declared with")]
    Missing(&'static str),
    /// Not carried.
    #[error("protocol: {0:?} is not carried here; register and subscribe motan2 or motan")]
    Protocol(String),
    /// Out of range.
    #[error("port: {0} must be from 0 to 65535")]
    Port(i64),
    /// Too long, or not printable.
    #[error("host: must be at most 253 printable characters")]
    Host,
    /// Of path or group.
    #[error("{0}: can't be used")]
    Name(&'static str, #[source] InvalidName),
    /// More than [`MAX_GROUPS`].
    #[error("group: lists {0} groups; at most 16")]
    Groups(usize),
}

#[derive(Deserialize)]
struct Raw {
    protocol: Option<String>,
    host: Option<String>,
    port: Option<i64>,
    path: Option<String>,
    group: Option<String>,
    parameters: Option<BTreeMap<String, Value>>,
}

impl Url {
    /// Reads the object; one entry for each group that it names.
    ///
    /// # Errors
    /// The field that is missing or can't be.
    pub fn parse(body: &[u8]) -> Result<Vec<Self>, BadUrl> {
        let Raw {
            protocol,
            host,
            port,
            path,
            group,
            parameters,
        } = serde_json::from_slice(body)?;
        let parameters = parameters.unwrap_or_default();
        let protocol = carried(protocol)?;
        let port = port.unwrap_or_default();
        let port = u16::try_from(port).map_err(|_| BadUrl::Port(port))?;
        let host = host.unwrap_or_default();
        if host.len() > MAX_HOST || host.chars().any(char::is_control) {
            return Err(BadUrl::Host);
        }
        let path = given(path).ok_or(BadUrl::Missing("path"))?;
        let path = PathName::new(path).map_err(|error| BadUrl::Name("path", error))?;
        let groups = given(group).or_else(|| parameters.get(GROUP).and_then(text));
        let groups = groups_of(&groups.ok_or(BadUrl::Missing("group"))?)?;
        let parameters: BTreeMap<String, String> = KEPT
            .iter()
            .filter_map(|key| Some(((*key).to_owned(), parameters.get(*key).and_then(text)?)))
            .filter(|(_, value)| value.len() <= MAX_PARAMETER)
            .collect();
        let entry = |group| Self {
            protocol,
            host: host.clone(),
            port,
            path: path.clone(),
            group,
            parameters: parameters.clone(),
        };
        Ok(groups.into_iter().map(entry).collect())
    }

    /// `M_v`, where the program says one.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.parameters.get(VERSION).map(String::as_str)
    }
}

fn carried(protocol: Option<String>) -> Result<Protocol, BadUrl> {
    match given(protocol) {
        None => Err(BadUrl::Missing("protocol")),
        Some(word) if word == Protocol::Motan2.as_str() => Ok(Protocol::Motan2),
        Some(word) if word == Protocol::Motan.as_str() => Ok(Protocol::Motan),
        Some(word) => Err(BadUrl::Protocol(word.chars().take(MAX_PARAMETER).collect())),
    }
}

fn groups_of(list: &str) -> Result<BTreeSet<GroupName>, BadUrl> {
    let groups: BTreeSet<&str> = list
        .split(',')
        .map(str::trim)
        .filter(|group| !group.is_empty())
        .collect();
    match groups.len() {
        0 => Err(BadUrl::Missing("group")),
        count if count > MAX_GROUPS => Err(BadUrl::Groups(count)),
        _ => {
            let groups = groups.into_iter().map(GroupName::new);
            groups
                .collect::<Result<_, _>>()
                .map_err(|error| BadUrl::Name("group", error))
        }
    }
}

fn given(field: Option<String>) -> Option<String> {
    field.filter(|text| !text.trim().is_empty())
}

/// A parameter as text: libraries write numbers and truth values either way.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => given(Some(text.clone())),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use process::logging::causes;

    use super::*;

    #[test]
    fn what_a_java_client_posts_is_read_and_its_registrys_address_dropped() {
        let body = br#"{"group":"demo","host":"192.0.2.2","parameters":{"serialization":"hessian2",
            "proxyRegistryUrlString":"direct%3A%2F%2F127.0.0.3","protocol":"motan2","version":"1.0",
            "requestTimeout":2000,"group":"demo"},"path":"demo.api.DemoApi","port":0,"protocol":"motan2"}"#;
        let urls = Url::parse(body).unwrap();
        assert_eq!(urls.len(), 1);
        assert_eq!(urls[0].version(), Some("1.0"));
        assert_eq!(urls[0].parameters["requestTimeout"], "2000");
        assert!(!urls[0].parameters.contains_key("proxyRegistryUrlString"));
    }

    #[test]
    fn a_list_of_groups_is_an_entry_each_and_the_group_may_stand_in_the_parameters() {
        let url = |body: &str| Url::parse(body.as_bytes()).unwrap();
        let two = url(r#"{"protocol":"motan","path":"p","group":"b, a,b"}"#);
        let groups: Vec<_> = two.iter().map(|url| url.group.as_str()).collect();
        assert_eq!(groups, ["a", "b"]);
        let one = url(r#"{"protocol":"motan2","path":"p","group":"","parameters":{"group":"g"}}"#);
        assert_eq!(one[0].group.as_str(), "g");
        let none = url(r#"{"protocol":"motan2","path":"p","group":"g","parameters":null}"#);
        assert_eq!(none[0].version(), None);
    }

    #[test]
    fn what_is_wrong_is_named_by_its_field() {
        let many = format!(
            r#"{{"protocol":"motan2","path":"p","group":"{}"}}"#,
            (0..17)
                .map(|group| group.to_string())
                .collect::<Vec<_>>()
                .join(",")
        );
        let long = format!(
            r#"{{"protocol":"motan2","path":"{}","group":"g"}}"#,
            "p".repeat(254)
        );
        let table = [
            ("", "JSON object"),
            ("[]", "JSON object"),
            (
                r#"{"protocol":"motan2","path":7,"group":"g"}"#,
                "expected a string",
            ),
            (r#"{"path":"p","group":"g"}"#, "protocol: missing"),
            (
                r#"{"protocol":"grpc","path":"p","group":"g"}"#,
                "protocol: \"grpc\"",
            ),
            (r#"{"protocol":"motan2","group":"g"}"#, "path: missing"),
            (r#"{"protocol":"motan2","path":"p"}"#, "group: missing"),
            (
                r#"{"protocol":"motan2","path":"p","group":","}"#,
                "group: missing",
            ),
            (r#"{"protocol":"motan2","path":"p q","group":"g"}"#, "white space"),
            (
                r#"{"protocol":"motan2","path":"p","group":"g","port":70000}"#,
                "port: 70000",
            ),
            (
                r#"{"protocol":"motan2","path":"p","group":"g","host":"a\nb"}"#,
                "host:",
            ),
            (&many, "group: lists 17"),
            (&long, "at most 253"),
        ];
        for (body, expected) in table {
            let error = Url::parse(body.as_bytes()).unwrap_err();
            let text = causes(&error).to_string();
            assert!(text.contains(expected), "{body}: {text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_body_is_read_or_refused(body in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = Url::parse(&body);
        }
    }
}
