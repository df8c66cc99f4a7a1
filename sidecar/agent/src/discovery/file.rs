//! The plan in a file: the ConfigMap that the operator wrote, or a document written by hand.
//!
//! It is read once a second and compared by content. Watching by inotify would have to follow the symbolic links that
//! the kubelet swaps; reading 12 KiB a second costs nothing that can be measured.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use plan::{MAX_PLAN_BYTES, Plan, PlanError};

/// How often the file is looked at; the kubelet itself is up to a minute and a half late.
pub(crate) const EVERY: Duration = Duration::from_secs(1);

/// What a ConfigMap mounted as a directory calls the plan.
const KEY: &str = "plan.json";

/// A plan that can't be taken from a file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is none yet.
    #[error("{}: there is no plan yet", .0.display())]
    Missing(PathBuf),
    /// The system refuses.
    #[error("{}: the plan can't be read", .0.display())]
    Io(PathBuf, #[source] io::Error),
    /// It is not a plan.
    #[error("{}", .0.display())]
    Malformed(PathBuf, #[source] PlanError),
}

/// A file or a mounted directory, and what was last read from it.
#[derive(Debug)]
pub(crate) struct PlanFile {
    path: PathBuf,
    last: Option<Vec<u8>>,
}

impl PlanFile {
    /// Nothing is read yet.
    #[must_use]
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path, last: None }
    }

    /// The plan, if the text is not the one of the last call; the same bad text is reported once.
    ///
    /// # Errors
    /// There is no file, it can't be read, or it is not a plan.
    pub(crate) fn changed(&mut self) -> Result<Option<Plan>, FileError> {
        let path = place(&self.path);
        let text = text(&path)?;
        if self.last.as_ref() == Some(&text) {
            return Ok(None);
        }
        let plan = Plan::parse(&text);
        self.last = Some(text);
        plan.map(Some).map_err(|error| FileError::Malformed(path, error))
    }
}

/// The file itself: `path`, or the plan in it where it is a directory.
fn place(path: &Path) -> PathBuf {
    if path.is_dir() {
        path.join(KEY)
    } else {
        path.to_owned()
    }
}

/// One byte more than a plan may have, so that one that is too long is seen to be.
fn text(path: &Path) -> Result<Vec<u8>, FileError> {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_PLAN_BYTES as u64 + 1).read_to_end(&mut text));
    match read {
        Ok(_) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(FileError::Missing(path.to_owned())),
        Err(error) => Err(FileError::Io(path.to_owned(), error)),
    }
}

/// The plan at `path`, a file or a mounted directory, once.
///
/// # Errors
/// There is no file, it can't be read, or it is not a plan.
pub fn read(path: &Path) -> Result<Plan, FileError> {
    let path = place(path);
    Plan::parse(&text(&path)?).map_err(|error| FileError::Malformed(path, error))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn document(revision: u64) -> String {
        format!(
            r#"{{"revision": {revision}, "workload": {{"namespace": "a", "pod": "b", "application": "c"}}}}"#
        )
    }

    #[test]
    fn a_file_is_reported_when_its_content_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.json");
        let mut file = PlanFile::at(path.clone());
        assert!(matches!(file.changed(), Err(FileError::Missing(_))));
        fs::write(&path, document(1)).unwrap();
        assert_eq!(file.changed().unwrap().unwrap().revision.0, 1);
        assert_eq!(file.changed().unwrap(), None);
        fs::write(&path, document(2)).unwrap();
        assert_eq!(file.changed().unwrap().unwrap().revision.0, 2);
    }

    #[test]
    fn a_bad_text_is_reported_once_and_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.json");
        fs::write(&path, "{\n  \"revison\": 1\n}").unwrap();
        let mut file = PlanFile::at(path);
        let error = file.changed().unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(
            error.to_string().ends_with("/web.json") && cause.contains("line 2"),
            "{error}: {cause}"
        );
        assert_eq!(file.changed().unwrap(), None);
    }

    #[test]
    fn a_mounted_directory_is_followed_through_its_swapped_link() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (version, revision) in [("..1", 1), ("..2", 2)] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join(KEY), document(revision)).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/plan.json", at(KEY)).unwrap();
        let mut file = PlanFile::at(dir.path().to_owned());
        assert_eq!(file.changed().unwrap().unwrap().revision.0, 1);
        symlink("..2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        assert_eq!(file.changed().unwrap().unwrap().revision.0, 2);
    }
}
