//! The words that ask and end: `check` reads a plan, `drain` tells a running sidecar that its pod goes.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use plan::{Plan, Policy, Undeclared};

use crate::discovery::{FileError, read};

/// How long the sidecar's admin page may take: it only sets a flag.
const ADMIN_TIME: Duration = Duration::from_secs(2);

/// A running sidecar could not be told.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It does not listen, or does not answer.
    #[error("no sidecar answers at {0}")]
    Silent(SocketAddr, #[source] io::Error),
    /// It answers something else than 200.
    #[error("the sidecar at {0} answers {1:?}")]
    Refused(SocketAddr, String),
}

/// Reads a plan and tells what is in it.
///
/// # Errors
/// There is no file, or it is not a plan; the message names the place.
pub fn check(path: &Path) -> Result<String, FileError> {
    Ok(summary(&read(path)?))
}

fn summary(plan: &Plan) -> String {
    let Plan {
        revision,
        hash: _,
        workload,
        control,
        inbound,
        services,
        exports,
        undeclared,
        observe: _,
    } = plan;
    let mut text = format!("plan {revision} of {}/{}", workload.namespace, workload.pod);
    // Writing to a string does not fail.
    if let Some(control) = control {
        let _ = write!(text, ", operator {}", control.address);
    }
    if let Some(inbound) = inbound {
        let _ = write!(text, ", inbound {inbound}");
    }
    if *undeclared == Undeclared::Allow {
        text += ", undeclared services allowed";
    }
    for service in services {
        let shared = service.locations.iter().map(ToString::to_string);
        let hosts: Vec<_> = service
            .hosts
            .iter()
            .map(ToString::to_string)
            .chain(shared)
            .collect();
        let (name, protocol) = (&service.name, service.protocol.as_str());
        let (seeds, hosts) = (service.seeds.len(), hosts.join(" "));
        let more = words([
            service.motan1.then(|| "motan too".to_owned()),
            service.external.then(|| "outside of the mesh".to_owned()),
            service
                .plain
                .then(|| "takes callers outside of the mesh".to_owned()),
            mingz(&service.policy),
        ]);
        let _ = write!(
            text,
            "\ncalls {name} ({protocol}, {} in {}{more}): {seeds} seeds {hosts}",
            service.path, service.group
        );
        for listener in &service.listen {
            let _ = write!(text, "\nlistens at {listener} for {name}");
        }
    }
    for export in exports {
        let (name, protocol, backend) = (&export.name, export.protocol.as_str(), &export.backend);
        let more = words([
            export
                .motan1
                .as_ref()
                .map(|address| format!("motan at {address}")),
            export
                .plain
                .then(|| "for callers outside of the mesh too".to_owned()),
            mingz(&export.policy),
            (!export.http.is_empty()).then(|| format!("HTTP routes: {}", export.http.as_slice().len())),
            export.grpc.as_ref().map(|_| "JSON by its descriptors".to_owned()),
        ]);
        let _ = write!(
            text,
            "\nprovides {name} ({protocol}, {} in {}{more}): {backend}",
            export.path, export.group
        );
    }
    text
}

fn mingz(policy: &Policy) -> Option<String> {
    let size = policy.mingz_size?;
    Some(format!("gzip from {size} bytes"))
}

fn words<const N: usize>(words: [Option<String>; N]) -> String {
    words
        .into_iter()
        .flatten()
        .map(|word| format!(", {word}"))
        .collect()
}

/// Posts `/drain` to the admin page at `admin`.
///
/// # Errors
/// Nobody answers there within 2 s, or it is not a sidecar.
pub fn drain(admin: SocketAddr) -> Result<(), AskError> {
    let status = post(admin, "/drain").map_err(|error| AskError::Silent(admin, error))?;
    if status.split(' ').nth(1) == Some("200") {
        Ok(())
    } else {
        Err(AskError::Refused(admin, status))
    }
}

/// The status line of the answer. No HTTP client is worth starting a runtime for one line.
fn post(admin: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&admin, ADMIN_TIME)?;
    stream.set_write_timeout(Some(ADMIN_TIME))?;
    stream.set_read_timeout(Some(ADMIN_TIME))?;
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: {admin}\r\ncontent-length: 0\r\n\r\n"
    )?;
    let mut status = String::new();
    BufReader::new(stream).read_line(&mut status)?;
    Ok(status.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_names_what_is_called_and_what_is_provided() {
        let text = r#"{"revision": 7, "workload": {"namespace": "shop", "pod": "web-1", "application": "web"},
            "inbound": "127.0.0.2:9982", "undeclared": "allow",
            "services": [{"name": "shop/user", "path": "com.example.User", "group": "g", "protocol": "http",
                "hosts": ["user.shop.mesh"], "listen": ["127.1.0.1:80"], "policy": {"timeoutMs": 5}},
                {"name": "shop/zoo", "path": "zoo", "group": "g", "protocol": "motan2", "motan1": true, "external": true,
                "plain": true, "policy": {"timeoutMs": 5, "mingzSize": 1024}}],
            "exports": [{"name": "shop/web", "path": "web.shop", "group": "shop", "protocol": "motan2",
                "backend": "127.0.0.1:7000", "motan1": "127.0.0.1:7001", "plain": true, "policy": {"timeoutMs": 5},
                "http": [{"match": {"method": "GET", "path": "/a"}, "call": "a"}]}]}"#;
        let expected = "plan 7 of shop/web-1, inbound 127.0.0.2:9982, undeclared services allowed\n\
            calls shop/user (http, com.example.User in g): 0 seeds user.shop.mesh\n\
            listens at 127.1.0.1:80 for shop/user\n\
            calls shop/zoo (motan2, zoo in g, motan too, outside of the mesh, takes callers outside of the mesh, gzip from \
            1024 bytes): 0 seeds \n\
            provides shop/web (motan2, web.shop in shop, motan at 127.0.0.1:7001, for callers outside of the mesh too, HTTP routes: 1): 127.0.0.1:7000";
        assert_eq!(summary(&Plan::parse(text.as_bytes()).unwrap()), expected);
    }

    #[test]
    fn a_drain_that_nobody_hears_names_the_address() {
        let free = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let error = drain(free).unwrap_err();
        assert_eq!(error.to_string(), format!("no sidecar answers at {free}"));
    }
}
