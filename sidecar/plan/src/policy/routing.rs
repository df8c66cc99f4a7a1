//! Where calls to a service go: to itself, to a part of it, to another one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Bounded, Pattern};
use crate::{ServiceName, SubsetName};

/// The most rules of a routing.
pub const MAX_ROUTING_RULES: usize = 32;
/// The most ways, names, and rules by address.
pub const MAX_WAYS: usize = 16;

/// Where calls to a service go. Everything is resolved: what a target names is in the plan, or was there when it was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default, try_from = "Raw")]
pub struct Routing {
    /// What calls name themselves, in the metadata or header `motan-route-group`; before all else. At most [`MAX_WAYS`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub named: Vec<NamedTarget>,
    /// Which calls go where; the first that holds counts. At most [`MAX_ROUTING_RULES`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RoutingRule>,
    /// What stands for the service itself, where no rule holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merge: Option<Merge>,
    /// The endpoints that may be called: all of these match their addresses; where none would remain they are not followed.
    /// At most [`MAX_WAYS`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Addresses>,
    /// Where calls go that nobody of those can answer, the first of these that can. At most [`MAX_WAYS`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backup: Vec<Target>,
}

/// Where a call goes instead of to the service that was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Target {
    /// Another service of the plan; the one that was asked for without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// Those of its endpoints that are in this subset; all without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subset: Option<SubsetName>,
}

impl Target {
    /// The service itself, all its endpoints.
    pub const ITSELF: Self = Self {
        service: None,
        subset: None,
    };
}

/// One of several targets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Way {
    /// Where to.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub to: Target,
    /// Its share beside the others'.
    pub weight: WayWeight,
}

/// The share of a way beside others'; none with 0.
pub type WayWeight = Bounded<0, 10_000>;

/// Which calls go where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RoutingRule {
    /// Which calls.
    #[serde(default, rename = "match", skip_serializing_if = "crate::is_default")]
    pub matches: CallMatch,
    /// Where to, by weight.
    pub to: Vec<Way>,
}

/// Which calls: all that is here must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CallMatch {
    /// Of one of these methods, for HTTP paths; any without it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<Pattern>,
    /// With these metadata or headers, by value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, Pattern>,
    /// By one of these applications; any without it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub callers: Vec<Pattern>,
}

/// What calls may name themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamedTarget {
    /// How.
    pub name: Pattern,
    /// Where they go.
    pub to: Target,
}

/// Groups that stand for one of them (motan-agent.md 3, `mergeGroups`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Merge {
    /// The endpoints of all of them are one list.
    Mixed(Vec<Target>),
    /// Each has its share of calls.
    Split(Vec<Way>),
}

/// `from to to` (motan-agent.md 3, `routeRules`): those whose address matches the one call only endpoints whose address
/// matches the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressRule {
    /// Who calls.
    pub from: Addresses,
    /// Who may be called.
    pub to: Addresses,
}

/// `10.1.2.3`, `10.1.*`, `*`, each with `!` before it for all others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Addresses {
    /// All that are not as the others say.
    pub others: bool,
    /// An address, or how it begins.
    pub text: String,
    /// It is how they begin.
    pub is_prefix: bool,
}

/// A rule by address that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("route rule {0:?} is not understood: write `from to to`, as in `10.1.* to !10.2.*`")]
pub struct InvalidAddressRule(String);

impl AddressRule {
    /// Reads a rule.
    ///
    /// # Errors
    /// It is no rule.
    pub fn new(written: &str) -> Result<Self, InvalidAddressRule> {
        let bad = || InvalidAddressRule(written.to_owned());
        let (from, to) = written.split_once("to").ok_or_else(bad)?;
        Ok(Self {
            from: Addresses::new(from).ok_or_else(bad)?,
            to: Addresses::new(to).ok_or_else(bad)?,
        })
    }
}

impl Addresses {
    fn new(written: &str) -> Option<Self> {
        let written = written.trim();
        let (others, text) = match written.strip_prefix('!') {
            Some(text) => (true, text),
            None => (false, written),
        };
        let (text, is_prefix) = match text.split_once('*') {
            Some((prefix, "")) => (prefix, true),
            Some(_) => return None,
            None => (text, false),
        };
        let is_address = |byte: u8| byte.is_ascii_hexdigit() || byte == b'.' || byte == b':';
        let is_named = is_prefix || !text.is_empty();
        (is_named && text.bytes().all(is_address)).then(|| Self {
            others,
            text: text.to_owned(),
            is_prefix,
        })
    }

    /// Whether an IP address, as text, is one of them.
    #[must_use]
    pub fn matches(&self, address: &str) -> bool {
        let Self {
            others,
            text,
            is_prefix,
        } = self;
        let matches = if *is_prefix {
            address.starts_with(text.as_str())
        } else {
            address == text
        };
        matches != *others
    }
}

impl std::fmt::Display for Addresses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (not, star) = (
            if self.others { "!" } else { "" },
            if self.is_prefix { "*" } else { "" },
        );
        write!(f, "{not}{}{star}", self.text)
    }
}

impl std::fmt::Display for AddressRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to {}", self.from, self.to)
    }
}

impl TryFrom<String> for Addresses {
    type Error = InvalidAddressRule;

    fn try_from(written: String) -> Result<Self, InvalidAddressRule> {
        Self::new(&written).ok_or(InvalidAddressRule(written))
    }
}

impl From<Addresses> for String {
    fn from(addresses: Addresses) -> Self {
        addresses.to_string()
    }
}

impl Routing {
    /// Everywhere that it may send a call, each as often as it is named.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        let Self {
            named,
            rules,
            merge,
            addresses: _, // of endpoints, wherever those are
            backup,
        } = self;
        let (mixed, split) = match merge {
            Some(Merge::Mixed(targets)) => (&targets[..], &[][..]),
            Some(Merge::Split(ways)) => (&[][..], &ways[..]),
            None => (&[][..], &[][..]),
        };
        let ways = rules.iter().flat_map(|rule| &rule.to).chain(split);
        let named = named.iter().map(|named| &named.to);
        named.chain(ways.map(|way| &way.to)).chain(mixed).chain(backup)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    named: Vec<NamedTarget>,
    #[serde(default)]
    rules: Vec<RoutingRule>,
    merge: Option<Merge>,
    #[serde(default)]
    addresses: Vec<Addresses>,
    #[serde(default)]
    backup: Vec<Target>,
}

impl TryFrom<Raw> for Routing {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        let Raw {
            named,
            rules,
            merge,
            addresses,
            backup,
        } = raw;
        let at_most = |count: usize, most: usize, what: &str| match count <= most {
            true => Ok(()),
            false => Err(format!("routing: {count} {what}; at most {most}")),
        };
        at_most(rules.len(), MAX_ROUTING_RULES, "rules")?;
        at_most(named.len(), MAX_WAYS, "names")?;
        at_most(addresses.len(), MAX_WAYS, "rules by address")?;
        at_most(backup.len(), MAX_WAYS, "backups")?;
        let merged = match &merge {
            Some(Merge::Mixed(targets)) => targets.len(),
            Some(Merge::Split(ways)) => ways.len(),
            None => 0,
        };
        let longest = rules.iter().map(|rule| rule.to.len()).chain([merged]).max();
        at_most(longest.unwrap_or_default(), MAX_WAYS, "ways")?;
        Ok(Self {
            named,
            rules,
            merge,
            addresses,
            backup,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_routing_is_written_as_it_is_read_and_absent_where_it_is_nothing() {
        let json = serde_json::json!({
            "named": [{"name": "sandbox", "to": {"service": "shop/user-sandbox"}}],
            "rules": [{"match": {"methods": ["get*"], "metadata": {"x-user": "vip*"}, "callers": ["web"]},
                "to": [{"to": {"subset": "v2"}, "weight": 10}, {"weight": 90}]}],
            "merge": {"mixed": [{}, {"service": "shop/user-g2"}]},
            "addresses": ["!10.2.*", "10.*"],
            "backup": [{"service": "shop/user-g3", "subset": "v1"}]
        });
        let routing: Routing = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(&routing).unwrap(), json);
        assert_eq!(routing.targets().count(), 6);
        assert_eq!(
            serde_json::to_string(&Routing::default()).unwrap(),
            "{}",
            "nothing is written of nothing"
        );
    }

    #[test]
    fn what_a_routing_can_not_be_is_told() {
        let many = |what: &str, one: &str, count: usize| {
            let list = vec![one; count].join(",");
            serde_json::from_str::<Routing>(&format!("{{\"{what}\":[{list}]}}"))
                .unwrap_err()
                .to_string()
        };
        let said = many("rules", r#"{"to": []}"#, 33);
        assert!(said.contains("33 rules; at most 32"), "{said}");
        let said = many("backup", "{}", 17);
        assert!(said.contains("17 backups; at most 16"), "{said}");
        let said = many("rules", r#"{"to": [{"weight": 10001}]}"#, 1);
        assert!(said.contains("10001: must be from 0 to 10000"), "{said}");
        let said = many("backup", r#"{"group": "g"}"#, 1);
        assert!(said.contains("unknown field `group`"), "{said}");
    }

    #[test]
    fn what_is_no_rule_by_address_is_told_so() {
        for fine in ["10.1.* to !10.2.*", "* to fd00:1*", "!10.1.2.3 to 10.2.0.1"] {
            assert_eq!(AddressRule::new(fine).unwrap().to_string(), fine);
        }
        for wrong in [
            "",
            "10.1.*",
            "10.1.* to",
            "to 10.1.*",
            "a to b to c",
            "10.*.1 to *",
            "! to *",
            "x.* to *",
        ] {
            assert!(AddressRule::new(wrong).is_err(), "{wrong}");
        }
        let said = AddressRule::new("10.1.* ab *").unwrap_err().to_string();
        assert!(
            said.contains("10.1.* ab *") && said.contains("from to to"),
            "{said}"
        );
    }
}
