//! A request as it goes to the program (motan-wire 3.2, of Motan 1 section 9).

use plan::Protocol;
use wire::gzip::NotGzip;
use wire::keys;
use wire::meta::{Meta, Writer};
use wire::motan1;
use wire::motan2::{self, Frame, Head, Header, bits};

use crate::body::Form;
use crate::link::connection::Connection;
use crate::said::{Said, SaidOne, is_ours};

/// Appends a whole request.
pub(super) fn write(
    out: &mut Vec<u8>,
    frame: &Frame<'_>,
    said: &Said<'_>,
    connection: &Connection,
    form: Form,
) -> Result<(), NotGzip> {
    let mut body = Ok(());
    motan2::encode(
        out,
        header(frame.header, form),
        |out| meta(out, frame.meta, frame.header.id, said, connection),
        |out| body = form.write(frame.body, out),
    );
    body
}

/// Appends the head of one whose body is passed through as it comes.
pub(super) fn write_head(out: &mut Vec<u8>, head: &Head<'_>, said: &Said<'_>, connection: &Connection) {
    motan2::encode_head(
        out,
        header(head.header, Form::AsItCame),
        |out| meta(out, head.meta, head.header.id, said, connection),
        head.body_len,
    );
}

/// Appends a Motan 1 request.
pub(super) fn write_one(
    out: &mut Vec<u8>,
    request: &motan1::Request<'_>,
    said: &SaidOne<'_>,
    connection: &Connection,
) {
    motan1::write_request(out, 0, request, |attachments| {
        attachments.copy(request.attachments(), |key| {
            key != keys::HOST && is_for_program(key, connection)
        });
        attachments.pair(keys::HOST, connection.peer.as_bytes());
        if !said.is_forwarded {
            attachments.pair(keys::FORWARDED_FOR, connection.peer.as_bytes());
        }
    });
}

/// What stays between agents is not; that a call is a copy is, where an agent of ours says so.
fn is_for_program(key: &[u8], connection: &Connection) -> bool {
    !is_ours(key) || key == keys::MESH_MIRROR && connection.is_mesh.get()
}

const fn header(header: Header, form: Form) -> Header {
    Header {
        kind: form.kind(header.kind) | bits::PROXY,
        ..header
    }
}

fn meta(out: &mut Writer<'_>, meta: Meta<'_>, id: u64, said: &Said<'_>, connection: &Connection) {
    // Mostly only `host` has to go, and the rest is two copies.
    match (said.is_tidy, said.host) {
        (true, []) => out.block(meta),
        (true, host) => out.block_without(meta, keys::HOST, host),
        (false, _) => out.copy(meta, |key| key != keys::HOST && is_for_program(key, connection)),
    }
    out.pair(keys::HOST, connection.peer.as_bytes());
    if said.group.is_empty() {
        out.pair(keys::GROUP, said.java_group);
    }
    if said.request_id.is_empty() {
        out.number(keys::REQUEST_ID, id.cast_signed());
    }
    if said.forwarded_for.is_empty() {
        out.pair(keys::FORWARDED_FOR, connection.peer.as_bytes());
    }
    if said.protocol.is_empty() {
        out.pair(keys::PROTOCOL, Protocol::Motan2.as_str().as_bytes());
    }
}
