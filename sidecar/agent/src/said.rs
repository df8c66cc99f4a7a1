//! What the metadata of a request says that an agent cares for, found in one pass (motan-wire 3.1).

use wire::keys;
use wire::meta::Meta;

use crate::live::route::Wanted;

/// What a request says; empty where it says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Said<'a> {
    pub(crate) path: &'a [u8],
    pub(crate) group: &'a [u8],
    pub(crate) version: &'a [u8],
    pub(crate) protocol: &'a [u8],
    pub(crate) source: &'a [u8],
    pub(crate) timeout: &'a [u8],
    pub(crate) request_id: &'a [u8],
    pub(crate) framework: &'a [u8],
    pub(crate) forwarded_for: &'a [u8],
    pub(crate) http_proxy: &'a [u8],
    pub(crate) java_group: &'a [u8],
    pub(crate) java_application: &'a [u8],
}

impl<'a> Said<'a> {
    pub(crate) fn of(meta: Meta<'a>) -> Self {
        let mut said = Self::default();
        for (key, value) in meta.pairs() {
            let field = match key {
                keys::PATH => &mut said.path,
                keys::GROUP => &mut said.group,
                keys::VERSION => &mut said.version,
                keys::PROTOCOL => &mut said.protocol,
                keys::SOURCE => &mut said.source,
                keys::TIMEOUT => &mut said.timeout,
                keys::REQUEST_ID => &mut said.request_id,
                keys::FRAMEWORK => &mut said.framework,
                keys::FORWARDED_FOR | keys::FORWARDED_FOR_HTTP => &mut said.forwarded_for,
                keys::HTTP_PROXY => &mut said.http_proxy,
                keys::JAVA_GROUP => &mut said.java_group,
                keys::JAVA_APPLICATION => &mut said.java_application,
                _ => continue,
            };
            *field = value;
        }
        said
    }

    /// Where it wants to go.
    pub(crate) const fn wanted(&self) -> Wanted<'a> {
        Wanted {
            path: self.path,
            group: if self.group.is_empty() {
                self.java_group
            } else {
                self.group
            },
            version: self.version,
            protocol: self.protocol,
        }
    }

    /// Whether its two parameters are an HTTP request.
    pub(crate) fn is_http(&self) -> bool {
        self.http_proxy == b"true"
    }
}
