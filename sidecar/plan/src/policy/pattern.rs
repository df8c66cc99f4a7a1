//! Names with a star.

use serde::{Deserialize, Serialize};

/// The longest pattern, in bytes.
const MAX: usize = 253;

/// A name in which `*` stands for any characters, none too: a Motan method, the path of an HTTP request, or a caller.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(Box<str>);

/// A pattern that can't be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pattern {0:?}: must have 1 to 253 bytes, none of them white space or a control character")]
pub struct InvalidPattern(String);

impl Pattern {
    /// Checks and keeps a pattern.
    ///
    /// # Errors
    /// It is empty, too long, or not printable.
    pub fn new(value: impl Into<String>) -> Result<Self, InvalidPattern> {
        let value = value.into();
        let is_fine = (1..=MAX).contains(&value.len())
            && !value
                .chars()
                .any(|char| char.is_whitespace() || char.is_control());
        if is_fine {
            Ok(Self(value.into_boxed_str()))
        } else {
            Err(InvalidPattern(value))
        }
    }

    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a name is of this form. Takes time in proportion to both lengths multiplied at worst, and never more.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        let pattern = self.0.as_bytes();
        let (mut at, mut of_name) = (0, 0);
        // Where the last star is, and how much of the name it has taken.
        let mut star = None;
        loop {
            match (pattern.get(at), name.get(of_name)) {
                (Some(b'*'), _) => {
                    star = Some((at, of_name));
                    at += 1;
                }
                (Some(wanted), Some(found)) if wanted == found => {
                    at += 1;
                    of_name += 1;
                }
                (None, None) => return true,
                _ => {
                    let Some((before, taken)) = star.filter(|(_, taken)| *taken < name.len()) else {
                        return false;
                    };
                    star = Some((before, taken + 1));
                    at = before + 1;
                    of_name = taken + 1;
                }
            }
        }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Pattern {
    type Error = InvalidPattern;

    fn try_from(value: String) -> Result<Self, InvalidPattern> {
        Self::new(value)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        let rows = [
            ("get", "get", true),
            ("get", "gets", false),
            ("get*", "get", true),
            ("get*", "getUser", true),
            ("get*", "forget", false),
            ("*User", "getUser", true),
            ("*User", "getUsers", false),
            ("g*U*r", "getUser", true),
            ("g*U*r", "getUserUr", true),
            ("g*x*r", "getUser", false),
            ("*", "", true),
            ("**", "a", true),
            ("/users/*/orders", "/users/7/orders", true),
            ("/users/*/orders", "/users/7/order", false),
            ("a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ];
        for (pattern, name, expected) in rows {
            let pattern = Pattern::new(pattern).unwrap();
            assert_eq!(pattern.matches(name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_is_printable_and_short() {
        for bad in ["", "a b", "a\n", &"x".repeat(254)] {
            assert!(Pattern::new(bad).is_err(), "{bad:?}");
        }
        assert!(Pattern::new("x".repeat(253)).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn a_pattern_matches_as_its_pieces_in_order(pattern in "[ab*]{1,8}", name in "[ab]{0,12}") {
            // The definition: the pieces between the stars are found one after the other, the first at the start and the
            // last at the end.
            fn reference(pattern: &[u8], name: &[u8]) -> bool {
                match pattern.split_first() {
                    None => name.is_empty(),
                    Some((b'*', rest)) => (0..=name.len()).any(|skip| reference(rest, &name[skip..])),
                    Some((first, rest)) => name.split_first().is_some_and(|(found, name)| found == first && reference(rest, name)),
                }
            }
            let made = Pattern::new(pattern.clone()).unwrap();
            proptest::prop_assert_eq!(made.matches(name.as_bytes()), reference(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
