//! Where a sidecar listens for one service alone (loopback capture).

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// How many listeners one service has at most: as many as a MeshService has `ports`.
pub const MAX_LISTENERS: usize = 16;

/// A port of the pod's own loopback net, `127.0.0.0/8` or `[::1]`: nobody outside of the pod can reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LocalAddress(SocketAddr);

/// An address that can't be that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("listener {0:?}: must be <loopback IP>:<port>, for example 127.1.0.1:80")]
pub struct InvalidLocalAddress(String);

impl LocalAddress {
    /// Checks and keeps an address.
    ///
    /// # Errors
    /// It is not of the loopback net, or has port 0.
    pub fn new(socket: SocketAddr) -> Result<Self, InvalidLocalAddress> {
        if socket.ip().is_loopback() && socket.port() != 0 {
            Ok(Self(socket))
        } else {
            Err(InvalidLocalAddress(socket.to_string()))
        }
    }

    /// Where to listen.
    #[must_use]
    pub const fn socket(self) -> SocketAddr {
        self.0
    }
}

impl std::fmt::Display for LocalAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for LocalAddress {
    type Error = InvalidLocalAddress;
    fn try_from(value: String) -> Result<Self, InvalidLocalAddress> {
        match value.parse() {
            Ok(socket) => Self::new(socket),
            Err(_) => Err(InvalidLocalAddress(value)),
        }
    }
}

impl From<LocalAddress> for String {
    fn from(address: LocalAddress) -> Self {
        address.to_string()
    }
}
