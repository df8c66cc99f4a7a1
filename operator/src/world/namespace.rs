//! A Namespace: what it says about injection.

use crds::names;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// A Namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: Box<str>,
    /// The annotation `motanmesh.io/inject`, as written.
    pub inject: Option<Box<str>>,
    /// The label that mirrors it, as it stands now.
    pub label: Option<Box<str>>,
    /// Whether it is being deleted.
    pub terminating: bool,
}

impl Namespace {
    /// Reads a namespace's metadata.
    #[must_use]
    pub fn read(metadata: &ObjectMeta) -> Self {
        let value = |map: &Option<std::collections::BTreeMap<String, String>>, key: &str| {
            map.as_ref()
                .and_then(|map| map.get(key))
                .map(|value| value.as_str().into())
        };
        Self {
            name: metadata.name.as_deref().unwrap_or_default().into(),
            inject: value(&metadata.annotations, names::INJECT),
            label: value(&metadata.labels, names::INJECTION_LABEL),
            terminating: metadata.deletion_timestamp.is_some(),
        }
    }

    /// The label that the operator wants on it: `enabled` where the annotation says so, none otherwise.
    #[must_use]
    pub fn wanted_label(&self) -> Option<&'static str> {
        (self.inject.as_deref() == Some(names::ENABLED)).then_some(names::ENABLED)
    }
}
