//! Golden files: what the code makes must be what is committed; `UPDATE_GOLDEN=1` writes it anew.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Every case below `tests/<room>`, one folder each, by name.
pub(crate) fn cases(room: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(room);
    let mut cases: Vec<_> = fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    cases.sort();
    cases
}

/// Compares `made` with the committed file, or writes it; an empty text means that there must be no file. Returns
/// what differs.
pub(crate) fn differs(committed: &Path, made: &str) -> Option<String> {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        if made.is_empty() {
            let _ = fs::remove_file(committed);
        } else {
            fs::write(committed, made).unwrap();
        }
        return None;
    }
    let expected = fs::read_to_string(committed).unwrap_or_default();
    (expected != made).then(|| {
        format!(
            "{} differs (UPDATE_GOLDEN=1 writes it anew)\n--- committed\n{expected}\n--- made\n{made}",
            committed.display()
        )
    })
}
