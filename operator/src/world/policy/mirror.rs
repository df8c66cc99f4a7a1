//! Which calls objects want copied, and to whom; names that nobody has looked up yet.

use plan::Percent;
use serde::Serialize;

use super::{At, PolicyFlaw, TargetWish, bounded, routing};

/// Whether calls are copied: never is a wish as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum CopyWish {
    /// They are not.
    Never,
    /// They are, like this.
    #[serde(untagged)]
    Some(MirrorWish),
}

/// Which share of calls is to be copied, and who is to get the copies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MirrorWish {
    /// Who.
    pub to: TargetWish,
    /// The share.
    pub percent: Percent,
}

impl CopyWish {
    /// What is to be copied, where anything is.
    #[must_use]
    pub const fn mirror(&self) -> Option<&MirrorWish> {
        match self {
            Self::Never => None,
            Self::Some(mirror) => Some(mirror),
        }
    }
}

/// Reads what an object of the namespace `home` says.
pub(super) fn mirror(written: &crds::Mirror, home: &str) -> Result<CopyWish, PolicyFlaw> {
    let crds::Mirror { to, percent } = written;
    if *percent == 0 {
        return Ok(CopyWish::Never);
    }
    let to = to.clone().unwrap_or_default();
    let to = routing::target(&to, "policy.mirror.to".to_owned(), home)?;
    if to.at == At::Itself && to.subset.is_none() {
        let what = "name a subset, a group or a service that gets the copies";
        return Err(PolicyFlaw::new("policy.mirror.to", what));
    }
    Ok(CopyWish::Some(MirrorWish {
        to,
        percent: bounded(*percent, "policy.mirror.percent")?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_need_somebody_who_gets_them_and_a_share() {
        let read = |text: &str| mirror(&serde_json::from_str(text).unwrap(), "shop");
        assert_eq!(read(r#"{"percent": 0}"#), Ok(CopyWish::Never));
        assert_eq!(read(r#"{"percent": 0, "to": {}}"#), Ok(CopyWish::Never));
        let Ok(CopyWish::Some(wish)) = read(r#"{"percent": 5, "to": {"service": "user"}}"#) else {
            panic!("it is sound")
        };
        assert_eq!(
            wish.to.at,
            At::Service(crate::world::ObjectKey::new("shop", "user"))
        );
        for (text, words) in [
            (r#"{"percent": 5}"#, "policy.mirror.to: name a subset"),
            (r#"{"percent": 5, "to": {}}"#, "policy.mirror.to: name a subset"),
            (
                r#"{"percent": 101, "to": {"subset": "v2"}}"#,
                "policy.mirror.percent: 101",
            ),
            (
                r#"{"percent": 1, "to": {"group": "a", "service": "b"}}"#,
                "policy.mirror.to: group and service",
            ),
        ] {
            let said = read(text).unwrap_err().to_string();
            assert!(said.starts_with(words), "{said}");
        }
    }
}
