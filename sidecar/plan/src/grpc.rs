//! What is known of the methods of a gRPC program, so that callers may speak JSON.

mod check;
mod rules;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

/// The largest descriptor set, in bytes: several hundred messages; a plan has room for two of them beside the rest.
pub const MAX_DESCRIPTOR_SET: usize = 256 * 1024;

/// How a gRPC program may be called in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Transcoding {
    /// Its services and messages.
    pub descriptor_set: DescriptorSet,
}

/// A `google.protobuf.FileDescriptorSet`, encoded: sound, with all imports and at least one service, at most
/// [`MAX_DESCRIPTOR_SET`]. In JSON it is base64.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DescriptorSet(Box<[u8]>);

/// A text that is no descriptor set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDescriptorSet {
    /// Not base64.
    #[error(
        "descriptorSet: it is not base64: write the output of protoc --include_imports --descriptor_set_out=/dev/stdout ... | base64 -w0"
    )]
    NotBase64,
    /// Nothing in it.
    #[error("descriptorSet: it is empty: name a .proto file with a service")]
    Empty,
    /// Too large.
    #[error(
        "descriptorSet: it has {0} bytes; at most {MAX_DESCRIPTOR_SET} are taken: leave source info and unused files out"
    )]
    TooLarge(usize),
    /// Something in it that can't be.
    #[error("descriptorSet: {0}")]
    Unsound(String),
}

impl DescriptorSet {
    /// Reads base64.
    ///
    /// # Errors
    /// Something else, nothing, or too much.
    pub fn read(text: &str) -> Result<Self, InvalidDescriptorSet> {
        let text = text.trim_end();
        if text.len() > MAX_DESCRIPTOR_SET / 3 * 4 + 8 {
            return Err(InvalidDescriptorSet::TooLarge(text.len() / 4 * 3));
        }
        let bytes = BASE64_STANDARD
            .decode(text)
            .map_err(|_| InvalidDescriptorSet::NotBase64)?;
        match bytes.len() {
            0 => Err(InvalidDescriptorSet::Empty),
            1..=MAX_DESCRIPTOR_SET => {
                check::set(&bytes).map_err(InvalidDescriptorSet::Unsound)?;
                Ok(Self(bytes.into()))
            }
            more => Err(InvalidDescriptorSet::TooLarge(more)),
        }
    }

    /// Checks that the `google.api.http` annotations in it can be followed. A plan is read without that: a sidecar that
    /// meets one that can't be says so to whoever calls in JSON, and everything else goes on.
    ///
    /// # Errors
    /// The first rule that can't be followed, with its method, or two that are for the same requests.
    pub fn check_rules(&self) -> Result<(), InvalidDescriptorSet> {
        rules::check(self).map_err(InvalidDescriptorSet::Unsound)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for DescriptorSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DescriptorSet({} bytes)", self.0.len())
    }
}

impl TryFrom<String> for DescriptorSet {
    type Error = InvalidDescriptorSet;
    fn try_from(text: String) -> Result<Self, InvalidDescriptorSet> {
        Self::read(&text)
    }
}

impl From<DescriptorSet> for String {
    fn from(set: DescriptorSet) -> Self {
        BASE64_STANDARD.encode(&set.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEMO: &str = "Ck0KCmRlbW8ucHJvdG8SBGRlbW8iBwoFRW1wdHkyKAoFVXNlcnMSHwoDR2V0EgsuZGVtby5FbXB0eRoLLmRlbW8uRW1wdHliBnByb3RvMw==";

    #[test]
    fn a_descriptor_set_is_base64_of_a_bounded_length() {
        assert_eq!(
            DescriptorSet::read(&format!("{DEMO}\n")).map(String::from),
            Ok(DEMO.to_owned())
        );
        assert_eq!(DescriptorSet::read("{}"), Err(InvalidDescriptorSet::NotBase64));
        assert_eq!(DescriptorSet::read(""), Err(InvalidDescriptorSet::Empty));
        let over = BASE64_STANDARD.encode(vec![0; MAX_DESCRIPTOR_SET + 1]);
        assert_eq!(
            DescriptorSet::read(&over),
            Err(InvalidDescriptorSet::TooLarge(MAX_DESCRIPTOR_SET + 1))
        );
        let words = DescriptorSet::read(&"A".repeat(1 << 20)).unwrap_err().to_string();
        assert!(words.contains("at most 262144"), "{words}");
    }

    #[test]
    fn what_no_compiler_makes_is_refused_with_its_place() {
        let demo = BASE64_STANDARD.decode(DEMO).unwrap();
        let with = |from: &str, to: &str| {
            let at = demo
                .windows(from.len())
                .position(|bytes| bytes == from.as_bytes())
                .unwrap();
            let mut changed = demo.clone();
            changed[at..at + to.len()].copy_from_slice(to.as_bytes());
            DescriptorSet::read(&BASE64_STANDARD.encode(changed))
                .unwrap_err()
                .to_string()
        };
        let rows = [
            (
                "proto3",
                "proto9",
                "descriptorSet: demo.proto: syntax \"proto9\" is not read",
            ),
            ("Empty", "E pty", "message \"E pty\" is no name"),
            ("Users", "1sers", "service \"1sers\" is no name"),
            (
                ".demo.Empty",
                "..emo.Empty",
                "method Users.Get has no input or output",
            ),
        ];
        for (from, to, words) in rows {
            let error = with(from, to);
            assert!(error.contains(words), "{error}");
        }
        assert!(
            DescriptorSet::read("AAAA")
                .unwrap_err()
                .to_string()
                .contains("no FileDescriptorSet")
        );
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(at in 0..DEMO.len(), byte in "[A-Za-z0-9+/]") {
            let mut text = DEMO.to_owned();
            text.replace_range(at..=at, &byte);
            let _ = DescriptorSet::read(&text);
        }
    }
}
