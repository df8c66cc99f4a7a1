//! Where the sidecar listens.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// What the path of a unix socket is written behind.
const UNIX: &str = "unix:";

/// Where the sidecar listens: `host:port`, or `unix:` and a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A name or IP address, a colon, a port.
    Tcp(String),
    /// The path of a socket.
    Unix(PathBuf),
}

/// Text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither host:port nor unix: and a path")]
pub struct NotAnAddress(String);

impl FromStr for Address {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let wrong = || NotAnAddress(text.to_owned());
        if let Some(path) = text.strip_prefix(UNIX) {
            return match path {
                "" => Err(wrong()),
                path => Ok(Self::Unix(path.into())),
            };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err(wrong());
        }
        Ok(Self::Tcp(text.to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_as_it_is_written() {
        for text in [
            "127.0.0.1:9981",
            "[::1]:9981",
            "localhost:9981",
            "unix:/run/mesh.sock",
        ] {
            assert_eq!(
                text.parse::<Address>().map(|address| address.to_string()),
                Ok(text.to_owned())
            );
        }
        for wrong in [
            "",
            "localhost",
            ":9981",
            "localhost:x",
            "localhost:65536",
            "unix:",
        ] {
            assert_eq!(wrong.parse::<Address>(), Err(NotAnAddress(wrong.to_owned())));
        }
    }
}
