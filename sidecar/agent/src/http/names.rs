//! Headers of ours, between two agents and towards callers. None of them comes from a program or goes to one, but
//! [`ERROR`] and [`MIRROR`].

use hyper::header::{HeaderMap, HeaderName};

/// What all of them begin with.
const PREFIX: &str = "x-mesh-";

/// Who asks: `motanmesh/<version>`.
pub(crate) const PEER: HeaderName = HeaderName::from_static("x-mesh-peer");
/// What is asked for: `<group>;<path>`, percent-encoded.
pub(crate) const SERVICE: HeaderName = HeaderName::from_static("x-mesh-service");
/// Which application asks.
pub(crate) const SOURCE: HeaderName = HeaderName::from_static("x-mesh-source");
/// Milliseconds: from the end of the request to the head of the response; for a gRPC call with a deadline, all of it.
pub(crate) const TIMEOUT: HeaderName = HeaderName::from_static("x-mesh-timeout");
/// What went wrong in the mesh.
pub(crate) const ERROR: HeaderName = HeaderName::from_static("x-mesh-error");
/// It has certainly not reached the program.
pub(crate) const UNSENT: HeaderName = HeaderName::from_static("x-mesh-unsent");

/// On a request to a program: it is a copy of a call that somebody else answers.
pub(crate) const MIRROR: HeaderName = HeaderName::from_static("x-mesh-mirror");

/// On a request: what its connection wants to become. Its body is what follows then.
pub(crate) const UPGRADE: HeaderName = HeaderName::from_static("x-mesh-upgrade");
/// On a response: what it has become.
pub(crate) const UPGRADED: HeaderName = HeaderName::from_static("x-mesh-upgraded");

/// What our agents say of themselves.
pub(crate) const OURSELVES: &str = concat!("motanmesh/", env!("CARGO_PKG_VERSION"));

/// Whether it is one of them.
pub(crate) fn is_ours(name: &HeaderName) -> bool {
    name.as_str().starts_with(PREFIX)
}

/// Removes all of them.
pub(crate) fn strip(headers: &mut HeaderMap) {
    let ours: Vec<HeaderName> = headers.keys().filter(|name| is_ours(name)).cloned().collect();
    for name in ours {
        headers.remove(name);
    }
}

/// The value of [`SERVICE`]; what a header or the `;` between the two can't hold is percent-encoded.
pub(crate) fn service(group: &str, path: &str) -> String {
    let mut value = String::with_capacity(group.len() + path.len() + 1);
    encode(group, &mut value);
    value.push(';');
    encode(path, &mut value);
    value
}

/// Group and path of such a value.
pub(crate) fn read_service(value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let at = value.iter().position(|byte| *byte == b';')?;
    Some((
        super::path::decode(&value[..at]),
        super::path::decode(&value[at + 1..]),
    ))
}

fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'%' | b';') {
            into.push(char::from(byte));
        } else {
            into.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_and_path_come_back_as_they_were() {
        for (group, path) in [("shop", "com.example.User"), ("a;b", "50%/ü x"), ("", "")] {
            let value = service(group, path);
            assert!(value.is_ascii());
            let read = read_service(value.as_bytes()).unwrap();
            assert_eq!(read, (group.as_bytes().to_vec(), path.as_bytes().to_vec()));
        }
        assert_eq!(read_service(b"no separator"), None);
    }
}
