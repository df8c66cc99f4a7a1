//! Node lists in files, for thin clients that call providers by themselves while their sidecar is away (motan-clients
//! 2.1, 2.2): `<group>_<path>`, as the existing agent writes them.
//!
//! What is written is decided by [`files`], which is pure; [`run`] is on the control thread and writes what differs.
//! A list is never emptied: where nothing is known any more, the last that was is of more use.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plan::{EndpointState, Service};
use process::drain;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::discovery::{Current, Known};

/// Writes are at least this far apart: endpoints may change many times a second in a rollout.
const EVERY: Duration = Duration::from_secs(3);

/// How soon a write that failed is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// Nodes in one list: a client reads all of it for a call, and needs one.
const MAX_NODES: usize = 256;

/// The longest file name of usual file systems, in bytes.
const MAX_NAME: usize = 255;

/// The largest file that is looked at when lists of before are sought, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// How many files are looked at when lists of before are sought.
const MAX_FILES: usize = 4096;

/// What a list is called while it is written. No list is called so: theirs have a `_`.
const BESIDE: &str = ".motanmesh.new";

#[derive(Debug, Serialize, Deserialize)]
struct Snapshot {
    group: String,
    path: String,
    nodes: Vec<Node>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Node {
    #[serde(rename = "extInfo")]
    ext_info: String,
    address: String,
}

/// What there should be: for each list its text, or `None` where it is to stay as it is.
type Files = BTreeMap<String, Option<String>>;

/// Writes what is known now, and what changes, until the drain starts.
pub(crate) async fn run(
    dir: PathBuf,
    mut current: watch::Receiver<Option<Current>>,
    mut drain: drain::Watch,
) {
    let mut keeper = Keeper {
        mine: of_before(&dir),
        dir,
        written: BTreeMap::new(),
        failed: false,
    };
    loop {
        let known = current
            .borrow_and_update()
            .as_ref()
            .map(|current| current.known.clone());
        let done = known.map_or(Ok(()), |known| keeper.keep(&files(&known)));
        let failed_before = std::mem::replace(&mut keeper.failed, done.is_err());
        let pause = match done {
            Ok(()) => EVERY,
            Err(error) => {
                if !failed_before {
                    let dir = keeper.dir.display();
                    tracing::warn!(%dir, %error, "node lists can't be written; thin clients have the last ones");
                }
                AGAIN
            }
        };
        let failed = keeper.failed;
        let news = async {
            tokio::time::sleep(pause).await;
            if failed { Ok(()) } else { current.changed().await }
        };
        match drain.or(news).await {
            Some(Ok(())) => {}
            Some(Err(_)) | None => return,
        }
    }
}

/// The lists of all services that thin clients can call by themselves.
fn files(known: &Known) -> Files {
    let services = known
        .plan
        .services
        .iter()
        .filter(|service| is_for_thin_clients(service));
    let file = |service: &Service| Some((name(service)?, text(service, known)));
    services.filter_map(file).collect()
}

fn is_for_thin_clients(service: &Service) -> bool {
    service.protocol.is_motan() && (service.plain || service.external)
}

/// What clients look for, with nothing in it that leaves the directory. A name that no file can have is none.
fn name(service: &Service) -> Option<String> {
    let name = format!("{}_{}", service.group, service.path).replace('/', "%2F");
    (name.len() <= MAX_NAME).then_some(name)
}

/// Those that are ready; where none is, those that are going away.
fn text(service: &Service, known: &Known) -> Option<String> {
    let endpoints = known.endpoints(&service.name);
    let ready = |endpoint: &&plan::Endpoint| endpoint.state == EndpointState::Ready;
    let is_any_ready = endpoints.iter().any(|endpoint| ready(&endpoint));
    let (group, path) = (service.group.as_str(), service.path.as_str());
    let protocol = service.protocol.as_str();
    let nodes: Vec<Node> = endpoints
        .iter()
        .filter(|endpoint| !is_any_ready || ready(endpoint))
        .take(MAX_NODES)
        .map(|endpoint| Node {
            ext_info: format!("{protocol}://{}/{path}?group={group}", endpoint.address),
            address: endpoint.address.to_string(),
        })
        .collect();
    if nodes.is_empty() {
        return None;
    }
    let snapshot = Snapshot {
        group: group.to_owned(),
        path: path.to_owned(),
        nodes,
    };
    serde_json::to_string(&snapshot).ok()
}

struct Keeper {
    dir: PathBuf,
    /// Files in the directory that are ours.
    mine: BTreeSet<String>,
    written: BTreeMap<String, String>,
    failed: bool,
}

impl Keeper {
    /// Writes what differs and removes what is gone. The directory is made where it is missing: what is mounted is the
    /// one above it.
    fn keep(&mut self, files: &Files) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        for (name, text) in files {
            let Some(text) = text else { continue };
            if self.written.get(name) != Some(text) {
                let beside = self.dir.join(BESIDE);
                fs::write(&beside, text)?;
                fs::rename(&beside, self.dir.join(name))?;
                self.mine.insert(name.clone());
                self.written.insert(name.clone(), text.clone());
            }
        }
        let gone: Vec<String> = self
            .mine
            .iter()
            .filter(|name| !files.contains_key(*name))
            .cloned()
            .collect();
        for name in gone {
            match fs::remove_file(self.dir.join(&name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            self.written.remove(&name);
            self.mine.remove(&name);
        }
        Ok(())
    }
}

/// The lists that a process before this one has left. Any other file is somebody else's.
fn of_before(dir: &Path) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(dir) else {
        return BTreeSet::new();
    };
    let names = entries
        .take(MAX_FILES)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| is_list(&dir.join(name), name)).collect()
}

fn is_list(path: &Path, name: &str) -> bool {
    let is_small_file = fs::symlink_metadata(path).is_ok_and(|is| is.is_file() && is.len() <= MAX_BYTES);
    if !name.contains('_') || !is_small_file {
        return false;
    }
    let snapshot = fs::read(path)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok());
    snapshot.is_some_and(|Snapshot { group, path, .. }| format!("{group}_{path}").replace('/', "%2F") == name)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plan::Plan;

    use super::*;

    fn known(seeds: &str) -> Known {
        let text = format!(
            r#"{{"revision": 1, "workload": {{"namespace": "shop", "pod": "web-1", "application": "web"}}, "services": [
            {{"name": "shop/cart", "path": "cart", "group": "shop", "protocol": "motan2", "policy": {{"timeoutMs": 100}},
              "seeds": [{seeds}]}},
            {{"name": "shop/old", "path": "a/../old", "group": "shop", "protocol": "motan", "external": true,
              "policy": {{"timeoutMs": 100}}, "seeds": [{seeds}]}},
            {{"name": "shop/user", "path": "com.example.User", "group": "shop", "protocol": "motan2", "plain": true,
              "policy": {{"timeoutMs": 100}}, "seeds": [{seeds}]}},
            {{"name": "shop/web", "path": "web", "group": "shop", "protocol": "http", "plain": true,
              "policy": {{"timeoutMs": 100}}, "seeds": [{seeds}]}}]}}"#
        );
        Known::seeded(Arc::new(Plan::parse(text.as_bytes()).unwrap()))
    }

    const TWO: &str = r#"{"address": "10.0.0.1:9982"}, {"address": "10.0.0.2:9982", "state": "draining"}"#;

    #[test]
    fn lists_are_of_services_that_thin_clients_can_call_and_stay_in_their_directory() {
        let files = files(&known(TWO));
        let names: Vec<_> = files.keys().map(String::as_str).collect();
        assert_eq!(names, ["shop_a%2F..%2Fold", "shop_com.example.User"]);
        assert_eq!(
            files["shop_com.example.User"].as_deref(),
            Some(
                r#"{"group":"shop","path":"com.example.User","nodes":[{"extInfo":"motan2://10.0.0.1:9982/com.example.User?group=shop","address":"10.0.0.1:9982"}]}"#
            )
        );
    }

    #[test]
    fn a_provider_that_goes_away_is_better_than_none() {
        let last = files(&known(r#"{"address": "10.0.0.2:9982", "state": "draining"}"#));
        assert!(
            last["shop_com.example.User"]
                .as_ref()
                .is_some_and(|text| text.contains("10.0.0.2:9982"))
        );
        assert_eq!(files(&known(""))["shop_com.example.User"], None);
    }

    #[test]
    fn a_list_is_not_emptied_and_goes_with_its_service_even_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let keeper = || Keeper {
            mine: of_before(dir.path()),
            dir: dir.path().to_owned(),
            written: BTreeMap::new(),
            failed: false,
        };
        fs::write(dir.path().join("some_body"), "else's").unwrap();
        let here = |name: &str| dir.path().join(name).exists();
        keeper().keep(&files(&known(TWO))).unwrap();
        keeper().keep(&files(&known(""))).unwrap();
        let text = fs::read_to_string(dir.path().join("shop_com.example.User")).unwrap();
        assert!(text.contains("10.0.0.1:9982"), "{text}");
        keeper().keep(&Files::new()).unwrap();
        assert!(!here("shop_com.example.User") && !here("shop_a%2F..%2Fold") && !here(BESIDE));
        assert!(here("some_body"));
    }
}
