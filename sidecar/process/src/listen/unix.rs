//! A socket in the file system.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use super::patiently;

/// Anyone in reach of the directory may connect: the program may run as another user than this process.
const MODE: u32 = 0o666;

/// A listener can't be bound.
#[derive(Debug, thiserror::Error)]
pub enum UnixBindError {
    /// The system refuses.
    #[error("can't listen on {}", .0.display())]
    Io(PathBuf, #[source] io::Error),
    /// A file that is no socket is at the path; it is left alone.
    #[error("can't listen on {}: there is a file that is no socket; remove it, or give another path", .0.display())]
    Occupied(PathBuf),
}

/// A socket that listens at a path; the file goes with it, unless another process has put its own there.
#[derive(Debug)]
pub struct UnixDoor {
    listener: UnixListener,
    file: SocketFile,
}

#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    is: (u64, u64),
}

impl UnixDoor {
    /// Listens at `path`, in place of the socket that a killed process has left there. It is put there whole: nobody
    /// finds it closed to them, or missing, in between.
    ///
    /// # Errors
    /// The directory is missing or closed, the path is too long (107 bytes with `.new`), or something is there that
    /// is no socket.
    pub fn bind(path: &Path) -> Result<Self, UnixBindError> {
        let failed = |error| UnixBindError::Io(path.to_owned(), error);
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        for path in [path, &beside] {
            if is_occupied(path).map_err(failed)? {
                return Err(UnixBindError::Occupied(path.to_owned()));
            }
        }
        remove(&beside).map_err(failed)?;
        let listener = UnixListener::bind(&beside).map_err(failed)?;
        let placed = fs::set_permissions(&beside, Permissions::from_mode(MODE))
            .and_then(|()| fs::rename(&beside, path))
            .and_then(|()| identity(path));
        match placed {
            Ok(is) => {
                let path = path.to_owned();
                let file = SocketFile { path, is };
                Ok(Self { listener, file })
            }
            Err(error) => {
                let _ = remove(&beside);
                Err(failed(error))
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// The next connection; errors don't end it, as with [`super::accept`].
    pub async fn accept(&self) -> UnixStream {
        patiently(|context| self.listener.poll_accept(context)).await.0
    }

    /// Takes the connections that wait, without waiting for more, and gives up the file.
    pub fn close(self, mut hand: impl FnMut(std::os::unix::net::UnixStream)) {
        let Self { listener, file } = self;
        drop(file);
        if let Ok(listener) = listener.into_std() {
            while let Ok((stream, _)) = listener.accept() {
                hand(stream);
            }
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|is| is == self.is) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let is = fs::symlink_metadata(path)?;
    Ok((is.dev(), is.ino()))
}

/// Whether something else than a socket is at the path.
fn is_occupied(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(is) => Ok(!is.file_type().is_socket()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_socket_of_a_killed_process_is_replaced_and_ones_own_goes_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("motan.sock");
        // The file outlives its listener, as after a kill.
        drop(UnixListener::bind(&path).unwrap());
        let door = UnixDoor::bind(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        let (_caller, _accepted) = tokio::join!(UnixStream::connect(&path), door.accept());
        drop(door);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn who_has_connected_is_taken_when_it_closes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("motan.sock");
        let door = UnixDoor::bind(&path).unwrap();
        let _caller = std::os::unix::net::UnixStream::connect(&path).unwrap();
        let mut taken = 0;
        door.close(|_| taken += 1);
        assert!(taken == 1 && !path.exists());
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("motan.sock");
        fs::write(&path, "precious").unwrap();
        let error = UnixDoor::bind(&path).unwrap_err();
        assert!(matches!(error, UnixBindError::Occupied(_)), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[tokio::test]
    async fn the_socket_of_another_process_is_not_taken_away_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("motan.sock");
        let first = UnixDoor::bind(&path).unwrap();
        let second = UnixDoor::bind(&path).unwrap();
        drop(first);
        let (caller, _accepted) = tokio::join!(UnixStream::connect(&path), second.accept());
        caller.unwrap();
    }
}
