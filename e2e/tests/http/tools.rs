//! The programs that others wrote, and ours on others' libraries.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

use tokio::process::Command;

/// A kind of `peers/build`, as a folder of programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tools {
    Go,
    Java,
    Node,
    Python,
}

impl Tools {
    const fn kind(self) -> &'static str {
        match self {
            Self::Go => "web-go",
            Self::Java => "web-java",
            Self::Node => "web-node",
            Self::Python => "web-python",
        }
    }

    /// The folder, built once where it is missing.
    fn folder(self) -> &'static Path {
        static FOLDERS: [OnceLock<PathBuf>; 4] = [const { OnceLock::new() }; 4];
        FOLDERS[self as usize].get_or_init(|| {
            let build = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/build");
            let output = std::process::Command::new(build)
                .arg(self.kind())
                .stderr(Stdio::inherit())
                .output()
                .unwrap();
            assert!(output.status.success(), "{build} {} fails", self.kind());
            String::from_utf8(output.stdout).unwrap().trim().into()
        })
    }

    /// The web client of that language.
    pub(crate) fn client(self) -> Command {
        match self {
            Self::Go => {
                let mut client = self.program("web-go-peer");
                client.arg("client");
                client
            }
            Self::Java => self.program("web-java-peer"),
            Self::Node => {
                let mut node = without_proxy(Command::new("node"));
                node.arg(self.folder().join("web-node-peer.mjs"));
                node
            }
            Self::Python => self.program("web-python-peer"),
        }
    }

    /// A program of it, which ends with its handle. No setting of this machine sends it to a proxy.
    pub(crate) fn program(self, name: &str) -> Command {
        without_proxy(Command::new(self.folder().join(name)))
    }
}

/// The command without what the environment says of proxies.
pub(crate) fn without_proxy(mut command: Command) -> Command {
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_ascii_uppercase());
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}
