//! A request as it goes to the other agent (motan-wire 3.2, of Motan 1 section 9).

use std::time::Duration;

use govern::deadline;
use plan::Protocol;
use wire::gzip::NotGzip;
use wire::keys;
use wire::meta::{Meta, Writer};
use wire::motan1;
use wire::motan2::{self, Frame, Head, Header, bits};

use crate::body::Form;
use crate::live::Service;
use crate::said::{Said, SaidOne, is_ours};

/// What a client agent says in a request.
pub(super) struct Change<'a> {
    /// `M_s` of a program that does not say who it is.
    pub(super) application: &'a [u8],
    /// What is called: `M_g`, whatever the caller said.
    pub(super) service: &'a Service,
    /// What it was called by where that was one of its hosts: then its path stands in `M_p`.
    pub(super) host: Option<&'a [u8]>,
    /// `M_tmo`.
    pub(super) timeout: Duration,
}

impl Change<'_> {
    /// Appends a whole request.
    pub(super) fn write(
        &self,
        out: &mut Vec<u8>,
        frame: &Frame<'_>,
        said: &Said<'_>,
        peer: &str,
        form: Form,
    ) -> Result<(), NotGzip> {
        let mut body = Ok(());
        motan2::encode(
            out,
            self.header(frame.header, form),
            |meta| self.meta(meta, frame.meta, frame.header.id, said, peer),
            |out| body = form.write(frame.body, out),
        );
        body
    }

    /// Appends the head of one whose body is passed through as it comes.
    pub(super) fn write_head(&self, out: &mut Vec<u8>, head: &Head<'_>, said: &Said<'_>, peer: &str) {
        motan2::encode_head(
            out,
            self.header(head.header, Form::AsItCame),
            |meta| self.meta(meta, head.meta, head.header.id, said, peer),
            head.body_len,
        );
    }

    /// Appends a Motan 1 request.
    pub(super) fn write_one(
        &self,
        out: &mut Vec<u8>,
        request: &motan1::Request<'_>,
        said: &SaidOne<'_>,
        peer: &str,
    ) {
        let path = self.service.path.as_str().as_bytes();
        let other = (request.interface() != path).then(|| request.of_interface(path));
        motan1::write_request(out, 0, other.as_ref().unwrap_or(request), |attachments| {
            attachments.copy(request.attachments(), |key| {
                !matches!(key, keys::HOST | keys::GROUP | keys::TIMEOUT) && !is_ours(key)
            });
            attachments.pair(keys::GROUP, self.group());
            attachments.pair(keys::HOST, peer.as_bytes());
            attachments.pair(keys::TIMEOUT, self.millis().to_string().as_bytes());
            for (key, value) in said.lacking() {
                attachments.pair(key, value);
            }
            if said.source.is_empty() {
                attachments.pair(keys::SOURCE, self.application);
            }
        });
    }

    fn group(&self) -> &[u8] {
        self.service.group.as_str().as_bytes()
    }

    fn header(&self, header: Header, form: Form) -> Header {
        Header {
            kind: form.kind(header.kind) | bits::PROXY,
            ..header
        }
    }

    fn meta(&self, out: &mut Writer<'_>, meta: Meta<'_>, id: u64, said: &Said<'_>, peer: &str) {
        let millis = self.millis();
        let has_group = said.group == self.group();
        let path = self.service.path.as_str().as_bytes();
        // Another one where it was called by a host, or its routing leads to another service.
        let has_path = said.path == path;
        let has_timeout =
            deadline::read_millis(said.timeout).map(|asked| asked.as_millis()) == Some(millis.into());
        // Mostly nothing has to go, and all of it is one copy.
        let is_kept = said.is_tidy
            && self.host.is_none()
            && has_path
            && said.host.is_empty()
            && (has_group || said.group.is_empty())
            && (has_timeout || said.timeout.is_empty());
        if is_kept {
            out.block(meta);
        } else {
            out.copy(meta, |key| {
                !(matches!(key, keys::HOST | keys::GROUP | keys::TIMEOUT)
                    || !has_path && key == keys::PATH
                    || is_ours(key))
            });
        }
        if !has_path {
            out.pair(keys::PATH, path);
        }
        if let Some(host) = self.host
            && !keys::HTTP_HOSTS.iter().any(|key| meta.find(key).is_some())
        {
            out.pair(keys::HTTP_HOSTS[0], host);
        }
        out.pair(keys::HOST, peer.as_bytes());
        if !(is_kept && has_group) {
            out.pair(keys::GROUP, self.group());
        }
        if !(is_kept && has_timeout) {
            out.number(keys::TIMEOUT, millis.into());
        }
        if said.request_id.is_empty() {
            out.number(keys::REQUEST_ID, id.cast_signed());
        }
        if said.source.is_empty() {
            let java = said.java_application;
            out.pair(
                keys::SOURCE,
                if java.is_empty() { self.application } else { java },
            );
        }
        if said.protocol.is_empty() {
            // What OpenResty servers need (motan-wire 11).
            out.pair(keys::PROTOCOL, Protocol::Motan2.as_str().as_bytes());
        }
    }

    /// Timeouts are bounded by an hour, twice of it where a caller wishes.
    fn millis(&self) -> u32 {
        u32::try_from(self.timeout.as_millis()).unwrap_or(u32::MAX)
    }
}
