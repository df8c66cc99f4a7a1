//! What a request says that an agent cares for, found in one pass (motan-wire 3.1; of Motan 1, section 9).

use std::borrow::Cow;

use wire::keys;
use wire::meta::Meta;
use wire::motan1;

use crate::live::route::Wanted;

/// Keys of ours begin so. They never leave the mesh.
const OURS: &[u8] = b"x-mesh-";

/// What the metadata of a Motan 2 request says; empty where it says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Said<'a> {
    pub(crate) path: &'a [u8],
    pub(crate) method: &'a [u8],
    pub(crate) group: &'a [u8],
    pub(crate) version: &'a [u8],
    pub(crate) protocol: &'a [u8],
    pub(crate) source: &'a [u8],
    pub(crate) timeout: &'a [u8],
    pub(crate) request_id: &'a [u8],
    pub(crate) framework: &'a [u8],
    pub(crate) host: &'a [u8],
    pub(crate) forwarded_for: &'a [u8],
    pub(crate) http_proxy: &'a [u8],
    /// `x-mesh-takes`: an agent that can fetch the body of a response.
    pub(crate) takes: &'a [u8],
    pub(crate) java_group: &'a [u8],
    pub(crate) java_version: &'a [u8],
    pub(crate) java_application: &'a [u8],
    /// Nothing in it must be left out when it is relayed, but for what these fields tell.
    pub(crate) is_tidy: bool,
}

impl<'a> Said<'a> {
    pub(crate) fn of(meta: Meta<'a>) -> Self {
        let mut said = Self::default();
        let (mut count, mut bytes, mut is_sound) = (0, 0, true);
        for (key, value) in meta.pairs() {
            count += 1;
            bytes += key.len() + value.len();
            is_sound &= !value.is_empty() && !is_ours(key);
            let field = match key {
                keys::PATH => &mut said.path,
                keys::METHOD => &mut said.method,
                keys::GROUP => &mut said.group,
                keys::VERSION => &mut said.version,
                keys::PROTOCOL => &mut said.protocol,
                keys::SOURCE => &mut said.source,
                keys::TIMEOUT => &mut said.timeout,
                keys::REQUEST_ID => &mut said.request_id,
                keys::FRAMEWORK => &mut said.framework,
                keys::HOST => &mut said.host,
                keys::FORWARDED_FOR | keys::FORWARDED_FOR_HTTP => &mut said.forwarded_for,
                keys::HTTP_PROXY => &mut said.http_proxy,
                keys::MESH_TAKES => &mut said.takes,
                keys::JAVA_GROUP => &mut said.java_group,
                keys::JAVA_VERSION => &mut said.java_version,
                keys::JAVA_APPLICATION => &mut said.java_application,
                _ => continue,
            };
            // Said twice, the last one counts, and the first must not be relayed where the last is replaced.
            is_sound &= field.is_empty();
            *field = value;
        }
        said.is_tidy = is_sound && meta.is_tidy(count, bytes);
        said
    }

    /// Where it wants to go.
    pub(crate) const fn wanted(&self) -> Wanted<'a> {
        Wanted {
            path: self.path,
            group: first(self.group, self.java_group),
            version: first(self.version, self.java_version),
            protocol: self.protocol,
        }
    }

    /// Whether its two parameters are an HTTP request.
    pub(crate) fn is_http(&self) -> bool {
        self.http_proxy == b"true"
    }
}

/// What a Motan 1 request says; empty where it says nothing.
#[derive(Debug, Default)]
pub(crate) struct SaidOne<'a> {
    pub(crate) group: Cow<'a, [u8]>,
    pub(crate) version: Cow<'a, [u8]>,
    pub(crate) source: Cow<'a, [u8]>,
    pub(crate) timeout: Cow<'a, [u8]>,
    pub(crate) is_forwarded: bool,
    version_is_java: bool,
    source_is_java: bool,
}

impl<'a> SaidOne<'a> {
    pub(crate) fn of(request: &motan1::Request<'a>) -> Self {
        let mut said = Self::default();
        for (key, value) in request.attachments().pairs() {
            match &*key {
                keys::GROUP => said.group = value,
                keys::VERSION => (said.version, said.version_is_java) = (value, false),
                keys::SOURCE => (said.source, said.source_is_java) = (value, false),
                keys::JAVA_GROUP if said.group.is_empty() => said.group = value,
                keys::JAVA_VERSION if said.version.is_empty() => {
                    (said.version, said.version_is_java) = (value, true);
                }
                keys::JAVA_APPLICATION if said.source.is_empty() => {
                    (said.source, said.source_is_java) = (value, true);
                }
                keys::TIMEOUT => said.timeout = value,
                keys::FORWARDED_FOR | keys::FORWARDED_FOR_HTTP => said.is_forwarded = true,
                _ => {}
            }
        }
        said
    }

    /// Where it wants to go.
    pub(crate) fn wanted<'s>(&'s self, interface: &'s [u8]) -> Wanted<'s> {
        Wanted {
            path: interface,
            group: &self.group,
            version: &self.version,
            protocol: plan::Protocol::Motan.as_str().as_bytes(),
        }
    }

    /// The spellings that the request lacks: `M_v` and `M_s`, which an agent adds (motan-wire 9).
    pub(crate) fn lacking(&self) -> impl Iterator<Item = (&'static [u8], &[u8])> {
        let version = (self.version_is_java, keys::VERSION, &*self.version);
        let source = (self.source_is_java, keys::SOURCE, &*self.source);
        [version, source]
            .into_iter()
            .filter_map(|(is_java, key, value)| is_java.then_some((key, value)))
    }
}

/// Whether a key stays between our agents.
pub(crate) fn is_ours(key: &[u8]) -> bool {
    key.starts_with(OURS)
}

const fn first<'a>(one: &'a [u8], other: &'a [u8]) -> &'a [u8] {
    if one.is_empty() { other } else { one }
}
