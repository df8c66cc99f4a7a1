//! Which group of providers a call goes to: by weights, and by the traffic commands that Weibo's registries give out
//! (motan-agent 3): `group:weight` and `from to to`.

/// What a weight may be, as the Go agent bounds them.
const MAX_WEIGHT: u32 = 100;

/// A traffic command that can't be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A group without a name.
    #[error("group {0:?} has no name: write name or name:weight")]
    NoName(String),
    /// A weight that is none.
    #[error("weight of group {0:?} is no number from 0 on: write name:weight")]
    BadWeight(String),
    /// A rule that is none.
    #[error("route rule {0:?} is not understood: write `from to to`, as in `10.1.* to !10.2.*`")]
    BadRule(String),
}

/// The groups that a call may go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Groups {
    /// All endpoints of all of them are one list.
    Mixed(Box<[String]>),
    /// Each gets its share of calls.
    Split(Split<String>),
}

impl Groups {
    /// Reads `mergeGroups`: where no group says a weight they are mixed; where any does, one that does not has 1. Weights
    /// are taken to be between 1 and 100.
    ///
    /// # Errors
    /// A group has no name, or a weight is no number.
    pub fn read<'g>(written: impl IntoIterator<Item = &'g str>) -> Result<Self, Error> {
        let mut groups = Vec::new();
        let mut is_split = false;
        for group in written {
            let (name, weight) = match group.split_once(':') {
                Some((name, weight)) => {
                    let weight = weight.trim().parse::<u32>();
                    let weight = weight.map_err(|_| Error::BadWeight(group.to_owned()))?;
                    is_split = true;
                    (name, weight.clamp(1, MAX_WEIGHT))
                }
                None => (group, 1),
            };
            let name = name.trim();
            if name.is_empty() {
                return Err(Error::NoName(group.to_owned()));
            }
            groups.push((name.to_owned(), weight));
        }
        Ok(if is_split {
            Self::Split(Split::new(groups))
        } else {
            Self::Mixed(groups.into_iter().map(|(name, _)| name).collect())
        })
    }
}

/// Ways among which calls are split by weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split<T> {
    /// With the sum of the weights up to and with each.
    ways: Box<[(T, u64)]>,
}

impl<T> Split<T> {
    /// Of ways with their weights; one of weight 0 gets no call.
    pub fn new(ways: impl IntoIterator<Item = (T, u32)>) -> Self {
        let mut sum = 0;
        let ways = ways.into_iter().map(|(way, weight)| {
            sum += u64::from(weight);
            (way, sum)
        });
        Self { ways: ways.collect() }
    }

    /// The way of one call; `None` where none has a weight.
    #[must_use]
    pub fn draw(&self, random: u64) -> Option<&T> {
        self.among(random, |_| true)
    }

    /// The same among those that are `usable`, in the proportion of their weights: a group that has nobody left to answer
    /// costs no call.
    #[must_use]
    pub fn among(&self, random: u64, usable: impl Fn(&T) -> bool) -> Option<&T> {
        let mut before = 0;
        let weighed = self.ways.iter().map(move |(way, sum)| {
            let weight = sum - before;
            before = *sum;
            (way, weight)
        });
        let usable = weighed.filter(|(way, _)| usable(way));
        let all: u64 = usable.clone().map(|(_, weight)| weight).sum();
        let mut at = random.checked_rem(all)?;
        for (way, weight) in usable {
            if at < weight {
                return Some(way);
            }
            at -= weight;
        }
        None
    }
}

/// `from to to`: agents whose address matches the one call only endpoints whose address matches the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    from: Addresses,
    to: Addresses,
}

/// `10.1.2.3`, `10.1.*`, `*`, each with `!` before it for all others.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Addresses {
    others: bool,
    text: String,
    is_prefix: bool,
}

impl Rule {
    /// Reads a rule.
    ///
    /// # Errors
    /// It is no rule.
    pub fn read(written: &str) -> Result<Self, Error> {
        let bad = || Error::BadRule(written.to_owned());
        let (from, to) = written.split_once("to").ok_or_else(bad)?;
        Ok(Self {
            from: Addresses::read(from).ok_or_else(bad)?,
            to: Addresses::read(to).ok_or_else(bad)?,
        })
    }
}

impl Addresses {
    fn read(written: &str) -> Option<Self> {
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

    fn matches(&self, address: &str) -> bool {
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

/// Whether the agent at `own` may call the endpoint at `address`: every rule that is for the agent must allow it. Where
/// nobody may be called so, the command is not to be followed at all (motan-agent 3): whoever has the list sees to that.
#[must_use]
pub fn may_go(rules: &[Rule], own: &str, address: &str) -> bool {
    let mut for_us = rules.iter().filter(|rule| rule.from.matches(own));
    for_us.all(|rule| rule.to.matches(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares<T: PartialEq + Clone>(split: &Split<T>, usable: impl Fn(&T) -> bool, way: &T) -> u64 {
        let hits = (0..1000).filter(|random| split.among(*random, &usable) == Some(way));
        hits.count() as u64
    }

    #[test]
    fn groups_are_mixed_or_split_as_they_say_weights() {
        assert_eq!(
            Groups::read(["a", " b "]),
            Ok(Groups::Mixed(["a".to_owned(), "b".to_owned()].into()))
        );
        let split = |groups: [(&str, u32); 2]| {
            Groups::Split(Split::new(groups.map(|(name, weight)| (name.to_owned(), weight))))
        };
        assert_eq!(Groups::read(["a:7", "b:3"]), Ok(split([("a", 7), ("b", 3)])));
        assert_eq!(Groups::read(["a:0", "b:700"]), Ok(split([("a", 1), ("b", 100)])));
        assert_eq!(Groups::read(["a:7", "b"]), Ok(split([("a", 7), ("b", 1)])));
        for wrong in ["", ":3", "a:", "a:x", "a:-1", "a:1:2"] {
            assert!(Groups::read([wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn calls_are_split_by_weight_among_those_who_can_answer() {
        let split = Split::new([("a", 7), ("b", 3), ("c", 0)]);
        let all = |_: &&str| true;
        let of = |way| shares(&split, all, &way);
        assert_eq!((of("a"), of("b"), of("c")), (700, 300, 0));
        assert_eq!(shares(&split, |way| *way != "a", &"b"), 1000);
        assert_eq!(split.among(5, |_| false), None);
        assert_eq!(split.among(5, |way| *way == "c"), None);
        assert_eq!(Split::<&str>::new([]).draw(5), None);
    }

    fn goes(rules: &[&str], own: &str, address: &str) -> bool {
        let rules: Vec<Rule> = rules.iter().map(|rule| Rule::read(rule).unwrap()).collect();
        may_go(&rules, own, address)
    }

    #[test]
    fn every_rule_for_the_agent_must_allow_an_endpoint() {
        let rows: [(&[&str], &str, &str, bool); 9] = [
            (&[], "10.1.0.1", "10.2.0.1", true),
            (&["10.1.* to 10.2.*"], "10.1.0.1", "10.2.0.1", true),
            (&["10.1.* to 10.2.*"], "10.1.0.1", "10.3.0.1", false),
            (&["10.1.* to 10.2.*"], "10.9.0.1", "10.3.0.1", true),
            (&["10.1.* to !10.2.*"], "10.1.0.1", "10.2.0.1", false),
            (&["!10.1.* to 10.2.0.1"], "10.9.0.1", "10.2.0.1", true),
            (&["!10.1.* to 10.2.0.1"], "10.9.0.1", "10.2.0.11", false),
            (
                &["* to 10.2.*", "10.1.* to !10.2.0.1"],
                "10.1.0.1",
                "10.2.0.1",
                false,
            ),
            (&["* to fd00:1*"], "fd00::1", "fd00:1::2", true),
        ];
        for (rules, own, address, expected) in rows {
            assert_eq!(goes(rules, own, address), expected, "{rules:?} {own} {address}");
        }
    }

    #[test]
    fn what_is_no_rule_is_told_so() {
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
            assert!(Rule::read(wrong).is_err(), "{wrong}");
        }
        let said = Rule::read("10.1.* ab *").unwrap_err().to_string();
        assert!(
            said.contains("10.1.* ab *") && said.contains("from to to"),
            "{said}"
        );
    }
}
