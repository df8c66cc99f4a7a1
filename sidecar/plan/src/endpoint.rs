//! Where a service is provided.

use std::net::Ipv6Addr;

use serde::{Deserialize, Serialize};

use crate::SubsetName;

/// How many endpoints of one service a plan carries at most (design: seeds).
pub const MAX_SEEDS: usize = 32;

/// One place that provides a service: another sidecar's inbound address, or a program that has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Endpoint {
    /// Where its agent listens; where it has none, the program.
    pub address: Address,
    /// Whether new calls may go there.
    #[serde(default)]
    pub state: EndpointState,
    /// There is no agent: the program itself is called, in its own protocol.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub direct: bool,
    /// Where such a program takes Motan 1, if that is elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub motan1: Option<Address>,
    /// Its share of calls beside the others', where a policy balances by weight; 10 without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<Weight>,
    /// The zone that it is in, where its node says one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Zone>,
    /// The subsets of its service that it is in; sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subsets: Vec<SubsetName>,
}

/// A part of the world that fails as a whole, as `topology.kubernetes.io/zone` of a node names it: a label's value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(Box<str>);

impl Zone {
    /// Checks and keeps a name.
    ///
    /// # Errors
    /// It is empty, longer than 63 characters, or has others than letters, digits, `-`, `_` and `.`.
    pub fn new(value: impl Into<String>) -> Result<Self, InvalidZone> {
        let value = value.into();
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if (1..=63).contains(&value.len()) && value.bytes().all(is_fine) {
            Ok(Self(value.into_boxed_str()))
        } else {
            Err(InvalidZone(value))
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Zone {
    type Error = InvalidZone;
    fn try_from(value: String) -> Result<Self, InvalidZone> {
        Self::new(value)
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.0.into()
    }
}

/// A zone that can't be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("zone {0:?}: must be 1 to 63 letters, digits, '-', '_' and '.'")]
pub struct InvalidZone(String);

/// The share of calls of an endpoint, beside others', from 1 to 500 (motan-agent.md 4, `wrr`).
pub type Weight = crate::Bounded<1, 500>;

impl Endpoint {
    /// One with an agent.
    #[must_use]
    pub const fn agent(address: Address, state: EndpointState) -> Self {
        Self {
            address,
            state,
            direct: false,
            motan1: None,
            weight: None,
            zone: None,
            subsets: Vec::new(),
        }
    }
}

/// Whether new calls may go to an endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndpointState {
    /// It takes calls.
    #[default]
    Ready,
    /// It is going away: it finishes what it has and gets nothing new while another one is ready.
    Draining,
}

/// `host:port`, where host is an IP address or a DNS name; IPv6 in brackets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(Box<str>);

impl Address {
    /// Checks and keeps an address.
    ///
    /// # Errors
    /// No port, port 0, or a host that is neither an IP address nor a DNS name.
    pub fn new(value: impl Into<String>) -> Result<Self, InvalidAddress> {
        let value = value.into();
        let fine = value.rsplit_once(':').is_some_and(|(host, port)| {
            let host_fine = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
                None => {
                    !host.is_empty()
                        && host.len() <= 253
                        && host
                            .bytes()
                            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
                }
            };
            host_fine && port.parse::<u16>().is_ok_and(|port| port != 0)
        });
        if fine {
            Ok(Self(value.into_boxed_str()))
        } else {
            Err(InvalidAddress(value))
        }
    }

    /// An IP address and a port.
    #[must_use]
    pub fn of(socket: std::net::SocketAddr) -> Self {
        Self(socket.to_string().into_boxed_str())
    }

    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Address {
    type Error = InvalidAddress;
    fn try_from(value: String) -> Result<Self, InvalidAddress> {
        Self::new(value)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0.into()
    }
}

/// An address that can't be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("address {0:?}: must be <host>:<port>, with an IP address or DNS name and a port from 1 to 65535")]
pub struct InvalidAddress(String);
