//! How programs that are not told of the sidecar by their own settings reach it: `MOTAN_MESH_PROXY`, which Java programs
//! read, and a directory shared with the sidecar, where PHP and OpenResty find its socket and its snapshots.

use std::{fmt, str::FromStr};

use k8s_openapi::api::core::v1::Container;
use serde_json::{Value, json};

use super::{
    Reason, Refusal,
    edits::add,
    overrides::Shape,
    sidecar::{MOUNTS, RUN_VOLUME},
    subject::Subject,
};

/// Read by Java programs (motan-clients.md 1.10): turns their registries into the sidecar.
const MESH_PROXY: &str = "MOTAN_MESH_PROXY";
/// The longest directory, in bytes: with the name of the socket it must fit the 108 bytes of a socket's address.
const MAX_RUN_DIR: usize = 90;
/// What a directory of the pod must not cover: programs would not find their files.
const SYSTEM: [&str; 11] = [
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/sbin", "/sys", "/usr", "/var",
];
/// Nothing can be mounted below these.
const KERNEL: [&str; 3] = ["/dev", "/proc", "/sys"];

/// Which side of a program goes through the sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MeshProxy {
    All,
    Client,
    Server,
}

/// A word that is none of them.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} must be all, client or server")]
pub(super) struct InvalidMeshProxy(String);

impl MeshProxy {
    const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Client => "client",
            Self::Server => "server",
        }
    }

    /// The variable's value.
    fn value(self, shape: &Shape) -> String {
        let (port, mport) = (shape.ports.motan, shape.ports.admin);
        let mode = self.as_str();
        format!("mode:{mode},ip:127.0.0.1,port:{port},mport:{mport},protocol:motan2")
    }
}

impl FromStr for MeshProxy {
    type Err = InvalidMeshProxy;

    fn from_str(text: &str) -> Result<Self, InvalidMeshProxy> {
        let all = [Self::All, Self::Client, Self::Server];
        let found = all.into_iter().find(|one| one.as_str() == text);
        found.ok_or_else(|| InvalidMeshProxy(text.to_owned()))
    }
}

/// A directory that programs and the sidecar share: absolute, and nothing in it that would have to be resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunDir(String);

/// A path that can't be that directory.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidRunDir {
    #[error("{0:?} is not a clean absolute path: write for example /run/motanmesh")]
    Path(String),
    #[error(
        "{0:?} is longer than {MAX_RUN_DIR} bytes, and a socket's address has room for 108: write a shorter path"
    )]
    Long(String),
    #[error("{0:?} is a directory of the system, which would be covered: write for example /run/motanmesh")]
    System(String),
    #[error("{0:?} overlaps {1}, where the sidecar has files of its own: write for example /run/motanmesh")]
    Sidecar(String, &'static str),
}

impl RunDir {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RunDir {
    type Err = InvalidRunDir;

    fn from_str(text: &str) -> Result<Self, InvalidRunDir> {
        let owned = || text.to_owned();
        let part = |part: &str| {
            let clean = part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
            clean && !matches!(part, "" | "." | "..")
        };
        let parts = text.strip_prefix('/');
        if !parts.is_some_and(|parts| parts.split('/').all(part)) {
            return Err(InvalidRunDir::Path(owned()));
        }
        if text.len() > MAX_RUN_DIR {
            return Err(InvalidRunDir::Long(owned()));
        }
        if SYSTEM.contains(&text) || KERNEL.iter().any(|kernel| is_within(text, kernel)) {
            return Err(InvalidRunDir::System(owned()));
        }
        let overlaps = |own: &&str| is_within(text, own) || is_within(own, text);
        match MOUNTS.into_iter().find(|own| overlaps(own)) {
            Some(own) => Err(InvalidRunDir::Sidecar(owned(), own)),
            None => Ok(Self(owned())),
        }
    }
}

/// Whether a path is a directory or below it.
fn is_within(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Subject<'_> {
    /// Nothing may be mounted in the shared directory, and its volume's name must be free.
    pub(super) fn check_run_dir(&self, shape: &Shape) -> Result<(), Refusal> {
        let Some(dir) = &shape.run_dir else { return Ok(()) };
        if self.volume_at(RUN_VOLUME).is_some() {
            let message = format!("a volume is named {RUN_VOLUME} already: give it another name");
            return Err(Refusal::new(Reason::VolumeTaken, message));
        }
        for container in self.containers() {
            let mut mounts = container.volume_mounts.iter().flatten();
            let taken = mounts.find(|mount| is_within(mount.mount_path.trim_end_matches('/'), dir.as_str()));
            if let Some(taken) = taken {
                let message = format!(
                    "container {} has {} mounted at {}, and annotation {} asks for {dir}: mount it elsewhere, or ask \
                     for another directory",
                    container.name,
                    taken.name,
                    taken.mount_path,
                    crds::names::RUN_DIR
                );
                return Err(Refusal::new(Reason::MountTaken, message));
            }
        }
        Ok(())
    }

    /// What every container of the pod gets, by the places that they have before the sidecar is among them.
    pub(super) fn reach(&self, shape: &Shape) -> Vec<Value> {
        let lists = [
            ("/spec/initContainers", self.spec.init_containers.as_deref()),
            ("/spec/containers", Some(self.spec.containers.as_slice())),
        ];
        let mut edits = Vec::new();
        for (list, containers) in lists {
            for (at, container) in containers.unwrap_or_default().iter().enumerate() {
                edits.extend(proxy(&format!("{list}/{at}"), container, shape));
                edits.extend(mount(&format!("{list}/{at}"), container, shape));
            }
        }
        edits
    }
}

/// The variable, in a container that does not set it itself.
fn proxy(path: &str, container: &Container, shape: &Shape) -> Vec<Value> {
    let own = container
        .env
        .iter()
        .flatten()
        .any(|variable| variable.name == MESH_PROXY);
    let value = shape.mesh_proxy.filter(|_| !own).map(|proxy| proxy.value(shape));
    let variable = value.map(|value| json!({"name": MESH_PROXY, "value": value}));
    append(&format!("{path}/env"), container.env.is_some(), variable)
}

/// The directory. A socket can be connected to where its directory can't be written to.
fn mount(path: &str, container: &Container, shape: &Shape) -> Vec<Value> {
    let mount = shape
        .run_dir
        .as_ref()
        .map(|dir| json!({"name": RUN_VOLUME, "mountPath": dir.as_str(), "readOnly": true}));
    append(
        &format!("{path}/volumeMounts"),
        container.volume_mounts.is_some(),
        mount,
    )
}

/// Appends to a list that may not be there yet.
fn append(list: &str, exists: bool, value: Option<Value>) -> Vec<Value> {
    let Some(value) = value else { return Vec::new() };
    let new = (!exists).then(|| add(list, json!([])));
    new.into_iter()
        .chain([add(&format!("{list}/-"), value)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_path_that_covers_nothing_is_a_run_dir() {
        for text in [
            "/run/motanmesh",
            "/data1/weibo-mesh",
            "/var/run/mesh",
            "/opt/a.b_c",
            "/x",
        ] {
            assert_eq!(text.parse::<RunDir>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn a_path_that_can_not_be_is_refused_with_the_mend() {
        let long = format!("/{}", "x".repeat(MAX_RUN_DIR));
        for (text, words) in [
            ("", "clean absolute path"),
            ("/", "clean absolute path"),
            ("run/mesh", "clean absolute path"),
            ("/run/mesh/", "clean absolute path"),
            ("/run//mesh", "clean absolute path"),
            ("/run/../mesh", "clean absolute path"),
            ("/run/./mesh", "clean absolute path"),
            ("/run/a:b", "clean absolute path"),
            ("/run/a b", "clean absolute path"),
            ("/etc", "would be covered"),
            ("/proc/1", "would be covered"),
            ("/etc/motanmesh", "the sidecar has files of its own"),
            ("/var/lib/motanmesh/x", "the sidecar has files of its own"),
            (long.as_str(), "longer than 90 bytes"),
        ] {
            let error = text.parse::<RunDir>().unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
        assert!("/etc/motanmesh-php".parse::<RunDir>().is_ok());
    }
}
