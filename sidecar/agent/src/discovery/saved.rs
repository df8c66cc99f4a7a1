//! The last good state on disk: what a sidecar that starts while the operator is away begins with.
//!
//! Written beside and renamed, so a reader sees a whole file. It is not synced: a file that a power cut has torn does
//! not parse and is ignored, and then the plan's own seeds do.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use plan::{Endpoint, Plan, ServiceName};
use serde::{Deserialize, Serialize};

/// The file in the state directory.
const NAME: &str = "last-good.json";

/// The largest state that is written or read, in bytes: two of them and some more fit in the emptyDir (16 MiB).
const MAX_BYTES: usize = 6 << 20;

/// What ran last, and where its services were provided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Saved {
    /// The plan that ran.
    pub(crate) plan: Plan,
    /// What the live stream had said of its services; those it never spoke of are missing.
    pub(crate) endpoints: BTreeMap<ServiceName, Vec<Endpoint>>,
}

/// The state can't be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SavedError {
    /// The system refuses.
    #[error("{}: the last good state can't be {verb}", path.display())]
    Io {
        /// `read` or `written`.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Torn, or of another version of the sidecar.
    #[error("{}: the last good state does not parse", .0.display())]
    Malformed(PathBuf, #[source] serde_json::Error),
    /// Over the bound.
    #[error("the last good state has {0} bytes; at most 6 MiB is kept")]
    TooLarge(usize),
}

/// Reads the state in `dir`; `None` where there is none yet.
///
/// # Errors
/// It is there and can't be used.
pub(crate) fn load(dir: &Path) -> Result<Option<Saved>, SavedError> {
    let path = dir.join(NAME);
    let mut text = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut text));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(SavedError::Io {
                verb: "read",
                path,
                source,
            });
        }
        Ok(bytes) if bytes > MAX_BYTES => return Err(SavedError::TooLarge(bytes)),
        Ok(_) => {}
    }
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| SavedError::Malformed(path, error))
}

/// Writes the state in `dir`.
///
/// # Errors
/// It is too large, or the system refuses; what was there before stays.
pub(crate) fn save(dir: &Path, saved: &Saved) -> Result<(), SavedError> {
    let path = dir.join(NAME);
    let text = serde_json::to_vec(saved).map_err(|error| SavedError::Malformed(path.clone(), error))?;
    if text.len() > MAX_BYTES {
        return Err(SavedError::TooLarge(text.len()));
    }
    let beside = dir.join(format!("{NAME}.new"));
    fs::write(&beside, text)
        .and_then(|()| fs::rename(&beside, &path))
        .map_err(|source| SavedError::Io {
            verb: "written",
            path,
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved() -> Saved {
        let plan =
            br#"{"revision": 7, "workload": {"namespace": "shop", "pod": "web-1", "application": "web"}}"#;
        let endpoint = Endpoint {
            address: "10.0.0.1:8080".to_owned().try_into().unwrap(),
            state: Default::default(),
            direct: true,
            motan1: None,
            weight: None,
            zone: None,
            subsets: vec![plan::SubsetName::new("v2").unwrap()],
        };
        let endpoints = BTreeMap::from([(ServiceName::of("shop", "user").unwrap(), vec![endpoint])]);
        Saved {
            plan: Plan::parse(plan).unwrap(),
            endpoints,
        }
    }

    #[test]
    fn what_is_saved_is_loaded_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(load(dir.path()).unwrap(), None);
        save(dir.path(), &saved()).unwrap();
        assert_eq!(load(dir.path()).unwrap(), Some(saved()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_torn_file_is_an_error_and_not_a_state() {
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), &saved()).unwrap();
        let whole = fs::read(dir.path().join(NAME)).unwrap();
        fs::write(dir.path().join(NAME), &whole[..whole.len() / 2]).unwrap();
        assert!(matches!(load(dir.path()), Err(SavedError::Malformed(..))));
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error_that_names_the_file() {
        let error = save(Path::new("/nowhere"), &saved()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/nowhere/last-good.json: the last good state can't be written"
        );
    }
}
