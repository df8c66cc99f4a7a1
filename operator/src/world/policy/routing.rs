//! Where objects want calls to go; names that nobody has looked up yet.

use plan::{AddressRule, CallMatch, GroupName, MAX_ROUTING_RULES, MAX_WAYS, Pattern, SubsetName, WayWeight};
use serde::{Serialize, Serializer};

use super::{PolicyFlaw, bounded, pattern};
use crate::world::ObjectKey;

/// What a group's weight may be, as the Go agent bounds it (motan-agent.md 3).
const MAX_GROUP_WEIGHT: u32 = 100;

/// Where calls are to go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoutingWish {
    /// What calls may name themselves.
    pub named: Vec<(Pattern, TargetWish)>,
    /// Which calls go where.
    pub rules: Vec<(CallMatch, Vec<WayWish>)>,
    /// What stands for the service's own group.
    pub merge: Option<MergeWish>,
    /// Who may call whom, by address.
    #[serde(serialize_with = "as_text")]
    pub addresses: Vec<AddressRule>,
    /// Who answers where nobody else does.
    pub backup: Vec<TargetWish>,
}

/// Groups that stand for one of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum MergeWish {
    /// As one list of endpoints.
    Mixed(Vec<TargetWish>),
    /// By weight.
    Split(Vec<WayWish>),
}

/// A target with its share.
pub type WayWish = (TargetWish, WayWeight);

/// Where a call is to go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetWish {
    /// Which service.
    pub at: At,
    /// Which part of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subset: Option<SubsetName>,
    /// Where it is written.
    #[serde(skip)]
    pub field: String,
}

/// Which service a target means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum At {
    /// The one that is asked for.
    Itself,
    /// The one with the same path in this group.
    Group(GroupName),
    /// This one.
    #[serde(serialize_with = "key_as_text")]
    Service(ObjectKey),
}

fn as_text<S: Serializer>(rules: &[AddressRule], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(rules.iter().map(ToString::to_string))
}

fn key_as_text<S: Serializer>(key: &ObjectKey, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(key)
}

impl RoutingWish {
    /// Everywhere that calls are to go.
    pub fn targets(&self) -> impl Iterator<Item = &TargetWish> {
        let (mixed, split) = match &self.merge {
            Some(MergeWish::Mixed(targets)) => (&targets[..], &[][..]),
            Some(MergeWish::Split(ways)) => (&[][..], &ways[..]),
            None => (&[][..], &[][..]),
        };
        let ways = self.rules.iter().flat_map(|(_, ways)| ways).chain(split);
        let named = self.named.iter().map(|(_, to)| to);
        let all = named.chain(ways.map(|(to, _)| to));
        all.chain(mixed).chain(&self.backup)
    }
}

/// Reads what an object of the namespace `home` says.
pub(super) fn routing(written: &crds::Routing, home: &str) -> Result<RoutingWish, PolicyFlaw> {
    let crds::Routing {
        rules,
        commands,
        route_groups,
        backup,
    } = written;
    let crds::TrafficCommands {
        merge_groups,
        route_rules,
    } = commands.clone().unwrap_or_default();
    let at_most = |count: usize, most: usize, field: &str| {
        let what = || format!("{count} are listed: write at most {most}");
        (count <= most)
            .then_some(())
            .ok_or_else(|| PolicyFlaw::new(field, what()))
    };
    at_most(rules.len(), MAX_ROUTING_RULES, "policy.routing.rules")?;
    at_most(route_groups.len(), MAX_WAYS, "policy.routing.routeGroups")?;
    at_most(backup.len(), MAX_WAYS, "policy.routing.backup")?;
    at_most(
        merge_groups.len(),
        MAX_WAYS,
        "policy.routing.commands.mergeGroups",
    )?;
    at_most(route_rules.len(), MAX_WAYS, "policy.routing.commands.routeRules")?;
    let rules = rules.iter().enumerate().map(|(number, rule)| {
        let at = format!("policy.routing.rules[{number}]");
        at_most(rule.to.len(), MAX_WAYS, &format!("{at}.to"))?;
        read_rule(rule, &at, home)
    });
    let named = route_groups.iter().enumerate().map(|(number, named)| {
        let at = format!("policy.routing.routeGroups[{number}]");
        let name = pattern(&named.name, format!("{at}.name"))?;
        Ok((name, target(&named.to, format!("{at}.to"), home)?))
    });
    let backup = backup.iter().enumerate();
    let backup = backup.map(|(number, to)| target(to, format!("policy.routing.backup[{number}]"), home));
    let addresses = route_rules.iter().enumerate().map(|(number, rule)| {
        AddressRule::new(rule).map_err(|error| {
            PolicyFlaw::new(
                format!("policy.routing.commands.routeRules[{number}]"),
                error.to_string(),
            )
        })
    });
    Ok(RoutingWish {
        named: named.collect::<Result<_, PolicyFlaw>>()?,
        rules: rules.collect::<Result<_, PolicyFlaw>>()?,
        merge: merge(&merge_groups)?,
        addresses: addresses.collect::<Result<_, PolicyFlaw>>()?,
        backup: backup.collect::<Result<_, PolicyFlaw>>()?,
    })
}

fn read_rule(
    rule: &crds::RoutingRule,
    at: &str,
    home: &str,
) -> Result<(CallMatch, Vec<WayWish>), PolicyFlaw> {
    let crds::CallMatch {
        methods,
        metadata,
        callers,
    } = rule.matches.clone().unwrap_or_default();
    let patterns = |written: &[String], field: &str| {
        let read = |text: &String| pattern(text, format!("{at}.match.{field}"));
        written.iter().map(read).collect::<Result<Vec<_>, _>>()
    };
    let metadata = metadata.into_iter().map(|(key, value)| {
        let field = format!("{at}.match.metadata.{key}");
        Ok((key, pattern(&value, field)?))
    });
    let matches = CallMatch {
        methods: patterns(&methods, "methods")?,
        metadata: metadata.collect::<Result<_, PolicyFlaw>>()?,
        callers: patterns(&callers, "callers")?,
    };
    let ways = rule.to.iter().enumerate().map(|(number, way)| {
        let crds::Way {
            subset,
            group,
            service,
            weight,
        } = way.clone();
        let at = format!("{at}.to[{number}]");
        let weight = bounded(weight.unwrap_or(1), format!("{at}.weight"))?;
        let to = crds::RouteTarget {
            subset,
            group,
            service,
        };
        Ok((target(&to, at, home)?, weight))
    });
    Ok((matches, ways.collect::<Result<_, PolicyFlaw>>()?))
}

pub(super) fn target(
    written: &crds::RouteTarget,
    field: String,
    home: &str,
) -> Result<TargetWish, PolicyFlaw> {
    let crds::RouteTarget {
        subset,
        group,
        service,
    } = written;
    let wrong = |error: plan::InvalidName| PolicyFlaw::new(field.as_str(), error.to_string());
    let at = match (group, service) {
        (None, None) => At::Itself,
        (Some(group), None) => At::Group(GroupName::new(group.as_str()).map_err(wrong)?),
        (None, Some(service)) => {
            let (namespace, name) = service.split_once('/').unwrap_or((home, service));
            At::Service(ObjectKey::new(namespace, name))
        }
        (Some(_), Some(_)) => {
            let what = "group and service both name a MeshService: write one of them";
            return Err(PolicyFlaw::new(field, what));
        }
    };
    let subset = subset
        .as_ref()
        .map(|subset| SubsetName::new(subset.as_str()).map_err(wrong))
        .transpose()?;
    Ok(TargetWish { at, subset, field })
}

/// Where no group says a weight they are mixed; where any does, one that does not has 1 (motan-agent.md 3).
fn merge(written: &[String]) -> Result<Option<MergeWish>, PolicyFlaw> {
    if written.is_empty() {
        return Ok(None);
    }
    let mut is_split = false;
    let mut ways = Vec::with_capacity(written.len());
    for (number, text) in written.iter().enumerate() {
        let field = format!("policy.routing.commands.mergeGroups[{number}]");
        let (name, weight) = match text.split_once(':') {
            None => (text.as_str(), 1),
            Some((name, weight)) => {
                is_split = true;
                let weight = weight.trim().parse::<u32>().map_err(|_| {
                    let what = format!("the weight of {text:?} is no number from 0 on: write name:weight");
                    PolicyFlaw::new(field.as_str(), what)
                })?;
                (name, weight.clamp(1, MAX_GROUP_WEIGHT))
            }
        };
        let group = GroupName::new(name.trim()).map_err(|error| {
            PolicyFlaw::new(field.as_str(), format!("{error}: write name or name:weight"))
        })?;
        let weight = bounded(weight, field.as_str())?;
        let to = TargetWish {
            at: At::Group(group),
            subset: None,
            field,
        };
        ways.push((to, weight));
    }
    Ok(Some(if is_split {
        MergeWish::Split(ways)
    } else {
        MergeWish::Mixed(ways.into_iter().map(|(to, _)| to).collect())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(groups: &[&str]) -> Result<Option<MergeWish>, PolicyFlaw> {
        let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
        merge(&groups)
    }

    #[test]
    fn groups_are_mixed_or_split_as_they_say_weights() {
        assert_eq!(read(&[]), Ok(None));
        let Ok(Some(MergeWish::Mixed(mixed))) = read(&["a", " b "]) else {
            panic!("no weight, no split")
        };
        assert_eq!(mixed.len(), 2);
        for (groups, weights) in [
            (["a:7", "b:3"], [7, 3]),
            (["a:0", "b:700"], [1, 100]),
            (["a:7", "b"], [7, 1]),
        ] {
            let Ok(Some(MergeWish::Split(split))) = read(&groups) else {
                panic!("{groups:?}")
            };
            let found: Vec<u32> = split.iter().map(|(_, weight)| weight.get()).collect();
            assert_eq!(found, weights, "{groups:?}");
        }
        for wrong in ["", ":3", "a:", "a:x", "a:-1", "a:1:2"] {
            let error = read(&[wrong]).unwrap_err().to_string();
            assert!(
                error.starts_with("policy.routing.commands.mergeGroups[0]: "),
                "{error}"
            );
        }
    }
}
