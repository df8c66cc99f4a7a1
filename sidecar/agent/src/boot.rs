//! What a process is started with, from flags and environment; fixed for its life. Nothing that a plan may change.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use plan::Address;

use crate::discovery::Settings;
use crate::discovery::stream::Dial;

/// Flags of `run`, each also an environment variable `MOTANMESH_<FLAG>`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Boot {
    /// The plan: a file, or a directory with a plan.json in it (a mounted ConfigMap).
    #[arg(long, env = "MOTANMESH_PLAN", value_name = "PATH")]
    pub plan: PathBuf,
    /// Where the last good plan and endpoints are kept, for starts while the operator is away; none are kept without.
    #[arg(long, env = "MOTANMESH_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// The projected ServiceAccount token that the operator wants to see.
    #[arg(long, env = "MOTANMESH_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Instead of the operator's address in the plan.
    #[arg(long, env = "MOTANMESH_OPERATOR_ADDRESS", value_name = "HOST:PORT", value_parser = operator)]
    pub operator_address: Option<Address>,
    /// Where node lists are written for thin clients that find their own way while the sidecar is away
    /// (`<group>_<path>`); none are written without.
    #[arg(long, env = "MOTANMESH_SNAPSHOT_DIR", value_name = "DIR")]
    pub snapshot_dir: Option<PathBuf>,
    /// Where the local program's listeners and the admin page are.
    #[arg(
        long,
        env = "MOTANMESH_LOCAL_ADDRESS",
        value_name = "IP",
        default_value = "127.0.0.1"
    )]
    pub local_address: IpAddr,
    /// Where other agents reach this one: an address, or address:port; without it the plan says it.
    #[arg(long, env = "MOTANMESH_INBOUND_ADDRESS", value_name = "IP[:PORT]")]
    pub inbound_address: Option<Host>,
    /// Motan 2 from the local program.
    #[arg(
        long,
        env = "MOTANMESH_MOTAN_PORT",
        value_name = "PORT",
        default_value_t = 9981
    )]
    pub motan_port: u16,
    /// A socket in the file system for the same as --motan-port, beside it.
    #[arg(long, env = "MOTANMESH_MOTAN_SOCKET", value_name = "PATH")]
    pub motan_socket: Option<PathBuf>,
    /// Motan 2 from other agents, where --inbound-address names no port.
    #[arg(
        long,
        env = "MOTANMESH_INBOUND_PORT",
        value_name = "PORT",
        default_value_t = 9982
    )]
    pub inbound_port: u16,
    /// HTTP/1.1 from the local program.
    #[arg(
        long,
        env = "MOTANMESH_HTTP_PORT",
        value_name = "PORT",
        default_value_t = 9983
    )]
    pub http_port: u16,
    /// The admin page: plan, links, drain, log level.
    #[arg(long, env = "MOTANMESH_ADMIN_PORT", value_name = "PORT", default_value_t = ADMIN_PORT)]
    pub admin_port: u16,
    /// Metrics and probes.
    #[arg(
        long,
        env = "MOTANMESH_METRICS_PORT",
        value_name = "PORT",
        default_value_t = 9990
    )]
    pub metrics_port: u16,
    /// Where metrics and probes are; else at the IP of --inbound-address, else at --local-address.
    #[arg(long, env = "MOTANMESH_METRICS_ADDRESS", value_name = "IP")]
    pub metrics_address: Option<IpAddr>,
    /// Data threads; default: one for each core, at most two.
    #[arg(long, env = "MOTANMESH_WORKERS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: Option<u16>,
    /// off, error, warn, info, debug or trace, or a list such as info,hyper=debug.
    #[arg(
        long,
        env = "MOTANMESH_LOG_LEVEL",
        value_name = "LEVEL",
        default_value = "info"
    )]
    pub log_level: String,
    /// json or text.
    #[arg(
        long,
        env = "MOTANMESH_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "json"
    )]
    pub log_format: process::logging::Format,
    /// How long other agents need to hear that this pod goes: a drain that was asked for this long before SIGTERM
    /// needs no further waiting.
    #[arg(long, env = "MOTANMESH_DRAIN_DELAY", value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub drain_delay: Duration,
    /// How long after SIGTERM calls in flight may take before they are cut.
    #[arg(long, env = "MOTANMESH_DRAIN_DEADLINE", value_name = "TIME", default_value = "25s", value_parser = duration)]
    pub drain_deadline: Duration,
}

/// The default of `--admin-port`.
pub const ADMIN_PORT: u16 = 8002;

/// The most data threads without `--workers`: a sidecar should not take more than its program leaves.
const USUAL_WORKERS: usize = 2;

impl Boot {
    /// Where Motan from the local program is heard.
    #[must_use]
    pub fn motan(&self) -> SocketAddr {
        SocketAddr::new(self.local_address, self.motan_port)
    }

    /// Where HTTP from the local program is heard.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        SocketAddr::new(self.local_address, self.http_port)
    }

    /// Where the admin page is.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        SocketAddr::new(self.local_address, self.admin_port)
    }

    /// Where metrics and probes are.
    #[must_use]
    pub fn metrics(&self) -> SocketAddr {
        let inbound = self.inbound_address.map(|host| host.ip);
        let ip = self.metrics_address.or(inbound).unwrap_or(self.local_address);
        SocketAddr::new(ip, self.metrics_port)
    }

    /// Where other agents are heard, if this process knows it without a plan.
    #[must_use]
    pub fn inbound(&self) -> Option<SocketAddr> {
        let Host { ip, port } = self.inbound_address?;
        Some(SocketAddr::new(ip, port.unwrap_or(self.inbound_port)))
    }

    /// How many data threads; `cores` is what this process may use.
    #[must_use]
    pub fn workers(&self, cores: usize) -> usize {
        self.workers.map_or(cores.clamp(1, USUAL_WORKERS), usize::from)
    }

    /// What discovery needs of this.
    #[must_use]
    pub fn discovery(&self) -> Settings {
        let dial = Dial {
            token_file: self.token_file.clone(),
            address: self.operator_address.clone(),
            ..Dial::default()
        };
        Settings {
            plan: self.plan.clone(),
            state_dir: self.state_dir.clone(),
            dial,
            inbound: self.inbound_address.is_some(),
        }
    }
}

/// An IP address, and perhaps a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host {
    /// The address.
    pub ip: IpAddr,
    /// The port, if it is said.
    pub port: Option<u16>,
}

/// A flag's value that can't be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFlag {
    /// Of [`Host`].
    #[error("{0:?}: must be an IP address, or an IP address and a port (10.0.0.1:9982, [::1]:9982)")]
    Host(String),
    /// Of a duration.
    #[error("{0:?}: must be a number and ms, s or m, such as 500ms or 5s")]
    Duration(String),
}

impl FromStr for Host {
    type Err = InvalidFlag;

    fn from_str(text: &str) -> Result<Self, InvalidFlag> {
        if let Ok(ip) = text.parse() {
            return Ok(Self { ip, port: None });
        }
        let socket: SocketAddr = text.parse().map_err(|_| InvalidFlag::Host(text.to_owned()))?;
        Ok(Self {
            ip: socket.ip(),
            port: Some(socket.port()),
        })
    }
}

fn operator(text: &str) -> Result<Address, plan::InvalidAddress> {
    Address::new(text)
}

fn duration(text: &str) -> Result<Duration, InvalidFlag> {
    let invalid = || InvalidFlag::Duration(text.to_owned());
    let digits = text
        .find(|letter: char| !letter.is_ascii_digit())
        .ok_or_else(invalid)?;
    let (number, unit) = text.split_at(digits);
    let number: u32 = number.parse().map_err(|_| invalid())?;
    match unit {
        "ms" => Ok(Duration::from_millis(number.into())),
        "s" => Ok(Duration::from_secs(number.into())),
        "m" => Ok(Duration::from_secs(60 * u64::from(number))),
        _ => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        boot: Boot,
    }

    fn boot(flags: &str) -> Boot {
        let words = ["run", "--plan", "/plan.json"]
            .into_iter()
            .chain(flags.split_whitespace());
        Command::try_parse_from(words)
            .unwrap_or_else(|error| panic!("{error}"))
            .boot
    }

    #[test]
    fn addresses_follow_from_few_flags() {
        let table = [
            (
                "",
                "127.0.0.1:9981 127.0.0.1:9983 127.0.0.1:8002 127.0.0.1:9990 None",
            ),
            (
                "--local-address 127.0.0.2 --http-port 0",
                "127.0.0.2:9981 127.0.0.2:0 127.0.0.2:8002 127.0.0.2:9990 None",
            ),
            (
                "--inbound-address 10.0.0.1",
                "127.0.0.1:9981 127.0.0.1:9983 127.0.0.1:8002 10.0.0.1:9990 Some(10.0.0.1:9982)",
            ),
            (
                "--inbound-address 10.0.0.1:7 --metrics-address 10.0.0.9",
                "127.0.0.1:9981 127.0.0.1:9983 127.0.0.1:8002 10.0.0.9:9990 Some(10.0.0.1:7)",
            ),
            (
                "--inbound-address fd00::1",
                "127.0.0.1:9981 127.0.0.1:9983 127.0.0.1:8002 [fd00::1]:9990 Some([fd00::1]:9982)",
            ),
        ];
        for (flags, expected) in table {
            let boot = boot(flags);
            let (motan, http, admin) = (boot.motan(), boot.http(), boot.admin());
            let found = format!("{motan} {http} {admin} {} {:?}", boot.metrics(), boot.inbound());
            assert_eq!(found, expected, "{flags}");
        }
    }

    #[test]
    fn workers_are_one_a_core_and_at_most_two_unless_told() {
        assert_eq!([1, 2, 64].map(|cores| boot("").workers(cores)), [1, 2, 2]);
        assert_eq!(boot("--workers 8").workers(2), 8);
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("300ms"), Ok(Duration::from_millis(300)));
        assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["5", "s", "5h", "-1s", "", "99999999999s"] {
            assert_eq!(duration(wrong), Err(InvalidFlag::Duration(wrong.into())));
        }
    }
}
