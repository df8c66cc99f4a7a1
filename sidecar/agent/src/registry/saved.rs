//! What the program has said, on disk beside the plan: a sidecar that is restarted knows it, and the program need not
//! say it again. Written beside and renamed; not synced, as the last good plan is not.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Url;
use super::entries::{Entries, MAX_REGISTERED, Registered, Subscribed};
use plan::stream::MAX_UNDECLARED;

/// The file in the state directory.
const NAME: &str = "registry.json";

/// The largest document that is written or read, in bytes: all entries at their bounds. Two of them fit beside two of
/// the last good plan in the emptyDir (16 MiB).
const MAX_BYTES: usize = 1 << 20;

#[derive(Serialize, Deserialize)]
struct Document {
    #[serde(default)]
    registered: Vec<Register>,
    #[serde(default)]
    subscribed: Vec<Subscribe>,
}

#[derive(Serialize, Deserialize)]
struct Register {
    #[serde(flatten)]
    url: Url,
    served: bool,
}

#[derive(Serialize, Deserialize)]
struct Subscribe {
    #[serde(flatten)]
    url: Url,
    asked: bool,
}

/// The file can't be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SavedError {
    /// The system refuses.
    #[error("{}: what the program has registered can't be {verb}", path.display())]
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
    #[error("{}: what the program has registered does not parse", .0.display())]
    Malformed(PathBuf, #[source] serde_json::Error),
    /// Over the bound.
    #[error("what the program has registered has {0} bytes; at most 1 MiB is kept")]
    TooLarge(usize),
}

/// Reads what was said in `dir`; nothing where there is no file.
///
/// # Errors
/// It is there and can't be used.
pub(crate) fn load(dir: &Path) -> Result<Entries, SavedError> {
    let path = dir.join(NAME);
    let mut text = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut text));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Entries::default()),
        Err(source) => {
            let verb = "read";
            return Err(SavedError::Io { verb, path, source });
        }
        Ok(bytes) if bytes > MAX_BYTES => return Err(SavedError::TooLarge(bytes)),
        Ok(_) => {}
    }
    let document: Document =
        serde_json::from_slice(&text).map_err(|error| SavedError::Malformed(path, error))?;
    Ok(entries(document))
}

/// Writes what was said in `dir`.
///
/// # Errors
/// It is too large, or the system refuses; what was there before stays.
pub(crate) fn save(dir: &Path, entries: &Entries) -> Result<(), SavedError> {
    let path = dir.join(NAME);
    let text = serde_json::to_vec(&document(entries));
    let text = text.map_err(|error| SavedError::Malformed(path.clone(), error))?;
    if text.len() > MAX_BYTES {
        return Err(SavedError::TooLarge(text.len()));
    }
    let beside = dir.join(format!("{NAME}.new"));
    fs::write(&beside, text)
        .and_then(|()| fs::rename(&beside, &path))
        .map_err(|source| {
            let verb = "written";
            SavedError::Io { verb, path, source }
        })
}

fn document(entries: &Entries) -> Document {
    let registered = entries.registered.values().map(|entry| Register {
        url: entry.url.clone(),
        served: entry.is_served,
    });
    let subscribed = entries.subscribed.values().map(|entry| Subscribe {
        url: entry.url.clone(),
        asked: entry.asked,
    });
    Document {
        registered: registered.collect(),
        subscribed: subscribed.collect(),
    }
}

/// No more than a program may say, whoever has written the file.
fn entries(document: Document) -> Entries {
    let Document {
        registered,
        subscribed,
    } = document;
    let registered = registered.into_iter().take(MAX_REGISTERED);
    let registered = registered.map(|Register { url, served }| {
        let key = (url.group.clone(), url.path.clone(), url.protocol);
        let is_served = served;
        (key, Registered { url, is_served })
    });
    let subscribed = subscribed.into_iter().take(MAX_UNDECLARED);
    let subscribed = subscribed.map(|Subscribe { url, asked }| {
        let version = url.version().map(str::to_owned);
        let key = (url.group.clone(), url.path.clone(), url.protocol, version);
        (key, Subscribed { url, asked })
    });
    Entries {
        registered: registered.collect(),
        subscribed: subscribed.collect(),
    }
}
