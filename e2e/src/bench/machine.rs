//! The machine and the versions that figures belong to, in words that name neither.

use std::{fs, path::Path, process::Command, thread::available_parallelism};

use crate::cores::Cores;

/// What is said above the figures.
pub(crate) struct Machine {
    /// Processors there are, and how many of them were used.
    pub(crate) processors: String,
    /// The kernel's version, of three numbers.
    pub(crate) kernel: String,
    pub(crate) rustc: String,
    pub(crate) motan_go: Option<String>,
    pub(crate) envoy: Option<String>,
}

impl Machine {
    /// `all` is how many processors there are: once this process is bound to one it can't be asked any more.
    pub(crate) fn look(all: usize, cores: Cores, motan_go: Option<&Path>, envoy: Option<&Path>) -> Self {
        Self {
            processors: format!("{all}, of which {} were used", cores.count()),
            kernel: kernel(&fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default()),
            rustc: said("rustc", &["--version"], second_word),
            motan_go: motan_go.map(|program| {
                let program = program.to_string_lossy();
                said("go", &["version", "-m", &program], library)
            }),
            envoy: envoy.map(|program| said(&program.to_string_lossy(), &["--version"], envoy_version)),
        }
    }
}

/// How many processors this process may use.
pub(crate) fn processors() -> usize {
    available_parallelism().map_or(1, std::num::NonZero::get)
}

fn said(program: &str, arguments: &[&str], read: impl Fn(&str) -> Option<String>) -> String {
    let output = Command::new(program).args(arguments).output().ok();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.as_deref()
        .and_then(read)
        .unwrap_or_else(|| "unknown".to_owned())
}

fn second_word(text: &str) -> Option<String> {
    text.split_whitespace().nth(1).map(str::to_owned)
}

/// The library's version and Go's, from what `go version -m` says of a program.
fn library(text: &str) -> Option<String> {
    let go = text.split_whitespace().find(|word| word.starts_with("go1."))?;
    let mut words = text.split_whitespace();
    words.find(|word| *word == "github.com/weibocom/motan-go")?;
    let version = words.next()?;
    Some(format!("{version}, {go}"))
}

/// The version among the parts of a build's name: commit, version, state, kind, library of TLS.
fn envoy_version(text: &str) -> Option<String> {
    let (_, name) = text.split_once("version: ")?;
    name.split('/').nth(1).map(str::to_owned)
}

/// The numbers only: what follows them names a build.
fn kernel(release: &str) -> String {
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    release.trim().chars().take_while(|c| is_number(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_the_tools_say() {
        let text = "peer: go1.26.8\n\tpath\tpeer\n\tdep\tgithub.com/weibocom/motan-go\tv1.2.0\th1:x\n";
        assert_eq!(library(text).as_deref(), Some("v1.2.0, go1.26.8"));
        assert_eq!(library("nothing of the kind"), None);
        assert_eq!(
            second_word("rustc 1.95.0 (abc 2026-01-01)").as_deref(),
            Some("1.95.0")
        );
        let text = "\n/a/b/envoy  version: 0a1b/1.40.0/Clean/RELEASE/BoringSSL\n\n";
        assert_eq!(envoy_version(text).as_deref(), Some("1.40.0"));
        assert_eq!(kernel("6.12.3-some-build-7\n"), "6.12.3");
    }
}
