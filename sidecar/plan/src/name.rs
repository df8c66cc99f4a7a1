//! The names in a plan, each valid once it exists.

use serde::{Deserialize, Serialize};

/// A name that can't be, with the rule it breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?}: {rule}")]
pub struct InvalidName {
    what: &'static str,
    value: String,
    rule: &'static str,
}

/// Metadata on the wire is separated by line feeds and measured, so names must be printable and short
/// (motan-wire.md 2.5).
const MAX_NAME: usize = 253;

fn printable(what: &'static str, value: &str) -> Result<(), InvalidName> {
    let rule = if value.is_empty() {
        "must not be empty"
    } else if value.len() > MAX_NAME {
        "must be at most 253 bytes"
    } else if value.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        "must not contain white space or control characters"
    } else {
        return Ok(());
    };
    Err(InvalidName {
        what,
        value: value.to_owned(),
        rule,
    })
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks and keeps a name.
            ///
            /// # Errors
            /// The rule that it breaks.
            pub fn new(value: impl Into<String>) -> Result<Self, InvalidName> {
                let value = value.into();
                printable($what, &value)?;
                let check: fn(&str) -> Option<&'static str> = $check;
                match check(&value) {
                    None => Ok(Self(value.into_boxed_str())),
                    Some(rule) => Err(InvalidName { what: $what, value, rule }),
                }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(value: String) -> Result<Self, InvalidName> {
                Self::new(value)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.into()
            }
        }
    };
}

name!(
    /// `namespace/name` of a MeshService.
    ServiceName, "service name", |value| {
        let mut parts = value.split('/');
        let both = parts.next().is_some_and(|part| !part.is_empty())
            && parts.next().is_some_and(|part| !part.is_empty())
            && parts.next().is_none();
        (!both).then_some("must be <namespace>/<name>")
    }
);

name!(
    /// The Motan name of a service (`M_p`), for example `com.example.UserService`.
    PathName, "service path", |_| None
);

name!(
    /// A method of a Motan program (`M_m`).
    MethodName, "method", |_| None
);

name!(
    /// A Motan group (`M_g`).
    GroupName, "group", |_| None
);

name!(
    /// A part of the endpoints of a service.
    SubsetName, "subset", |_| None
);

name!(
    /// A host name as HTTP callers use it: lower case, no port.
    HostName, "host", |value| {
        let fine = value.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_'));
        (!fine).then_some("must be a lower-case DNS name without a port")
    }
);

impl ServiceName {
    /// The name of a MeshService of this namespace and name.
    ///
    /// # Errors
    /// As [`ServiceName::new`].
    pub fn of(namespace: &str, name: &str) -> Result<Self, InvalidName> {
        Self::new(format!("{namespace}/{name}"))
    }
}
